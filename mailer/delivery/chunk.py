"""Starting a chunk of a batch, and who stands in it.

A chunk is started in the same transaction that reads its people, before the first of them is sent
anything; so the database always knows the most that can have left the house. The fence asks in
one statement whether the lease is ours, the campaign is sending and no brake is on.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import (
    Interval,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session, aliased

from mailer.delivery.batch import (
    Chunk,
    Lease,
    Person,
    campaign_table,
    fence_values,
    fenced,
    may_send,
)
from mailer.delivery.models import AttemptRow, AudienceRow, BatchRow, BrakeRow, DeliveryRow
from mailer.delivery.models import ResolutionRow as Resolution
from mailer.kit.database import Moment, database_now
from subscribers import queries as subscribers

_Kind = Literal["first", "later", "resend"]
_NOBODY = 0  # no brake has this number
_campaign = campaign_table.c

# One look-up per person by key, whatever the statistics say: of a `delivery` that was empty just
# now they say little, and to read all of it for every chunk would be a day's work for a million.
_BY_KEY = text(
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off;"
    "SET LOCAL enable_mergejoin = off; SET LOCAL enable_bitmapscan = off"
)


def start(  # what the fence asks
    session: Session,
    held: Lease,
    number: int,
    to: int,
    *,
    flushed: int,
    seconds: float,
    relay: str = "",
    probes: Sequence[int] = (),
) -> bool:
    """Put on record that the people up to position `to` may be sent to now; whether they may.

    False where the lease is no longer ours, the campaign was stopped or a brake is on that is none
    of `probes` (at most two): then nothing is sent. Saying it again after a commit of unknown
    outcome is harmless.
    """
    first, second = (*probes, _NOBODY, _NOBODY)[:2]
    values = {
        "chunk": number,
        "to": to,
        "flushed": flushed,
        "stop": held.stop_epoch,
        "by": relay,
        "probe1": first,
        "probe2": second,
        **fence_values(held),
    }
    length = timedelta(seconds=seconds)
    connection = session.connection()  # past the session: rows are all we want, 200 times a second
    asks = connection.dialect.name == "sqlite"
    values["until" if asks else "length"] = database_now(session) + length if asks else length
    return connection.execute(_start(told=asks), values).one_or_none() is not None


def reached(session: Session, held: Lease, number: int) -> int | None:
    """The position a chunk reaches that is on record already: where a commit's end is unknown."""
    mine = (BatchRow.campaign_id == held.campaign, BatchRow.number == held.number)
    ours = (BatchRow.epoch == held.epoch, BatchRow.worker == held.worker)
    started = BatchRow.chunks_started == number
    return session.scalar(select(BatchRow.started_to).where(*mine, *ours, started))


def people(
    session: Session, held: Lease, segments: tuple[str, ...], after: int, to: int, *, now: datetime
) -> Chunk:
    """Everybody at positions after `after` up to `to` who has no result of this try yet.

    `segments` are the campaign's: who follows none of them any more, or has paused, is not mailed.
    """
    _look_up_by_key(session)
    read = _read(kind=_kind(held), segments=segments)
    rows = session.connection().execute(read, {**_stretch(held, after, to), "now": now})
    mailable, unmailable = [], []
    for subscriber, address, name, why, first_tried in rows:
        if why is None and address:
            mailable.append(Person(subscriber, address, name or "", first_tried))
        else:
            unmailable.append((subscriber, why or "erased"))
    return Chunk(tuple(mailable), tuple(unmailable))


def unmailable(
    session: Session, people: Collection[int], segments: tuple[str, ...], *, now: datetime
) -> dict[int, str]:
    """Who of these may not be mailed any more, and why: subscriber -> reason. A read."""
    _look_up_by_key(session)
    moment = literal(now, Moment())
    person = subscribers.recipients(segments, now=moment).subquery("recipient")
    rows = select(person.c.id, person.c.address, person.c.unmailable)
    found = dict.fromkeys(people, "erased")
    for subscriber, address, why in session.execute(rows.where(person.c.id.in_(sorted(people)))):
        if why is None and address:
            del found[subscriber]
        elif why:
            found[subscriber] = why
    return found


def started_without_result(session: Session, held: Lease) -> dict[int, datetime | None]:
    """Everybody in a started chunk of this lease who has no row, with their first try before."""
    to = session.scalar(
        select(BatchRow.started_to).where(
            BatchRow.campaign_id == held.campaign, BatchRow.number == held.number
        )
    )
    rows = session.execute(_members(kind=_kind(held)), _stretch(held, 0, to or 0))
    return {row[0]: row[2] for row in rows}


