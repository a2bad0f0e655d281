"""The freeze: who gets which edition of a campaign, who does not and why, in which batch.

Set-based: one INSERT … SELECT over all candidates, however many. Batches are numbered through,
hold people of one edition and lane, and of one clock where hours of the day count, and are read
back by position. Within such a group the most engaged come first. Until the campaign is frozen its
audience may be thrown away and built again; afterwards triggers keep it as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Integer,
    Select,
    Subquery,
    and_,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    null,
    select,
    text,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import Campaign, CampaignId, EditionId
from mailer.delivery import waves
from mailer.delivery.lanes import Lanes
from mailer.delivery.models import AudienceRow, BatchRow
from mailer.delivery.pacing import hours
from mailer.delivery.plan import Plan
from mailer.delivery.waves import Sorting
from mailer.kit.errors import Conflict
from subscribers import actions as people_actions
from subscribers import queries as subscribers

DUPLICATE = "duplicate_address"
NOTHING = "nothing_to_read"
"""Follows a segment of the campaign, and the issue has no item for what they follow."""

Editions = Mapping[tuple[int, int], EditionId | None]
"""Set of segments (bits) and tracking level (bits) -> edition; None where it would be empty."""

_ENGAGED = timedelta(days=180)  # what somebody did longer ago says little about today
_SORT_MEMORY = "256MB"  # on PostgreSQL, for the one sort of a freeze: 1 M people spill otherwise
Candidates = Select[int, str, str, int, int, str | None]
"""What `subscribers.queries.candidates` gives."""

_LEVELS = 4  # tracking levels per set of segments: two bits


class EditionMissing(Conflict):
    """Somebody needs an edition that is not there: what people follow has changed meanwhile."""


class AudienceFrozen(Conflict):
    """The audience is frozen and never changes again."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """What a freeze found; `candidates == excluded + audience` has been checked."""

    candidates: int
    excluded: int
    audience: int
    batches: int


def freeze(
    session: Session,
    campaign: CampaignId,
    editions: Editions,
    *,
    now: datetime,
    batch_size: int = 1000,
    plan: Plan | None = None,
    zone: str = "UTC",
) -> Frozen:
    """Fix who the campaign is for; the caller starts it in the same transaction.

    `editions` says which edition serves whom; people it has nothing for are left out. `plan` gives
    lanes and quiet hours, `zone` is the clock of those who have not told us theirs. Whatever an
    interrupted freeze left behind is discarded first. Raises AudienceFrozen, or EditionMissing, in
    which case the transaction is to be rolled back. Notes with the people that they get this issue,
    where they do not want every one.
    """
    found = campaigns.campaign(session, campaign)
    if found.frozen_at is not None:
        raise AudienceFrozen
    discard(session, campaign)
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SET LOCAL work_mem = '{_SORT_MEMORY}'"))
        session.execute(text("SET LOCAL jit = off"))  # a second of compiling saves none of running
    plan = plan or Plan()
    when = hours(found.send_window, plan.quiet_hours)
    zones = waves.zones(session, now, default=zone) if when.windows else {}
    sorting = Sorting(Lanes.of(plan), zones, now - _ENGAGED)
    people = candidates(session, found, now=now)
    count = fill(session, campaign, people, editions, found.tracking, batch_size, sorting)
    frozen = _summed(session, campaign, count)
    _cut_batches(session, campaign, now)
    _check_batches(session, campaign, frozen)
    waves.roll(session, campaign, zones, lambda clock: when.opens(clock, now, default=zone))
    mailed = select(AudienceRow.subscriber_id).where(
        AudienceRow.campaign_id == campaign, AudienceRow.excluded.is_(None)
    )
    people_actions.note_mailed(session, found.issue, mailed, now)
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("ANALYZE audience"))  # or the first chunks are read by a bad plan
    return frozen


def candidates(session: Session, campaign: Campaign, *, now: datetime) -> Candidates:
    """Everybody in the campaign's segments, with the reason for who would be left out now."""
    return subscribers.candidates(
        session,
        campaign.segments,
        exclude=campaign.excluded_segments,
        issue=campaign.issue,
        now=now,
    )


def forecast(
    session: Session, campaign: CampaignId, subscriber: int, *, now: datetime
) -> tuple[int, str | None] | None:
    """Which of the segments (bits) one person is in now, and why they would be left out, if so.

    None for who is in none of them.
    """
    found = campaigns.campaign(session, campaign)
    one = candidates(session, found, now=now).subquery("candidate")
    row = session.execute(
        select(one.c.mask, one.c.excluded).where(one.c.subscriber_id == subscriber)
    ).one_or_none()
    return None if row is None else (row[0], row[1])


def discard(session: Session, campaign: CampaignId) -> None:
    """Throw away an audience that is not frozen; a trigger refuses it for one that is."""
    session.execute(delete(AudienceRow).where(AudienceRow.campaign_id == campaign))
    session.execute(delete(BatchRow).where(BatchRow.campaign_id == campaign))


