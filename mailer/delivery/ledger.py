"""What became of everybody: results in, insert-only, and the sum that closes a campaign.

The first result of a person stays: a second one is refused by the key. What is learnt later about
an uncertain letter stands beside its row, as a `resolution`; so do the results of a batch that
sends such letters again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import CampaignId, State
from mailer.delivery import batch, opening, resolutions
from mailer.delivery.batch import Lease
from mailer.delivery.models import AttemptRow, AudienceRow, DeliveryRow
from mailer.delivery.opening import Opening
from mailer.delivery.relay import Ending, Reply
from mailer.delivery.resolutions import FACTS, Learnt, Standing
from mailer.delivery.verdict import (
    Accepted,
    Deferred,
    Expired,
    Patience,
    Refused,
    verdict,
)
from mailer.kit.database import insert_many
from subscribers import actions as subscribers

OUTCOMES = ("accepted", "refused", "skipped", "expired", "uncertain")

_SOME = 500  # ids in one statement
_SPREAD = 10  # a later batch waits up to a tenth longer, so that not all come at once
_ALIKE = timedelta(seconds=60)  # waits that differ by less may share a batch
_OPEN = 3  # later batches of one lease that are still filled up
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
    later: tuple[Later, ...]  # where its deferred people go, by how long they wait
    sent_by: Mapping[int, str] = field(default_factory=dict)  # chunk -> relay


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
    later: tuple[Later, ...] = (),
    batch_size: int = 1000,
    again: bool = False,
) -> tuple[Later, ...]:
    """Store results and deferrals of a batch whose fence the caller holds in this transaction.

    `rows` are results that need no more thought, made by `accepted`.
    `later` are the batches this one's deferred people went to so far; they come back, with those
    opened now. `again`: an earlier commit of the same may have come through: what is there stays.
    """
    results = [e for e in entries if isinstance(e, Result)]
    deferrals = [e for e in entries if isinstance(e, Deferral)]
    if held.resend:
        results += map(result_of, rows)
        return _record_resent(session, held, results, deferrals, later, batch_size)
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
    suppress(session, held.campaign, results)
    attempts: list[Row] = []
    for alike in _by_wait(deferrals):
        later, number, first = _put_off(session, held, alike, later, batch_size)
        attempts += _attempts(held, alike, number, first)
    if attempts:
        insert_many(session, AttemptRow, _ATTEMPT, attempts)
    return later


def counts(session: Session, campaign: CampaignId) -> dict[str, int]:
    """People by outcome, every outcome named; an uncertain one that was resolved counts as such."""
    rows = session.execute(
        select(DeliveryRow.outcome, func.count())
        .where(DeliveryRow.campaign_id == campaign)
        .group_by(DeliveryRow.outcome)
    )
    found = dict.fromkeys(OUTCOMES, 0) | {row[0]: row[1] for row in rows}
    for outcome, people in resolutions.facts(session, campaign).items():
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


def suppress(session: Session, campaign: CampaignId, results: Iterable[Result]) -> None:
    """Mail the addresses no more that these results say are dead; again changes nothing."""
    dead = [r for r in results if r.suppresses]
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


def _delivery_rows(held: Lease, relay: str, results: Sequence[Result]) -> list[Row]:
    campaign, worker, number, epoch = held.campaign, held.worker, held.number, held.epoch
    return [
        (
            *(campaign, r.subscriber, r.outcome, r.code, r.enhanced, r.reply, r.reason, relay),
            *(worker, number, epoch, r.chunk, r.at, r.evidence),
        )
        for r in results
    ]


def _attempts(held: Lease, deferrals: Sequence[Deferral], number: int, first: int) -> list[Row]:
    return [
        (
            *(held.campaign, d.subscriber, held.attempt, d.code, d.enhanced, d.reply, held.worker),
            *(d.at, d.first_tried, number, position),
        )
        for position, d in enumerate(deferrals, first)
    ]


def _by_wait(deferrals: Sequence[Deferral]) -> list[list[Deferral]]:
    """Those who may share a batch: nobody waits much longer for another's sake."""
    groups: list[list[Deferral]] = []
    for deferral in sorted(deferrals, key=lambda d: d.not_before):
        if groups and deferral.not_before <= groups[-1][0].not_before + _slack(groups[-1][0]):
            groups[-1].append(deferral)
        else:
            groups.append([deferral])
    return groups


