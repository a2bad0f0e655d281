"""Hits become events: each of somebody who allows it, once, with the class it has by now."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from mailer.delivery import resolving
from mailer.kit.database import database_now, insert_many
from mailer.tracking import agents, machines, queries
from mailer.tracking.event import Event, Kind, link_key
from mailer.tracking.judging import BITS, Letters, Remembered, judged, thinned
from mailer.tracking.machines import Judgement, Verdict
from mailer.tracking.models import EventReviewRow, EventRow, RecentHitRow
from mailer.tracking.spool import Hit
from subscribers import actions as subscribers
from subscribers import queries as subscriber_queries
from subscribers.subscriber import SubscriberId

MOST = 200
"""Events kept of one recipient and campaign: a program in a loop must not fill the table."""

_LOADING = 4473  # advisory locks, numbers of no meaning
_LEAVING = 4474


@dataclass(frozen=True, slots=True)
class Left:
    """What an unsubscribe came to."""

    ended: tuple[str, ...]  # keys of segments no longer followed
    left: tuple[str, ...]  # still followed
    events: tuple[Event, ...]  # to be counted in the same transaction


def load(session: Session, hits: Sequence[Hit]) -> tuple[Event, ...]:
    """Store hits as events; return those that are new, and older ones that now count otherwise.

    A hit already stored adds nothing. Nothing is stored of who does not allow it now, whatever
    they allowed when the letter was sent, nor of a letter or link there is not. The caller counts
    what this returns (reports.actions.count) in the same transaction.
    """
    _one_at_a_time(session, _LOADING)
    there = queries.known(session, [hit.id for hit in hits])
    fresh = thinned(hit for hit in hits if hit.id not in there and hit.kind in BITS)
    pairs = {(hit.campaign, hit.subscriber) for hit in fresh}
    letters = queries.letters(session, pairs)
    crowds = {letters.crowd(hit) for hit in fresh} - {""}
    old = queries.remembered(session, pairs, sorted(crowds))
    others = {(each.event.campaign, each.event.subscriber) for each in old} - pairs
    letters |= queries.letters(session, others)
    kept = _capped(session, [hit for hit in fresh if letters.allow(hit)])
    classes = judged(kept, old, letters)
    return (
        *_store(session, kept, classes, letters),
        *_review(session, old, classes, letters),
    )


def unsubscribe(
    session: Session,
    subscriber: SubscriberId,
    *,
    campaign: int,
    segments: Sequence[str] | None,
    now: datetime,
    source: str,
) -> Left:
    """End the follow of some segments, or of all with None, and note which letter led to it.

    Again changes nothing and is no event. Raises SubscriberNotFound.
    """
    _one_at_a_time(session, _LEAVING, subscriber)
    before = subscriber_queries.following(session, subscriber)
    left = subscribers.unsubscribe(session, subscriber, segments=segments, now=now, source=source)
    ended = tuple(key for key in before if key not in left)
    events = note_unsubscribe(session, subscriber, campaign=campaign, ended=ended, now=now)
    return Left(ended, left, events)


def note_unsubscribe(
    session: Session,
    subscriber: SubscriberId,
    *,
    campaign: int,
    ended: Sequence[str],
    now: datetime,
) -> tuple[Event, ...]:
    """Store that a letter made somebody end some follows; nothing where they ended none.

    Nothing either where there is no such letter: leaving works without one. A letter that was
    uncertain has been received, then, whatever they ended.
    """
    resolving.came_back(session, [(campaign, subscriber, Kind.UNSUBSCRIBE)], now=now)
    if not ended or queries.edition_of(session, campaign, subscriber) is None:
        return ()
    row = EventRow(
        hit_id=uuid4().hex,
        campaign_id=campaign,
        subscriber_id=subscriber,
        kind=Kind.UNSUBSCRIBE,
        at=now,
        verdict=Verdict.PERSON,
        segments=" ".join(ended),
        tracked=False,
    )
    session.add(row)
    session.flush()
    return tuple(queries.by_hits(session, [row.hit_id]).values())


def _one_at_a_time(session: Session, number: int, part: int = 0) -> None:
    """Wait until nobody else holds this right, and keep it until the transaction ends.

    Two loads at once would each miss the other's events and count one reader twice. On SQLite a
    transaction is exclusive anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(number, part % 2**31)))


