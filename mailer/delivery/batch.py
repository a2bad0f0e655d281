"""Who is working on what: leasing a batch, starting its chunks, giving it back.

Each step is one guarded UPDATE and a look at what came back. A lease is a right for a time by the
database's own clock, fenced by an epoch: whoever holds an older epoch changes nothing any more.
A chunk is started in the same transaction that reads its people, before the first of them is sent
anything; so the database always knows the most that can have left the house.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Integer,
    Text,
    Update,
    bindparam,
    case,
    column,
    or_,
    select,
    table,
    update,
)
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId, EditionId, State
from mailer.delivery.models import BatchRow
from mailer.kit.database import Moment, database_now

# Part of the fence, so it has to stand in the same statement as the batch.
_campaign = table(
    "campaign", column("id", Integer), column("state", Text), column("stop_epoch", Integer)
)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work one batch for a time."""

    campaign: CampaignId
    number: int
    edition: EditionId
    lane: str
    attempt: int  # which try of its people this is, from 1
    size: int  # positions 1 to size
    epoch: int
    worker: str
    stop_epoch: int  # of the campaign when it was leased
    until: datetime  # by the database's clock

    @property
    def key(self) -> tuple[int, int]:
        """What names the batch."""
        return self.campaign, self.number


def lease(
    session: Session, worker: str, *, seconds: float, prefer: int | None = None, avoid: int = 0
) -> Lease | None:
    """Lease one due batch of any sending campaign, or None where nothing is due.

    One of the campaign `prefer` comes first, one of `avoid` last: so campaigns take turns. A batch
    whose lease ran out with every started chunk accounted for is free; one with a chunk open is in
    doubt and has to be settled first.
    """
    now = database_now(session)
    turn = case((BatchRow.campaign_id == prefer, 0), (BatchRow.campaign_id == avoid, 2), else_=1)
    found = session.execute(
        select(BatchRow.campaign_id, BatchRow.number, _campaign.c.stop_epoch)
        .join(_campaign, _campaign.c.id == BatchRow.campaign_id)
        .where(*_free(now), _campaign.c.state == State.SENDING)
        .order_by(turn, BatchRow.not_before, BatchRow.campaign_id, BatchRow.number)
        .limit(1)
        .with_for_update(of=BatchRow, skip_locked=True)
    ).one_or_none()
    if found is None:
        return None
    until = now + timedelta(seconds=seconds)
    row = session.execute(
        update(BatchRow)
        .where(BatchRow.campaign_id == found.campaign_id, BatchRow.number == found.number)
        .values(
            epoch=BatchRow.epoch + 1,
            worker=worker,
            lease_until=until,
            chunks_started=0,
            chunks_flushed=0,
            started_to=0,
            deaths=BatchRow.deaths + case((BatchRow.worker.is_(None), 0), else_=1),
            reason="",
        )
        .returning(
            BatchRow.campaign_id,
            BatchRow.number,
            BatchRow.edition_id,
            BatchRow.lane,
            BatchRow.attempt,
            BatchRow.size,
            BatchRow.epoch,
        )
    ).one()
    return Lease(*row, worker=worker, stop_epoch=found.stop_epoch, until=until)


def due(session: Session) -> tuple[CampaignId, ...]:
    """Sending campaigns with a batch that anybody could lease now."""
    found = (
        select(BatchRow.campaign_id)
        .join(_campaign, _campaign.c.id == BatchRow.campaign_id)
        .where(*_free(database_now(session)), _campaign.c.state == State.SENDING)
        .distinct()
        .order_by(BatchRow.campaign_id)
    )
    return tuple(CampaignId(identity) for identity in session.scalars(found))


def extend(session: Session, worker: str, *, seconds: float) -> frozenset[tuple[int, int, int]]:
    """Prolong all leases of a worker; campaign, number and epoch of those it still has."""
    until = database_now(session) + timedelta(seconds=seconds)
    still = (
        update(BatchRow)
        .where(BatchRow.worker == worker, BatchRow.state == "open")
        .values(lease_until=until)
        .returning(BatchRow.campaign_id, BatchRow.number, BatchRow.epoch)
    )
    return frozenset((row[0], row[1], row[2]) for row in session.execute(still))


def start_chunk(
    session: Session, held: Lease, chunk: int, to: int, *, flushed: int, seconds: float
) -> bool:
    """Put on record that the people up to position `to` may be sent to now; whether they may.

    False where the lease is no longer ours or the campaign was stopped: then nothing is sent.
    Saying it again after a commit of unknown outcome is harmless.
    """
    values = {
        "chunk": chunk,
        "to": to,
        "flushed": flushed,
        "until": database_now(session) + timedelta(seconds=seconds),
        "stop": held.stop_epoch,
        **_fence_values(held),
    }
    return session.execute(_start(), values).one_or_none() is not None


def account(session: Session, held: Lease, *, flushed: int, done: bool) -> bool:
    """Record that everybody in the first `flushed` chunks has a row; False: not our lease."""
    statement = _finish() if done else _account()
    values = {"flushed": flushed, **_fence_values(held)}
    return session.execute(statement, values).one_or_none() is not None


