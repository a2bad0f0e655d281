"""Who is working on what: leasing a batch, starting its chunks, giving it back.

Each step is one guarded UPDATE and a look at what came back. A lease is a right for a time by the
database's own clock, fenced by an epoch: whoever holds an older epoch changes nothing any more.
A chunk is started in the same transaction that reads its people, before the first of them is sent
anything; so the database always knows the most that can have left the house.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Integer,
    Select,
    Text,
    Update,
    bindparam,
    case,
    column,
    literal,
    or_,
    select,
    table,
    text,
    update,
)
from sqlalchemy.orm import Session, aliased

from mailer.campaigns.campaign import CampaignId, EditionId, State
from mailer.delivery.models import AttemptRow, AudienceRow, BatchRow, DeliveryRow
from mailer.kit.database import Moment, database_now
from subscribers import queries as subscribers

# One look-up per person by key, whatever the statistics say: of a `delivery` that was empty just
# now they say little, and to read all of it for every chunk would be a day's work for a million.
_BY_KEY = text(
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off;"
    "SET LOCAL enable_mergejoin = off; SET LOCAL enable_bitmapscan = off"
)

# Part of the fence, so it has to stand in the same statement as the batch.
_campaign = table(
    "campaign", column("id", Integer), column("state", Text), column("stop_epoch", Integer)
)


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


def lease(
    session: Session, worker: str, *, seconds: float, prefer: int | None = None, avoid: int = 0
) -> Lease | None:
    """Lease one due batch of any sending campaign, or None where nothing is due.

    One of the campaign `prefer` comes first, one of `avoid` last: so campaigns take turns. A batch
    whose lease ran out with every started chunk accounted for is free; one with a chunk open is in
    doubt and has to be settled first.
    """
    now = database_now(session)
    turn = case((BatchRow.campaign_id == prefer, 0), (BatchRow.campaign_id == avoid, 2), else_=1)
    found = session.execute(
        select(BatchRow.campaign_id, BatchRow.number, _campaign.c.stop_epoch)
        .join(_campaign, _campaign.c.id == BatchRow.campaign_id)
        .where(*_free(now), _campaign.c.state == State.SENDING)
        .order_by(turn, BatchRow.not_before, BatchRow.campaign_id, BatchRow.number)
        .limit(1)
        .with_for_update(of=BatchRow, skip_locked=True)
    ).one_or_none()
    if found is None:
        return None
    until = now + timedelta(seconds=seconds)
    row = session.execute(
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
            BatchRow.campaign_id,
            BatchRow.number,
            BatchRow.edition_id,
            BatchRow.lane,
            BatchRow.attempt,
            BatchRow.size,
            BatchRow.epoch,
        )
    ).one()
    return Lease(
        CampaignId(row.campaign_id),
        row.number,
        EditionId(row.edition_id),
        row.lane,
        row.attempt,
        row.size,
        row.epoch,
        worker=worker,
        stop_epoch=found.stop_epoch,
        until=until,
    )


def due(session: Session) -> tuple[CampaignId, ...]:
    """Sending campaigns with a batch that anybody could lease now."""
    found = (
        select(BatchRow.campaign_id)
        .join(_campaign, _campaign.c.id == BatchRow.campaign_id)
        .where(*_free(database_now(session)), _campaign.c.state == State.SENDING)
        .distinct()
        .order_by(BatchRow.campaign_id)
    )
    return tuple(CampaignId(identity) for identity in session.scalars(found))


def stopped(session: Session) -> tuple[CampaignId, ...]:
    """Cancelled campaigns that still have an open batch."""
    found = (
        select(BatchRow.campaign_id)
        .join(_campaign, _campaign.c.id == BatchRow.campaign_id)
        .where(BatchRow.state == "open", _campaign.c.state == State.CANCELLED)
        .distinct()
        .order_by(BatchRow.campaign_id)
    )
    return tuple(CampaignId(identity) for identity in session.scalars(found))


def extend(
    session: Session, leases: Sequence[Lease], *, seconds: float
) -> frozenset[tuple[int, int, int]]:
    """Prolong leases; campaign, number and epoch of those that are still ours."""
    until = database_now(session) + timedelta(seconds=seconds)
    prolonged = _fenced().values(lease_until=until).returning(BatchRow.number)
    return frozenset(
        (*held.key, held.epoch)
        for held in leases
        if session.execute(prolonged, _fence_values(held)).one_or_none() is not None
    )


def start_chunk(
    session: Session, held: Lease, chunk: int, to: int, *, flushed: int, seconds: float
) -> bool:
    """Put on record that the people up to position `to` may be sent to now; whether they may.

    False where the lease is no longer ours or the campaign was stopped: then nothing is sent.
    Saying it again after a commit of unknown outcome is harmless.
    """
    values = {
        "chunk": chunk,
        "to": to,
        "flushed": flushed,
        "until": database_now(session) + timedelta(seconds=seconds),
        "stop": held.stop_epoch,
        **_fence_values(held),
    }
    return session.execute(_start(), values).one_or_none() is not None


def account(session: Session, held: Lease, *, flushed: int, done: bool) -> bool:
    """Record that everybody in the first `flushed` chunks has a row; False: not our lease."""
    statement = _finish() if done else _account()
    values = {"flushed": flushed, **_fence_values(held)}
    return session.execute(statement, values).one_or_none() is not None


def release(session: Session, held: Lease, *, wait: float = 0, reason: str = "") -> bool:
    """Give a batch back, everybody in it accounted for or surely unsent; False: not our lease.

    `wait`: seconds until somebody may lease it again.
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
    if wait:
        values["not_before"] = database_now(session) + timedelta(seconds=wait)
    given = _fenced().values(**values).returning(BatchRow.number)
    return session.execute(given, _fence_values(held)).one_or_none() is not None


