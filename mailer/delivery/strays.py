"""Rows that no honest run leaves behind: what is wrong with them, and how many there are.

Each check is one of the invariants the books can show by themselves: whoever has a result was in
the audience, nothing was accepted without a started chunk, nothing twice, nothing while it was
held, nothing to an address suppressed before. Moments are compared with room for the longest
conversation with a relay, since the books know when a letter was answered, not when it began.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import and_, column, exists, func, or_, select, table, text
from sqlalchemy.orm import Session, aliased

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import CampaignId
from mailer.delivery import guards, resolutions
from mailer.delivery.models import (
    AttemptRow,
    AudienceRow,
    BatchRow,
    BrakeRow,
    DeliveryRow,
    ResolutionRow,
)
from mailer.kit.database import Moment

LONGEST: Final = timedelta(seconds=5 + 660)
"""From a suppression or a brake to the last reply to a letter begun before it came into force."""

_CLOCKS = timedelta(minutes=1)  # apart, of workers and database
_SUPPRESSION = table(
    "suppression", column("address_key"), column("at", Moment()), column("lifted_at", Moment())
)


def strays(session: Session, campaign: CampaignId) -> Iterator[tuple[str, int]]:
    """What is wrong, and with how many; 0 where nothing is. Raises CampaignNotFound."""
    yield "results of people outside the audience", _outsiders(session, campaign)
    yield "letters accepted without a started chunk", _unstarted(session, campaign)
    yield "results from before the audience was frozen", _premature(session, campaign)
    yield "mailboxes that two letters were accepted for", _twice(session, campaign)
    yield "people deferred to a batch that is too small for them", _misplaced(session, campaign)
    yield "resolutions of letters that were not uncertain", _unasked(session, campaign)
    yield "resolutions after what became of the letter was known", _overruled(session, campaign)
    yield "people to be sent to again by a batch without them", _unplaced(session, campaign)
    yield "letters accepted though the address was suppressed", _suppressed(session, campaign)
    yield "letters accepted while sending was held", _held(session, campaign)
    yield "guards that the database lacks", _unguarded(session)


def _count(session: Session, rows: Any) -> int:
    return session.scalar(rows) or 0


def _outsiders(session: Session, campaign: CampaignId) -> int:
    same = and_(
        DeliveryRow.campaign_id == AudienceRow.campaign_id,
        DeliveryRow.subscriber_id == AudienceRow.subscriber_id,
    )
    outside = or_(AudienceRow.subscriber_id.is_(None), AudienceRow.excluded.is_not(None))
    rows = select(func.count()).select_from(DeliveryRow).outerjoin(AudienceRow, same)
    return _count(session, rows.where(DeliveryRow.campaign_id == campaign, outside))


def _unstarted(session: Session, campaign: CampaignId) -> int:
    unstarted = or_(
        BatchRow.number.is_(None),
        DeliveryRow.chunk.is_(None),
        DeliveryRow.epoch > BatchRow.epoch,
        and_(DeliveryRow.epoch == BatchRow.epoch, DeliveryRow.chunk > BatchRow.chunks_started),
    )
    rows = select(func.count()).select_from(DeliveryRow).outerjoin(BatchRow, _batch(DeliveryRow))
    return _count(session, rows.where(*_accepted(campaign), unstarted))


def _premature(session: Session, campaign: CampaignId) -> int:
    frozen = campaigns.campaign(session, campaign).frozen_at
    results = select(func.count()).where(DeliveryRow.campaign_id == campaign)
    if frozen is None:
        return _count(session, results)
    return _count(session, results.where(DeliveryRow.at < frozen - _CLOCKS))


def _twice(session: Session, campaign: CampaignId) -> int:
    """By address, what was learnt later included."""
    end = resolutions.last(campaign)
    resolved = select(end.c.subscriber_id).where(end.c.outcome == "accepted")
    taken = select(DeliveryRow.subscriber_id).where(*_accepted(campaign)).union_all(resolved)
    people = taken.subquery("taken")
    keys = (
        select(AudienceRow.address_key)
        .join(people, people.c.subscriber_id == AudienceRow.subscriber_id)
        .where(AudienceRow.campaign_id == campaign)
        .group_by(AudienceRow.address_key)
        .having(func.count() > 1)
    )
    return _count(session, select(func.count()).select_from(keys.subquery()))


def _misplaced(session: Session, campaign: CampaignId) -> int:
    wrong = or_(BatchRow.number.is_(None), AttemptRow.position > BatchRow.size)
    rows = select(func.count()).select_from(AttemptRow).outerjoin(BatchRow, _batch(AttemptRow))
    return _count(session, rows.where(AttemptRow.campaign_id == campaign, wrong))


def _unasked(session: Session, campaign: CampaignId) -> int:
    uncertain = exists().where(
        DeliveryRow.campaign_id == campaign,
        DeliveryRow.subscriber_id == ResolutionRow.subscriber_id,
        DeliveryRow.outcome == "uncertain",
    )
    rows = select(func.count()).select_from(ResolutionRow)
    return _count(session, rows.where(ResolutionRow.campaign_id == campaign, ~uncertain))


def _overruled(session: Session, campaign: CampaignId) -> int:
    earlier = aliased(ResolutionRow)
    known = exists().where(
        earlier.campaign_id == campaign,
        earlier.subscriber_id == ResolutionRow.subscriber_id,
        earlier.number < ResolutionRow.number,
        earlier.outcome.in_(resolutions.FACTS),
    )
    rows = select(func.count()).select_from(ResolutionRow)
    return _count(session, rows.where(ResolutionRow.campaign_id == campaign, known))


def _unplaced(session: Session, campaign: CampaignId) -> int:
    wrong = or_(
        BatchRow.number.is_(None),
        ~BatchRow.resend,
        ResolutionRow.position.is_(None),
        ResolutionRow.position > BatchRow.size,
    )
    again = (ResolutionRow.campaign_id == campaign, ResolutionRow.batch.is_not(None))
    rows = select(func.count()).select_from(ResolutionRow)
    return _count(session, rows.outerjoin(BatchRow, _batch(ResolutionRow)).where(*again, wrong))


def _suppressed(session: Session, campaign: CampaignId) -> int:
    same = and_(
        AudienceRow.campaign_id == DeliveryRow.campaign_id,
        AudienceRow.subscriber_id == DeliveryRow.subscriber_id,
    )
    stands = or_(_SUPPRESSION.c.lifted_at.is_(None), _SUPPRESSION.c.lifted_at > DeliveryRow.at)
    rows = (
        select(DeliveryRow.subscriber_id, DeliveryRow.at, _SUPPRESSION.c.at)
        .join(AudienceRow, same)
        .join(_SUPPRESSION, _SUPPRESSION.c.address_key == AudienceRow.address_key)
        .where(*_accepted(campaign), _SUPPRESSION.c.at < DeliveryRow.at, stands)
    )
    return len({who for who, sent, since in session.execute(rows) if sent - since > LONGEST})


def _held(session: Session, campaign: CampaignId) -> int:
    """While everything was on hold, or this campaign was braked."""
    whole = and_(BrakeRow.scope == "all", BrakeRow.name == "")
    this = and_(BrakeRow.scope == "campaign", BrakeRow.name == str(campaign))
    brakes = session.execute(select(BrakeRow.on_at, BrakeRow.off_at).where(or_(whole, this)))
    total = 0
    for on, off in brakes.all():
        until = () if off is None else (DeliveryRow.at < off,)
        rows = select(func.count()).where(
            *_accepted(campaign), DeliveryRow.at > on + LONGEST, *until
        )
        total += _count(session, rows)
    return total


def _unguarded(session: Session) -> int:
    """Triggers without which rows could change, or a campaign close, against the rules."""
    dialect = session.get_bind().dialect.name
    wanted = {
        name
        for statements in guards.STATEMENTS.values()
        for of, statement in statements
        if of == dialect
        for name in re.findall(r"CREATE TRIGGER (\w+)", statement)
    }
    names = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE tgenabled <> 'D'",
    }
    return len(wanted - set(session.scalars(text(names[dialect]))))


def _accepted(campaign: CampaignId) -> tuple[Any, ...]:
    return DeliveryRow.campaign_id == campaign, DeliveryRow.outcome == "accepted"


def _batch(row: Any) -> Any:
    """Where a row says which batch, that one."""
    return and_(BatchRow.campaign_id == row.campaign_id, BatchRow.number == row.batch)
