"""The first letters of a campaign go alone: how they fare decides whether the rest follows.

The people who go first stand in started chunks; the fence and the lease let nobody else through
before the canary has passed. It is judged from the books, so any worker may ask, at any time.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import CampaignId, State
from mailer.delivery import batch, brakes
from mailer.delivery.breakers import Trip, percent
from mailer.delivery.models import AttemptRow, DeliveryRow
from mailer.delivery.plan import BrakePlan

FEWEST = 3
"""Letters below which nothing went wrong, whatever their share."""

ACTOR = "the canary"


class Judgement(StrEnum):
    """What is to be done with the rest."""

    PASSED = "passed"  # or there is no canary: the rest goes
    WAITS = "waits"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Fared:
    """How the first letters of a campaign fared so far."""

    known: int = 0  # people with a result or a deferral
    sent: int = 0  # of them, offered to a relay or meant to be
    bounced: int = 0  # refused because their address does not exist
    blocked: int = 0  # refused for our sake
    deferred: int = 0  # put off, and without a result so far
    uncertain: int = 0
    broken: int = 0  # their letter could not be made
    last: datetime | None = None  # when the last of these became known


def judge(session: Session, campaign: CampaignId, plan: BrakePlan, now: datetime) -> Judgement:
    """Decide whether the rest of a campaign may go; pauses it, with the figures, where not.

    It is decided once all of the canary have a result or a deferral and `canary_wait` has passed
    since the last. Where people of it came back unsent, their places are free again.
    """
    found = campaigns.campaign(session, campaign)
    if not found.canary_size or found.canary_passed_at is not None:
        return Judgement.PASSED
    if found.state is not State.SENDING:
        return Judgement.PAUSED if found.state is State.PAUSED else Judgement.WAITS
    seen = fared(session, campaign)
    if seen.known < max(found.canary_size, found.canary_started):
        batch.recount_canary(session, campaign)
        return Judgement.WAITS
    if seen.last is None or now - seen.last < plan.canary_wait:
        return Judgement.WAITS
    reason = concern(seen, plan)
    if not reason:
        brakes.pass_canary(session, campaign, now=now)
        return Judgement.PASSED
    trip = Trip("campaign", str(campaign), "canary", reason)
    brakes.put_on(session, trip, actor=ACTOR, now=now)
    return Judgement.PAUSED


def waiting(session: Session) -> tuple[CampaignId, ...]:
    """Sending campaigns whose canary has not been judged."""
    sending = campaigns.campaigns(session, states=(State.SENDING,))
    held = (c.id for c in sending if c.canary_size and c.canary_passed_at is None)
    return tuple(sorted(held))


def fared(session: Session, campaign: CampaignId) -> Fared:
    """How the letters of a campaign fared whose canary has not passed: they are all of it."""
    results = session.execute(
        select(DeliveryRow.outcome, DeliveryRow.reason, func.count(), func.max(DeliveryRow.at))
        .where(DeliveryRow.campaign_id == campaign)
        .group_by(DeliveryRow.outcome, DeliveryRow.reason)
    ).all()
    settled = select(DeliveryRow.subscriber_id).where(
        DeliveryRow.campaign_id == AttemptRow.campaign_id,
        DeliveryRow.subscriber_id == AttemptRow.subscriber_id,
    )
    put_off, last_put_off = session.execute(
        select(func.count(AttemptRow.subscriber_id.distinct()), func.max(AttemptRow.at)).where(
            AttemptRow.campaign_id == campaign, ~settled.exists()
        )
    ).one()
    counted = {(outcome, reason): people for outcome, reason, people, _ in results}

    def of(outcome: str, reason: str | None = None) -> int:
        return sum(n for (o, r), n in counted.items() if o == outcome and reason in {None, r})

    broken = of("skipped", "render_failed") + of("skipped", "poison")
    known = sum(counted.values()) + put_off
    return Fared(
        known=known,
        sent=known - of("skipped") + broken,
        bounced=of("refused", "address"),
        blocked=of("refused", "policy"),
        deferred=put_off,
        uncertain=of("uncertain"),
        broken=broken,
        last=max((at for at in (*(row[3] for row in results), last_put_off) if at), default=None),
    )


def concern(seen: Fared, plan: BrakePlan) -> str:
    """Why the rest should not follow; empty where all is well."""
    judged = (
        (seen.bounced, plan.bounces, "went to addresses that do not exist"),
        (seen.blocked, plan.bounces, "were refused for our sake, not the recipient's"),
        (seen.broken, plan.bounces, "could not be made"),
        (seen.uncertain, plan.bounces, "got no answer after they were handed over"),
        (seen.deferred, plan.deferrals, "were put off"),
    )
    found = [
        f"{bad:,} of the first {seen.sent:,} letters {what} "
        f"({percent(bad, seen.sent)}; the limit is {percent(limit)})"
        for bad, limit, what in judged
        if bad >= FEWEST and bad > limit * seen.sent
    ]
    return "; ".join(found)
