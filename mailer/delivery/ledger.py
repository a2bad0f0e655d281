"""What became of everybody: results in, insert-only, and the sum that closes a campaign.

The first result of a person stays: a second one is refused by the key. What is learnt later about
an uncertain letter stands beside its row, as a `resolution`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import CampaignId, State
from mailer.delivery import batch
from mailer.delivery.batch import Lease
from mailer.delivery.models import (
    AttemptRow,
    AudienceRow,
    BatchRow,
    DeliveryRow,
    ResolutionRow,
)
from mailer.delivery.relay import Ending, Reply
from mailer.delivery.verdict import (
    Accepted,
    Deferred,
    Expired,
    Patience,
    Refused,
    verdict,
)
from mailer.kit.database import database_now, insert_many
from subscribers import actions as subscribers

OUTCOMES = ("accepted", "refused", "skipped", "expired", "uncertain")

_MARGIN = timedelta(seconds=5)  # a batch this close to its time takes nobody in any more
_NUMBER_TRIES = 20  # two workers now and then reach for the same number
_SOME = 500  # ids in one statement
_SPREAD = 10  # a later batch waits up to a tenth longer, so that not all come at once
_log = structlog.get_logger()

_DELIVERY = (
    *("campaign_id", "subscriber_id", "outcome", "code", "enhanced", "reply", "reason", "relay"),
    *("worker", "batch", "epoch", "chunk", "at", "evidence"),
)
_ATTEMPT = (
    *("campaign_id", "subscriber_id", "number", "code", "enhanced", "reply", "worker"),
    *("at", "first_tried", "batch", "position"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one person, for good."""

    subscriber: int
    outcome: str  # one of OUTCOMES
    at: datetime
    code: int | None = None
    enhanced: str = ""
    reply: str = ""
    reason: str = ""  # cause of a refusal, why skipped
    chunk: int | None = None
    evidence: str = ""
    suppresses: bool = False  # the address is dead: never again


@dataclass(frozen=True, slots=True)
class Deferral:
    """One person to be tried again."""

    subscriber: int
    at: datetime
    first_tried: datetime
    not_before: datetime
    code: int | None
    enhanced: str
    reply: str


Entry = Result | Deferral
Row = tuple[Any, ...]  # of `delivery`, in the order of _DELIVERY


@dataclass(frozen=True, slots=True)
class Later:
    """A batch opened for deferred people, to which more may come."""

    number: int
    not_before: datetime


@dataclass(slots=True)
class News:
    """What a worker has to tell of one of its batches since it last did."""

    lease: Lease
    flushed: int  # chunks, from the first, whose people all have a result with this
    done: bool  # and there is nobody left in it
    rows: list[Row]
    entries: list[Entry]
    later: Later | None  # where its deferred people go


def entry(  # what a verdict needs, and whom it is about
    ending: Ending,
    *,
    subscriber: int,
    chunk: int,
    attempt: int,
    first_tried: datetime | None,
    at: datetime,
    patience: Patience,
    evidence: str = "",
) -> Entry:
    """Decide what an ending means for a person; `attempt` counts from 1."""
    began = first_tried or at
    decided = verdict(ending, attempt=attempt, first_tried=began, now=at, patience=patience)
    code, enhanced, reply = None, "", ""
    if isinstance(ending, Reply):
        code, enhanced, reply = ending.code, ending.enhanced, ending.text
    if isinstance(decided, Deferred):
        return Deferral(subscriber, at, began, decided.not_before, code, enhanced, reply)
    reason, suppresses = "", False
    match decided:
        case Accepted():
            outcome = "accepted"
        case Refused():
            outcome, reason = "refused", str(decided.cause)
            suppresses = decided.suppresses
        case Expired():
            outcome = "expired"
        case _:
            outcome = "uncertain"
            evidence = evidence or "the connection broke after the final dot"
    return Result(
        subscriber, outcome, at, code, enhanced, reply, reason, chunk, evidence, suppresses
    )


def accepted(
    held: Lease, subscriber: int, chunk: int, reply: Reply, relay: str, at: datetime
) -> Row:
    """The row of a letter the relay took: nothing to decide, and by far the most frequent."""
    return (
        *(held.campaign, subscriber, "accepted", reply.code, reply.enhanced, reply.text, "", relay),
        *(held.worker, held.number, held.epoch, chunk, at, ""),
    )


