"""What it amounted to: the only module that joins stages.

Live and exact: letters are counted from their rows, hits from counters that are kept in the
transaction that stores the events.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import Campaign, CampaignId, State
from mailer.campaigns.models import CampaignRow
from mailer.content import queries as content
from mailer.content.issue import Issue, IssueId
from mailer.delivery import sums
from mailer.delivery.models import AudienceRow
from mailer.rendering.edition import EditionLink, loads
from mailer.reports import measures
from mailer.reports.engagement import Carried
from mailer.reports.measures import Classes, Hits, Hour, Line, Mailing, Report
from mailer.reports.models import RollupRow
from mailer.tracking.event import Kind, link_key
from subscribers import queries as subscribers
from subscribers.subscriber import TRACKING

if TYPE_CHECKING:
    from datetime import datetime

_OFFERED = frozenset({"accepted", "refused", "uncertain"})  # who has one of these was tried
_Place = tuple[str, str, str]  # segment, item, link; "" for all of them


@dataclass(frozen=True, slots=True)
class _Sent:
    """One edition with its letters."""

    segments: tuple[str, ...]
    items: frozenset[str]
    links: Mapping[str, EditionLink]  # by link_key
    mailing: Mailing


def report(session: Session, campaign: CampaignId) -> Report:
    """What the campaign amounts to now. Raises CampaignNotFound."""
    found = campaigns.campaign(session, campaign)
    issue = campaigns.issue(session, found, now=found.created_at)
    sent = _sent(session, campaign, issue)
    counted = _counted(session, campaign)
    names = {each.key: each.name for each in subscribers.segments(session, archived=True)}
    whole = sum((edition.mailing for edition in sent), Mailing())
    total = _line("", "All", whole, counted["", "", ""])
    segments = []
    for key in found.segments:
        mailing = sum((one.mailing for one in sent if key in one.segments), Mailing())
        segments.append(_line(key, names.get(key, key), mailing, counted[key, "", ""]))
    return Report(
        campaign=found.id,
        name=found.name,
        subject=found.subject,
        state=found.state.value,
        started_at=found.started_at,
        finished_at=found.finished_at,
        tracking=TRACKING[found.tracking],
        total=total,
        segments=tuple(segments),
        items=tuple(_items(issue, sent, counted)),
        links=tuple(_links(issue, sent, counted)),
        hours=tuple(_hours(session, campaign)),
        notes=_notes(found),
    )


def segments_read(
    session: Session, pairs: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], tuple[str, ...]]:
    """The segments of the edition each of these recipients got, by campaign and subscriber."""
    grouped: dict[int, list[int]] = defaultdict(list)
    for campaign, subscriber in pairs:
        grouped[campaign].append(subscriber)
    found: dict[tuple[int, int], tuple[str, ...]] = {}
    for campaign, people in grouped.items():
        editions: dict[int | None, tuple[str, ...]] = {
            edition.id: edition.segments
            for edition in campaigns.editions(session, CampaignId(campaign))
        }
        for start in range(0, len(people), 500):
            rows = session.execute(
                select(AudienceRow.subscriber_id, AudienceRow.edition_id).where(
                    AudienceRow.campaign_id == campaign,
                    AudienceRow.subscriber_id.in_(people[start : start + 500]),
                    AudienceRow.edition_id.is_not(None),
                )
            )
            found |= {(campaign, row[0]): editions[row[1]] for row in rows}
    return found


def carried(session: Session, campaigns_: Iterable[int]) -> dict[int, Carried]:
    """What these campaigns carried, and the other campaigns of the same issues, by campaign."""
    issues = select(CampaignRow.issue_id).where(CampaignRow.id.in_(set(campaigns_)))
    rows = session.execute(
        select(CampaignRow.id, CampaignRow.issue_id, CampaignRow.issue_revision)
        .where(CampaignRow.issue_id.in_(issues))
        .order_by(CampaignRow.id)
    ).all()
    numbers = {each.key: int(each.id) for each in subscribers.segments(session, archived=True)}
    read: dict[tuple[int, int], dict[str, tuple[int, ...]]] = {}
    for _, issue, revision in rows:
        if (issue, revision) not in read:
            document = content.revision(session, IssueId(issue), revision)
            read[issue, revision] = dict(_meant(document, numbers))
    return {row[0]: Carried(row[1], read[row[1], row[2]]) for row in rows}


def _meant(issue: Issue, numbers: Mapping[str, int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Items that are for some segments only, those inside others too, with the segments' ids."""
    for section in issue.sections:
        for item in section.items:
            outer = item.segments or section.segments
            for part in item.walk():
                ids = tuple(numbers[key] for key in part.segments or outer if key in numbers)
                if ids:
                    yield part.id, ids


def _sent(session: Session, campaign: CampaignId, issue: Issue) -> list[_Sent]:
    mailings = _mailings(session, campaign)
    found = []
    for stored in campaigns.editions(session, campaign):
        read = issue.for_segments(stored.segments).items
        links = {
            link_key(link.item, link.slot, link.url): link
            for link in loads(stored.artifact).links
            if link.tracked
        }
        items = frozenset(part.id for item in read for part in item.walk())
        mailing = measures.visible(mailings[stored.id], stored.tracking)
        found.append(_Sent(stored.segments, items, links, mailing))
    return found


