"""Who is working on what: leasing a batch, prolonging the lease, giving it back.

Each step is one guarded UPDATE and a look at what came back. A lease is a right for a time by the
database's own clock, fenced by an epoch: whoever holds an older epoch changes nothing any more.
What is sent of a batch, chunk by chunk, is in `chunk.py`.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Connection,
    DateTime,
    Integer,
    Row,
    Text,
    Update,
    and_,
    bindparam,
    case,
    column,
    func,
    or_,
    select,
    table,
    update,
)
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId, EditionId, State
from mailer.delivery.models import AttemptRow, BatchRow, DeliveryRow
from mailer.kit.database import database_now

campaign_table = table(
    "campaign",
    column("id", Integer),
    column("state", Text),
    column("stop_epoch", Integer),
    column("send_window", Text),
    column("canary_size", Integer),
    column("canary_started", Integer),
    column("canary_passed_at", DateTime),
)
"""What leases and fences ask of a campaign: it has to stand in the same statement as the batch."""

VOID = 1_000_000
"""Added to the epochs of open batches when no lease counts any more: no old one can match again.

More than any batch is ever leased: a relay that is away for a night costs some thousands.
"""

_campaign = campaign_table.c


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work one batch for a time."""

    campaign: CampaignId
    number: int
    edition: EditionId
    lane: str
    attempt: int  # which try of its people this is, from 1
    size: int  # positions 1 to size
    epoch: int
    worker: str
    stop_epoch: int  # of the campaign when it was leased
    until: datetime  # by the database's clock
    deaths: int = 0  # leases before this one that were lost by the death of their worker
    zone: str = ""  # its people's clock
    send_window: str = ""  # of the campaign, by that clock
    canary: bool = False  # only some may go before the campaign's canary has passed
    relay: str = ""  # that took its last chunk, before this lease
    resend: bool = False  # its people stand in `resolution`: their letters surely did not leave

    @property
    def key(self) -> tuple[int, int]:
        """What names the batch."""
        return self.campaign, self.number


@dataclass(frozen=True, slots=True)
class Person:
    """One recipient of a chunk, as the tables know them now."""

    subscriber: int
    address: str
    name: str
    first_tried: datetime | None  # at the first deferral; None on the first try


@dataclass(frozen=True, slots=True)
class Chunk:
    """The people of one started chunk."""

    people: tuple[Person, ...]  # to be sent to
    unmailable: tuple[tuple[int, str], ...]  # subscriber, why not any more


def lease(  # what may be leased, and which comes first
    session: Session,
    worker: str,
    *,
    seconds: float,
    prefer: int | None = None,
    avoid: int = 0,
    shut_campaigns: Collection[int] = (),
    shut_lanes: Collection[str] = (),
    lanes_taken: Collection[str] = (),
    most_deaths: int | None = None,
) -> Lease | None:
    """Lease one due batch, or None where nothing is due.

    One of the campaign `prefer` comes first, one of `avoid` last: so campaigns take turns; within
    one, the most engaged. A batch whose lease ran out with every started chunk accounted for is
    free; one with a chunk open is in doubt and has to be settled first. Left out are the campaigns
    and lanes named, and batches that more than `most_deaths` workers died of.
    """
    now = database_now(session)
    turn = case((BatchRow.campaign_id == prefer, 0), (BatchRow.campaign_id == avoid, 2), else_=1)
    order = (turn, BatchRow.wave, BatchRow.not_before, BatchRow.campaign_id, BatchRow.number)
    free = _due(now, shut_campaigns, {*shut_lanes, *lanes_taken})
    if most_deaths is not None:
        free = (*free, BatchRow.deaths <= most_deaths)
    connection = session.connection()  # past the session, which would weigh what we only read
    found = connection.execute(
        select(
            BatchRow.campaign_id,
            BatchRow.number,
            _campaign.stop_epoch,
            _campaign.send_window,
            and_(~BatchRow.resend, _canary_out()).label("canary"),
        )
        .join(campaign_table, _campaign.id == BatchRow.campaign_id)
        .where(*free)
        .order_by(*order)
        .limit(1)
        .with_for_update(of=BatchRow, skip_locked=True)
    ).one_or_none()
    return None if found is None else _taken(connection, found, worker, now, seconds)