def result_of(row: Row) -> Result:
    """The result in a row that `accepted` made."""
    return Result(row[1], row[2], row[12], row[3], row[4], row[5], chunk=row[11])


def record(  # one transaction's worth of news about one batch
    session: Session,
    held: Lease,
    entries: Sequence[Entry],
    *,
    rows: Sequence[Row] = (),
    relay: str = "",
    later: Later | None = None,
    batch_size: int = 1000,
    again: bool = False,
) -> Later | None:
    """Store results and deferrals of a batch whose fence the caller holds in this transaction.

    `rows` are results that need no more thought, made by `accepted`.
    `later` is the batch this one's deferred people went to so far; the one they go to now comes
    back. `again`: an earlier commit of the same may have come through, so what is there stays.
    """
    results = [e for e in entries if isinstance(e, Result)]
    deferrals = [e for e in entries if isinstance(e, Deferral)]
    rows = [*rows, *_delivery_rows(held, relay, results)]
    if again:
        there = known(session, held.campaign, [row[1] for row in rows])
        for row in rows:
            if there.get(row[1], row[2]) != row[2]:
                _log.error("breach: a second result", campaign=row[0], subscriber=row[1])
        rows = [row for row in rows if row[1] not in there]
        tried = _tried(session, held, [d.subscriber for d in deferrals])
        deferrals = [d for d in deferrals if d.subscriber not in tried]
    if rows:
        insert_many(session, DeliveryRow, _DELIVERY, rows)
    _suppress(session, held.campaign, [r for r in results if r.suppresses])
    if deferrals:
        return _defer(session, held, deferrals, later, batch_size)
    return later


def counts(session: Session, campaign: CampaignId) -> dict[str, int]:
    """People by outcome, every outcome named; an uncertain one that was resolved counts as such."""
    rows = session.execute(
        select(DeliveryRow.outcome, func.count())
        .where(DeliveryRow.campaign_id == campaign)
        .group_by(DeliveryRow.outcome)
    )
    found = dict.fromkeys(OUTCOMES, 0) | {row[0]: row[1] for row in rows}
    for outcome, people in _resolutions(session, campaign).items():
        found["uncertain"] -= people
        found[outcome] += people
    return found


def close(session: Session, campaign: CampaignId, *, now: datetime) -> bool:
    """Finish a campaign if everybody in its audience has a result; whether it is finished now.

    By the sum, never by there being nothing left to do: a batch list that is empty while people
    are missing is logged as a breach, and the campaign stays open.
    """
    found = campaign_queries.campaign(session, campaign)
    if found.state is not State.SENDING or batch.is_open(session, campaign):
        return False
    outcomes = counts(session, campaign)
    if sum(outcomes.values()) != found.audience_count:
        _log.error("breach: the sum does not hold", campaign=campaign, **outcomes)
        return False
    return campaigns.finish(session, campaign, uncertain=outcomes["uncertain"], now=now)


def known(session: Session, campaign: CampaignId, people: Sequence[int]) -> dict[int, str]:
    """Outcome by subscriber of those who have a result."""
    found: dict[int, str] = {}
    for start in range(0, len(people), _SOME):
        rows = select(DeliveryRow.subscriber_id, DeliveryRow.outcome).where(
            DeliveryRow.campaign_id == campaign,
            DeliveryRow.subscriber_id.in_(people[start : start + _SOME]),
        )
        found |= {row[0]: row[1] for row in session.execute(rows)}
    return found


def store(session: Session, held: Lease, results: Sequence[Result], *, relay: str = "") -> None:
    """Insert final results of one batch. A second one for somebody is an IntegrityError."""
    insert_many(session, DeliveryRow, _DELIVERY, _delivery_rows(held, relay, results))


def _delivery_rows(held: Lease, relay: str, results: Sequence[Result]) -> list[Row]:
    campaign, worker, number, epoch = held.campaign, held.worker, held.number, held.epoch
    return [
        (
            *(campaign, r.subscriber, r.outcome, r.code, r.enhanced, r.reply, r.reason, relay),
            *(worker, number, epoch, r.chunk, r.at, r.evidence),
        )
        for r in results
    ]


