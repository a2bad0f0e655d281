"""What a person or a timer can ask of delivery: cancel, settle what a dead worker left, judge.

A batch whose worker was lost with a chunk on the wire is in doubt: nobody leases it until one of
three has settled it. The process itself, late; the journal of the dead process; or time, after
which whoever stood in a started chunk without a result is uncertain, by name. Nothing is ever
sent again on a guess.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Select, Text, func, insert, literal, select, update
from sqlalchemy.orm import Session

from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import CampaignId, EditionId, State
from mailer.delivery import batch, ledger
from mailer.delivery.adoption import Place, Reading
from mailer.delivery.batch import Lease
from mailer.delivery.ledger import Entry, News, Result
from mailer.delivery.models import (
    AttemptRow,
    AudienceRow,
    BatchRow,
    DeliveryRow,
    ResolutionRow,
    WorkerRow,
)
from mailer.kit.database import Moment, database_now

JUDGED_AFTER = 660.0
"""Seconds past the lease: the longest wait for a reply to a dot (RFC 5321: 600) and a margin."""

_SOME = 500  # ids in one statement
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Settled:
    """What settling did."""

    results: int = 0
    uncertain: int = 0  # of the results
    batches: int = 0  # freed

    def plus(self, other: "Settled") -> "Settled":
        """Both together."""
        return Settled(
            self.results + other.results,
            self.uncertain + other.uncertain,
            self.batches + other.batches,
        )


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


def settle_by_journal(session: Session, reading: Reading, *, relay: str = "") -> Settled:
    """Take over what a dead worker's journal says; doing it again changes nothing.

    Its batches are free afterwards: whoever has no result was surely not sent to and goes back.
    """
    worker = reading.told.worker
    total = Settled()
    done: set[Place] = set()
    for held in _left_by(session, worker):
        done.add((*held.key, held.epoch))
        entries = reading.entries(held, batch.started_without_result(session, held))
        ledger.record(session, held, entries, relay=relay)
        if _free_settled(session, held, reason="its worker died; settled by its journal"):
            total = total.plus(_counted(entries))
    news = 0
    for (campaign, number, epoch), entries in reading.replies(frozenset(done)).items():
        row = session.get(BatchRow, (campaign, number))
        if row is None:
            _log.error("breach: a journal of an unknown batch", campaign=campaign, batch=number)
            continue
        held = _lease(row, worker=worker, epoch=epoch)
        news += record_late(session, held, entries, actor="journal", now=reading.now)
    return total.plus(Settled(results=news))


def judge(session: Session, *, after: float = JUDGED_AFTER, now: datetime) -> Settled:
    """Settle by time the batches whose lease ended `after` seconds ago with a chunk on the wire.

    Everybody in their started chunks without a result becomes uncertain, by name.
    """
    total = Settled()
    for held in _overdue(session, after):
        entries = [
            Result(
                subscriber,
                "uncertain",
                now,
                evidence=f"worker {held.worker} was lost with this chunk, and its journal with it",
            )
            for subscriber in batch.started_without_result(session, held)
        ]
        ledger.record(session, held, entries)
        if _free_settled(session, held, reason="its worker was lost; judged by time"):
            total = total.plus(_counted(entries))
    return total


@dataclass(frozen=True, slots=True)
class Manner:
    """How news are entered."""

    relay: str  # name of the relay they came from
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
            told.later = ledger.record(
                session,
                lease,
                told.entries,
                rows=told.rows,
                relay=manner.relay,
                later=told.later,
                batch_size=manner.batch_size,
                again=manner.again,
            )
        elif told.rows or told.entries:
            late = [*map(ledger.result_of, told.rows), *told.entries]
            record_late(session, lease, late, actor=lease.worker, now=manner.now)
    return held


def record_late(
    session: Session, held: Lease, entries: Iterable[Entry], *, actor: str, now: datetime
) -> int:
    """Results that came after their batch was judged: how many told something new.

    An uncertain letter gets its `resolution`. Who has no row yet gets one, unless the letter was
    deferred: that person is open and will be tried again. Contradictions are logged as breaches.
    """
    by_person = {e.subscriber: e for e in entries}
    known = ledger.known(session, held.campaign, list(by_person))
    resolved = _resolved(session, held.campaign, list(by_person))
    news = 0
    for subscriber, found in by_person.items():
        outcome = found.outcome if isinstance(found, Result) else "resend"
        before = known.get(subscriber)
        if before is None:
            if isinstance(found, Result):
                ledger.store(session, held, [found])
                news += 1
        elif before == "uncertain" and outcome not in {"uncertain", "expired"}:
            last = resolved.get(subscriber, (0, ""))
            if last[1] != outcome:
                _resolve(session, held, found, outcome, last[0] + 1, actor, now)
                news += 1
        elif outcome not in {before, "uncertain", "resend"}:
            _log.error(
                "breach: a second result",
                campaign=held.campaign,
                subscriber=subscriber,
                first=before,
                second=outcome,
            )
    return news


def register(
    session: Session, worker: str, *, host: str, boot_id: str, pid: int, journal: str, version: str
) -> None:
    """Note a worker that starts."""
    now = database_now(session)
    session.add(
        WorkerRow(
            id=worker,
            host=host,
            boot_id=boot_id,
            pid=pid,
            journal=journal,
            version=version,
            started_at=now,
            heartbeat_at=now,
        )
    )
    session.flush()


def heartbeat(session: Session, worker: str, *, stopped: bool = False) -> None:
    """Note that a worker is alive, or that it leaves in order."""
    now = database_now(session)
    values = {"heartbeat_at": now} | ({"stopped_at": now} if stopped else {})
    session.execute(update(WorkerRow).where(WorkerRow.id == worker).values(**values))


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


def _counted(entries: Sequence[Entry]) -> Settled:
    doubtful = sum(isinstance(e, Result) and e.outcome == "uncertain" for e in entries)
    return Settled(len(entries), doubtful, batches=1)


def _resolve(
    session: Session,
    held: Lease,
    found: Entry,
    outcome: str,
    number: int,
    actor: str,
    now: datetime,
) -> None:
    session.execute(
        insert(ResolutionRow).values(
            campaign_id=held.campaign,
            subscriber_id=found.subscriber,
            number=number,
            outcome=outcome,
            evidence=f"late: {found.code} {found.enhanced} {found.reply}".strip(),
            actor=actor,
            at=now,
        )
    )


def _resolved(
    session: Session, campaign: CampaignId, people: list[int]
) -> dict[int, tuple[int, str]]:
    """Number and outcome of the last resolution by subscriber."""
    found: dict[int, tuple[int, str]] = {}
    for start in range(0, len(people), _SOME):
        rows = (
            select(ResolutionRow.subscriber_id, ResolutionRow.number, ResolutionRow.outcome)
            .where(
                ResolutionRow.campaign_id == campaign,
                ResolutionRow.subscriber_id.in_(people[start : start + _SOME]),
            )
            .order_by(ResolutionRow.number)
        )
        found |= {row[0]: (row[1], row[2]) for row in session.execute(rows)}
    return found


def _left_by(session: Session, worker: str) -> tuple[Lease, ...]:
    """The batches a dead worker held, locked until the transaction ends.

    Waits for the end of a transaction the worker died in: it may have been committed after all.
    """
    return _locked(session, _leased().where(BatchRow.worker == worker), skip=False)


def _overdue(session: Session, seconds: float) -> tuple[Lease, ...]:
    """Batches whose lease ended so long ago with a chunk on the wire, locked.

    One that somebody is settling at this moment is left out.
    """
    limit = database_now(session) - timedelta(seconds=seconds)
    unfinished = BatchRow.chunks_started > BatchRow.chunks_flushed
    return _locked(session, _leased().where(BatchRow.lease_until < limit, unfinished), skip=True)


def _leased() -> Select[BatchRow]:
    leased = (BatchRow.state == "open", BatchRow.worker.is_not(None))
    return select(BatchRow).where(*leased).order_by(BatchRow.campaign_id, BatchRow.number)


def _locked(session: Session, rows: Select[BatchRow], *, skip: bool) -> tuple[Lease, ...]:
    found = session.scalars(rows.with_for_update(skip_locked=skip))
    return tuple(_lease(row, worker=row.worker or "", epoch=row.epoch) for row in found)


def _free_settled(session: Session, held: Lease, *, reason: str) -> bool:
    """Free a batch whose worker is lost, its started people being settled; False: too late."""
    freed = (
        update(BatchRow)
        .where(
            BatchRow.campaign_id == held.campaign,
            BatchRow.number == held.number,
            BatchRow.epoch == held.epoch,
            BatchRow.worker == held.worker,
            BatchRow.state == "open",
        )
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


def _lease(row: BatchRow, *, worker: str, epoch: int) -> Lease:
    return Lease(
        campaign=CampaignId(row.campaign_id),
        number=row.number,
        edition=EditionId(row.edition_id),
        lane=row.lane,
        attempt=row.attempt,
        size=row.size,
        epoch=epoch,
        worker=worker,
        stop_epoch=-1,  # it starts no chunk any more
        until=row.lease_until or row.not_before,
    )
