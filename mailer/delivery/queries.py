"""What the books say: how far a campaign is, whether its sums hold, what became of one person."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, and_, case, func, select
from sqlalchemy.orm import Session

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import CampaignId, State
from mailer.delivery import batch, ledger, resolutions, sums
from mailer.delivery.audience import candidates
from mailer.delivery.models import (
    AttemptRow,
    AudienceRow,
    BatchRow,
    DeliveryRow,
    ResolutionRow,
)
from mailer.delivery.strays import strays


@dataclass(frozen=True, slots=True)
class EditionProgress:
    """How far one edition is."""

    edition: int
    audience: int
    settled: int  # people with a result


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a campaign is: `audience` is the sum of the outcomes and `open`."""

    audience: int
    accepted: int
    refused: int
    skipped: int
    expired: int
    uncertain: int
    open: int  # no result yet
    deferred: int  # of the open ones: tried at least once
    by_edition: tuple[EditionProgress, ...] = ()

    @property
    def settled(self) -> int:
        """People with a result."""
        return self.audience - self.open

    @property
    def sums(self) -> dict[str, int]:
        """People by outcome, and those still open."""
        return {name: getattr(self, name) for name in (*ledger.OUTCOMES, "open")}


def progress(session: Session, campaign: CampaignId, *, by_edition: bool = False) -> Progress:
    """How far a campaign is, counted from the rows. Raises CampaignNotFound.

    Counting by edition reads all results once more; ask only where it is shown.
    """
    audience = campaigns.campaign(session, campaign).audience_count
    outcomes = ledger.counts(session, campaign)
    left = audience - sum(outcomes.values())
    deferred = _deferred(session, campaign) if left else 0
    parts = _by_edition(session, campaign) if by_edition else ()
    return Progress(audience, **outcomes, open=left, deferred=deferred, by_edition=parts)


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether the books of a campaign add up, and every place where they do not."""

    sums: dict[str, int]
    breaches: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether there is no breach."""
        return not self.breaches


def verify(session: Session, campaign: CampaignId) -> Verification:
    """Recount a campaign from its rows and name whatever does not add up."""
    found = campaigns.campaign(session, campaign)
    candidates, excluded, audience, keys = _audience_counts(session, campaign)
    now = progress(session, campaign)
    over = found.is_over and not batch.is_open(session, campaign)
    sums = {"candidates": candidates, "excluded": excluded, "audience": audience, **now.sums}
    checks = [
        (candidates == found.candidate_count, f"{found.candidate_count} candidates were counted"),
        (excluded == found.excluded_count, f"{found.excluded_count} excluded were counted"),
        (audience == found.audience_count, f"an audience of {found.audience_count} was counted"),
        (keys == audience, f"{audience - keys} people share an address with another"),
        (now.open >= 0, f"{-now.open} more results than people"),
        (not over or now.open == 0, f"it is {found.state}, with {now.open} people open"),
        (
            found.state is not State.FINISHED or found.uncertain_count == now.uncertain,
            f"{found.uncertain_count} uncertain letters were counted",
        ),
    ]
    if found.frozen_at is None:
        checks = checks[4:]  # nothing is promised of an audience that is not frozen
    breaches = [f"{sentence}, the rows say otherwise" for holds, sentence in checks if not holds]
    breaches += [f"{count} {sentence}" for sentence, count in strays(session, campaign) if count]
    return Verification(sums, tuple(breaches))


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """What became of one candidate of a campaign; ids only, so a ledger may be kept."""

    subscriber: int
    edition: int | None
    lane: str | None
    outcome: str  # excluded, open, or one of ledger.OUTCOMES
    reason: str  # why excluded, refused or skipped
    attempts: int
    code: int | None
    enhanced: str
    reply: str
    worker: str
    batch: int | None
    chunk: int | None
    at: datetime | None
    evidence: str
    resolution: str  # what was learnt later of an uncertain letter

    @property
    def counts_as(self) -> str:
        """The outcome it has in the sums: what was learnt later of it, else the recorded one."""
        return self.resolution if self.resolution in resolutions.FACTS else self.outcome


