"""A suppression wins over what the person did, and a weightier one over a lighter."""

import itertools

import pytest
from sqlalchemy.orm import Session

from subscribers import actions, queries
from subscribers.subscriber import OWN, NothingToConfirm, State
from subscribers.suppression import (
    LIFTED_BY_CONFIRMING,
    LiftingReasonMissing,
    NotSuppressed,
    OnlyTheOwner,
    Reason,
    outweighs,
    standing,
)
from tests.unit.subscribers.people import NOON, Cast, confirmed, subscribed


def test_of_two_reasons_one_outweighs_the_other() -> None:
    for one, other in itertools.combinations(Reason, 2):
        assert outweighs(one, other) is not outweighs(other, one)
    assert not any(outweighs(reason, reason) for reason in Reason)


def test_the_database_and_the_rule_agree_on_where_somebody_stands(session: Session) -> None:
    for own, reason in itertools.product(sorted(OWN - {State.ERASED}), Reason):
        name = f"{own}.{reason}"
        person = subscribed(session, name) if own is State.PENDING else confirmed(session, name)
        if own is State.UNSUBSCRIBED:
            actions.unsubscribe(session, person, segments=None, now=NOON, source="link")
        actions.suppress(session, Cast.key(name), reason, now=NOON)

        assert queries.subscriber(session, person).state is standing(own, reason)


def test_the_weightiest_reason_stays_and_the_first_of_equals(session: Session) -> None:
    key = Cast.key("dan")
    first = [
        actions.suppress(session, key, reason, now=NOON, evidence=evidence)
        for reason, evidence in [
            (Reason.BOUNCED, "first"),
            (Reason.BOUNCED, "second"),
            (Reason.COMPLAINED, "third"),
            (Reason.BOUNCED, "fourth"),
        ]
    ]
    complaint, bounce = queries.suppressions(session, key)

    assert first == [True, False, True, False]
    assert (complaint.reason, complaint.evidence) == (Reason.COMPLAINED, "third")
    assert complaint.lifted_at is None
    assert (bounce.evidence, bounce.lifted_reason) == ("first", "replaced: complained")
    assert queries.suppression(session, key) == complaint


def test_a_reason_nobody_knows_is_a_bug(session: Session) -> None:
    with pytest.raises(ValueError, match="tired"):
        actions.suppress(session, Cast.key("dan"), "tired", now=NOON)


def test_lifting_takes_a_reason_and_gives_back_what_the_person_said(
    session: Session, cast: Cast
) -> None:
    key = Cast.key("dan")
    with pytest.raises(LiftingReasonMissing):
        actions.lift(session, key, reason=" ", now=NOON)

    assert actions.lift(session, key, reason="a mix-up", now=NOON) is Reason.OPERATOR
    assert queries.subscriber(session, cast.dan).state is State.CONFIRMED
    with pytest.raises(NotSuppressed):
        actions.lift(session, key, reason="again", now=NOON)


def test_lifting_does_not_bring_back_who_left_meanwhile(session: Session, cast: Cast) -> None:
    actions.unsubscribe(session, cast.dan, segments=None, now=NOON, source="link")
    actions.lift(session, Cast.key("dan"), reason="a mix-up", now=NOON)

    assert queries.subscriber(session, cast.dan).state is State.UNSUBSCRIBED


@pytest.mark.parametrize("reason", Reason)
def test_its_owner_lifts_a_bounce_by_confirming_and_never_a_complaint(
    session: Session, reason: Reason
) -> None:
    actions.suppress(session, Cast.key("dan"), reason, now=NOON)
    dan = subscribed(session, "dan")
    askable = queries.may_be_asked(session, dan)
    before = queries.subscriber(session, dan).is_mailable
    actions.confirm(session, dan, now=NOON, source="link")

    assert not before
    assert askable is (reason in LIFTED_BY_CONFIRMING)
    assert queries.subscriber(session, dan).is_mailable is (reason in LIFTED_BY_CONFIRMING)


def test_after_an_erasure_only_its_owner_comes_back(session: Session, cast: Cast) -> None:
    actions.erase(session, cast.ada, now=NOON, source="link")
    actions.erase(session, cast.ada, now=NOON, source="link")
    gone = queries.subscriber(session, cast.ada)

    assert (gone.state, gone.address, gone.name) == (State.ERASED, "", "")
    with pytest.raises(OnlyTheOwner):
        actions.lift(session, Cast.key("ada"), reason="we miss her", now=NOON)
    with pytest.raises(NothingToConfirm):
        actions.confirm(session, cast.ada, now=NOON, source="old link")

    assert subscribed(session, "ada") == cast.ada
    assert not queries.subscriber(session, cast.ada).is_mailable
    assert actions.confirm(session, cast.ada, now=NOON, source="link")
    assert queries.subscriber(session, cast.ada).is_mailable