def people(
    session: Session, held: Lease, segments: tuple[str, ...], after: int, to: int, *, now: datetime
) -> Chunk:
    """Everybody at positions after `after` up to `to` who has no result of this try yet.

    `segments` are the campaign's: who follows none of them any more, or has paused, is not mailed.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_BY_KEY)
    read = _read(first_try=held.attempt == 1, segments=segments)
    rows = session.execute(read, {**_stretch(held, after, to), "now": now})
    mailable, unmailable = [], []
    for subscriber, address, name, why, first_tried in rows:
        if why is None and address:
            mailable.append(Person(subscriber, address, name or "", first_tried))
        else:
            unmailable.append((subscriber, why or "erased"))
    return Chunk(tuple(mailable), tuple(unmailable))


def started_without_result(session: Session, held: Lease) -> dict[int, datetime | None]:
    """Everybody in a started chunk of this lease who has no row, with their first try before."""
    to = session.scalar(
        select(BatchRow.started_to).where(
            BatchRow.campaign_id == held.campaign, BatchRow.number == held.number
        )
    )
    members = _members(first_try=held.attempt == 1)
    rows = session.execute(members, _stretch(held, 0, to or 0))
    return {row[0]: row[2] for row in rows}


def is_open(session: Session, campaign: CampaignId) -> bool:
    """Whether a batch of the campaign is not done."""
    some = select(BatchRow.number).where(BatchRow.campaign_id == campaign, BatchRow.state == "open")
    return session.scalar(some.limit(1)) is not None


def _free(now: datetime) -> tuple[Any, ...]:
    return (
        BatchRow.state == "open",
        BatchRow.not_before <= now,
        or_(BatchRow.lease_until.is_(None), BatchRow.lease_until < now),
        BatchRow.chunks_started == BatchRow.chunks_flushed,
    )


def _stretch(held: Lease, after: int, to: int) -> dict[str, Any]:
    return {"c": held.campaign, "b": held.number, "after": after, "to": to, "n": held.attempt}


def _fence_values(held: Lease) -> dict[str, Any]:
    return {"c": held.campaign, "b": held.number, "e": held.epoch, "w": held.worker}


def _fenced() -> Update:
    return update(BatchRow).where(
        BatchRow.campaign_id == bindparam("c"),
        BatchRow.number == bindparam("b"),
        BatchRow.epoch == bindparam("e"),
        BatchRow.worker == bindparam("w"),
        BatchRow.state == "open",
    )


# The statements of the hot path are built once: building takes longer than running them.


@lru_cache
def _start() -> Any:
    sending = (
        select(_campaign.c.id)
        .where(
            _campaign.c.id == BatchRow.campaign_id,
            _campaign.c.state == State.SENDING,
            _campaign.c.stop_epoch == bindparam("stop"),
        )
        .exists()
    )
    return (
        _fenced()
        .where(sending)
        .values(
            chunks_started=bindparam("chunk"),
            chunks_flushed=bindparam("flushed"),
            started_to=bindparam("to"),
            lease_until=bindparam("until", type_=Moment()),
        )
        .returning(BatchRow.number)
    )


@lru_cache
def _account() -> Any:
    return _fenced().values(chunks_flushed=bindparam("flushed")).returning(BatchRow.number)


@lru_cache
def _finish() -> Any:
    values = {"state": "done", "worker": None, "lease_until": None}
    done = _fenced().values(chunks_flushed=bindparam("flushed"), **values)
    return done.returning(BatchRow.number)


@lru_cache
def _members(*, first_try: bool) -> Select[Any]:
    """Subscriber, position and first try of those in a stretch who have no result of this try.

    On the first try they stand in `audience`, later in the `attempt` rows that put them here.
    """
    if first_try:
        place: Any = AudienceRow
        tried: Any = literal(None, Moment())
        mine: Any = AudienceRow.excluded.is_(None)
    else:
        place, tried = AttemptRow, AttemptRow.first_tried
        mine = AttemptRow.number == bindparam("n") - 1
    # Not EXISTS, which PostgreSQL would turn into a join with the whole campaign: see _BY_KEY.
    settled = (
        select(DeliveryRow.subscriber_id)
        .where(
            DeliveryRow.campaign_id == place.campaign_id,
            DeliveryRow.subscriber_id == place.subscriber_id,
        )
        .scalar_subquery()
    )
    again = aliased(AttemptRow)
    deferred = (
        select(again.subscriber_id)
        .where(
            again.campaign_id == place.campaign_id,
            again.subscriber_id == place.subscriber_id,
            again.number == bindparam("n"),
        )
        .scalar_subquery()
    )
    return (
        select(place.subscriber_id, place.position, tried.label("first_tried"))
        .where(
            place.campaign_id == bindparam("c"),
            place.batch == bindparam("b"),
            place.position > bindparam("after"),
            place.position <= bindparam("to"),
            mine,
            settled.is_(None),
            deferred.is_(None),
        )
        .order_by(place.position)
    )


@lru_cache
def _read(*, first_try: bool, segments: tuple[str, ...]) -> Select[Any]:
    member = _members(first_try=first_try).subquery("member")
    now = bindparam("now", type_=Moment())
    person = subscribers.recipients(segments, now=now).subquery("recipient")
    return (
        select(
            member.c.subscriber_id,
            person.c.address,
            person.c.name,
            case((person.c.id.is_(None), "erased"), else_=person.c.unmailable),
            member.c.first_tried,
        )
        .outerjoin_from(member, person, person.c.id == member.c.subscriber_id)
        .order_by(member.c.position)
    )
