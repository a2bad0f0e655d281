"""The table of imports: begun, gone on with, noted in the transaction of each batch, listed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from subscribers.intake.run import Counts, Run, RunId, RunNotFound, RunTaken, State, Undone
from subscribers.models import ImportedRow, ImportRow, SubscriberRow

_BEGINNING = 4477  # an advisory lock, any number


def find(session: Session, fingerprint: str) -> Run | None:
    """Find the last import of a file by a plan, if it is not taken back.

    Until the transaction ends nobody else looks for it, so that two do not both begin it.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_BEGINNING, int(fingerprint[:7], 16))))
    found = (
        select(ImportRow)
        .where(ImportRow.fingerprint == fingerprint)
        .order_by(ImportRow.id.desc())
        .limit(1)
    )
    row = session.scalar(found)
    return _run(row) if row and row.state in {State.RUNNING, State.FINISHED} else None


def begin(
    session: Session,
    *,
    file_name: str,
    fingerprint: str,
    plan: Mapping[str, object],
    actor: str,
    now: datetime,
) -> Run:
    """Note that an import begins."""
    row = ImportRow(
        file_name=file_name,
        fingerprint=fingerprint,
        plan=dict(plan),
        state=State.RUNNING.value,
        counts=asdict(Counts()),
        actor=actor,
        started_at=now,
        updated_at=now,
    )
    session.add(row)
    session.flush()
    return _run(row)


def note(session: Session, run: RunId, before: Counts, after: Counts, *, now: datetime) -> None:
    """Note what became of a batch, in its transaction. Raises RunTaken where another was faster."""
    stored = session.execute(
        select(ImportRow.state, ImportRow.counts).where(ImportRow.id == run).with_for_update()
    ).one_or_none()
    if stored is None or stored.state != State.RUNNING or _counts(stored.counts) != before:
        raise RunTaken
    session.execute(
        update(ImportRow).where(ImportRow.id == run).values(counts=asdict(after), updated_at=now)
    )


def finish(session: Session, run: RunId, *, now: datetime) -> None:
    """Note that a file is read to its end; twice changes nothing."""
    session.execute(
        update(ImportRow)
        .where(ImportRow.id == run, ImportRow.state == State.RUNNING)
        .values(state=State.FINISHED.value, finished_at=now, updated_at=now)
    )


def get(session: Session, run: int) -> Run:
    """Look one import up. Raises RunNotFound."""
    row = session.get(ImportRow, run)
    if row is None:
        raise RunNotFound(f"There is no import {run}.")
    return _run(row)


def every(session: Session, *, limit: int = 50) -> tuple[Run, ...]:
    """List imports, newest first."""
    found = select(ImportRow).order_by(ImportRow.id.desc()).limit(limit)
    return tuple(_run(row) for row in session.scalars(found))


def dealt_with(session: Session, run: RunId, keys: Sequence[str]) -> frozenset[str]:
    """Say which of some hundred addresses, by key, an import has added or changed."""
    found = (
        select(SubscriberRow.address_key)
        .join(ImportedRow, ImportedRow.subscriber_id == SubscriberRow.id)
        .where(ImportedRow.import_id == run, SubscriberRow.address_key.in_(keys))
    )
    return frozenset(session.scalars(found))


def people(session: Session, run: RunId) -> int:
    """Count the people an import has added or changed, and who are still noted as such."""
    found = select(func.count()).select_from(ImportedRow).where(ImportedRow.import_id == run)
    return session.scalar(found) or 0


def undoing(session: Session, run: RunId, undone: Undone, *, now: datetime, done: bool) -> None:
    """Note how far an import is taken back."""
    counts = session.scalar(select(ImportRow.counts).where(ImportRow.id == run)) or {}
    values: dict[str, Any] = {"counts": {**counts, "undone": asdict(undone)}, "updated_at": now}
    values["state"] = (State.UNDONE if done else State.UNDOING).value
    if done:
        values["undone_at"] = now
    session.execute(update(ImportRow).where(ImportRow.id == run).values(**values))


def _run(row: ImportRow) -> Run:
    return Run(
        id=RunId(row.id),
        file_name=row.file_name,
        state=State(row.state),
        counts=_counts(row.counts),
        actor=row.actor,
        started_at=row.started_at,
        updated_at=row.updated_at,
        finished_at=row.finished_at,
        undone_at=row.undone_at,
        plan=dict(row.plan),
        undone=Undone(**row.counts["undone"]) if "undone" in row.counts else None,
    )


def _counts(stored: Mapping[str, Any]) -> Counts:
    return Counts(**{field.name: stored.get(field.name, 0) for field in fields(Counts)})
