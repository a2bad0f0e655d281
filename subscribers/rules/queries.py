"""Live answers about rules and segments: how many, who for example, the overlap, the versions."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, Select, case, func, select, true
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from mailer.kit.errors import Invalid, Unavailable
from subscribers import queries
from subscribers.models import SegmentRevisionRow, SubscriberRow, SuppressionRow
from subscribers.rules import facts as known
from subscribers.rules import json_tree, sql
from subscribers.rules.facts import schema
from subscribers.rules.tree import Leaf, Operator, Rule, leaves
from subscribers.segment import Segment, SegmentCount
from subscribers.segment_sql import everybody
from subscribers.subscriber import State, SubscriberId

__all__ = ["count", "explain", "meaning", "overlap", "revisions", "sample", "schema", "sizes"]

PATIENCE: Final = 5.0  # seconds for an answer that somebody waits for
MAX_OVERLAP: Final = 30  # segments: a set of them is a mask in an integer
MAX_SAMPLE: Final = 1_000  # people
# Tables lie in the order of the people's ids, or have an index that does. To merge them in it takes
# a third of the time of hashing them, which PostgreSQL does not know: it counts pages and rows, and
# a million look-ups that miss the processor's cache are what costs. To compile takes longer still.
_PLANNING = {
    "random_page_cost": "1.1",
    "enable_hashagg": "off",
    "hash_mem_multiplier": "1",
    "jit": "off",
}
_CANCELED = "57014"  # PostgreSQL's code for a statement that took too long
_STEPS = 10_000  # of SQLite's virtual machine between two looks at the clock: less than a ms


class TooSlow(Unavailable):
    """To answer this takes too long; a rule with fewer conditions may be quick enough."""


class OverlapTooWide(Invalid):
    """At most 30 segments can be compared at once."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many people a rule finds."""

    people: int
    mailable: int  # of those, confirmed and not suppressed
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Overlap:
    """How segments share their people."""

    segments: tuple[str, ...]  # keys
    together: tuple[tuple[int, ...], ...]  # people in the n-th and in the m-th; n = m: in all
    alone: tuple[int, ...]  # people in the n-th and in no other of these
    people: int  # in any of them
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What a rule, or a condition of it, says of one person."""

    rule: Rule
    holds: bool


@dataclass(frozen=True, slots=True)
class Revision:
    """A rule as it was from a moment on."""

    number: int  # from 1
    rule: Rule
    actor: str
    at: datetime


def count(session: Session, rule: Rule, now: datetime, *, patience: float = PATIENCE) -> Count:
    """Count whom a rule finds now. Raises TooSlow after `patience` seconds.

    The rule has been checked: see schema.require.
    """
    found = sql.find(rule, known.facts(session, now))
    sure, source = _with_state(found)
    counted = (
        select(func.count(), func.coalesce(func.sum(case((sure, 1), else_=0)), 0))
        .select_from(source)
        .where(found.where)
    )
    with _within(session, patience):
        people, mailable = session.execute(counted).one()
    return Count(int(people), int(mailable), now)


def sample(
    session: Session,
    rule: Rule,
    now: datetime,
    *,
    limit: int = 10,
    mailable: bool = False,
    patience: float = PATIENCE,
) -> tuple[SubscriberId, ...]:
    """Pick some of those a rule finds now: always the same ones, in no order that means anything.

    Raises TooSlow.
    """
    found = sql.find(rule, known.facts(session, now))
    sure, source = _with_state(found)
    picked = select(found.people.c.id).select_from(source).where(found.where)
    if mailable:
        picked = picked.where(sure)
    # A keyed hash is as good as chance, and stays as it is. With nothing added to it, PostgreSQL
    # may walk its index through everybody for the few that are found.
    chance = found.people.c.address_key.concat("")
    picked = picked.order_by(chance).limit(min(limit, MAX_SAMPLE))
    with _within(session, patience):
        return tuple(SubscriberId(each) for each in session.scalars(picked))


def overlap(
    session: Session,
    segments: Sequence[str],
    now: datetime,
    *,
    mailable: bool = False,
    patience: float = PATIENCE,
) -> Overlap:
    """Count how segments share their people, whatever their state or mailable ones only.

    One pass over the people, however many segments. Raises OverlapTooWide, TooSlow.
    """
    with _within(session, patience):
        found = _by_mask(session, segments, now, with_state=mailable)
    sets = [(mask, sure if mailable else people) for mask, people, sure in found]
    bits = [1 << n for n in range(len(segments))]

    def both(one: int, other: int) -> int:
        return sum(people for mask, people in sets if mask & one and mask & other)

    return Overlap(
        segments=tuple(segments),
        together=tuple(tuple(both(one, other) for other in bits) for one in bits),
        alone=tuple(sum(people for mask, people in sets if mask == bit) for bit in bits),
        people=sum(people for _, people in sets),
        as_of=now,
    )


def sizes(
    session: Session, now: datetime, *, patience: float = PATIENCE
) -> tuple[SegmentCount, ...]:
    """Count who is in each segment that is not archived, and those who may be mailed now.

    Raises TooSlow.
    """
    there = queries.segments(session)
    counted: list[SegmentCount] = []
    with _within(session, patience):
        for n in range(0, len(there), MAX_OVERLAP):
            some = there[n : n + MAX_OVERLAP]
            found = _by_mask(session, [each.key for each in some], now, with_state=True)
            counted += [_size(each, 1 << bit, found) for bit, each in enumerate(some)]
    return tuple(counted)


def meaning(session: Session, key: str) -> Rule:
    """Look up who is in a segment, as a rule: its own, or that they follow it.

    Raises SegmentNotFound.
    """
    rule = known.stored(queries.segment(session, key).rule)
    return rule or Leaf("follows", Operator.IS, key)


def explain(
    session: Session, rule: Rule, subscriber: SubscriberId, now: datetime
) -> tuple[Answer, ...]:
    """Say of one person which conditions of a rule hold, in order, the whole rule last."""
    facts = known.facts(session, now)

    def holds(each: Rule) -> bool:
        found = sql.find(each, facts)
        person = found.people.c.id
        this = select(person).select_from(found.source).where(person == subscriber, found.where)
        return session.scalar(this) is not None

    asked = dict.fromkeys((*leaves(rule), rule))
    return tuple(Answer(each, holds(each)) for each in asked)


def revisions(session: Session, key: str) -> tuple[Revision, ...]:
    """List the rules a segment has had, newest first. Raises SegmentNotFound."""
    row = SegmentRevisionRow
    segment = queries.segment(session, key)
    found = select(row).where(row.segment_id == segment.id).order_by(row.number.desc())
    return tuple(
        Revision(each.number, json_tree.read(each.rule), each.actor, each.at)
        for each in session.scalars(found)
    )


def _size(segment: Segment, bit: int, found: Sequence[tuple[int, int, int]]) -> SegmentCount:
    inside = [(people, sure) for mask, people, sure in found if mask & bit]
    return SegmentCount(segment, sum(n for n, _ in inside), sum(n for _, n in inside))


def _by_mask(
    session: Session, segments: Sequence[str], now: datetime, *, with_state: bool
) -> list[tuple[int, int, int]]:
    """Count people by the set of segments they are in: mask, people, of those mailable."""
    if not segments:
        return []
    if len(segments) > MAX_OVERLAP:
        raise OverlapTooWide
    inside = everybody(session, segments, now)
    counted: Select[Any] = select(inside.c.mask, func.count()).group_by(inside.c.mask)
    if with_state:
        stop, person = SuppressionRow, SubscriberRow
        sure = (person.state == State.CONFIRMED.value) & stop.id.is_(None)
        stopped = (stop.address_key == person.address_key) & stop.lifted_at.is_(None)
        counted = (
            counted.add_columns(func.sum(case((sure, 1), else_=0)))
            .join(person, person.id == inside.c.subscriber_id)
            .outerjoin(stop, stopped)
        )
    return [
        (int(mask), int(people), int(sure[0]) if sure else 0)
        for mask, people, *sure in session.execute(counted)
        if mask
    ]


def _with_state(found: sql.Found) -> tuple[ColumnElement[bool], FromClause]:
    """Say whether somebody found may be mailed, and from what to select to know it."""
    stop, person = SuppressionRow, found.people.c
    stopped = (stop.address_key == person.address_key) & stop.lifted_at.is_(None)
    sure = (person.state == State.CONFIRMED.value) & stop.id.is_(None)
    return sure, found.source.outerjoin(SuppressionRow.__table__, stopped)


@contextmanager
def _within(session: Session, seconds: float) -> Iterator[None]:
    """Let statements take so long and no longer. Raises TooSlow; the transaction is over then."""
    try:
        with _sqlite(session, seconds) if _is_sqlite(session) else _postgres(session, seconds):
            yield
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) == _CANCELED or str(error.orig) == "interrupted":
            raise TooSlow from None
        raise


@contextmanager
def _postgres(session: Session, seconds: float) -> Iterator[None]:
    wanted = {"statement_timeout": f"{max(1, round(seconds * 1000))}", **_PLANNING}
    names = {name: func.current_setting(name).label(name) for name in wanted}
    before = session.execute(select(*names.values())).one()
    _set(session, wanted)
    yield
    _set(session, before._asdict())


def _set(session: Session, settings: Mapping[str, str]) -> None:
    """Change settings of the server until the transaction ends."""
    session.execute(select(*(func.set_config(*each, true()) for each in settings.items())))


@contextmanager
def _sqlite(session: Session, seconds: float) -> Iterator[None]:
    driver = session.connection().connection.driver_connection
    assert driver is not None
    until = monotonic() + seconds
    driver.set_progress_handler(lambda: monotonic() > until, _STEPS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"