def _slack(deferral: Deferral) -> timedelta:
    return max(_ALIKE, (deferral.not_before - deferral.at) / _SPREAD)


def _put_off(
    session: Session,
    held: Lease,
    deferrals: Sequence[Deferral],
    later: tuple[Later, ...],
    batch_size: int,
) -> tuple[tuple[Later, ...], int, int]:
    """Find room in a later batch of the same edition and lane: its number and first position."""
    wanted = max(d.not_before for d in deferrals)
    latest = wanted + 2 * _slack(deferrals[0])
    count = len(deferrals)
    for one in later:
        if wanted <= one.not_before <= latest:
            first = opening.grown(session, held.campaign, one.number, count, most=batch_size)
            if first is not None:
                return later, one.number, first
    wait = wanted - min(d.at for d in deferrals)
    # Spread by a hash of the batch, not by chance: the same faults give the same run.
    share = (held.number * 2654435761 + held.epoch * 40503) % 2**32 / 2**32
    not_before = wanted + wait * share / _SPREAD
    place = Opening(
        held.edition,
        held.lane,
        held.attempt + 1,
        not_before,
        count,
        zone=held.zone,
        resend=held.resend,
    )
    number = opening.opened(session, held.campaign, place)
    return (*later[-_OPEN:], Later(number, not_before)), number, 1


def _record_resent(  # like `record`, for a batch that sends uncertain letters again
    session: Session,
    held: Lease,
    results: Sequence[Result],
    deferrals: Sequence[Deferral],
    later: tuple[Later, ...],
    batch_size: int,
) -> tuple[Later, ...]:
    """Store how letters fared that were sent again: each as a further resolution.

    What an earlier commit stored, and what was learnt meanwhile from elsewhere, stays.
    """
    people = [*(r.subscriber for r in results), *(d.subscriber for d in deferrals)]
    here = resolutions.standings(session, held.campaign, people)
    learnt = []
    for result in results:
        outcome, evidence = _of_resent(result)
        stands = here.get(result.subscriber, Standing(outcome="accepted"))
        if outcome in FACTS and stands.contradicts(outcome):
            resolutions.breach(held.campaign, result.subscriber, stands, outcome)
        elif stands.takes(outcome) and (outcome in FACTS or _waits_in(held, stands)):
            told = (outcome, evidence, held.worker, result.at)
            learnt.append(Learnt(result.subscriber, stands.number + 1, *told))
    again = [d for d in deferrals if _waits_in(held, here.get(d.subscriber, Standing()))]
    for alike in _by_wait(again):
        later, batch_number, first = _put_off(session, held, alike, later, batch_size)
        for position, d in enumerate(alike, first):
            why = f"sent again, put off: {d.code} {d.enhanced} {d.reply}".strip()
            number = here[d.subscriber].number + 1
            place = (batch_number, position)
            learnt.append(Learnt(d.subscriber, number, "resend", why, held.worker, d.at, *place))
    resolutions.add(session, held.campaign, learnt)
    suppress(session, held.campaign, results)
    return later


def _waits_in(held: Lease, stands: Standing) -> bool:
    return stands.outcome == "resend" and stands.batch == held.number


def _of_resent(result: Result) -> tuple[str, str]:
    """Outcome and evidence of a letter sent again; one that was not leaves the first uncertain."""
    said = f"{result.code or ''} {result.enhanced} {result.reply}".strip()
    match result.outcome:
        case "accepted" | "refused":
            return result.outcome, f"sent again: {said}"
        case "skipped":
            return "abandoned", f"not sent again: {result.reason}"
        case "expired":
            return "abandoned", f"sent again, patience ran out: {said}"
    return "uncertain", result.evidence


def _tried(session: Session, held: Lease, people: Sequence[int]) -> set[int]:
    rows = select(AttemptRow.subscriber_id).where(
        AttemptRow.campaign_id == held.campaign,
        AttemptRow.number == held.attempt,
        AttemptRow.subscriber_id.in_(people),
    )
    return set(session.scalars(rows)) if people else set()
