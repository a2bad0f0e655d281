"""Who is sending, or was: signs of life, the queues each hears, what each has in hand.

A row is a process: a worker's main process, which sweeps, and each of its children.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from mailer.delivery.models import BatchRow, WorkerRow
from mailer.kit.database import database_now

BEAT: Final = 15.0
"""Seconds between two signs of life, also of a worker that has nothing to do."""

SILENT: Final = timedelta(seconds=30)
"""Without a sign of life for so long, a worker is silent: killed, hung, or cut off."""

FORGOTTEN: Final = timedelta(hours=1)
"""For so long those are listed that have left, or fell silent with nothing in hand."""


class State(StrEnum):
    """How a worker is doing."""

    WORKING = "working"  # has batches leased
    IDLE = "idle"
    SILENT = "silent"
    STOPPED = "stopped"  # left in order


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that sends, or did."""

    id: str
    host: str
    pid: int
    version: str
    queues: tuple[str, ...]  # whose knocks it hears
    started_at: datetime
    heartbeat_at: datetime  # the last sign of life
    stopped_at: datetime | None  # left in order
    batches: int  # leased at the moment
    state: State

    @property
    def is_alive(self) -> bool:
        """Whether it gave a sign of life lately and has not left."""
        return self.state in {State.WORKING, State.IDLE}


def alive(session: Session, worker: str, queues: Collection[str]) -> None:
    """Note that a worker is alive, and what it hears."""
    now = database_now(session)
    mine = update(WorkerRow).where(WorkerRow.id == worker)
    session.execute(mine.values(heartbeat_at=now, queues=" ".join(queues)))


def left(session: Session, worker: str) -> None:
    """Note that a worker leaves in order."""
    now = database_now(session)
    mine = update(WorkerRow).where(WorkerRow.id == worker)
    session.execute(mine.values(heartbeat_at=now, stopped_at=now))


def workers(session: Session, *, every: bool = False) -> tuple[Worker, ...]:
    """List the workers of now, or all that ever were, by host and the time they started."""
    now = database_now(session)
    leased = (
        select(func.count())
        .where(BatchRow.worker == WorkerRow.id, BatchRow.state == "open")
        .scalar_subquery()
    )
    rows = session.execute(
        select(WorkerRow, leased).order_by(WorkerRow.host, WorkerRow.started_at, WorkerRow.id)
    )
    found = (_worker(row, batches, now) for row, batches in rows)
    return tuple(one for one in found if every or one.batches or one.heartbeat_at > now - FORGOTTEN)


def knows(session: Session, worker: str) -> bool:
    """Whether a worker of this name ever worked with this database, as far as it remembers."""
    return session.get(WorkerRow, worker) is not None


def hears(session: Session, queue: str, journals: Collection[str]) -> bool:
    """Whether a worker is alive that hears a queue and has one of these journals.

    Journals lie in the data directory, so it is one that sees the files of that directory.
    """
    living = select(WorkerRow.queues).where(
        WorkerRow.journal.in_(journals),
        WorkerRow.stopped_at.is_(None),
        WorkerRow.heartbeat_at > database_now(session) - SILENT,
    )
    return any(queue in queues.split() for queues in session.scalars(living))


def _worker(row: WorkerRow, batches: int, now: datetime) -> Worker:
    if row.stopped_at is not None:
        state = State.STOPPED
    elif row.heartbeat_at <= now - SILENT:
        state = State.SILENT
    else:
        state = State.WORKING if batches else State.IDLE
    return Worker(
        id=row.id,
        host=row.host,
        pid=row.pid,
        version=row.version,
        queues=tuple(row.queues.split()),
        started_at=row.started_at,
        heartbeat_at=row.heartbeat_at,
        stopped_at=row.stopped_at,
        batches=batches,
        state=state,
    )
