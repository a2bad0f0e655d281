"""What a lost lease left behind is settled by the process itself, its journal or time.

A batch whose worker was lost with a chunk on the wire is in doubt: nobody leases it until one of
three has settled it. The process itself, late; the journal of the dead process; or time, after
which whoever stood in a started chunk without a result is uncertain, by name. Nothing is ever
sent again on a guess. All of it may be done twice.
"""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId, EditionId
from mailer.delivery import chunk, ledger, resolving
from mailer.delivery.adoption import Reading
from mailer.delivery.batch import VOID, Lease
from mailer.delivery.ledger import Entry, Result
from mailer.delivery.models import BatchRow, DeliveryRow
from mailer.delivery.resolutions import FACTS
from mailer.kit.database import database_now

JUDGED_AFTER = 660.0
"""Seconds past the lease: the longest wait for a reply to a dot (RFC 5321: 600) and a margin."""

POISON = 2
"""Workers a batch may cost; then it goes in chunks of one, and the next death names somebody."""

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


def settle_by_journal(session: Session, reading: Reading) -> Settled:
    """Take over what a dead worker's journal says; doing it again changes nothing.

    Its batches are free afterwards: whoever has no result was surely not sent to and goes back.
    Whoever a further worker died of, alone on the wire, is skipped instead.
    """
    worker = reading.told.worker
    total = Settled()
    done: set[tuple[int, int, int]] = set()
    for held in _left_by(session, worker):
        done.add((*held.key, held.epoch))
        people = chunk.started_without_result(session, held)
        entries = reading.entries(held, people)
        if held.deaths >= POISON:
            entries += reading.poisoned(held, people)
        ledger.record(session, held, entries, relay=held.relay)
        reason = "its worker died; settled by its journal"
        if _free_settled(session, held, died_of=len(people), reason=reason):
            total = total.plus(_counted(entries))
    news = 0
    for (campaign, number, epoch), left in reading.elsewhere(frozenset(done)):
        row = session.get(BatchRow, (campaign, number))
        if row is None:
            _log.error("breach: a journal of an unknown batch", campaign=campaign, batch=number)
            continue
        held = _lease(row, worker=worker, epoch=epoch)
        news += record_late(session, held, left.entries, actor="journal", now=reading.now)
        news += record_unsent(session, held, left.unsent, actor="journal", now=reading.now)
    return total.plus(Settled(results=news))


def judge(session: Session, *, after: float = JUDGED_AFTER, now: datetime) -> Settled:
    """Settle by time the batches whose lease ended `after` seconds ago with a chunk on the wire.

    Everybody in their started chunks without a result becomes uncertain, by name.
    """
    total = Settled()
    for held in _overdue(session, after):
        entries: list[Entry] = [
            Result(
                subscriber,
                "uncertain",
                now,
                evidence=f"worker {held.worker} was lost with this chunk, and its journal with it",
            )
            for subscriber in chunk.started_without_result(session, held)
        ]
        ledger.record(session, held, entries)
        reason = "its worker was lost; judged by time"
        if _free_settled(session, held, died_of=len(entries), reason=reason):
            total = total.plus(_counted(entries))
    return total


def void_leases(session: Session) -> None:
    """Take every lease away: of a database that was set back, nobody knows who sends what.

    Started chunks stay in doubt, to be settled by journals or time.
    """
    session.execute(
        update(BatchRow).where(BatchRow.state == "open").values(epoch=BatchRow.epoch + VOID)
    )


def record_late(
    session: Session, held: Lease, entries: Iterable[Entry], *, actor: str, now: datetime
) -> int:
    """Results that came after their batch was judged: how many told something new.

    An uncertain letter gets its `resolution`; one that was put off is sent again. Who has no row
    yet gets one, unless the letter was put off: that person is open and will be tried again.
    An address that is dead is suppressed. Contradictions are logged as breaches.
    """
    by_person = {e.subscriber: e for e in entries}
    known = ledger.known(session, held.campaign, list(by_person))
    fresh = [e for e in by_person.values() if isinstance(e, Result) and e.subscriber not in known]
    if fresh:
        ledger.store(session, held, fresh)
    news = len(fresh)
    put_off: list[int] = []
    proofs: dict[str, dict[int, str]] = {outcome: {} for outcome in FACTS}
    for subscriber, before in known.items():
        found = by_person[subscriber]
        outcome = found.outcome if isinstance(found, Result) else "resend"
        if before == "uncertain" and outcome in {"resend", "skipped"}:
            put_off.append(subscriber)
        elif before == "uncertain" and outcome in FACTS:
            said = f"late: {found.code} {found.enhanced} {found.reply}".strip()
            proofs[outcome][subscriber] = said
        elif outcome not in {before, "uncertain", "resend", "expired"}:
            _log.error(
                "breach: a second result",
                campaign=held.campaign,
                subscriber=subscriber,
                first=before,
                second=outcome,
            )
    for outcome, people in proofs.items():
        if people:
            learnt = resolving.learn(session, held.campaign, people, outcome, actor=actor, now=now)
            news += len(learnt.changed)
            changed = (by_person[subscriber] for subscriber in learnt.changed)
            fresh += [found for found in changed if isinstance(found, Result)]
    ledger.suppress(session, held.campaign, fresh)
    return news + record_unsent(session, held, put_off, actor=actor, now=now)


def record_unsent(
    session: Session, held: Lease, people: Collection[int], *, actor: str, now: datetime
) -> int:
    """Send again to people of a lease who were judged uncertain and surely were not handed over.

    How many. Whoever became uncertain otherwise than by this very lease stays so.
    """
    everybody = sorted(people)
    judged: list[int] = []
    for start in range(0, len(everybody), _SOME):
        rows = select(DeliveryRow.subscriber_id).where(
            DeliveryRow.campaign_id == held.campaign,
            DeliveryRow.subscriber_id.in_(everybody[start : start + _SOME]),
            DeliveryRow.outcome == "uncertain",
            DeliveryRow.batch == held.number,
            DeliveryRow.worker == held.worker,
            DeliveryRow.epoch >= held.epoch,
            (DeliveryRow.epoch - held.epoch) % VOID == 0,
        )
        judged += session.scalars(rows)
    if not judged:
        return 0
    evidence = f"{actor}: not handed over"
    with suppress(resolving.NothingToResend):  # cancelled meanwhile
        again = resolving.resend(
            session, held.campaign, judged, evidence=evidence, actor=actor, now=now
        )
        return len(again.changed)
    return 0


def _counted(entries: Sequence[Entry]) -> Settled:
    doubtful = sum(isinstance(e, Result) and e.outcome == "uncertain" for e in entries)
    return Settled(len(entries), doubtful, batches=1)


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


def _free_settled(session: Session, held: Lease, *, died_of: int, reason: str) -> bool:
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
            deaths=BatchRow.deaths + (1 if died_of else 0),
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
        deaths=row.deaths,
        relay=row.relay,
        resend=row.resend,
    )
