"""What the tables know about hits and the letters they came from."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from sqlalchemy import ColumnElement, and_, column, func, select, table
from sqlalchemy.orm import InstrumentedAttribute, Session

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import EditionId
from mailer.kit.database import Moment
from mailer.rendering.edition import EditionLink, loads
from mailer.tracking.agents import Kind as AgentKind
from mailer.tracking.event import Event, Kind, Recipient
from mailer.tracking.judging import Letters, Remembered
from mailer.tracking.machines import Verdict
from mailer.tracking.models import EventReviewRow, EventRow, RecentHitRow
from subscribers import queries as subscribers
from subscribers.provider import OTHER, provider_of

AT_ONCE = 500  # values in one IN
T = TypeVar("T")

Pair = tuple[int, int]
"""A campaign and a subscriber."""

# The few columns of delivery's tables that are needed here; delivery reads them in no such shape.
_audience = table(
    "audience",
    column("campaign_id"),
    column("subscriber_id"),
    column("edition_id"),
    column("excluded"),
)
_delivery = table(
    "delivery",
    column("campaign_id"),
    column("subscriber_id"),
    column("outcome"),
    column("at", Moment()),
)


def edition_of(session: Session, campaign: int, subscriber: int) -> EditionId | None:
    """The edition a recipient was to get; None where they are no recipient of the campaign."""
    found = session.scalar(
        select(_audience.c.edition_id).where(
            _audience.c.campaign_id == campaign,
            _audience.c.subscriber_id == subscriber,
            _audience.c.excluded.is_(None),
        )
    )
    return None if found is None else EditionId(found)


def segments_of(session: Session, campaign: int, subscriber: int) -> tuple[str, ...] | None:
    """The segments a recipient's letter was for; None where that letter is not known."""
    edition = edition_of(session, campaign, subscriber)
    return None if edition is None else campaigns.edition(session, edition).segments


def links(session: Session, edition: int) -> dict[int, EditionLink]:
    """An edition's links by number. Raises EditionNotFound."""
    artifact = campaigns.edition(session, EditionId(edition)).artifact
    return {link.number: link for link in loads(artifact).links}


def letters(session: Session, pairs: Iterable[Pair]) -> Letters:
    """The letters these recipients got, with the links in them."""
    people = recipients(session, pairs)
    editions = sorted({person.edition for person in people.values()})
    return Letters(people, {edition: links(session, edition) for edition in editions})


def recipients(session: Session, pairs: Iterable[Pair]) -> dict[Pair, Recipient]:
    """What is known of these recipients; who is none, or is excluded or erased, is left out."""
    person = subscribers.recipients().subquery("person")
    accepted = and_(
        _delivery.c.campaign_id == _audience.c.campaign_id,
        _delivery.c.subscriber_id == _audience.c.subscriber_id,
        _delivery.c.outcome == "accepted",
    )
    found: dict[Pair, Recipient] = {}
    for campaign, some in _by_campaign(pairs):
        rows = session.execute(
            select(
                person.c.id,
                _audience.c.edition_id,
                _delivery.c.at,
                person.c.tracking,
                person.c.address,
            )
            .select_from(_audience)
            .join(person, person.c.id == _audience.c.subscriber_id)
            .outerjoin(_delivery, accepted)
            .where(
                _audience.c.campaign_id == campaign,
                _audience.c.subscriber_id.in_(some),
                _audience.c.excluded.is_(None),
                person.c.address != "",
            )
        )
        for identity, edition, at, tracking, address in rows:
            domain = address.rpartition("@")[2].lower()
            if provider_of(domain) != OTHER:
                domain = ""  # a provider's readers are strangers to each other, and many
            found[campaign, identity] = Recipient(edition, at, tracking, domain)
    return found


def known(session: Session, hit_ids: Sequence[str]) -> frozenset[str]:
    """Which of these hits are stored already."""
    found: set[str] = set()
    for some in _portions(hit_ids):
        found |= set(session.scalars(select(EventRow.hit_id).where(EventRow.hit_id.in_(some))))
    return frozenset(found)


def by_hits(session: Session, hit_ids: Sequence[str]) -> dict[str, Event]:
    """The events of these hits as first judged, by hit, in the order they were stored."""
    found: list[EventRow] = []
    for some in _portions(hit_ids):
        found += session.scalars(select(EventRow).where(EventRow.hit_id.in_(some)))
    found.sort(key=lambda row: row.id)
    return {row.hit_id: _event(row, row.verdict, row.reason) for row in found}


