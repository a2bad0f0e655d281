"""What an import does about one person follows from what is there and the policy."""

import pytest

from subscribers.address import EmailAddress
from subscribers.intake.merge import Known, Merged, Outcome, Policy, changes, decide, merge
from subscribers.subscriber import NewPerson, State, SubscriberId

ADA = EmailAddress.parse("ada@example.org")
FILE = NewPerson(ADA, "Ada", ("ai", "luxury"), "fr")


def known(state: State = State.CONFIRMED, name: str = "A.", *follows: str) -> Known:
    return Known(SubscriberId(1), state, name, "en", follows=frozenset(follows))


@pytest.mark.parametrize(
    ("there", "policy", "outcome"),
    [
        (None, Policy.UPDATE, Outcome.ADDED),
        (None, Policy.INSERT, Outcome.ADDED),
        (None, Policy.SKIP, Outcome.ADDED),
        (known(), Policy.UPDATE, Outcome.UPDATED),
        (known(), Policy.INSERT, Outcome.EXISTS),
        (known(), Policy.SKIP, Outcome.SKIPPED),
        (known(State.UNSUBSCRIBED), Policy.UPDATE, Outcome.UNSUBSCRIBED),
        (known(State.PENDING), Policy.UPDATE, Outcome.PENDING),
        # erased by taking an import back: an erasure they asked for is suppressed besides
        (known(State.ERASED), Policy.UPDATE, Outcome.ADDED),
    ],
)
def test_what_becomes_of_a_row(there: Known | None, policy: Policy, outcome: Outcome) -> None:
    assert decide(FILE, there, suppressed=False, policy=policy) is outcome


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("there", [None, *map(known, (State.CONFIRMED, State.PENDING))])
def test_a_suppression_wins_over_every_policy(there: Known | None, policy: Policy) -> None:
    assert decide(FILE, there, suppressed=True, policy=policy) is Outcome.SUPPRESSED


def test_what_the_file_leaves_empty_stays_and_nothing_is_taken_away() -> None:
    empty = NewPerson(ADA, segments=("ai",))

    assert merge(empty, known(State.CONFIRMED, "A.", "ai", "luxury")) == Merged()
    assert merge(FILE, known(State.CONFIRMED, "A.", "ai")) == Merged(
        "Ada", "fr", follow=("luxury",)
    )


def test_a_row_that_says_nothing_new_changes_nothing() -> None:
    same = Known(SubscriberId(1), State.CONFIRMED, "Ada", "fr", follows=frozenset({"ai", "luxury"}))

    assert decide(FILE, same, suppressed=False, policy=Policy.UPDATE) is Outcome.UNCHANGED


def test_fields_are_written_where_they_differ_and_none_is_taken_away() -> None:
    person = NewPerson(ADA, fields={"city": "Paris", "score": 3.0})
    there = Known(SubscriberId(1), State.CONFIRMED, fields={"city": "Rome", "vip": "yes"})
    merged = merge(person, there)

    assert merged.fields == {"city": "Paris", "score": 3.0}
    assert changes(merged, there) == {
        "fields": {"city": ["Rome", "Paris"], "score": [None, 3.0]},
        "follows": [],
    }


def test_a_former_address_adds_nobody() -> None:
    moved = decide(FILE, None, suppressed=False, moved=True, policy=Policy.UPDATE)

    assert moved is Outcome.MOVED
