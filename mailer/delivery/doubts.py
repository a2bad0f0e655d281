"""Uncertain letters, by name: where each stood, when it can have left, who may still send it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.orm import Session

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import CampaignId
from mailer.delivery import resolutions
from mailer.delivery.models import AttemptRow, BatchRow, DeliveryRow, WorkerRow
from mailer.kit.database import database_now

LIVES: timedelta = timedelta(seconds=60 + 660)
"""How long after its record an uncertain letter can still leave or be answered, at the longest.

The rest of a lease, in which a worker that was declared lost may write one more final dot; then
ten minutes for the reply (RFC 5321 4.5.3.2) and a margin. So it is by the settings' defaults;
whoever knows the settings says how long it is by them.
"""


@dataclass(frozen=True, slots=True)
class Doubt:
    """One letter that is uncertain now."""

    subscriber: int
    batch: int | None
    chunk: int | None
    worker: str
    host: str
    relay: str  # "" where no reply told
    evidence: str
    resolution: str  # what was decided last: "", resend, uncertain or abandoned
    waits: bool  # it is being sent again
    since: datetime  # it cannot have left before
    until: datetime  # nor be taken by a relay after, unless it is sent again
    alive: bool  # the worker that had it may still be running


def doubts(
    session: Session,
    campaign: CampaignId,
    people: Collection[int] | None = None,
    *,
    lives: timedelta = LIVES,
) -> tuple[Doubt, ...]:
    """Every letter that is uncertain now, or those of `people`, by subscriber.

    Raises CampaignNotFound.
    """
    found = campaigns.campaign(session, campaign)
    begin, now = found.frozen_at or found.created_at, database_now(session)
    wanted = None if people is None else set(people)
    return tuple(
        Doubt(
            subscriber=row.subscriber_id,
            batch=row.batch,
            chunk=row.chunk,
            worker=row.worker,
            host=row.host or "",
            relay=row.relay,
            evidence=row.evidence,
            resolution=row.outcome or "",
            waits=row.outcome == "resend" and row.state == "open",
            since=max(filter(None, (begin, row.started_at, row.tried_at))),
            until=max(filter(None, (row.at, row.decided_at))) + lives,
            alive=_alive(row.heartbeat_at, row.stopped_at, now, lives),
        )
        for row in session.execute(_uncertain(campaign))
        if wanted is None or row.subscriber_id in wanted
    )


def some(session: Session, most: int = 1000) -> tuple[tuple[CampaignId, int], ...]:
    """Letters that are or were uncertain, of any campaign, the latest campaigns first."""
    rows = (
        select(DeliveryRow.campaign_id, DeliveryRow.subscriber_id)
        .where(DeliveryRow.outcome == "uncertain")
        .order_by(DeliveryRow.campaign_id.desc(), DeliveryRow.subscriber_id)
        .limit(most)
    )
    return tuple((CampaignId(row[0]), row[1]) for row in session.execute(rows))


def accepted(
    session: Session, campaign: CampaignId, batches: Sequence[int], *, most: int
) -> tuple[tuple[int, str, datetime], ...]:
    """Letters a relay is known to have taken, those of `batches` first: subscriber, relay, when."""
    near = case((DeliveryRow.batch.in_(list(batches)), 0), else_=1)
    rows = (
        select(DeliveryRow.subscriber_id, DeliveryRow.relay, DeliveryRow.at)
        .where(DeliveryRow.campaign_id == campaign, DeliveryRow.outcome == "accepted")
        .order_by(near, DeliveryRow.subscriber_id)
        .limit(most)
    )
    return tuple((row[0], row[1], row[2]) for row in session.execute(rows))


def may_live(session: Session, worker: str, *, lives: timedelta = LIVES) -> bool:
    """Whether a worker may still be running: it gave a sign of life not long ago, and no last."""
    row = session.get(WorkerRow, worker)
    if row is None:
        return False
    return _alive(row.heartbeat_at, row.stopped_at, database_now(session), lives)


def sender_of(session: Session, campaign: CampaignId) -> str:
    """The address a campaign is from: its domain is in the Message-IDs. Raises CampaignNotFound."""
    return campaigns.campaign(session, campaign).from_address


def _alive(
    heartbeat: datetime | None, stopped: datetime | None, now: datetime, lives: timedelta
) -> bool:
    return heartbeat is not None and stopped is None and heartbeat + lives > now


def _uncertain(campaign: CampaignId) -> Any:
    end = resolutions.last(campaign)
    tried = (
        select(func.max(AttemptRow.at))
        .where(
            AttemptRow.campaign_id == DeliveryRow.campaign_id,
            AttemptRow.subscriber_id == DeliveryRow.subscriber_id,
        )
        .scalar_subquery()
    )
    again = and_(BatchRow.campaign_id == campaign, BatchRow.number == end.c.batch)
    return (
        select(
            DeliveryRow.subscriber_id,
            DeliveryRow.batch,
            DeliveryRow.chunk,
            DeliveryRow.worker,
            DeliveryRow.relay,
            DeliveryRow.evidence,
            DeliveryRow.at,
            WorkerRow.host,
            WorkerRow.started_at,
            WorkerRow.heartbeat_at,
            WorkerRow.stopped_at,
            BatchRow.state,
            end.c.outcome,
            end.c.at.label("decided_at"),
            tried.label("tried_at"),
        )
        .outerjoin(WorkerRow, WorkerRow.id == DeliveryRow.worker)
        .outerjoin(end, end.c.subscriber_id == DeliveryRow.subscriber_id)
        .outerjoin(BatchRow, again)
        .where(
            DeliveryRow.campaign_id == campaign,
            DeliveryRow.outcome == "uncertain",
            or_(end.c.outcome.is_(None), end.c.outcome.not_in(resolutions.FACTS)),
        )
        .order_by(DeliveryRow.subscriber_id)
    )
