"""What can be asked of delivery: cancel a campaign, enter what a worker learnt, note a worker."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Text, func, insert, literal, select, update
from sqlalchemy.orm import Session

from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import CampaignId, State
from mailer.delivery import batch, ledger, settling
from mailer.delivery.batch import Lease
from mailer.delivery.ledger import Entry, News, Result
from mailer.delivery.models import (
    AttemptRow,
    AudienceRow,
    BatchRow,
    DeliveryRow,
    WorkerRow,
)
from mailer.kit.database import Moment, database_now


def cancel(
    session: Session, campaign: CampaignId, *, now: datetime, reason: str = "by hand"
) -> None:
    """Stop a campaign for good and skip everybody who is not on the wire.

    Those who are come to their end within seconds; the worker, or the sweep, settles the rest of
    their batch. Raises CampaignOver.
    """
    campaigns.cancel(session, campaign, now=now, reason=reason)
    skip_cancelled(session, campaign, now=now)


def skip_cancelled(session: Session, campaign: CampaignId, *, now: datetime) -> int:
    """Skip the open people of a cancelled campaign whose batch has nobody on the wire; how many.

    The epochs of these batches rise, so a worker that still holds one starts no further chunk.
    """
    if campaign_queries.campaign(session, campaign).state is not State.CANCELLED:
        return 0
    session.execute(
        update(BatchRow)
        .where(
            BatchRow.campaign_id == campaign,
            BatchRow.state == "open",
            BatchRow.chunks_started == BatchRow.chunks_flushed,
        )
        .values(state="done", epoch=BatchRow.epoch + 1, worker=None, lease_until=None)
    )
    return _skip_open(session, campaign, "cancelled", now=now)


@dataclass(frozen=True, slots=True)
class Manner:
    """How news are entered."""

    batch_size: int  # the most people in a later batch
    again: bool  # an earlier commit of the same may have come through
    now: datetime


def enter(
    session: Session, news: Sequence[News], manner: Manner, *, fenced: Lease | None = None
) -> list[bool]:
    """Write what a worker learnt of its batches, each under its fence; which of them it still has.

    `fenced` is the one whose fence has been taken in this transaction already. Results of a batch
    that is no longer the worker's are late ones. Where deferred people go is noted in the news.
    """
    held = []
    for told in news:
        lease = told.lease
        mine = lease is fenced or batch.account(
            session, lease, flushed=told.flushed, done=told.done
        )
        held.append(mine)
        if mine:
            _record(session, told, manner)
        elif told.rows or told.entries:
            late = [*map(ledger.result_of, told.rows), *told.entries]
            settling.record_late(session, lease, late, actor=lease.worker, now=manner.now)
    return held


def register(
    session: Session,
    worker: str,
    *,
    host: str,
    boot_id: str,
    pid: int,
    journal: str,
    version: str,
    queues: Collection[str] = (),
) -> None:
    """Note a worker that starts; `queues` are those whose knocks it hears. Twice is as good."""
    now = database_now(session)
    session.merge(  # the commit of an earlier try may have come through
        WorkerRow(
            id=worker,
            host=host,
            boot_id=boot_id,
            pid=pid,
            journal=journal,
            version=version,
            started_at=now,
            heartbeat_at=now,
            queues=" ".join(queues),
        )
    )
    session.flush()


def _skip_open(session: Session, campaign: CampaignId, reason: str, *, now: datetime) -> int:
    """Skip everybody without a result whose batch is done, in one statement; how many."""
    latest = (
        select(AttemptRow.batch)
        .where(
            AttemptRow.campaign_id == AudienceRow.campaign_id,
            AttemptRow.subscriber_id == AudienceRow.subscriber_id,
        )
        .order_by(AttemptRow.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    open_batches = select(BatchRow.number).where(
        BatchRow.campaign_id == campaign, BatchRow.state == "open"
    )
    settled = select(DeliveryRow.subscriber_id).where(
        DeliveryRow.campaign_id == AudienceRow.campaign_id,
        DeliveryRow.subscriber_id == AudienceRow.subscriber_id,
    )
    blank = literal("", Text())
    people = select(
        AudienceRow.campaign_id,
        AudienceRow.subscriber_id,
        literal("skipped", Text()),
        literal(reason, Text()),
        literal(now, Moment()),
        *(blank, blank, blank, blank, blank),
    ).where(
        AudienceRow.campaign_id == campaign,
        AudienceRow.excluded.is_(None),
        ~settled.exists(),
        func.coalesce(latest, AudienceRow.batch).not_in(open_batches),
    )
    names = ["campaign_id", "subscriber_id", "outcome", "reason", "at"]
    names += ["enhanced", "reply", "relay", "worker", "evidence"]
    rows = insert(DeliveryRow).from_select(names, people, include_defaults=False)
    done = session.execute(rows, execution_options={"preserve_rowcount": True})
    return int(done.rowcount)  # type: ignore[attr-defined]


def _record(session: Session, told: News, manner: Manner) -> None:
    """Store news, the results of each relay under its name."""
    rows = told.rows
    for relay, entries in _by_relay(told):
        told.later = ledger.record(
            session,
            told.lease,
            entries,
            rows=rows,
            relay=relay,
            later=told.later,
            batch_size=manner.batch_size,
            again=manner.again,
        )
        rows = []


def _by_relay(told: News) -> Iterator[tuple[str, list[Entry]]]:
    found: dict[str, list[Entry]] = {}
    for one in told.entries:
        chunk = one.chunk if isinstance(one, Result) else None
        found.setdefault(told.sent_by.get(chunk or 0, ""), []).append(one)
    yield from found.items() if found else [("", [])]
