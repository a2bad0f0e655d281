"""What a subscriber sends back changes what differs, and what they left out stays."""

from hypothesis import given
from hypothesis import strategies as st

from subscribers.preferences import Change, Choice, Preferences, Wanted, change
from subscribers.subscriber import State, SubscriberId

KEYS = st.frozensets(st.sampled_from(["e-commerce", "ai", "luxury"]))


def page(followed: frozenset[str]) -> Preferences:
    choices = tuple(Choice(k, k, "", k in followed) for k in ("e-commerce", "ai", "luxury"))
    return Preferences(SubscriberId(1), "a***@example.org", State.CONFIRMED, choices, 3, "en")


@given(KEYS, KEYS)
def test_the_change_leads_from_what_is_to_what_is_wanted(
    here: frozenset[str], wanted: frozenset[str]
) -> None:
    found = change(page(here), Wanted(wanted))

    assert (here | set(found.follow)) - set(found.unfollow) == wanted
    assert not set(found.follow) & here
    assert set(found.unfollow) <= here


@given(KEYS)
def test_wanting_nothing_in_particular_changes_nothing(here: frozenset[str]) -> None:
    assert change(page(here), Wanted()).is_empty
    assert change(page(here), Wanted(here, 3, "en")).is_empty


def test_segments_the_page_does_not_know_are_passed_over() -> None:
    assert change(page(frozenset()), Wanted(frozenset({"sport"}))) == Change()


def test_tracking_can_be_given_up_without_touching_the_rest() -> None:
    assert change(page(frozenset({"ai"})), Wanted(tracking=0)) == Change(tracking=0)