def due(
    session: Session, *, shut_campaigns: Collection[int] = (), shut_lanes: Collection[str] = ()
) -> tuple[CampaignId, ...]:
    """Campaigns with a batch that anybody could lease now; but those, and lanes, that are shut."""
    found = (
        select(BatchRow.campaign_id)
        .join(campaign_table, _campaign.id == BatchRow.campaign_id)
        .where(*_due(database_now(session), shut_campaigns, shut_lanes))
        .distinct()
        .order_by(BatchRow.campaign_id)
    )
    return tuple(CampaignId(identity) for identity in session.scalars(found))


def lanes(session: Session) -> tuple[str, ...]:
    """The lanes of all batches that anybody could lease now."""
    found = select(BatchRow.lane).where(*_free(database_now(session))).distinct()
    return tuple(session.scalars(found.order_by(BatchRow.lane)))


def stopped(session: Session) -> tuple[CampaignId, ...]:
    """Cancelled campaigns that still have an open batch."""
    found = (
        select(BatchRow.campaign_id)
        .join(campaign_table, _campaign.id == BatchRow.campaign_id)
        .where(BatchRow.state == "open", _campaign.state == State.CANCELLED)
        .distinct()
        .order_by(BatchRow.campaign_id)
    )
    return tuple(CampaignId(identity) for identity in session.scalars(found))


def withdrawn(session: Session, leases: Iterable[Lease]) -> list[Lease]:
    """Those of these leases whose campaign was paused, resumed or cancelled since: in one look."""
    some = tuple(leases)
    found = select(_campaign.id, _campaign.state, _campaign.stop_epoch).where(
        _campaign.id.in_(sorted({held.campaign for held in some}))
    )
    standing = {row.id: (row.state, row.stop_epoch) for row in session.execute(found)}
    return [held for held in some if standing.get(held.campaign) not in _standing(held)]


def extend(
    session: Session, leases: Sequence[Lease], *, seconds: float
) -> frozenset[tuple[int, int, int]]:
    """Prolong leases; campaign, number and epoch of those that are still ours."""
    until = database_now(session) + timedelta(seconds=seconds)
    prolonged = fenced().values(lease_until=until).returning(BatchRow.number)
    return frozenset(
        (*held.key, held.epoch)
        for held in leases
        if session.execute(prolonged, fence_values(held)).one_or_none() is not None
    )


def account(session: Session, held: Lease, *, flushed: int, done: bool) -> bool:
    """Record that everybody in the first `flushed` chunks has a row; False: not our lease."""
    statement = _finish() if done else _account()
    values = {"flushed": flushed, **fence_values(held)}
    return session.connection().execute(statement, values).one_or_none() is not None


def release(
    session: Session,
    held: Lease,
    *,
    wait: float = 0,
    not_before: datetime | None = None,
    reason: str = "",
) -> bool:
    """Give a batch back, everybody in it accounted for or surely unsent; False: not our lease.

    `wait`: seconds until somebody may lease it again; or `not_before`, the moment.
    """
    values: dict[str, Any] = {
        "epoch": BatchRow.epoch + 1,
        "worker": None,
        "lease_until": None,
        "chunks_started": 0,
        "chunks_flushed": 0,
        "started_to": 0,
        "reason": reason,
    }
    if not_before is not None:
        values["not_before"] = not_before
    elif wait:
        values["not_before"] = database_now(session) + timedelta(seconds=wait)
    given = fenced().values(**values).returning(BatchRow.number)
    ours = session.execute(given, fence_values(held)).one_or_none() is not None
    if ours and held.canary:
        recount_canary(session, held.campaign)
    return ours


def recount_canary(session: Session, campaign: CampaignId) -> None:
    """Count anew who of a canary has begun; people a batch was given back with have not."""
    waiting = select(_campaign.id).where(_campaign.id == campaign, _canary_waits())
    if session.scalar(waiting.with_for_update()) is None:
        return
    settled = select(func.count()).where(
        DeliveryRow.campaign_id == campaign, DeliveryRow.outcome != "skipped"
    )
    mine = (DeliveryRow.campaign_id == campaign, DeliveryRow.subscriber_id)
    has_row = select(mine[1]).where(mine[0], mine[1] == AttemptRow.subscriber_id)
    tried = select(func.count(AttemptRow.subscriber_id.distinct())).where(
        AttemptRow.campaign_id == campaign, ~has_row.exists()
    )
    on_the_way = select(func.coalesce(func.sum(BatchRow.started_to), 0)).where(
        BatchRow.campaign_id == campaign,
        BatchRow.state == "open",
        BatchRow.chunks_started > BatchRow.chunks_flushed,
    )
    begun = sum(session.scalar(part) or 0 for part in (settled, tried, on_the_way))
    counted = update(campaign_table).where(_campaign.id == campaign)
    session.execute(counted.values(canary_started=begun))


