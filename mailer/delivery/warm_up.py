"""Warm-up: how much of a lane a new relay may take on each UTC day, counted in the database.

A day's cap holds over all workers and restarts: what a chunk may send is reserved in the very
transaction that starts it, under a lock on the day's row. The next step of the ladder comes on a
day after one that used most of its cap and saw no sign that a provider minds us.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, column, func, or_, select, table, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from mailer.delivery.models import AllowanceRow, AttemptRow, BatchRow, BrakeRow, DeliveryRow
from mailer.delivery.plan_words import MOST_A_DAY
from mailer.kit.database import Moment

_MOST = 0.8  # share of a cap that has to be used before the next step
_IDLE = timedelta(days=30)  # after which a provider has forgotten us, and the ladder begins again
_BOUNCES = 0.03  # share of a day's letters refused above which the ladder is not climbed
_BY_HAND = "hand"  # cause of a brake that a person put on

_campaign = table(
    "campaign", column("id", Integer), column("started_at", Moment), column("finished_at", Moment)
)


@dataclass(frozen=True, slots=True)
class Allowed:
    """How many messages may go now."""

    count: int
    wait: float = 0.0  # seconds until more may be had; 0 with all of them allowed
    why: str = ""  # what held back


def reserve(  # what is reserved, of what, for whom
    session: Session,
    relay: str,
    lane: str,
    want: int,
    *,
    ladder: Sequence[int],
    deferrals: float,
    now: datetime,
) -> Allowed:
    """Reserve up to `want` of the day's messages of a relay and lane.

    For good once the transaction commits, not at all if it does not; until then nobody else
    reserves of the same. `deferrals` is the share of put off letters that stops the climb.
    """
    day = now.astimezone(UTC).date()
    row = _row(session, relay, lane, day)
    if row is None:
        step = _step(session, relay, lane, day, ladder, deferrals)
        _open(session, relay, lane, day, step, _cap(ladder, step))
        row = _row(session, relay, lane, day)
    assert row is not None
    cap = min(row.cap, _cap(ladder, row.step))  # a ladder made lower counts at once
    granted = max(0, min(want, cap - row.taken))
    if granted:
        session.execute(
            update(AllowanceRow)
            .where(*_this(relay, lane, day))
            .values(taken=AllowanceRow.taken + granted)
        )
    if granted == want:
        return Allowed(granted)
    tomorrow = datetime.combine(day + timedelta(days=1), time(), tzinfo=UTC)
    return Allowed(granted, (tomorrow - now).total_seconds(), f"warm-up: {cap} today")


def give_back(session: Session, relay: str, lane: str, count: int, *, day: datetime) -> None:
    """Return what was reserved on the day of a moment and has surely not been sent."""
    some = AllowanceRow.taken >= count
    session.execute(
        update(AllowanceRow)
        .where(*_this(relay, lane, day.astimezone(UTC).date()), some)
        .values(taken=AllowanceRow.taken - count)
    )


def _row(session: Session, relay: str, lane: str, day: date) -> Any:
    """The day's row, locked until the transaction ends."""
    found = select(AllowanceRow.step, AllowanceRow.cap, AllowanceRow.taken)
    return session.execute(found.where(*_this(relay, lane, day)).with_for_update()).one_or_none()


def _open(session: Session, relay: str, lane: str, day: date, step: int, cap: int) -> None:
    """Make the day's row, or leave the one another worker made just now."""
    kind = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    values = {"relay": relay, "lane": lane, "day": day, "step": step, "cap": cap, "taken": 0}
    session.execute(kind.insert(AllowanceRow).values(values).on_conflict_do_nothing())


def _step(
    session: Session, relay: str, lane: str, day: date, ladder: Sequence[int], deferrals: float
) -> int:
    """The day's step of the ladder; its length is past the end."""
    last = session.execute(
        select(AllowanceRow.day, AllowanceRow.step, AllowanceRow.cap, AllowanceRow.taken)
        .where(AllowanceRow.relay == relay, AllowanceRow.lane == lane, AllowanceRow.day < day)
        .order_by(AllowanceRow.day.desc())
        .limit(1)
    ).one_or_none()
    if last is None or day - last.day > _IDLE:
        return 0
    if last.step >= len(ladder) or last.taken < last.cap * _MOST:
        return min(int(last.step), len(ladder))
    return int(last.step) + (not _minded(session, relay, lane, last.day, deferrals))


def _cap(ladder: Sequence[int], step: int) -> int:
    return ladder[step] if step < len(ladder) else MOST_A_DAY


def _this(relay: str, lane: str, day: date) -> tuple[ColumnElement[bool], ...]:
    return AllowanceRow.relay == relay, AllowanceRow.lane == lane, AllowanceRow.day == day


def _minded(session: Session, relay: str, lane: str, day: date, deferrals: float) -> bool:
    """Whether the day showed that a provider minds us: refusals, deferrals, a brake."""
    begin = datetime.combine(day, time(), tzinfo=UTC)
    end = begin + timedelta(days=1)
    if _braked(session, relay, lane, begin, end):
        return True
    under_way = (
        select(_campaign.c.id)
        .where(
            _campaign.c.started_at < end,
            or_(_campaign.c.finished_at.is_(None), _campaign.c.finished_at >= begin),
        )
        .scalar_subquery()
    )
    inside = and_(BatchRow.campaign_id.in_(under_way), BatchRow.lane == lane)
    settled, refused = session.execute(
        select(func.count(), func.count().filter(DeliveryRow.outcome == "refused"))
        .select_from(DeliveryRow)
        .join(BatchRow, _same(DeliveryRow))
        .where(
            *(inside, DeliveryRow.relay == relay, DeliveryRow.code.is_not(None)),
            *(DeliveryRow.at >= begin, DeliveryRow.at < end),
        )
    ).one()
    put_off = session.scalar(
        select(func.count())
        .select_from(AttemptRow)
        .join(BatchRow, _same(AttemptRow))
        .where(inside, AttemptRow.at >= begin, AttemptRow.at < end)
    )
    tried = settled + (put_off or 0)
    return bool(refused > settled * _BOUNCES or (put_off or 0) > tried * deferrals)


def _same(row: type[DeliveryRow] | type[AttemptRow]) -> ColumnElement[bool]:
    return and_(BatchRow.campaign_id == row.campaign_id, BatchRow.number == row.batch)


def _braked(session: Session, relay: str, lane: str, begin: datetime, end: datetime) -> bool:
    """Whether a stop rule tripped for the relay, the lane or, by complaints, any campaign."""
    mine = or_(
        and_(BrakeRow.scope == "relay", BrakeRow.name == relay),
        and_(BrakeRow.scope == "lane", BrakeRow.name == lane),
        and_(BrakeRow.scope == "campaign", BrakeRow.cause == "complaints"),
    )
    found = select(BrakeRow.id).where(
        mine, BrakeRow.cause != _BY_HAND, BrakeRow.on_at >= begin, BrakeRow.on_at < end
    )
    return session.scalar(found.limit(1)) is not None