def events(session: Session, pairs: Iterable[Pair]) -> dict[Pair, list[Event]]:
    """All events of these recipients, each with the class it has now, by id."""
    found: dict[Pair, list[Event]] = defaultdict(list)
    for campaign, some in _by_campaign(pairs):
        rows = session.execute(
            select(EventRow, _VERDICT, _REASON)
            .where(EventRow.campaign_id == campaign, EventRow.subscriber_id.in_(some))
            .order_by(EventRow.id)
        )
        for row, verdict, reason in rows:
            event = _event(row, verdict, reason)
            found[campaign, event.subscriber].append(event)
    return found


def counts(session: Session, pairs: Iterable[Pair]) -> dict[Pair, int]:
    """How many events each of these recipients has."""
    found: dict[Pair, int] = {}
    for campaign, some in _by_campaign(pairs):
        rows = session.execute(
            select(EventRow.subscriber_id, func.count())
            .where(EventRow.campaign_id == campaign, EventRow.subscriber_id.in_(some))
            .group_by(EventRow.subscriber_id)
        )
        found |= {(campaign, subscriber): number for subscriber, number in rows}
    return found


def remembered(
    session: Session, pairs: Iterable[Pair], crowds: Sequence[str]
) -> tuple[Remembered, ...]:
    """Hits of the last minutes by these readers or out of these crowds, and those that wait."""
    people = sorted({subscriber for _, subscriber in pairs})
    wanted = [RecentHitRow.subscriber_id.in_(some) for some in _portions(people)]
    wanted += [RecentHitRow.network.in_(some) for some in _portions(crowds)]
    found: dict[int, Remembered] = {}
    for condition in [*wanted, RecentHitRow.waiting.is_(True)]:
        rows = session.execute(
            select(EventRow, RecentHitRow, _VERDICT, _REASON)
            .join(RecentHitRow, RecentHitRow.event_id == EventRow.id)
            .where(condition)
        )
        for row, recent, verdict, reason in rows:
            event = _event(row, verdict, reason)
            agent = AgentKind(row.agent)
            found[row.id] = Remembered(
                event, agent, recent.network, recent.head, recent.prefetch, recent.waiting
            )
    return tuple(found.values())


def reviews(session: Session, event_ids: Sequence[int]) -> dict[int, int]:
    """How often each of these events has been judged anew, where it has."""
    found: dict[int, int] = {}
    for some in _portions(event_ids):
        rows = session.execute(
            select(EventReviewRow.event_id, func.max(EventReviewRow.number))
            .where(EventReviewRow.event_id.in_(some))
            .group_by(EventReviewRow.event_id)
        )
        found |= {row[0]: row[1] for row in rows}
    return found


def _latest(of: InstrumentedAttribute[str]) -> ColumnElement[str]:
    """Of an event's reviews the last one's value, or NULL."""
    found = (
        select(of)
        .where(EventReviewRow.event_id == EventRow.id)
        .order_by(EventReviewRow.number.desc())
        .limit(1)
    )
    return found.correlate(EventRow).scalar_subquery()


_VERDICT = func.coalesce(_latest(EventReviewRow.verdict), EventRow.verdict)
_REASON = func.coalesce(_latest(EventReviewRow.reason), EventRow.reason)


def _event(row: EventRow, verdict: str, reason: str) -> Event:
    return Event(
        id=row.id,
        campaign=row.campaign_id,
        subscriber=row.subscriber_id,
        kind=Kind(row.kind),
        at=row.at,
        verdict=Verdict(verdict),
        reason=reason,
        link=row.link,
        item=row.item,
        slot=row.slot,
        target=row.target,
        segments=tuple(row.segments.split()),
    )


def _by_campaign(pairs: Iterable[Pair]) -> Iterator[tuple[int, list[int]]]:
    """Pairs as campaigns, each with a portion of its subscribers."""
    grouped: dict[int, set[int]] = defaultdict(set)
    for campaign, subscriber in pairs:
        grouped[campaign].add(subscriber)
    for campaign, subscribers_ in grouped.items():
        for some in _portions(sorted(subscribers_)):
            yield campaign, some


def _portions(values: Sequence[T]) -> Iterator[list[T]]:
    for start in range(0, len(values), AT_ONCE):
        yield list(values[start : start + AT_ONCE])
