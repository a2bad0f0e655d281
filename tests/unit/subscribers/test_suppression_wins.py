"""Whatever is done for a suppressed address, by file, form, segment or hand, nothing is mailed."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.kit.database import Database
from mailer.kit.errors import DibaoError
from subscribers import actions, bulk, queries
from subscribers.address import EmailAddress, address_key
from subscribers.consent import Origin
from subscribers.intake.merge import Outcome, Policy
from subscribers.preferences import Wanted
from subscribers.rules import actions as rules
from subscribers.rules import language
from subscribers.segment import NewSegment
from subscribers.subscriber import Frequency, NewPerson, SubscriberId
from subscribers.suppression import LIFTED_BY_CONFIRMING, Reason, Scope
from tests.unit.subscribers.people import KEY, NOON

SEGMENTS = ("ai", "luxury", "everybody")
REASONS = [reason for reason in Reason if reason is not Reason.ERASED]
WAYS = (
    "import",
    "skip",
    "insert",
    "form",
    "follow",
    "prefer",
    "confirm",
    "spell",
    "suppress",
    "wish",
)

number = itertools.count()


def imported(session: Session, address: EmailAddress, policy: Policy) -> Outcome:
    person = NewPerson(address, "Ada", ("ai", "luxury"))
    (outcome,) = bulk.store(
        session,
        [person],
        policy=policy,
        now=NOON,
        key=KEY,
        wording="Yes.",
        origin=Origin("a file", "Eve"),
    )
    return outcome


def try_(session: Session, way: str, address: EmailAddress, reason: Reason) -> None:
    """Do one thing that would bring somebody back, if anything could."""
    person = queries.by_key(session, address_key(KEY, address)) or SubscriberId(0)
    policies = {"import": Policy.UPDATE, "skip": Policy.SKIP, "insert": Policy.INSERT}
    if way in policies:
        assert imported(session, address, policies[way]) is not Outcome.ADDED
    elif way == "form":
        actions.subscribe(
            session, address, key=KEY, segments=["ai"], source="form", wording="", now=NOON
        )
    elif way == "follow":
        actions.follow(session, person, ["ai", "luxury"], now=NOON, source="x")
    elif way == "prefer":
        actions.change_preferences(
            session, person, Wanted(frozenset(SEGMENTS[:2]), 3), now=NOON, source="x"
        )
    elif way == "confirm":
        if reason not in LIFTED_BY_CONFIRMING:  # its owner may lift the others so
            actions.confirm(session, person, now=NOON, source="x")
    elif way == "spell":
        spelt = EmailAddress.parse(address.address.upper())
        actions.change_address(session, person, spelt, key=KEY, now=NOON, source="x")
    elif way == "suppress":
        actions.suppress(session, address_key(KEY, address), Reason.BOUNCED, now=NOON)
    else:
        actions.set_frequency(session, person, Frequency.EVERY, now=NOON, source="x")
        actions.set_tracking(session, person, 3, now=NOON, source="x")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    st.booleans(),
    st.sampled_from(REASONS),
    st.sampled_from(Scope),
    st.lists(st.sampled_from(WAYS), max_size=8),
)
def test_a_suppression_wins_over_import_form_segment_and_hand(
    database: Database, known: bool, reason: Reason, scope: Scope, ways: list[str]
) -> None:
    address = EmailAddress.parse(f"reader{next(number)}@example.org")
    with database.transaction() as session:
        furnish(session)
        if known:
            assert imported(session, address, Policy.UPDATE) is Outcome.ADDED
        actions.suppress(session, address_key(KEY, address), reason, now=NOON, scope=scope)
    for way in ways:
        try:
            with database.transaction() as session:
                try_(session, way, address, reason)
        except DibaoError:
            continue  # refused, then: as good
    with database.reading() as session:
        assert unmailed(session, address)


def furnish(session: Session) -> None:
    """The starting segments, and one that a rule gives: everybody at this domain."""
    actions.ensure_segments(session)
    if not any(each.key == "everybody" for each in queries.segments(session)):
        rule_segment(session)


def rule_segment(session: Session) -> None:
    new = NewSegment("everybody", "Everybody")
    rules.create(session, new, language.parse('domain = "example.org"'), actor="Eve", now=NOON)


def unmailed(session: Session, address: EmailAddress) -> bool:
    """Whether no campaign reaches the address, when it is frozen and after."""
    person = queries.by_key(session, address_key(KEY, address))
    if person is None:
        return True
    people = queries.candidates(session, SEGMENTS, now=NOON).subquery()
    frozen = session.scalars(
        select(people.c.excluded).where(people.c.subscriber_id == person)
    ).all()
    one = queries.recipients(now=NOON).subquery()
    (after,) = session.scalars(select(one.c.unmailable).where(one.c.id == person))
    return None not in frozen and after is not None


@pytest.mark.parametrize("reason", REASONS)
def test_the_same_ways_reach_somebody_who_is_not_suppressed(
    database: Database, reason: Reason
) -> None:
    """The test above would notice."""
    address = EmailAddress.parse("control@example.org")
    with database.transaction() as session:
        furnish(session)
        key = address_key(KEY, address)
        actions.suppress(session, key, reason, now=NOON)
        assert imported(session, address, Policy.UPDATE) is Outcome.SUPPRESSED
        actions.lift(session, key, reason="a mix-up", now=NOON)
        assert imported(session, address, Policy.UPDATE) is Outcome.ADDED
        assert not unmailed(session, address)