def canary_room(session: Session, held: Lease) -> int | None:
    """How many more people may begin before the canary has passed; None: as many as there are.

    Nobody else of the campaign begins until the transaction ends.
    """
    found = session.execute(
        select(_campaign.canary_size, _campaign.canary_started, _campaign.canary_passed_at)
        .where(_campaign.id == held.campaign)
        .with_for_update()
    ).one()
    if found.canary_passed_at is not None:
        return None
    return max(0, int(found.canary_size - found.canary_started))


def count_canary(session: Session, held: Lease, people: int) -> None:
    """Note that so many more people of the canary begin, in the transaction of `canary_room`."""
    more = update(campaign_table).where(_campaign.id == held.campaign)
    session.execute(more.values(canary_started=_campaign.canary_started + people))


def _kind(held: Lease) -> _Kind:
    if held.resend:
        return "resend"
    return "first" if held.attempt == 1 else "later"


def _look_up_by_key(session: Session) -> None:
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_BY_KEY)


def _stretch(held: Lease, after: int, to: int) -> dict[str, Any]:
    return {"c": held.campaign, "b": held.number, "after": after, "to": to, "n": held.attempt}


# The statements of the hot path are built once: building takes longer than running them.


@lru_cache
def _start(*, told: bool) -> Any:
    """`told`: the end of the lease comes as `until`; else the database adds `length` to its now."""
    until: Any = bindparam("until", type_=Moment())
    if not told:
        until = func.now() + bindparam("length", type_=Interval())
    stopped = _campaign.stop_epoch != bindparam("stop")
    sending = select(_campaign.id).where(_campaign.id == BatchRow.campaign_id, may_send(), ~stopped)
    braked = select(BrakeRow.id).where(
        BrakeRow.off_at.is_(None),
        or_(
            BrakeRow.scope == "all",
            and_(BrakeRow.scope == "lane", BrakeRow.name == BatchRow.lane),
            and_(BrakeRow.scope == "relay", BrakeRow.name == bindparam("by")),
        ),
        BrakeRow.id != bindparam("probe1"),
        BrakeRow.id != bindparam("probe2"),
    )
    return (
        fenced()
        .where(sending.exists(), ~braked.exists())
        .values(
            chunks_started=bindparam("chunk"),
            chunks_flushed=bindparam("flushed"),
            started_to=bindparam("to"),
            lease_until=until,
            relay=bindparam("by"),
        )
        .returning(BatchRow.number)
    )


@lru_cache
def _members(*, kind: _Kind) -> Select[Any]:
    """Subscriber, position and first try of those in a stretch who have no result of this try.

    On the first try they stand in `audience`, later in the `attempt` rows that put them here; who
    is sent to again stands in `resolution`, and has a result of it when a further row follows.
    """
    if kind == "resend":
        return _sent_again()
    if kind == "first":
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
    found = select(place.subscriber_id, place.position, tried.label("first_tried"))
    return _in_stretch(found, place).where(mine, settled.is_(None), deferred.is_(None))


def _sent_again() -> Select[Any]:
    further, first = aliased(Resolution), aliased(Resolution)
    settled = (
        select(further.subscriber_id)
        .where(
            further.campaign_id == Resolution.campaign_id,
            further.subscriber_id == Resolution.subscriber_id,
            further.number > Resolution.number,
        )
        .limit(1)
        .scalar_subquery()
    )
    tried = (
        select(func.min(first.at))
        .where(
            first.campaign_id == Resolution.campaign_id,
            first.subscriber_id == Resolution.subscriber_id,
            first.outcome == "resend",
        )
        .scalar_subquery()
    )
    found: Any = select(Resolution.subscriber_id, Resolution.position, tried.label("first_tried"))
    again = Resolution.outcome == "resend"
    return _in_stretch(found, Resolution).where(again, settled.is_(None))


def _in_stretch(found: Select[Any], place: Any) -> Select[Any]:
    return found.where(
        place.campaign_id == bindparam("c"),
        place.batch == bindparam("b"),
        place.position > bindparam("after"),
        place.position <= bindparam("to"),
    ).order_by(place.position)


@lru_cache
def _read(*, kind: _Kind, segments: tuple[str, ...]) -> Select[Any]:
    member = _members(kind=kind).subquery("member")
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
