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
    Scope,
    standing,
    together,
)
from tests.unit.subscribers.people import NOON, Cast, confirmed, subscribed


def test_of_two_suppressions_the_weightier_reason_and_the_wider_scope_stay() -> None:
    every = list(itertools.product(Reason, Scope))
    for one, other in itertools.product(every, every):
        both = together(one, other) or one
        assert both == (together(other, one) or other), "whichever came first"
        assert list(Reason).index(both[0]) == max(
            list(Reason).index(each[0]) for each in (one, other)
        )
        assert both[1] is (
            Scope.CAMPAIGNS if {one[1], other[1]} == {Scope.CAMPAIGNS} else Scope.ALL
        )
    assert not any(together(each, each) for each in every)


def test_a_wider_scope_takes_the_place_of_a_narrower_one(session: Session) -> None:
    key = Cast.key("dan")
    narrow = actions.suppress(
        session, key, Reason.COMPLAINED, now=NOON, scope=Scope.CAMPAIGNS, evidence="a letter"
    )
    assert narrow
    before = queries.suppression(session, key)
    assert before is not None
    assert not before.stops_notices
    assert actions.suppress(session, key, Reason.BOUNCED, now=NOON)
    after = queries.suppression(session, key)

    assert after is not None
    assert (after.reason, after.scope, after.stops_notices) == (Reason.COMPLAINED, Scope.ALL, True)
    assert not actions.suppress(session, key, Reason.BOUNCED, now=NOON)
    assert not actions.suppress(session, key, Reason.ASKED, now=NOON, scope=Scope.CAMPAIGNS)


def test_campaigns_reach_nobody_who_is_suppressed_for_campaigns_only(
    session: Session, cast: Cast
) -> None:
    actions.suppress(session, Cast.key("ada"), Reason.ASKED, now=NOON, scope=Scope.CAMPAIGNS)
    rows = session.execute(queries.candidates(session, ["ai"], now=NOON)).all()

    assert {row.subscriber_id: row.excluded for row in rows}[cast.ada] == "suppressed"


def test_many_are_suppressed_at_once_and_what_is_weightier_stays(session: Session) -> None:
    keys = [Cast.key(f"reader{n}") for n in range(300)]
    actions.suppress(session, keys[0], Reason.OPERATOR, now=NOON)
    actions.suppress(session, keys[1], Reason.BOUNCED, now=NOON)
    actions.suppress(session, keys[2], Reason.OPERATOR, now=NOON)
    actions.lift(session, keys[2], reason="a mix-up", now=NOON)

    assert actions.suppress_many(session, [*keys, *keys], Reason.ASKED, now=NOON) == 299
    assert actions.suppress_many(session, keys, Reason.ASKED, now=NOON) == 0
    assert actions.suppress_many(session, [], Reason.ASKED, now=NOON) == 0
    reasons = queries.active_suppressions(session, keys)
    assert set(reasons) == set(keys)
    assert reasons[keys[0]] == (Reason.OPERATOR, Scope.ALL)
    assert {reasons[key] for key in keys[1:]} == {(Reason.ASKED, Scope.ALL)}


def test_suppressions_are_listed_with_whom_they_stop(session: Session, cast: Cast) -> None:
    actions.suppress(session, Cast.key("eve"), Reason.ASKED, now=NOON)
    actions.suppress(session, Cast.key("fay"), Reason.ASKED, now=NOON)
    actions.lift(session, Cast.key("fay"), reason="a mix-up", now=NOON)
    listed = queries.all_suppressions(session)
    page = queries.all_suppressions(session, after=listed[0].id, limit=1)

    assert [(each.subscriber, each.address) for each in listed] == [
        (cast.dan, "dan@example.org"),
        (None, ""),
    ]
    assert page == listed[1:]
    assert queries.all_suppressions(session, reason=Reason.OPERATOR) == listed[:1]
    assert [
        each.suppression.lifted_reason for each in queries.all_suppressions(session, lifted=True)
    ] == ["", "", "a mix-up"]


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
    assert (bounce.evidence, bounce.lifted_reason) == ("first", "replaced: complained, all")
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
    before = queries.subscriber(session, dan).is_mailable
    actions.confirm(session, dan, now=NOON, source="link")

    assert not before
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
