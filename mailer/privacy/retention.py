"""How long what is kept: every class of personal data with its term, and its end.

In steps of some thousand rows, or of one issue, each a transaction of its own: whatever stops a
run, the next one goes on. Counts stay: a report of last year says what it said.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from mailer.kit.database import Base, Database, try_lock
from mailer.kit.settings import Settings
from mailer.privacy import actions
from mailer.privacy.models import RetentionRow
from subscribers import engaging
from subscribers.consent import Act
from subscribers.outtake import audit
from subscribers.outtake.export import remove, strays
from subscribers.record import inserting
from subscribers.subscriber import State

STEP: Final = 5000  # rows of one transaction
PEOPLE: Final = 200  # people of one: each is some twenty statements' worth of rows
AUDIT: Final = timedelta(days=730)
"""How long it is kept who exported whom: two years."""

NIGHTLY: Final = timedelta(hours=20)
"""The least time between two runs by the clock."""

_LOCK: Final = 4475  # any number, the same in every worker
_HOUR: Final = timedelta(hours=1)


class Kind(StrEnum):
    """A class of data that ends."""

    EVENTS = "events"  # opens, clicks and unsubscribes, one by one
    ENGAGEMENT = "engagement"  # what they amount to, by person and issue
    REPLIES = "replies"  # texts of SMTP replies; what became of a letter stays
    UNCONFIRMED = "unconfirmed"  # people who never confirmed
    NETWORKS = "networks"  # where a consent came from
    NOTICES = "notices"  # our own letters about a subscription
    EXPORTS = "exports"  # files in the data directory
    AUDIT = "audit"  # who exported whom


@dataclass(frozen=True, slots=True)
class Term:
    """What of a class is over."""

    kind: Kind
    before: datetime  # what is older goes
    setting: str  # which says so; "" where nothing does
    now: datetime


@dataclass(frozen=True, slots=True)
class Part:
    """How much of a class went, or would go."""

    kind: Kind
    before: datetime
    setting: str
    found: int


Advance = Callable[[Kind, int], None]  # of this class, gone so far


def terms(settings: Settings, now: datetime) -> tuple[Term, ...]:
    """The end of every class as of now."""
    days = {
        name: now - timedelta(days=getattr(settings, name))
        for name in ("keep_events", "keep_replies", "keep_unconfirmed", "keep_networks")
    }
    return tuple(
        Term(kind, before, setting and f"DIBAO_{setting.upper()}", now)
        for kind, before, setting in (
            (Kind.EVENTS, days["keep_events"], "keep_events"),
            (Kind.ENGAGEMENT, days["keep_events"], "keep_events"),
            (Kind.REPLIES, days["keep_replies"], "keep_replies"),
            (Kind.UNCONFIRMED, days["keep_unconfirmed"], "keep_unconfirmed"),
            (Kind.NETWORKS, days["keep_networks"], "keep_networks"),
            (Kind.NOTICES, days["keep_replies"], "keep_replies"),
            (Kind.EXPORTS, now, "keep_exports"),  # each knows its own end
            (Kind.AUDIT, now - AUDIT, ""),
        )
    )


def look(database: Database, settings: Settings, now: datetime) -> tuple[Part, ...]:
    """What a run would take away now; nothing is changed."""
    found = []
    for term in terms(settings, now):
        with database.reading() as session:
            number = _count(session, settings.data_dir, term)
        found.append(Part(term.kind, term.before, term.setting, number))
    return tuple(found)


def run(
    database: Database,
    settings: Settings,
    now: datetime,
    advance: Advance = lambda _kind, _gone: None,
) -> tuple[Part, ...]:
    """Take away whatever is over; return how much of each class that was.

    Any number may run at once, and one that was stopped is gone on with by the next. Raises
    Unavailable.
    """
    done = []
    for term in terms(settings, now):
        gone = 0
        for step in _END[term.kind](database, settings.data_dir, term):
            gone += step
            advance(term.kind, gone)
        with database.transaction() as session:
            _note(session, term.kind.value, term.before, gone, now)
        done.append(Part(term.kind, term.before, term.setting, gone))
    with database.transaction() as session:
        _note(session, "", now, sum(part.found for part in done), now)
    return tuple(done)


def is_due(session: Session, now: datetime) -> bool:
    """Take the right to the nightly run, once in some twenty hours; False for everybody else."""
    if not try_lock(session, _LOCK):
        return False
    last = session.scalar(select(RetentionRow.at).where(RetentionRow.kind == ""))
    if last is not None and last > now - NIGHTLY:
        return False
    _note(session, "", now, 0, now)
    return True


def _count(session: Session, data_dir: Path, term: Term) -> int:
    if term.kind is Kind.EXPORTS:
        expired = audit.kept(session, expired_at=term.before)
        return len(expired) + len(_strays(session, data_dir, term))
    if term.kind is Kind.REPLIES:
        return sum(_number(session, name, _said(name, term)) for name in _REPLIES)
    return _number(session, *_OVER[term.kind](term))


def _number(session: Session, table: str, over: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(_table(table)).where(over)) or 0


def _events(database: Database, _data_dir: Path, term: Term) -> Iterator[int]:
    """Events with what hangs on them, in the order they were stored."""
    event, after = _table("event"), 0
    old = event.c.at < term.before
    while True:
        with database.transaction() as session:
            found = select(event.c.id).where(old, event.c.id > after).order_by(event.c.id)
            ids = session.scalars(found.limit(STEP)).all()
            if not ids:
                return
            for name in ("event_review", "recent_hit"):
                hanging = _table(name)
                session.execute(delete(hanging).where(hanging.c.event_id.in_(ids)))
            here = event.c.id.between(ids[0], ids[-1])
            gone = _gone(session, delete(event).where(here, old))
        after = ids[-1]
        yield gone


def _engagement(database: Database, _data_dir: Path, term: Term) -> Iterator[int]:
    """Issue by issue: the rows of one lie together."""
    with database.reading() as session:
        issues = engaging.issues_before(session, term.before)
    for issue in issues:
        with database.transaction() as session:
            gone = engaging.forget_before(session, issue, term.before)
        yield gone


_REPLIES: Final = ("delivery", "attempt")  # tables with a text of a reply


def _replies(database: Database, _data_dir: Path, term: Term) -> Iterator[int]:
    """Texts of replies, campaign by campaign; a campaign that has been through is passed over."""
    campaign = _table("campaign")
    with database.reading() as session:
        since = session.scalar(
            select(RetentionRow.before).where(RetentionRow.kind == Kind.REPLIES.value)
        )
        left = select(campaign.c.id).where(campaign.c.started_at < term.before)
        if since is not None:
            ended = campaign.c.finished_at
            left = left.where(or_(ended.is_(None), ended >= since - timedelta(days=1)))
        campaigns = session.scalars(left.order_by(campaign.c.id)).all()
    for number in campaigns:
        for name in _REPLIES:
            yield from _emptied(database, _table(name), number, _said(name, term))


def _emptied(
    database: Database, table: Table, campaign: int, over: ColumnElement[bool]
) -> Iterator[int]:
    mine, after = table.c.campaign_id == campaign, 0
    while True:
        with database.transaction() as session:
            people = session.scalars(
                select(table.c.subscriber_id)
                .where(mine, over, table.c.subscriber_id > after)
                .order_by(table.c.subscriber_id)
                .limit(STEP)
            ).all()
            if not people:
                return
            these = table.c.subscriber_id.between(people[0], people[-1])
            gone = _gone(session, update(table).where(mine, over, these).values(reply=""))
        after = people[-1]
        yield gone


def _unconfirmed(database: Database, _data_dir: Path, term: Term) -> Iterator[int]:
    people = _table("subscriber")
    _, over = _never_confirmed(term)
    while True:
        with database.transaction() as session:
            found = select(people.c.id).where(over).order_by(people.c.id).limit(PEOPLE)
            held = session.scalars(found.with_for_update()).all()
            if not held:
                return
            # whoever held one of them before may have noted that they asked again
            still = select(people.c.id).where(over, people.c.id.in_(held)).order_by(people.c.id)
            ids = session.scalars(still).all()
            if ids:
                actions.drop_unconfirmed(session, ids, term.now)
        yield len(ids)


def _rows(database: Database, _data_dir: Path, term: Term) -> Iterator[int]:
    """Rows of one table with a number of their own."""
    name, over = _OVER[term.kind](term)
    table = _table(name)
    (number,) = table.primary_key.columns
    while True:
        with database.transaction() as session:
            some = select(number).where(over).limit(STEP)
            gone = _gone(session, delete(table).where(number.in_(some)))
        if not gone:
            return
        yield gone


def _exports(database: Database, data_dir: Path, term: Term) -> Iterator[int]:
    with database.reading() as session:
        expired = audit.kept(session, expired_at=term.before)
        lost = _strays(session, data_dir, term)
    for export in expired:
        remove(database, data_dir, export, term.now)
        yield 1
    for path in lost:
        _away(path)
        yield 1


def _strays(session: Session, data_dir: Path, term: Term) -> Sequence[Path]:
    known = frozenset(export.file_name for export in audit.kept(session))
    return strays(data_dir, known, (term.now - _HOUR).timestamp())


def _away(path: Path) -> None:
    """Remove a file, or a folder that a killed export left."""
    for inner in path.glob("*") if path.is_dir() else ():
        inner.unlink(missing_ok=True)
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _said(table: str, term: Term) -> ColumnElement[bool]:
    rows = _table(table)
    return and_(rows.c.reply != "", rows.c.at < term.before)


def _old(table: str, column: str) -> Callable[[Term], tuple[str, ColumnElement[bool]]]:
    return lambda term: (table, _table(table).c[column] < term.before)


def _never_confirmed(term: Term) -> tuple[str, ColumnElement[bool]]:
    """Pending people whose last request is older than the link that would confirm it."""
    people, consent = _table("subscriber"), _table("consent")
    since = exists().where(
        consent.c.subscriber_id == people.c.id,
        consent.c.at >= term.before,
        consent.c.act == Act.SUBSCRIBED.value,
    )
    waiting = and_(people.c.state == State.PENDING.value, people.c.confirmed_at.is_(None))
    return "subscriber", and_(waiting, people.c.created_at < term.before, ~since)


def _settled(term: Term) -> tuple[str, ColumnElement[bool]]:
    notice = _table("notice")
    return "notice", and_(notice.c.outcome != "", notice.c.sent_at < term.before)


def _audited(term: Term) -> tuple[str, ColumnElement[bool]]:
    export = _table("export")
    gone = or_(export.c.file_name == "", export.c.removed_at.is_not(None))
    return "export", and_(export.c.at < term.before, gone)


_OVER: dict[Kind, Callable[[Term], tuple[str, ColumnElement[bool]]]] = {
    Kind.EVENTS: _old("event", "at"),
    Kind.ENGAGEMENT: _old("engagement", "at"),
    Kind.UNCONFIRMED: _never_confirmed,
    Kind.NETWORKS: _old("consent_network", "at"),
    Kind.NOTICES: _settled,
    Kind.AUDIT: _audited,
}
_END: dict[Kind, Callable[[Database, Path, Term], Iterator[int]]] = {
    Kind.EVENTS: _events,
    Kind.ENGAGEMENT: _engagement,
    Kind.REPLIES: _replies,
    Kind.UNCONFIRMED: _unconfirmed,
    Kind.NETWORKS: _rows,
    Kind.NOTICES: _rows,
    Kind.EXPORTS: _exports,
    Kind.AUDIT: _rows,
}


def _gone(session: Session, statement: Any) -> int:
    done = session.execute(statement, execution_options={"preserve_rowcount": True})
    return int(done.rowcount)  # type: ignore[attr-defined]


def _note(session: Session, kind: str, before: datetime, gone: int, now: datetime) -> None:
    row = {"kind": kind, "before": before, "gone": gone, "at": now}
    new = inserting(session, RetentionRow).values(row)
    added = row | {"gone": RetentionRow.gone + new.excluded.gone}
    session.execute(new.on_conflict_do_update(index_elements=["kind"], set_=added))


def _table(name: str) -> Table:
    return Base.metadata.tables[name]
