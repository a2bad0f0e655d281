"""Further batches of a running campaign: for people put off, and for letters sent again."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId
from mailer.delivery.models import BatchRow
from mailer.kit.database import database_now

_MARGIN = timedelta(seconds=5)  # a batch this close to its time takes nobody in any more
_NUMBER_TRIES = 20  # two workers now and then reach for the same number


@dataclass(frozen=True, slots=True)
class Opening:
    """What a further batch is to be."""

    edition: int
    lane: str
    attempt: int  # which try of its people it is
    not_before: datetime
    size: int
    zone: str = ""  # its people's clock, where hours count
    resend: bool = False  # its people stand in `resolution`


def opened(session: Session, campaign: CampaignId, wanted: Opening) -> int:
    """Open a batch under the next free number, and return that."""
    mine = BatchRow.campaign_id == campaign
    top = select(func.coalesce(func.max(BatchRow.number), 0) + 1).where(mine).scalar_subquery()
    values = {
        "campaign_id": campaign,
        "number": top,
        "edition_id": wanted.edition,
        "lane": wanted.lane,
        "attempt": wanted.attempt,
        "not_before": wanted.not_before,
        "size": wanted.size,
        "zone": wanted.zone,
        "resend": wanted.resend,
    }
    statement: Any = insert(BatchRow)
    if session.get_bind().dialect.name == "postgresql":  # on SQLite nobody writes beside us
        statement = postgresql.insert(BatchRow).on_conflict_do_nothing()
    for _ in range(_NUMBER_TRIES):
        number = session.scalar(statement.values(values).returning(BatchRow.number))
        if number is not None:
            return int(number)
    raise ValueError(f"no free number for a later batch of campaign {campaign}")


def grown(
    session: Session, campaign: CampaignId, number: int, count: int, *, most: int
) -> int | None:
    """Make room for `count` more in a batch nobody has leased, whose time is not near.

    The first of their positions; None where the batch takes nobody in any more.
    """
    larger = (
        update(BatchRow)
        .where(
            BatchRow.campaign_id == campaign,
            BatchRow.number == number,
            BatchRow.state == "open",
            BatchRow.epoch == 0,
            BatchRow.not_before > database_now(session) + _MARGIN,
            BatchRow.size + count <= most,
        )
        .values(size=BatchRow.size + count)
        .returning(BatchRow.size)
    )
    size = session.scalar(larger)
    return None if size is None else size - count + 1