def steady(session: Session) -> None:
    """See one moment of the tables for the rest of a session that only reads. Call it first."""
    if session.get_bind().dialect.name == "postgresql":  # SQLite's readers always do
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def ledger_lines(
    session: Session, campaign: CampaignId, *, outcome: str | None = None
) -> Iterator[LedgerLine]:
    """Every candidate by id, or those who count as one outcome; read in steps: a million fit."""
    rows = _ledger().where(AudienceRow.campaign_id == campaign)
    if outcome in ledger.OUTCOMES:
        counts_as = case((_learnt().in_(resolutions.FACTS), _learnt()), else_=DeliveryRow.outcome)
        rows = rows.where(DeliveryRow.outcome.in_((outcome, "uncertain")), counts_as == outcome)
    elif outcome == "excluded":
        rows = rows.where(AudienceRow.excluded.is_not(None))
    elif outcome == "open":
        rows = rows.where(AudienceRow.excluded.is_(None), DeliveryRow.outcome.is_(None))
    stepwise = rows.order_by(AudienceRow.subscriber_id).execution_options(yield_per=1000)
    for row in session.execute(stepwise):
        yield LedgerLine(*row)


def uncertain(session: Session, campaign: CampaignId) -> tuple[LedgerLine, ...]:
    """Letters that left or did not: by name, each with worker, chunk and evidence.

    Those that are known by now are left out.
    """
    return tuple(ledger_lines(session, campaign, outcome="uncertain"))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try that was deferred."""

    number: int
    code: int | None
    enhanced: str
    reply: str
    at: datetime
    batch: int  # the later one


@dataclass(frozen=True, slots=True)
class Resolution:
    """What was learnt, or decided, later about an uncertain letter."""

    outcome: str  # one of resolutions.OUTCOMES
    evidence: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the books say of one person and one campaign."""

    line: LedgerLine
    attempts: tuple[Attempt, ...] = field(default=())
    next_try: datetime | None = None  # not before
    resolutions: tuple[Resolution, ...] = field(default=())


def explain(session: Session, campaign: CampaignId, subscriber: int) -> Explanation | None:
    """What became of one person, with every try; None where they were never a candidate."""
    row = session.execute(
        _ledger().where(
            AudienceRow.campaign_id == campaign, AudienceRow.subscriber_id == subscriber
        )
    ).one_or_none()
    if row is None:
        return None
    line = LedgerLine(*row)
    tries = session.scalars(
        select(AttemptRow)
        .where(AttemptRow.campaign_id == campaign, AttemptRow.subscriber_id == subscriber)
        .order_by(AttemptRow.number)
    )
    attempts = tuple(Attempt(t.number, t.code, t.enhanced, t.reply, t.at, t.batch) for t in tries)
    next_try = None
    if line.outcome == "open":
        number = attempts[-1].batch if attempts else line.batch
        waiting = session.get(BatchRow, (campaign, number))
        next_try = waiting.not_before if waiting else None
    learnt = session.execute(
        select(ResolutionRow.outcome, ResolutionRow.evidence, ResolutionRow.actor, ResolutionRow.at)
        .where(ResolutionRow.campaign_id == campaign, ResolutionRow.subscriber_id == subscriber)
        .order_by(ResolutionRow.number)
    )
    return Explanation(line, attempts, next_try, tuple(Resolution(*each) for each in learnt))


def needed(session: Session, campaign: CampaignId, *, now: datetime) -> list[tuple[int, int, int]]:
    """Which editions an audience needs now: segments (bits), tracking (bits), people."""
    found = campaigns.campaign(session, campaign)
    one = candidates(session, found, now=now).subquery("candidate")
    tracking = one.c.tracking.bitwise_and(found.tracking).label("level")
    wanted = (
        select(one.c.mask, tracking, func.count())
        .where(one.c.excluded.is_(None))
        .group_by(one.c.mask, tracking)
        .order_by(one.c.mask, tracking)
    )
    return [(row[0], row[1], row[2]) for row in session.execute(wanted)]


