"""Erasing a person everywhere in the database: one list of tables, one transaction."""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Delete, Update, and_, delete, insert, or_, update
from sqlalchemy.orm import Session

from mailer.kit.database import Base
from mailer.privacy import queries
from mailer.privacy.erasures import Added
from mailer.privacy.held import HELD, By, Fate, Held
from mailer.privacy.models import ErasureMarkRow
from mailer.privacy.queries import Subject
from subscribers import actions as subscribers
from subscribers import record
from subscribers.consent import Act
from subscribers.outtake import audit
from subscribers.subscriber import State
from subscribers.suppression import Reason

UNCONFIRMED = "never confirmed"
"""The source of the last entry of somebody who went because they never confirmed."""


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows of a table were deleted or emptied."""

    table: str
    fate: Fate
    rows: int


def erase_now(  # what is noted of an erasure
    session: Session,
    about: Subject,
    *,
    now: datetime,
    reason: str,
    source: str,
    actor: str,
    words: Sequence[str],
    added: Added | None,
) -> tuple[Subject, tuple[Rows, ...]]:
    """Erase whoever it is by now; return who that was, and what went where.

    Since they were looked up they may have come, or have changed their address. Takes `words` out
    of the audit, ends exports that are under way, and goes on with the mark in the log.
    """
    record.nobody_comes_in(session)
    if about.subscriber is None:
        about = queries.by_key(session, about.keys[0])
    else:
        about = queries.by_number(session, about.subscriber)
    rows = erase(session, about, now=now, reason=reason, source=source, actor=actor)
    audit.strike(session, [word for word in (*words, about.address, about.name) if word])
    audit.overtake(session, now)
    if added is not None and queries.marked(session, added.file) == added.before:
        mark(session, added.file, added.after)
    return about, rows


def erase(
    session: Session, about: Subject, *, now: datetime, reason: str, source: str, actor: str = ""
) -> tuple[Rows, ...]:
    """Remove somebody from every table; return what went where. Again finds nothing to do.

    Their address, and those they had before, stay as keyed hashes that are not mailed. What counts
    letters and visits keeps its numbers.
    """
    gone = forget(session, [] if about.subscriber is None else [about.subscriber], about.keys)
    for key in about.keys:
        subscribers.suppress(session, key, Reason.ERASED, now=now, evidence=reason)
    if about.subscriber is not None:
        subscribers.erase(session, about.subscriber, now=now, source=source, actor=actor)
    return gone


def forget(session: Session, people: Sequence[int], keys: Sequence[str]) -> tuple[Rows, ...]:
    """Delete or empty every row about some hundred people, as `held.HELD` says; how many."""
    campaigns = queries.every_campaign(session)
    found = []
    for held in HELD:
        if held.fate is not Fate.KEPT:
            rows = _forget(session, held, people, keys, campaigns)
            found.append(Rows(held.table, held.fate, rows))
    return tuple(found)


def drop_unconfirmed(session: Session, people: Sequence[int], now: datetime) -> None:
    """Remove people who never confirmed, so that nothing knows them again.

    Unlike an erasure this suppresses nothing: they may sign up tomorrow, as strangers. Not even the
    keyed hash of the address stays in their row.
    """
    forget(session, people, ())
    table = Base.metadata.tables["subscriber"]
    for person in people:
        strangers = {"address_key": secrets.token_hex(16), "state": State.ERASED.value}
        emptied = update(table).where(table.c.id == person)
        session.execute(emptied.values(**strangers, updated_at=now))
    note = {"act": Act.ERASED.value, "segments": "", "source": UNCONFIRMED, "at": now}
    rows = [{**note, "actor": "", "evidence": "", "subscriber_id": each} for each in people]
    session.execute(insert(Base.metadata.tables["consent"]), rows)


def mark(session: Session, file: str, octets: int) -> None:
    """Note how much of a log of erasures this database has been through."""
    new = record.inserting(session, ErasureMarkRow).values(file=file, octets=octets)
    moved = new.on_conflict_do_update(index_elements=["file"], set_={"octets": octets})
    session.execute(moved)


def _forget(
    session: Session,
    held: Held,
    people: Collection[int],
    keys: Collection[str],
    campaigns: Collection[int],
) -> int:
    table = Base.metadata.tables[held.table]
    theirs = queries.theirs(held, people, keys, campaigns)
    if held.fate is Fate.GONE:
        return _counted(session, delete(table).where(theirs))
    filled = [table.c[name] != "" for name in held.emptied if name != "fields"]
    said = and_(theirs, or_(*filled)) if held.by is not By.ID else theirs
    if held.table == "suppression":  # says why somebody was erased, in words that name nobody
        said = and_(said, table.c.reason != Reason.ERASED.value)
    return _counted(session, update(table).where(said).values(dict(held.emptied)))


def _counted(session: Session, statement: Delete | Update) -> int:
    done = session.execute(statement, execution_options={"preserve_rowcount": True})
    return int(done.rowcount)  # type: ignore[attr-defined]
