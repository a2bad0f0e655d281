"""What people and timers do to a subscription, each once however often it comes."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from subscribers import actions, queries
from subscribers.address import EmailAddress
from subscribers.consent import Act
from subscribers.preferences import Wanted
from subscribers.segment import SegmentNotFound
from subscribers.subscriber import (
    LanguageInvalid,
    NothingToConfirm,
    NotSubscribed,
    State,
    SubscriberId,
    SubscriberNotFound,
)
from tests.unit.subscribers.people import KEY, NOON, Cast, confirmed, subscribed

LATER = NOON + timedelta(days=1)


def acts(session: Session, person: SubscriberId) -> list[Act]:
    return [entry.act for entry in queries.history(session, person)]


def state(session: Session, person: SubscriberId) -> State:
    return queries.subscriber(session, person).state


def test_subscribing_makes_nobody_mailable_before_they_confirm(session: Session) -> None:
    ben = subscribed(session, "ben", "ai")
    pending = queries.subscriber(session, ben)

    assert (pending.state, pending.confirmed_at) == (State.PENDING, None)
    assert actions.confirm(session, ben, now=LATER, source="link", evidence="token")
    assert queries.subscriber(session, ben).state is State.CONFIRMED
    assert queries.subscriber(session, ben).confirmed_at == LATER
    assert queries.following(session, ben) == ("ai",)


def test_confirming_again_changes_nothing(session: Session) -> None:
    ada = confirmed(session, "ada")
    before = queries.history(session, ada)

    assert not actions.confirm(session, ada, now=LATER, source="link")
    assert queries.history(session, ada) == before


def test_another_spelling_is_the_same_person(session: Session) -> None:
    ada = subscribed(session, "ada")
    again = actions.subscribe(
        session,
        EmailAddress.parse("ADA@Example.ORG"),
        key=KEY,
        segments=["luxury"],
        source="form",
        wording="",
        now=LATER,
    )

    assert again == ada
    assert queries.subscriber(session, ada).address == "ada@example.org"


def test_a_stranger_at_the_form_changes_nothing_about_somebody_known(
    session: Session, cast: Cast
) -> None:
    before = [queries.subscriber(session, person) for person in (cast.ada, cast.cleo, cast.dan)]
    for name in ("ada", "cleo", "dan"):
        subscribed(session, name, "e-commerce")
    after = [queries.subscriber(session, person) for person in (cast.ada, cast.cleo, cast.dan)]

    assert after == before
    assert queries.following(session, cast.ada) == ("ai", "luxury")
    assert queries.following(session, cast.cleo) == ()


def test_confirming_adds_what_was_asked_for_since(session: Session, cast: Cast) -> None:
    subscribed(session, "ada", "e-commerce")
    subscribed(session, "cleo", "luxury")
    for person in (cast.ada, cast.cleo):
        actions.confirm(session, person, now=LATER, source="link")

    assert queries.following(session, cast.ada) == ("e-commerce", "ai", "luxury")
    assert queries.following(session, cast.cleo) == ("luxury",)
    assert state(session, cast.cleo) is State.CONFIRMED


def test_an_old_confirmation_link_brings_nobody_back(session: Session, cast: Cast) -> None:
    with pytest.raises(NothingToConfirm):
        actions.confirm(session, cast.cleo, now=LATER, source="link")

    subscribed(session, "cleo")
    actions.unsubscribe(session, cast.cleo, segments=None, now=LATER, source="link")
    with pytest.raises(NothingToConfirm):
        actions.confirm(session, cast.cleo, now=LATER, source="link")
    assert state(session, cast.cleo) is State.UNSUBSCRIBED


def test_another_key_than_the_stored_one_is_noticed(session: Session, cast: Cast) -> None:
    assert queries.key_fits(session, KEY)
    assert not queries.key_fits(session, b"another")
    with pytest.raises(ValueError, match="another key"), session.begin_nested():
        actions.subscribe(
            session,
            EmailAddress.parse("ada@example.org"),
            key=b"another",
            segments=["ai"],
            source="form",
            wording="",
            now=NOON,
        )
    assert state(session, cast.ada) is State.CONFIRMED


def test_what_is_asked_for_has_to_be_there(session: Session) -> None:
    with pytest.raises(SegmentNotFound):
        subscribed(session, "ben", "sport")
    with pytest.raises(LanguageInvalid):
        actions.subscribe(
            session,
            EmailAddress.parse("ben@example.org"),
            key=KEY,
            segments=["ai"],
            source="form",
            wording="",
            now=NOON,
            language="<script>",
        )
    assert queries.counts(session).total == 0


def test_following_twice_is_following_once(session: Session, cast: Cast) -> None:
    wanted = ["luxury", "e-commerce", "e-commerce"]
    once = actions.follow(session, cast.ada, wanted, now=LATER, source="page")
    twice = actions.follow(session, cast.ada, wanted, now=LATER, source="page")

    assert (once, twice) == (("e-commerce",), ())
    assert acts(session, cast.ada).count(Act.FOLLOWED) == 1


def test_somebody_who_left_cannot_be_made_to_follow(session: Session, cast: Cast) -> None:
    with pytest.raises(NotSubscribed):
        actions.follow(session, cast.cleo, ["ai"], now=LATER, source="page")


def test_unfollowing_everything_leaves_the_door_open(session: Session, cast: Cast) -> None:
    ended = actions.unfollow(session, cast.ada, ["luxury", "ai", "sport"], now=LATER, source="page")

    assert ended == ("ai", "luxury")
    assert actions.unfollow(session, cast.ada, ["ai"], now=LATER, source="page") == ()
    assert state(session, cast.ada) is State.CONFIRMED
    assert actions.follow(session, cast.ada, ["ai"], now=LATER, source="page") == ("ai",)


def test_leaving_one_segment_keeps_the_others(session: Session, cast: Cast) -> None:
    left = actions.unsubscribe(session, cast.ada, segments=["ai"], now=LATER, source="link")

    assert left == ("luxury",)
    assert state(session, cast.ada) is State.CONFIRMED
    assert queries.history(session, cast.ada)[-1].segments == ("ai",)


def test_leaving_the_last_segment_is_leaving(session: Session, cast: Cast) -> None:
    for segment in ("ai", "luxury"):
        actions.unsubscribe(session, cast.ada, segments=[segment], now=LATER, source="link")

    assert state(session, cast.ada) is State.UNSUBSCRIBED
    assert queries.history(session, cast.ada)[-1].segments == ()


@pytest.mark.parametrize("segments", [None, ["ai"], ["ai", "luxury"], ["gone"], []])
def test_unsubscribing_again_changes_nothing(
    session: Session, cast: Cast, segments: list[str] | None
) -> None:
    actions.unsubscribe(session, cast.ada, segments=segments, now=LATER, source="link")
    before = (queries.history(session, cast.ada), queries.subscriber(session, cast.ada))
    actions.unsubscribe(session, cast.ada, segments=segments, now=LATER, source="link")

    assert (queries.history(session, cast.ada), queries.subscriber(session, cast.ada)) == before


def test_somebody_pending_may_leave(session: Session, cast: Cast) -> None:
    actions.unsubscribe(session, cast.ben, segments=None, now=LATER, source="link")

    assert state(session, cast.ben) is State.UNSUBSCRIBED
    assert queries.open_segments(session, cast.ben) is None


def test_tracking_is_withdrawn_and_noted(session: Session, cast: Cast) -> None:
    assert queries.tracking(session, cast.ada) == 3
    for _ in range(2):
        actions.set_tracking(session, cast.ada, 0, now=LATER, source="page")

    assert queries.tracking(session, cast.ada) == 0
    assert acts(session, cast.ada).count(Act.TRACKING_CHANGED) == 1
    assert queries.history(session, cast.ada)[-1].evidence == "3 to 0"
    with pytest.raises(ValueError, match="4"):
        actions.set_tracking(session, cast.ada, 4, now=LATER, source="page")


def test_preferences_change_what_is_wanted_and_nothing_else(session: Session, cast: Cast) -> None:
    wanted = Wanted(frozenset({"luxury", "e-commerce", "sport"}), 2, "zh-hans")
    change = actions.change_preferences(session, cast.ada, wanted, now=LATER, source="page")
    page = queries.preferences(session, cast.ada)

    assert (change.follow, change.unfollow) == (("e-commerce",), ("ai",))
    assert page.followed == ("e-commerce", "luxury")
    assert (page.tracking, page.language) == (2, "zh-Hans")
    assert page.masked_address == "a***@example.org"
    assert [choice.name for choice in page.choices] == ["电商", "人工智能", "奢侈品"]
    nothing = Wanted(frozenset(page.followed), 2, "zh-Hans")
    again = actions.change_preferences(session, cast.ada, nothing, now=LATER, source="page")
    assert again.is_empty
    assert actions.change_preferences(
        session, cast.ada, Wanted(), now=LATER, source="page"
    ).is_empty


def test_of_nobody_there_is_nothing_to_do(session: Session) -> None:
    nobody = SubscriberId(99)
    for act in (
        lambda: actions.confirm(session, nobody, now=NOON, source="link"),
        lambda: actions.follow(session, nobody, ["ai"], now=NOON, source="page"),
        lambda: actions.unsubscribe(session, nobody, segments=None, now=NOON, source="link"),
        lambda: actions.erase(session, nobody, now=NOON, source="link"),
        lambda: queries.subscriber(session, nobody),
    ):
        with pytest.raises(SubscriberNotFound):
            act()
    assert queries.tracking(session, nobody) == 0
