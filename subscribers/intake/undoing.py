"""An import taken back: who came by it goes, who was changed by it is as before.

Whoever did something since, or was changed since, is kept as they are. A thousand people per
transaction: what was taken back stays so when it is interrupted, and running it again does the
rest.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from mailer.kit.database import Database, insert_many
from subscribers.consent import Act
from subscribers.intake import runs
from subscribers.intake.run import Run, RunId, State, Undone, source_of
from subscribers.models import (
    ConsentRow,
    FollowRow,
    ImportedRow,
    ImportRow,
    SegmentRow,
    SubscriberRow,
    SuppressionRow,
)
from subscribers.subscriber import State as Standing

BATCH: Final = 1000  # people per transaction
_COLUMNS: Final = ("name", "language", "timezone")
_CONSENT: Final = (
    *("subscriber_id", "act", "segments", "wording", "source", "actor", "evidence", "at"),
)


@dataclass(frozen=True, slots=True)
class _Person:
    """Somebody an import brought or changed, and how they are now."""

    id: int
    before: Mapping[str, Any] | None  # None: was not there
    acted: bool  # or was changed
    values: Mapping[str, str]
    fields: Mapping[str, Any]


def undo(database: Database, run: int, *, now: datetime, actor: str = "") -> Iterator[Run]:
    """Take an import back, yielding after each transaction; stop iterating to stop.

    Erases whom it added, and leaves the address unsuppressed: nobody asked for anything. Writes
    back what it changed where that is still as it left it. Lifts the suppressions it brought. An
    import taken back already is left as it is. Raises RunNotFound.
    """
    with database.reading() as session:
        found = runs.get(session, run)
    yield found
    while found.state is not State.UNDONE:
        with database.transaction() as session:
            session.execute(_locked(found.id))
            found = runs.get(session, found.id)
            if found.state is not State.UNDONE:
                _some(session, found, now=now, actor=actor)
        with database.reading() as session:
            found = runs.get(session, found.id)
        yield found


def _locked(run: RunId) -> Any:
    return select(ImportRow.id).where(ImportRow.id == run).with_for_update()


def _some(session: Session, run: Run, *, now: datetime, actor: str) -> None:
    """Take the next thousand people back."""
    undone = run.undone or Undone()
    people = _next(session, run, undone.after)
    ours = [person for person in people if not person.acted]
    added = [person.id for person in ours if person.before is None]
    changed = [person for person in ours if person.before is not None]
    ended = _restore(session, changed, now)
    _erase(session, added, now)
    whence = (source_of(run.id, run.file_name), actor, "import undone", now)
    noted = [*((n, "") for n in added), *((n, " ".join(keys)) for n, keys in ended.items())]
    rows = [(n, Act.UNDONE.value, keys, None, *whence) for n, keys in noted]
    insert_many(session, ConsentRow, _CONSENT, rows)
    session.execute(
        delete(ImportedRow).where(
            ImportedRow.import_id == run.id, ImportedRow.subscriber_id.in_([one.id for one in ours])
        )
    )
    undone = replace(
        undone,
        erased=undone.erased + len(added),
        restored=undone.restored + len(changed),
        kept=undone.kept + len(people) - len(ours),
        after=people[-1].id if people else undone.after,
    )
    done = len(people) < BATCH
    if done:
        undone = replace(undone, lifted=_lift(session, run, now))
    runs.undoing(session, run.id, undone, now=now, done=done)


def _next(session: Session, run: Run, after: int) -> list[_Person]:
    """Find the next thousand people of an import, and hold them."""
    own = (
        select(func.max(ConsentRow.id))
        .where(ConsentRow.subscriber_id == SubscriberRow.id, ConsentRow.source == run.source)
        .correlate(SubscriberRow)
        .scalar_subquery()
    )
    when = (
        select(ConsentRow.at).where(ConsentRow.id == own).correlate(SubscriberRow).scalar_subquery()
    )
    later = (
        select(ConsentRow.id)
        .where(ConsentRow.subscriber_id == SubscriberRow.id, ConsentRow.id > own)
        .correlate(SubscriberRow)
        .exists()
    )
    acted = or_(
        later,
        SubscriberRow.updated_at > when,
        SubscriberRow.state != Standing.CONFIRMED.value,
        own.is_(None),
    )
    columns = (SubscriberRow.id, ImportedRow.before, acted.label("acted"), SubscriberRow.fields)
    found = (
        select(*columns, *(getattr(SubscriberRow, name) for name in _COLUMNS))
        .join(ImportedRow, ImportedRow.subscriber_id == SubscriberRow.id)
        .where(and_(ImportedRow.import_id == run.id, SubscriberRow.id > after))
        .order_by(SubscriberRow.id)
        .limit(BATCH)
        .with_for_update(of=SubscriberRow, key_share=True)
    )
    return [
        _Person(row.id, row.before, bool(row.acted), _values(row), row.fields)
        for row in session.execute(found)
    ]


def _values(row: Any) -> dict[str, str]:
    return {name: getattr(row, name) for name in _COLUMNS}


def _restore(
    session: Session, people: Sequence[_Person], now: datetime
) -> dict[int, tuple[str, ...]]:
    """Write back what an import changed; return the segments each follows no more because of it."""
    if not people:
        return {}
    rows = [{"id": person.id, "updated_at": now, **restored(person)} for person in people]
    session.execute(update(SubscriberRow), rows)
    ids = {row.key: row.id for row in session.execute(select(SegmentRow.key, SegmentRow.id))}
    ended = {
        person.id: tuple(key for key in (person.before or {})["follows"] if key in ids)
        for person in people
    }
    for keys in set(ended.values()) - {()}:  # few sets are many people's
        theirs = [number for number, each in ended.items() if each == keys]
        session.execute(
            delete(FollowRow).where(
                FollowRow.subscriber_id.in_(theirs),
                FollowRow.segment_id.in_([ids[key] for key in keys]),
            )
        )
    return ended


def restored(person: _Person) -> dict[str, Any]:
    """Everything as it was before, where it is still as the import left it."""
    before = person.before or {}
    values: dict[str, Any] = dict(person.values)
    for name in _COLUMNS:
        was, became = before.get(name, ("", None))
        if values[name] == became:
            values[name] = was
    kept = dict(person.fields)
    for key, (was, became) in before["fields"].items():
        if kept.get(key) == became:
            del kept[key]
            if was is not None:
                kept[key] = was
    return values | {"fields": kept}


def _erase(session: Session, people: Sequence[int], now: datetime) -> None:
    """Empty people's rows but for the key of their address, and end what they follow."""
    if not people:
        return
    session.execute(delete(FollowRow).where(FollowRow.subscriber_id.in_(people)))
    gone: dict[str, Any] = dict.fromkeys(("domain", "name", "language", "timezone", "source"), "")
    gone |= {"address": None, "fields": {}, "state": Standing.ERASED.value}
    session.execute(
        update(SubscriberRow)
        .where(SubscriberRow.id.in_(people))
        .values(**gone, updated_at=now, confirmed_at=None)
    )


def _lift(session: Session, run: Run, now: datetime) -> int:
    lifted = (
        update(SuppressionRow)
        .where(SuppressionRow.evidence == run.source, SuppressionRow.lifted_at.is_(None))
        .values(lifted_at=now, lifted_reason=f"import {run.id} undone")
        .returning(SuppressionRow.id)
    )
    return len(session.scalars(lifted).all())