def _mailings(session: Session, campaign: CampaignId) -> Mapping[int, Mailing]:
    """What became of the letters, edition by edition."""
    found: dict[int, Mailing] = defaultdict(Mailing)
    for part in sums.parts(session, campaign):
        if part.outcome:
            offered = part.people if part.outcome in _OFFERED else part.put_off
            became = {part.outcome: part.people}
        else:
            offered = part.put_off
            became = {"deferred": part.put_off, "waiting": part.people - part.put_off}
        found[part.edition] += Mailing(
            audience=part.people, sent=offered, put_off=part.put_off, **became
        )
    return found


def _counted(session: Session, campaign: CampaignId) -> Mapping[_Place, Mapping[str, Classes]]:
    """Hits by place and measure, over all hours."""
    rows = session.execute(
        select(
            RollupRow.segment,
            RollupRow.item,
            RollupRow.link,
            RollupRow.measure,
            RollupRow.verdict,
            func.sum(RollupRow.hits),
            func.sum(RollupRow.people),
        )
        .where(RollupRow.campaign_id == campaign)
        .group_by(*_PLACE, RollupRow.measure, RollupRow.verdict)
    )
    found: dict[_Place, dict[str, dict[str, Hits]]] = defaultdict(lambda: defaultdict(dict))
    for segment, item, link, measure, verdict, hits, people in rows:
        found[segment, item, link][measure][verdict] = Hits(int(hits), int(people))
    none: Mapping[str, Classes] = defaultdict(Classes)
    return defaultdict(
        lambda: none,
        {
            place: defaultdict(Classes, {m: Classes(**by) for m, by in of.items()})
            for place, of in found.items()
        },
    )


_PLACE: tuple[ColumnElement[str], ...] = (
    RollupRow.__table__.c.segment,
    RollupRow.__table__.c.item,
    RollupRow.__table__.c.link,
)


def _hours(session: Session, campaign: CampaignId) -> Iterator[Hour]:
    """The whole campaign hour by hour, without the hours when nothing came."""
    rows = session.execute(
        select(
            RollupRow.hour, RollupRow.measure, RollupRow.verdict, RollupRow.hits, RollupRow.people
        )
        .where(RollupRow.campaign_id == campaign, *(column == "" for column in _PLACE))
        .where(RollupRow.measure != Kind.UNSUBSCRIBE.value)
        .order_by(RollupRow.hour)
    )
    found: dict[datetime, dict[str, dict[str, Hits]]] = defaultdict(lambda: defaultdict(dict))
    for hour, measure, verdict, hits, people in rows:
        if hits or people:
            found[hour][measure][verdict] = Hits(hits, people)
    for hour, of in found.items():
        yield Hour(hour, Classes(**of[Kind.OPEN.value]), Classes(**of[Kind.CLICK.value]))


def _line(key: str, name: str, mailing: Mailing, counted: Mapping[str, Classes]) -> Line:
    opens, clicks = counted[Kind.OPEN.value], counted[Kind.CLICK.value]
    left = counted[Kind.UNSUBSCRIBE.value].person.people
    rates = measures.rates(mailing, opens, clicks, left)
    return Line(key, name, mailing, opens, clicks, left, rates)


def _items(
    issue: Issue, sent: Sequence[_Sent], counted: Mapping[_Place, Mapping[str, Classes]]
) -> Iterator[Line]:
    """The items in reading order; of each, who got it and who followed one of its links.

    What no edition holds, a story for other segments, is no line.
    """
    held = frozenset[str]().union(*(one.items for one in sent))
    for item_id, title in _titles(issue).items():
        if item_id not in held:
            continue
        mailing = sum((one.mailing for one in sent if item_id in one.items), Mailing())
        clicks = counted["", item_id, ""][Kind.CLICK.value]
        rates = measures.click_rates(mailing, clicks)
        yield Line(item_id, title, mailing, Classes(), clicks, 0, rates)


def _links(
    issue: Issue, sent: Sequence[_Sent], counted: Mapping[_Place, Mapping[str, Classes]]
) -> list[Line]:
    titles = _titles(issue)
    lines = []
    every = {key: link for one in sent for key, link in one.links.items()}
    for key, link in every.items():
        mailing = sum((one.mailing for one in sent if key in one.links), Mailing())
        clicks = counted["", link.item, key][Kind.CLICK.value]
        rates = measures.click_rates(mailing, clicks)
        name = titles.get(link.item) or link.text
        none = Classes()
        lines.append(Line(key, name, mailing, none, clicks, 0, rates, link.url, link.slot))
    return sorted(lines, key=lambda line: -line.clicks.person.people)


def _titles(issue: Issue) -> dict[str, str]:
    """What every item is called, those inside others too, in reading order."""
    parts = (part for item in issue.items for part in item.walk())
    return {part.id: part.title or " ".join(part.body.split()[:6]) or part.id for part in parts}


def _notes(campaign: Campaign) -> tuple[str, ...]:
    on_its_way = campaign.state in {State.PREPARING, State.SENDING, State.PAUSED}
    shared = (measures.SHARED,) if len(campaign.segments) > 1 else ()
    seen = (measures.CLASSES, measures.VISIBLE) if campaign.tracking else ()
    last = measures.MOVING if on_its_way else measures.LATER
    return (*shared, measures.ACCEPTED, *seen, last)
