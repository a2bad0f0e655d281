"""Who comes first at the freeze: lanes and clocks of people, the most engaged, batches in waves.

The first batches of all editions, lanes and clocks are wave 0, the second ones wave 1, and so on:
everywhere those who read us most get their letters first, and providers see theirs first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    case,
    func,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId
from mailer.delivery.lanes import Lanes
from mailer.delivery.models import AudienceRow, BatchRow, MailDomainRow
from mailer.delivery.plan import Plan
from mailer.delivery.windows import alike
from subscribers import queries as subscribers
from subscribers.provider import OTHER


@dataclass(frozen=True, slots=True)
class Sorting:
    """What tells people apart, and who of them comes first."""

    lanes: Lanes = field(default_factory=lambda: Lanes.of(Plan()))
    zones: Mapping[str, str] = field(default_factory=dict)  # time zone -> one of the same clock
    engaged_since: datetime | None = None  # what was done earlier does not count; None: nothing


def zones(session: Session, now: datetime, *, default: str) -> dict[str, str]:
    """The time zones that people have, each with one whose clock shows the same."""
    clocks = subscribers.clocks().subquery()
    return alike(session.scalars(select(clocks.c.timezone).distinct()), now, default=default)


def sort(people: Select[Any], sorting: Sorting) -> Select[Any]:
    """Add to people what they are sorted by: lane, zone, clicked_at, opened_at.

    `people` has the columns subscriber_id, domain and excluded; who is left out has neither lane
    nor zone.
    """
    one = people.subquery("assigned")
    columns: list[ColumnElement[Any]] = [c for c in one.c if c.name != "domain"]
    joins: list[tuple[Subquery, ColumnElement[bool]]] = []
    hosted = None
    if sorting.lanes.hosts:
        hosts = _hosted(sorting.lanes)
        joins.append((hosts, hosts.c.domain == one.c.domain))
        hosted = hosts.c.lane
    inside = one.c.excluded.is_(None)
    columns.append(case((inside, _lane(one.c.domain, sorting.lanes, hosted))).label("lane"))
    if sorting.zones:
        clocks = subscribers.clocks().subquery("clock")
        joins.append((clocks, clocks.c.id == one.c.subscriber_id))
        columns.append(case((inside, _clock(clocks.c.timezone, sorting.zones))).label("zone"))
    if sorting.engaged_since is not None:
        acts = subscribers.last_acts(sorting.engaged_since).subquery("acts")
        joins.append((acts, acts.c.subscriber_id == one.c.subscriber_id))
        columns += [acts.c.clicked_at, acts.c.opened_at]
    found = select(*columns).select_from(one)
    for table, on in joins:
        found = found.outerjoin(table, on)
    return found


def roll(
    session: Session,
    campaign: CampaignId,
    zones: Mapping[str, str],
    opens: Callable[[str], datetime | None],
) -> None:
    """Give a campaign's batches their waves, and clock and moment where hours of the day count.

    `opens` says from when mail may go to people of a zone; None is now already.
    """
    mine = BatchRow.campaign_id == campaign
    if zones:
        session.execute(update(BatchRow).where(mine).values(zone=_of_the_first(zones)))
        for zone in session.scalars(select(BatchRow.zone).where(mine).distinct()).all():
            moment = opens(zone)
            if moment is not None:
                waiting = update(BatchRow).where(mine, BatchRow.zone == zone)
                session.execute(waiting.values(not_before=moment))
    group = (BatchRow.edition_id, BatchRow.lane, BatchRow.zone)
    place = func.row_number().over(partition_by=group, order_by=BatchRow.number)
    placed = select(BatchRow.number.label("number"), place.label("place")).where(mine).subquery()
    numbered = update(BatchRow).where(mine, BatchRow.number == placed.c.number)
    session.execute(
        numbered.values(wave=placed.c.place - 1), execution_options={"synchronize_session": False}
    )


def _lane(
    domain: ColumnElement[str], lanes: Lanes, hosted: ColumnElement[Any] | None
) -> ColumnElement[Any]:
    named = [(func.lower(domain).in_(names), name) for name, names in lanes.domains.items()]
    return case(*named, else_=OTHER if hosted is None else func.coalesce(hosted, OTHER))


def _hosted(lanes: Lanes) -> Subquery:
    """The domains whose mail goes to a provider's hosts: domain, lane."""
    host = MailDomainRow.mx
    known = [
        (or_(host == ending, host.endswith(f".{ending}", autoescape=True)), name)
        for ending, name in lanes.endings
    ]
    found = select(MailDomainRow.domain, case(*known, else_=null()).label("lane")).where(host != "")
    return found.subquery("hosted")


def _clock(timezone: ColumnElement[str], zones: Mapping[str, str]) -> ColumnElement[str]:
    """The zone that stands for all of the same clock."""
    same: dict[str, list[str]] = {}
    for zone, stands_for_all in zones.items():
        same.setdefault(stands_for_all, []).append(zone)
    named = [(timezone.in_(members), name) for name, members in same.items() if name]
    return case(*named, else_="") if named else literal("")


def _of_the_first(zones: Mapping[str, str]) -> Any:
    """The zone of a batch: its first member's, since all have the same."""
    clocks = subscribers.clocks().subquery("clock")
    return (
        select(_clock(clocks.c.timezone, zones))
        .select_from(AudienceRow)
        .join(clocks, clocks.c.id == AudienceRow.subscriber_id)
        .where(
            AudienceRow.campaign_id == BatchRow.campaign_id,
            AudienceRow.batch == BatchRow.number,
            AudienceRow.position == 1,
        )
        .scalar_subquery()
    )
