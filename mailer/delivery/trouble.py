"""Where a campaign has trouble: how far each lane is, and what relays said to those put off."""

from collections import Counter, defaultdict
from dataclasses import dataclass

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId
from mailer.delivery import sums
from mailer.delivery.models import AttemptRow, BatchRow, DeliveryRow


@dataclass(frozen=True, slots=True)
class LaneProgress:
    """How far the people of one receiving provider are."""

    lane: str
    audience: int
    accepted: int
    refused: int
    settled: int  # people with a result, whichever


@dataclass(frozen=True, slots=True)
class Deferrals:
    """One answer that put people off."""

    code: int | None
    enhanced: str
    reply: str  # as one of them got it, the address cut out
    tries: int
    open: int  # people it put off who have no result yet


def lanes(session: Session, campaign: CampaignId) -> tuple[LaneProgress, ...]:
    """Every lane of a frozen audience, the largest first."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for part in sums.parts(session, campaign):
        found[part.lane][part.outcome] += part.people
    lanes = [
        LaneProgress(
            lane,
            audience=of.total(),
            accepted=of["accepted"],
            refused=of["refused"],
            settled=of.total() - of[""],
        )
        for lane, of in found.items()
    ]
    return tuple(sorted(lanes, key=lambda one: (-one.audience, one.lane)))


def waits(session: Session, campaign: CampaignId) -> tuple[tuple[str, int], ...]:
    """Why open batches wait, where something went wrong: reason, people; most people first."""
    people = func.sum(BatchRow.size)
    rows = session.execute(
        select(BatchRow.reason, people)
        .where(BatchRow.campaign_id == campaign, BatchRow.state == "open", BatchRow.reason != "")
        .group_by(BatchRow.reason)
        .order_by(people.desc())
    )
    return tuple((row[0], int(row[1])) for row in rows)


def deferrals(session: Session, campaign: CampaignId, *, limit: int = 20) -> tuple[Deferrals, ...]:
    """The answers that put people off, the most frequent first."""
    tries = func.count()
    result = and_(
        DeliveryRow.campaign_id == AttemptRow.campaign_id,
        DeliveryRow.subscriber_id == AttemptRow.subscriber_id,
    )
    settled = func.count(DeliveryRow.outcome)
    rows = session.execute(
        select(
            AttemptRow.code,
            AttemptRow.enhanced,
            func.max(AttemptRow.reply),
            tries,
            tries - settled,
        )
        .outerjoin(DeliveryRow, result)
        .where(AttemptRow.campaign_id == campaign)
        .group_by(AttemptRow.code, AttemptRow.enhanced)
        .order_by(tries.desc(), AttemptRow.code)
        .limit(limit)
    )
    return tuple(Deferrals(*row) for row in rows)
