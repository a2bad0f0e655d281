"""What was learnt later of uncertain letters: the last word on each, and how one is added.

A letter's outcome is its last resolution, else its row in `delivery`. `accepted` and `refused` are
facts and end the matter. `resend` puts the person into a batch that sends the letter again, under
the same Message-ID; `uncertain` says that this one broke off too; `abandoned` that nobody goes on
asking. The last three leave the person uncertain in every sum: nobody knows.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from sqlalchemy import Subquery, and_, func, select
from sqlalchemy.orm import Session

from mailer.campaigns import actions as campaigns
from mailer.campaigns.campaign import CampaignId
from mailer.delivery.models import BatchRow, DeliveryRow, ResolutionRow
from mailer.kit.database import insert_many

FACTS: Final = ("accepted", "refused")
"""What is known for good. Nothing contradicts it any more."""

OUTCOMES: Final = (*FACTS, "resend", "uncertain", "abandoned")

_SOME = 500  # ids in one statement
_COLUMNS = (
    *("campaign_id", "subscriber_id", "number", "outcome", "evidence", "actor", "at"),
    *("batch", "position"),
)
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where somebody stands whose letter became uncertain."""

    number: int = 0  # of their last resolution; 0 where there is none
    outcome: str = ""  # of it
    batch: int | None = None  # the last that sent the letter again, or is to
    waits: bool = False  # to be sent again by that batch, which is open

    @property
    def known(self) -> bool:
        """Whether it is known what became of the letter."""
        return self.outcome in FACTS

    def takes(self, outcome: str) -> bool:
        """Whether a resolution would say something new; False for a contradiction as well."""
        if self.known or self.outcome == outcome == "abandoned":
            return False
        return not (self.waits and outcome == "resend")

    def contradicts(self, outcome: str) -> bool:
        """Whether a fact is known that this outcome denies."""
        return self.known and outcome != self.outcome


@dataclass(frozen=True, slots=True)
class Learnt:
    """One resolution to be entered."""

    subscriber: int
    number: int
    outcome: str  # one of OUTCOMES
    evidence: str
    actor: str  # a worker, a machine's word ("tracking"), or a person by name
    at: datetime
    batch: int | None = None  # with resend
    position: int | None = None


def standings(
    session: Session, campaign: CampaignId, people: Collection[int]
) -> dict[int, Standing]:
    """Where each of them stands whose letter became uncertain; the others are left out.

    Locked until the transaction ends: two who resolve the same letter wait for each other.
    """
    found: dict[int, Standing] = {}
    everybody = sorted(people)
    for start in range(0, len(everybody), _SOME):
        some = everybody[start : start + _SOME]
        uncertain = (
            select(DeliveryRow.subscriber_id)
            .where(
                DeliveryRow.campaign_id == campaign,
                DeliveryRow.outcome == "uncertain",
                DeliveryRow.subscriber_id.in_(some),
            )
            .order_by(DeliveryRow.subscriber_id)
            .with_for_update()
        )
        found |= dict.fromkeys(session.scalars(uncertain), Standing())
        rows = (
            select(
                ResolutionRow.subscriber_id,
                ResolutionRow.number,
                ResolutionRow.outcome,
                ResolutionRow.batch,
                BatchRow.state,
            )
            .outerjoin(
                BatchRow,
                and_(
                    BatchRow.campaign_id == ResolutionRow.campaign_id,
                    BatchRow.number == ResolutionRow.batch,
                ),
            )
            .where(ResolutionRow.campaign_id == campaign, ResolutionRow.subscriber_id.in_(some))
            .order_by(ResolutionRow.number)
        )
        for subscriber, number, outcome, batch, state in session.execute(rows):
            if before := found.get(subscriber):
                again = before.batch if batch is None else batch
                found[subscriber] = Standing(number, outcome, again, waits=state == "open")
    return found


def add(session: Session, campaign: CampaignId, learnt: Sequence[Learnt]) -> None:
    """Enter resolutions, and keep what a campaign that is over says of its uncertain letters."""
    if not learnt:
        return
    rows = [
        (
            *(campaign, one.subscriber, one.number, one.outcome, one.evidence, one.actor, one.at),
            *(one.batch, one.position),
        )
        for one in learnt
    ]
    insert_many(session, ResolutionRow, _COLUMNS, rows)
    if any(one.outcome in FACTS for one in learnt):
        campaigns.recount(session, campaign, uncertain=doubtful(session, campaign))


def doubtful(session: Session, campaign: CampaignId) -> int:
    """How many letters are uncertain now."""
    rows = select(func.count()).where(
        DeliveryRow.campaign_id == campaign, DeliveryRow.outcome == "uncertain"
    )
    return (session.scalar(rows) or 0) - sum(facts(session, campaign).values())


def facts(session: Session, campaign: CampaignId) -> dict[str, int]:
    """How many uncertain letters are known to be accepted or refused by now."""
    end = last(campaign)
    rows = (
        select(end.c.outcome, func.count()).where(end.c.outcome.in_(FACTS)).group_by(end.c.outcome)
    )
    return {row[0]: row[1] for row in session.execute(rows)}


def last(campaign: CampaignId) -> Subquery:
    """The last resolution of everybody who has one, as a table."""
    mine = ResolutionRow.campaign_id == campaign
    top = (
        select(ResolutionRow.subscriber_id, func.max(ResolutionRow.number).label("number"))
        .where(mine)
        .group_by(ResolutionRow.subscriber_id)
        .subquery("top")
    )
    same: Any = and_(
        top.c.subscriber_id == ResolutionRow.subscriber_id, top.c.number == ResolutionRow.number
    )
    return select(ResolutionRow).join(top, same).where(mine).subquery("last_resolution")


def breach(campaign: CampaignId, subscriber: int, here: Standing, outcome: str) -> None:
    """Tell of a machine that says the opposite of what another one proved."""
    _log.error(
        "breach: a contradiction about an uncertain letter",
        campaign=campaign,
        subscriber=subscriber,
        known=here.outcome,
        told=outcome,
    )