def release(session: Session, held: Lease, *, wait: float = 0, reason: str = "") -> bool:
    """Give a batch back, everybody in it accounted for or surely unsent; False: not our lease.

    `wait`: seconds until somebody may lease it again.
    """
    values = {
        "state": "open",
        "worker": None,
        "lease_until": None,
        "chunks_started": 0,
        "chunks_flushed": 0,
        "started_to": 0,
        "reason": reason,
    }
    if wait:
        values["not_before"] = database_now(session) + timedelta(seconds=wait)
    given = update(BatchRow).where(*_fence(held)).values(**values).returning(BatchRow.number)
    return session.scalar(given) is not None


def in_doubt(
    session: Session, *, worker: str | None = None, over_for: float | None = None
) -> tuple[Lease, ...]:
    """Leased batches of one worker, or those whose lease was over `over_for` seconds ago.

    Each is locked until the transaction ends; one that somebody else is settling is left out.
    """
    rows = select(BatchRow).where(BatchRow.state == "open", BatchRow.worker.is_not(None))
    if worker is not None:
        rows = rows.where(BatchRow.worker == worker)
    if over_for is not None:
        limit = database_now(session) - timedelta(seconds=over_for)
        rows = rows.where(
            BatchRow.lease_until < limit, BatchRow.chunks_started > BatchRow.chunks_flushed
        )
    rows = rows.order_by(BatchRow.campaign_id, BatchRow.number)
    return tuple(_lease(row) for row in session.scalars(rows.with_for_update(skip_locked=True)))


def free_settled(session: Session, held: Lease, *, reason: str) -> bool:
    """Free a batch whose worker died, once its started people are settled; False: too late."""
    freed = (
        update(BatchRow)
        .where(*_fence(held))
        .values(
            epoch=BatchRow.epoch + 1,
            worker=None,
            lease_until=None,
            chunks_started=0,
            chunks_flushed=0,
            started_to=0,
            deaths=BatchRow.deaths + 1,
            reason=reason,
        )
    )
    return session.scalar(freed.returning(BatchRow.number)) is not None


def retire_idle(session: Session, campaign: CampaignId) -> None:
    """End every open batch of a stopped campaign that has nobody on the wire.

    The epoch rises, so a worker that still holds one starts no further chunk.
    """
    session.execute(
        update(BatchRow)
        .where(
            BatchRow.campaign_id == campaign,
            BatchRow.state == "open",
            BatchRow.chunks_started == BatchRow.chunks_flushed,
        )
        .values(state="done", epoch=BatchRow.epoch + 1, worker=None, lease_until=None)
    )


def is_open(session: Session, campaign: CampaignId) -> bool:
    """Whether a batch of the campaign is not done."""
    some = select(BatchRow.number).where(
        BatchRow.campaign_id == campaign, BatchRow.state == "open"
    )
    return session.scalar(some.limit(1)) is not None


def _free(now: datetime) -> tuple[Any, ...]:
    return (
        BatchRow.state == "open",
        BatchRow.not_before <= now,
        or_(BatchRow.lease_until.is_(None), BatchRow.lease_until < now),
        BatchRow.chunks_started == BatchRow.chunks_flushed,
    )


def _fence(held: Lease) -> tuple[Any, ...]:
    return (
        BatchRow.campaign_id == held.campaign,
        BatchRow.number == held.number,
        BatchRow.epoch == held.epoch,
        BatchRow.worker == held.worker,
        BatchRow.state == "open",
    )


def _fence_values(held: Lease) -> dict[str, Any]:
    return {"c": held.campaign, "b": held.number, "e": held.epoch, "w": held.worker}


def _fenced() -> Update:
    return update(BatchRow).where(
        BatchRow.campaign_id == bindparam("c"),
        BatchRow.number == bindparam("b"),
        BatchRow.epoch == bindparam("e"),
        BatchRow.worker == bindparam("w"),
        BatchRow.state == "open",
    )


# The statements of the hot path are built once: building takes longer than running them.


@lru_cache
def _start() -> Any:
    sending = (
        select(_campaign.c.id)
        .where(
            _campaign.c.id == BatchRow.campaign_id,
            _campaign.c.state == State.SENDING,
            _campaign.c.stop_epoch == bindparam("stop"),
        )
        .exists()
    )
    return (
        _fenced()
        .where(sending)
        .values(
            chunks_started=bindparam("chunk"),
            chunks_flushed=bindparam("flushed"),
            started_to=bindparam("to"),
            lease_until=bindparam("until", type_=Moment()),
        )
        .returning(BatchRow.number)
    )


@lru_cache
def _account() -> Any:
    return _fenced().values(chunks_flushed=bindparam("flushed")).returning(BatchRow.number)


@lru_cache
def _finish() -> Any:
    values = {"state": "done", "worker": None, "lease_until": None}
    done = _fenced().values(chunks_flushed=bindparam("flushed"), **values)
    return done.returning(BatchRow.number)


def _lease(row: BatchRow) -> Lease:
    assert row.worker is not None
    return Lease(
        campaign=CampaignId(row.campaign_id),
        number=row.number,
        edition=EditionId(row.edition_id),
        lane=row.lane,
        attempt=row.attempt,
        size=row.size,
        epoch=row.epoch,
        worker=row.worker,
        stop_epoch=-1,  # it starts no chunk any more
        until=row.lease_until or row.not_before,
    )