def left_out(
    session: Session, campaign: CampaignId, *, now: datetime
) -> tuple[tuple[str, int], ...]:
    """Who is in the campaign's segments and would not be mailed now: reason, people."""
    found = campaigns.campaign(session, campaign)
    why = candidates(session, found, now=now).subquery("candidate").c.excluded
    rows = select(why, func.count()).where(why.is_not(None)).group_by(why).order_by(why)
    return tuple((row[0], row[1]) for row in session.execute(rows))


def _deferred(session: Session, campaign: CampaignId) -> int:
    settled = select(DeliveryRow.subscriber_id).where(
        DeliveryRow.campaign_id == AttemptRow.campaign_id,
        DeliveryRow.subscriber_id == AttemptRow.subscriber_id,
    )
    waiting = select(func.count(AttemptRow.subscriber_id.distinct())).where(
        AttemptRow.campaign_id == campaign, ~settled.exists()
    )
    return session.scalar(waiting) or 0


def _by_edition(session: Session, campaign: CampaignId) -> tuple[EditionProgress, ...]:
    audience, settled = Counter[int](), Counter[int]()
    for part in sums.parts(session, campaign):
        audience[part.edition] += part.people
        settled[part.edition] += part.people if part.outcome else 0
    return tuple(EditionProgress(each, audience[each], settled[each]) for each in sorted(audience))


def _audience_counts(session: Session, campaign: CampaignId) -> tuple[int, int, int, int]:
    included = case((AudienceRow.excluded.is_(None), AudienceRow.address_key))
    row = session.execute(
        select(
            func.count(),
            func.count(AudienceRow.excluded),
            func.count(included),
            func.count(included.distinct()),
        ).where(AudienceRow.campaign_id == campaign)
    ).one()
    return row[0], row[1], row[2], row[3]


def _result_of_audience() -> Any:
    return and_(
        DeliveryRow.campaign_id == AudienceRow.campaign_id,
        DeliveryRow.subscriber_id == AudienceRow.subscriber_id,
    )


def _of(row: Any, value: Any, order: Any) -> Any:
    return (
        select(value)
        .where(
            row.campaign_id == AudienceRow.campaign_id,
            row.subscriber_id == AudienceRow.subscriber_id,
        )
        .order_by(order)
        .limit(1)
        .scalar_subquery()
    )


def _learnt() -> Any:
    return _of(ResolutionRow, ResolutionRow.outcome, ResolutionRow.number.desc())


@lru_cache
def _ledger() -> Select[Any]:
    tries = func.coalesce(_of(AttemptRow, AttemptRow.number, AttemptRow.number.desc()), 0)
    tried = case((DeliveryRow.outcome.not_in(("skipped", "expired")), 1), else_=0)
    unset = case((AudienceRow.excluded.is_not(None), "excluded"), else_="open")
    return select(
        AudienceRow.subscriber_id,
        AudienceRow.edition_id,
        AudienceRow.lane,
        func.coalesce(DeliveryRow.outcome, unset),
        func.coalesce(AudienceRow.excluded, DeliveryRow.reason, ""),
        tries + tried,
        DeliveryRow.code,
        func.coalesce(DeliveryRow.enhanced, ""),
        func.coalesce(DeliveryRow.reply, ""),
        func.coalesce(DeliveryRow.worker, ""),
        func.coalesce(DeliveryRow.batch, AudienceRow.batch),
        DeliveryRow.chunk,
        DeliveryRow.at,
        func.coalesce(DeliveryRow.evidence, ""),
        func.coalesce(_learnt(), ""),
    ).outerjoin(DeliveryRow, _result_of_audience())