def is_open(session: Session, campaign: CampaignId) -> bool:
    """Whether a batch of the campaign is not done; what is sent again keeps none open."""
    mine = (BatchRow.campaign_id == campaign, BatchRow.state == "open", ~BatchRow.resend)
    return session.scalar(select(BatchRow.number).where(*mine).limit(1)) is not None


def fenced() -> Update:
    """An UPDATE of a batch that changes nothing but under the lease of `fence_values`."""
    return update(BatchRow).where(
        BatchRow.campaign_id == bindparam("c"),
        BatchRow.number == bindparam("b"),
        BatchRow.epoch == bindparam("e"),
        BatchRow.worker == bindparam("w"),
        BatchRow.state == "open",
    )


def fence_values(held: Lease) -> dict[str, Any]:
    """The lease, for `fenced`."""
    return {"c": held.campaign, "b": held.number, "e": held.epoch, "w": held.worker}


def may_send() -> Any:
    """Whether the batch's campaign is sending, or finished where this sends a letter again."""
    again = and_(_campaign.state == State.FINISHED, BatchRow.resend)
    return or_(_campaign.state == State.SENDING, again)


def _taken(
    connection: Connection, found: Row[Any], worker: str, now: datetime, seconds: float
) -> Lease:
    """Lease the batch that was found and is locked."""
    until = now + timedelta(seconds=seconds)
    row = connection.execute(
        update(BatchRow)
        .where(BatchRow.campaign_id == found.campaign_id, BatchRow.number == found.number)
        .values(
            epoch=BatchRow.epoch + 1,
            worker=worker,
            lease_until=until,
            chunks_started=0,
            chunks_flushed=0,
            started_to=0,
            deaths=BatchRow.deaths + case((BatchRow.worker.is_(None), 0), else_=1),
            reason="",
        )
        .returning(
            BatchRow.edition_id,
            BatchRow.lane,
            BatchRow.attempt,
            BatchRow.size,
            BatchRow.epoch,
            BatchRow.deaths,
            BatchRow.zone,
            BatchRow.resend,
        )
    ).one()
    return Lease(
        CampaignId(found.campaign_id),
        found.number,
        EditionId(row.edition_id),
        row.lane,
        row.attempt,
        row.size,
        row.epoch,
        worker=worker,
        stop_epoch=found.stop_epoch,
        until=until,
        deaths=row.deaths,
        zone=row.zone,
        send_window=found.send_window,
        canary=bool(found.canary),
        resend=row.resend,
    )


def _standing(held: Lease) -> list[tuple[str, int]]:
    """How its campaign may stand, for a lease to hold."""
    states = [State.SENDING, State.FINISHED] if held.resend else [State.SENDING]
    return [(state, held.stop_epoch) for state in states]


def _canary_out() -> Any:
    return and_(_campaign.canary_size > 0, _campaign.canary_passed_at.is_(None))


def _canary_waits() -> Any:
    return and_(_canary_out(), _campaign.canary_started > 0)


def _due(now: datetime, shut_campaigns: Collection[int], shut_lanes: Collection[str]) -> Any:
    room = or_(~_canary_out(), _campaign.canary_started < _campaign.canary_size)
    found = (*_free(now), may_send(), or_(BatchRow.resend, room))
    if shut_campaigns:
        found = (*found, BatchRow.campaign_id.not_in(sorted(shut_campaigns)))
    if shut_lanes:
        found = (*found, BatchRow.lane.not_in(sorted(shut_lanes)))
    return found


def _free(now: datetime) -> tuple[Any, ...]:
    return (
        BatchRow.state == "open",
        BatchRow.not_before <= now,
        or_(BatchRow.lease_until.is_(None), BatchRow.lease_until < now),
        BatchRow.chunks_started == BatchRow.chunks_flushed,
    )


# The statements of the hot path are built once: building takes longer than running them.


@lru_cache
def _account() -> Any:
    return fenced().values(chunks_flushed=bindparam("flushed")).returning(BatchRow.number)


@lru_cache
def _finish() -> Any:
    values = {"state": "done", "worker": None, "lease_until": None}
    done = fenced().values(chunks_flushed=bindparam("flushed"), **values)
    return done.returning(BatchRow.number)
