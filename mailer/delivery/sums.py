"""How far the parts of a campaign are: its people by edition, lane and outcome.

In one pass over the results, joined to nothing: the batch a result names has the edition and the
lane. At a million people that is a fraction of a second, and joining the audience several.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId
from mailer.delivery import resolutions
from mailer.delivery.models import AttemptRow, AudienceRow, BatchRow, DeliveryRow


@dataclass(frozen=True, slots=True)
class Part:
    """People of one edition and lane with one outcome, or none yet."""

    edition: int
    lane: str
    outcome: str  # one of ledger.OUTCOMES; "" for none yet
    people: int
    put_off: int  # of those, deferred at least once


_Place = tuple[int, str, str]  # edition, lane, outcome


def parts(session: Session, campaign: CampaignId) -> tuple[Part, ...]:
    """Every part of a frozen audience that has people in it, by edition, lane and outcome."""
    people: Counter[_Place] = Counter()
    for edition, lane, number in _audience(session, campaign):
        people[edition, lane, ""] += number
    for edition, lane, outcome, number in (
        *_of_batches(session, campaign),
        *_of_none(session, campaign),
    ):
        people[edition, lane, outcome] += number
        people[edition, lane, ""] -= number
    for edition, lane, outcome, number in _resolved(session, campaign):
        people[edition, lane, outcome] += number
        people[edition, lane, "uncertain"] -= number
    put_off = _put_off(session, campaign)
    return tuple(
        Part(*place, people[place], put_off[place]) for place in sorted(people) if people[place]
    )


def _audience(session: Session, campaign: CampaignId) -> Iterator[tuple[int, str, int]]:
    """Everybody, by the batches the audience was cut into."""
    place = (BatchRow.edition_id, BatchRow.lane)
    rows = (
        select(*place, func.sum(BatchRow.size))
        .where(BatchRow.campaign_id == campaign, BatchRow.attempt == 1)
        .group_by(*place)
    )
    return ((row[0], row[1], int(row[2])) for row in session.execute(rows))


def _of_batches(session: Session, campaign: CampaignId) -> Iterator[tuple[int, str, str, int]]:
    """Results that came from a batch; counted by its number first, and only then joined."""
    by_number = (DeliveryRow.batch, DeliveryRow.outcome)
    counted = (
        select(*by_number, func.count().label("people"))
        .where(DeliveryRow.campaign_id == campaign, DeliveryRow.batch.is_not(None))
        .group_by(*by_number)
        .subquery()
    )
    rows = select(BatchRow.edition_id, BatchRow.lane, counted.c.outcome, counted.c.people).join(
        counted, and_(BatchRow.campaign_id == campaign, BatchRow.number == counted.c.batch)
    )
    return ((row[0], row[1], row[2], row[3]) for row in session.execute(rows))


def _of_none(session: Session, campaign: CampaignId) -> Iterator[tuple[int, str, str, int]]:
    """Results that no batch has: of people who were skipped when the campaign was cancelled."""
    rows = _placed(DeliveryRow, DeliveryRow.outcome).where(
        DeliveryRow.campaign_id == campaign, DeliveryRow.batch.is_(None)
    )
    return ((row[0] or 0, row[1] or "", row[2], row[3]) for row in session.execute(rows))


def _resolved(session: Session, campaign: CampaignId) -> Iterator[tuple[int, str, str, int]]:
    """Uncertain letters of which it is known by now what became of them."""
    end = resolutions.last(campaign)
    same = and_(
        AudienceRow.campaign_id == campaign, AudienceRow.subscriber_id == end.c.subscriber_id
    )
    place = (AudienceRow.edition_id, AudienceRow.lane, end.c.outcome)
    rows = (
        select(*place, func.count())
        .join(end, same)
        .where(end.c.outcome.in_(resolutions.FACTS))
        .group_by(*place)
    )
    return ((row[0] or 0, row[1] or "", row[2], row[3]) for row in session.execute(rows))


def _put_off(session: Session, campaign: CampaignId) -> Counter[_Place]:
    """People who were deferred at least once: each has one first attempt."""
    end = resolutions.last(campaign)
    learnt = case((end.c.outcome.in_(resolutions.FACTS), end.c.outcome))
    result = and_(
        DeliveryRow.campaign_id == AttemptRow.campaign_id,
        DeliveryRow.subscriber_id == AttemptRow.subscriber_id,
    )
    outcome = func.coalesce(learnt, DeliveryRow.outcome, "").label("outcome")
    rows = (
        _placed(AttemptRow, outcome)
        .outerjoin(DeliveryRow, result)
        .outerjoin(end, end.c.subscriber_id == AttemptRow.subscriber_id)
        .where(AttemptRow.campaign_id == campaign, AttemptRow.number == 1)
    )
    return Counter({(row[0] or 0, row[1] or "", row[2]): row[3] for row in session.execute(rows)})


def _placed(row: Any, outcome: Any) -> Any:
    """Count rows of people by their edition, lane and outcome."""
    same = and_(
        AudienceRow.campaign_id == row.campaign_id, AudienceRow.subscriber_id == row.subscriber_id
    )
    place = (AudienceRow.edition_id, AudienceRow.lane, outcome)
    return select(*place, func.count()).select_from(row).join(AudienceRow, same).group_by(*place)