def _defer(
    session: Session,
    held: Lease,
    deferrals: Sequence[Deferral],
    later: Later | None,
    batch_size: int,
) -> Later:
    """Put deferred people into a later batch of the same edition and lane."""
    wanted = max(d.not_before for d in deferrals)
    place = None
    if later is not None and later.not_before >= wanted:
        place = _fill_up(session, held, later, len(deferrals), batch_size)
    if place is None:
        later = _open_later(session, held, wanted, deferrals)
        place = later.number, 1
    number, first = place
    rows = [
        (
            *(held.campaign, d.subscriber, held.attempt, d.code, d.enhanced, d.reply, held.worker),
            *(d.at, d.first_tried, number, position),
        )
        for position, d in enumerate(deferrals, first)
    ]
    insert_many(session, AttemptRow, _ATTEMPT, rows)
    assert later is not None
    return later


def _fill_up(
    session: Session, held: Lease, later: Later, count: int, batch_size: int
) -> tuple[int, int] | None:
    """Number and first position in a batch nobody has leased, whose time is not near."""
    grown = (
        update(BatchRow)
        .where(
            BatchRow.campaign_id == held.campaign,
            BatchRow.number == later.number,
            BatchRow.state == "open",
            BatchRow.epoch == 0,
            BatchRow.not_before > database_now(session) + _MARGIN,
            BatchRow.size + count <= batch_size,
        )
        .values(size=BatchRow.size + count)
        .returning(BatchRow.size)
    )
    size = session.scalar(grown)
    return None if size is None else (later.number, size - count + 1)


def _open_later(
    session: Session, held: Lease, wanted: datetime, deferrals: Sequence[Deferral]
) -> Later:
    """Open a batch under the next free number, a little after the moment wanted."""
    mine = BatchRow.campaign_id == held.campaign
    top = select(func.coalesce(func.max(BatchRow.number), 0) + 1).where(mine).scalar_subquery()
    wait = wanted - min(d.at for d in deferrals)
    # Spread by a hash of the batch, not by chance: the same faults give the same run.
    share = (held.number * 2654435761 + held.epoch * 40503) % 2**32 / 2**32
    not_before = wanted + wait * share / _SPREAD
    values = {
        "campaign_id": held.campaign,
        "number": top,
        "edition_id": held.edition,
        "lane": held.lane,
        "attempt": held.attempt + 1,
        "not_before": not_before,
        "size": len(deferrals),
    }
    statement: Any = insert(BatchRow)
    if session.get_bind().dialect.name == "postgresql":  # on SQLite nobody writes beside us
        statement = postgresql.insert(BatchRow).on_conflict_do_nothing()
    for _ in range(_NUMBER_TRIES):
        number = session.scalar(statement.values(values).returning(BatchRow.number))
        if number is not None:
            return Later(number, not_before)
    raise ValueError(f"no free number for a later batch of campaign {held.campaign}")


def _suppress(session: Session, campaign: CampaignId, dead: Sequence[Result]) -> None:
    if not dead:
        return
    keys = select(AudienceRow.subscriber_id, AudienceRow.address_key).where(
        AudienceRow.campaign_id == campaign,
        AudienceRow.subscriber_id.in_([r.subscriber for r in dead]),
    )
    key_of = {row[0]: row[1] for row in session.execute(keys)}
    for r in dead:
        evidence = f"campaign {campaign}: {r.code} {r.enhanced} {r.reply}"
        subscribers.suppress(session, key_of[r.subscriber], "bounced", now=r.at, evidence=evidence)


def _tried(session: Session, held: Lease, people: Sequence[int]) -> set[int]:
    rows = select(AttemptRow.subscriber_id).where(
        AttemptRow.campaign_id == held.campaign,
        AttemptRow.number == held.attempt,
        AttemptRow.subscriber_id.in_(people),
    )
    return set(session.scalars(rows)) if people else set()


def _resolutions(session: Session, campaign: CampaignId) -> dict[str, int]:
    """How many uncertain people are known to be accepted or refused by now."""
    last = (
        select(ResolutionRow.subscriber_id, func.max(ResolutionRow.number).label("number"))
        .where(ResolutionRow.campaign_id == campaign)
        .group_by(ResolutionRow.subscriber_id)
        .subquery()
    )
    rows = (
        select(ResolutionRow.outcome, func.count())
        .join(
            last,
            (last.c.subscriber_id == ResolutionRow.subscriber_id)
            & (last.c.number == ResolutionRow.number),
        )
        .where(
            ResolutionRow.campaign_id == campaign,
            ResolutionRow.outcome.in_(("accepted", "refused")),
        )
        .group_by(ResolutionRow.outcome)
    )
    return {row[0]: row[1] for row in session.execute(rows)}