def _capped(session: Session, hits: Sequence[Hit]) -> list[Hit]:
    stored = queries.counts(session, {(hit.campaign, hit.subscriber) for hit in hits})
    kept = []
    for hit in hits:
        pair = (hit.campaign, hit.subscriber)
        stored[pair] = stored.get(pair, 0) + 1
        if stored[pair] <= MOST:
            kept.append(hit)
    return kept


_EVENT = (
    *("hit_id", "campaign_id", "subscriber_id", "kind", "at", "verdict", "reason"),
    *("link", "item", "slot", "target", "agent", "family", "tracked"),
)
_RECENT = (
    *("event_id", "loaded_at", "campaign_id", "subscriber_id"),
    *("network", "head", "prefetch", "waiting"),
)


def _store(
    session: Session, hits: Sequence[Hit], classes: Mapping[str, Judgement], letters: Letters
) -> tuple[Event, ...]:
    rows = [_row(hit, classes[hit.id], letters) for hit in hits]
    insert_many(session, EventRow, _EVENT, rows)
    new = queries.by_hits(session, [hit.id for hit in hits])
    now = database_now(session)
    forgotten = RecentHitRow.loaded_at < now - machines.MEMORY
    session.execute(delete(RecentHitRow).where(forgotten))
    recent = []
    for hit in hits:
        waits = letters.people[hit.campaign, hit.subscriber].accepted_at is None
        seen = (letters.crowd(hit), hit.head, hit.prefetch, waits)
        recent.append((new[hit.id].id, now, hit.campaign, hit.subscriber, *seen))
    insert_many(session, RecentHitRow, _RECENT, recent)
    return tuple(new.values())


def _row(hit: Hit, judgement: Judgement, letters: Letters) -> tuple[object, ...]:
    agent = agents.read(hit.agent)
    link = letters.link(hit)
    where: tuple[object, ...] = (0, "", "", "")
    if link is not None:
        where = (hit.link, link.item, link.slot, link_key(link.item, link.slot, link.url))
    return (
        *(hit.id, hit.campaign, hit.subscriber, hit.kind, hit.at),
        *(judgement.verdict.value, judgement.reason, *where),
        *(agent.kind.value, agent.family, True),
    )


def _review(
    session: Session,
    old: Iterable[Remembered],
    classes: Mapping[str, Judgement],
    letters: Letters,
) -> tuple[Event, ...]:
    """Store what is judged otherwise by now; the events concerned, with the class they had."""
    changed: list[Event] = []
    arrived: list[int] = []
    for one in old:
        event = one.event
        person = letters.people.get((event.campaign, event.subscriber))
        if person is None:
            continue
        if one.waiting and person.accepted_at is not None:
            arrived.append(event.id)
        now = classes[str(event.id)]
        if (now.verdict, now.reason) != (event.verdict, event.reason):
            changed.append(
                replace(event, verdict=now.verdict, reason=now.reason, before=event.verdict)
            )
    numbers = queries.reviews(session, [event.id for event in changed])
    rows = [(e.id, numbers.get(e.id, 0) + 1, e.verdict.value, e.reason) for e in changed]
    insert_many(session, EventReviewRow, ("event_id", "number", "verdict", "reason"), rows)
    for event_id in arrived:
        settled = update(RecentHitRow).where(RecentHitRow.event_id == event_id)
        session.execute(settled.values(waiting=False))
    return tuple(event for event in changed if event.verdict is not event.before)