def fill(
    session: Session,
    campaign: CampaignId,
    candidates: Candidates,
    editions: Editions,
    tracking: int,
    batch_size: int,
    sorting: Sorting | None = None,
) -> int:
    """Insert a row for every candidate; how many there were.

    Two candidates with one address are rare (the subscribers' own table forbids them) and looking
    for them costs a sort, so that is done only after the index has refused the plain way.
    """
    for deduplicated in (False, True):
        people = _assigned(candidates, editions, tracking, deduplicated=deduplicated)
        placed = _placed(waves.sort(people, sorting or Sorting()), batch_size)
        rows = insert(AudienceRow).from_select(
            [
                *("campaign_id", "subscriber_id", "address_key", "edition_id", "lane"),
                *("batch", "position", "excluded"),
            ],
            select(literal(campaign), *placed.subquery().c),
        )
        try:
            with session.begin_nested():
                done = session.execute(rows, execution_options={"preserve_rowcount": True})
                return int(done.rowcount)  # type: ignore[attr-defined]
        except IntegrityError:
            if deduplicated:
                raise
    raise AssertionError  # both ways return or raise


def _placed(people: Select[Any], batch_size: int) -> Select[Any]:
    """Every candidate with edition, lane, batch and position, or with a reason.

    One sort puts those of one edition, lane and clock together, the most engaged first. In it,
    `row_number - rank` is a person's place in the group, every `batch_size`-th of them begins a
    batch, and the number of beginnings so far is the batch's number.
    """
    one = people.subquery("people")
    group, order = _order(one)
    place = func.row_number().over(order_by=order) - func.rank().over(order_by=group)
    ranked = select(*one.c, place.label("place")).subquery("ranked")
    _, order = _order(ranked)
    begins = case((ranked.c.place % batch_size == 0, 1), else_=0)
    number = func.sum(begins).over(order_by=order, rows=(None, 0))
    inside = ranked.c.excluded.is_(None)
    return select(
        ranked.c.subscriber_id,
        ranked.c.address_key,
        ranked.c.edition,
        ranked.c.lane,
        case((inside, number), else_=null()).label("batch"),
        case((inside, ranked.c.place % batch_size + 1), else_=null()).label("position"),
        ranked.c.excluded,
    ).order_by(*order)


def _order(people: Subquery) -> tuple[list[Any], list[Any]]:
    """What makes a group, and the order of all: groups one by one, in each the warmest first."""
    columns = people.c
    group = [columns.excluded.is_not(None), columns.edition, columns.lane]
    group += [columns.zone] if "zone" in columns else []
    warmth = [
        columns[name].desc().nulls_last() for name in ("clicked_at", "opened_at") if name in columns
    ]
    return group, [*group, *warmth, columns.subscriber_id]


def _assigned(
    candidates: Candidates,
    editions: Editions,
    tracking: int,
    *,
    deduplicated: bool,
) -> Select[Any]:
    """Every candidate with edition and domain; excluded ones have no edition."""
    one = candidates.subquery("candidate")
    excluded: Any = one.c.excluded
    if deduplicated:
        twin = func.row_number().over(
            partition_by=one.c.address_key, order_by=(excluded.is_not(None), one.c.subscriber_id)
        )
        again = select(*one.c, twin.label("twin")).subquery("again")
        excluded = case(
            (and_(again.c.excluded.is_(None), again.c.twin > 1), DUPLICATE),
            else_=again.c.excluded,
        )
        one = again
    included = excluded.is_(None)
    wanted = one.c.mask * _LEVELS + one.c.tracking.bitwise_and(tracking)
    numbers = {m * _LEVELS + level: n for (m, level), n in editions.items() if n is not None}
    empty = [m * _LEVELS + level for (m, level), n in editions.items() if n is None]
    if empty:
        excluded = case((and_(excluded.is_(None), wanted.in_(empty)), NOTHING), else_=excluded)
        included = excluded.is_(None)
    edition = case(numbers, value=wanted) if numbers else cast(null(), Integer)
    return select(
        one.c.subscriber_id,
        one.c.address_key,
        case((included, edition), else_=null()).label("edition"),
        one.c.domain,
        excluded.label("excluded"),
    )


def _summed(session: Session, campaign: CampaignId, candidates: int) -> Frozen:
    mine = AudienceRow.campaign_id == campaign
    row = session.execute(
        select(
            func.count(AudienceRow.excluded),
            func.count(AudienceRow.batch),
            func.coalesce(func.max(AudienceRow.batch), 0),
            func.sum(
                case((and_(AudienceRow.excluded.is_(None), AudienceRow.edition_id.is_(None)), 1))
            ),
        ).where(mine)
    ).one()
    excluded, audience, batches, lacking = row
    if lacking:
        raise EditionMissing(f"{lacking} people need an edition that is not there; prepare again")
    if candidates != excluded + audience:
        raise ValueError(f"{candidates} candidates are not {excluded} excluded + {audience}")
    return Frozen(candidates, excluded, audience, batches)


def _cut_batches(session: Session, campaign: CampaignId, now: datetime) -> None:
    columns = (AudienceRow.batch, AudienceRow.edition_id, AudienceRow.lane)
    mine = and_(AudienceRow.campaign_id == campaign, AudienceRow.excluded.is_(None))
    rows = (
        select(
            literal(campaign),
            *columns,
            literal(now, BatchRow.not_before.type),
            func.max(AudienceRow.position),
        )
        .where(mine)
        .group_by(*columns)
    )
    names = ["campaign_id", "number", "edition_id", "lane", "not_before", "size"]
    session.execute(insert(BatchRow).from_select(names, rows))


def _check_batches(session: Session, campaign: CampaignId, frozen: Frozen) -> None:
    count, size = session.execute(
        select(func.count(), func.coalesce(func.sum(BatchRow.size), 0)).where(
            BatchRow.campaign_id == campaign
        )
    ).one()
    if (count, size) != (frozen.batches, frozen.audience):
        raise ValueError(f"{frozen} was cut into {count} batches of {size} people")
