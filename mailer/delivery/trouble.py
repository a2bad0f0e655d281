"""Where a campaign has trouble: how far each lane is, and what relays said to those put off."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId
from mailer.delivery import sums
from mailer.delivery.models import AttemptRow, BatchRow, DeliveryRow

_HOURS = "outside its hours"  # a first try that is not due yet


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


@dataclass(frozen=True, slots=True)
class Wait:
    """People whose letters leave later."""

    reason: str
    people: int  # at most: some of them may have a result
    until: datetime  # when the first of them go on


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


def waits(session: Session, campaign: CampaignId, *, now: datetime) -> tuple[Wait, ...]:
    """Why people wait who were not put off by a relay; most people first."""
    people = func.sum(BatchRow.size)
    rows = session.execute(
        select(BatchRow.reason, people, func.min(BatchRow.not_before))
        .where(
            BatchRow.campaign_id == campaign,
            BatchRow.state == "open",
            BatchRow.not_before > now,
            or_(BatchRow.reason != "", BatchRow.attempt == 1),
        )
        .group_by(BatchRow.reason)
        .order_by(people.desc())
    )
    return tuple(Wait(row[0] or _HOURS, int(row[1]), row[2]) for row in rows)


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
