"""Events become counters and what people did with an issue, in the transaction that stores them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from mailer.reports import engagement, queries
from mailer.reports.engagement import Carried
from mailer.reports.models import RollupRow
from mailer.reports.rollup import Cell, Tally, tally
from mailer.tracking import actions as tracking_actions
from mailer.tracking import queries as tracking
from mailer.tracking.actions import Left
from mailer.tracking.event import Event
from subscribers import actions as subscribers
from subscribers import engaging
from subscribers.preferences import Change, Wanted
from subscribers.subscriber import SubscriberId


def count(session: Session, events: Iterable[Event]) -> None:
    """Bring the counters up to date with events just stored or judged anew.

    Call it once with what tracking.actions returned, in the same transaction: then the counters
    always equal a recount of the events. What a reader came to before is taken off and what they
    come to now is added, so a first open that turns out to be a scanner's leaves the people again.
    """
    changed: dict[tuple[int, int], dict[int, Event]] = defaultdict(dict)
    for event in events:
        changed[event.campaign, event.subscriber][event.id] = event
    told = _telling(changed)
    carried = queries.carried(session, {campaign for campaign, _ in told}) if told else {}
    now = tracking.events(session, {*changed, *_elsewhere(told, carried)})
    segments = queries.segments_read(session, changed)
    difference = Tally(Counter(), Counter())
    for pair, new in changed.items():
        read = segments.get(pair, ())
        before = [_before(event, new.get(event.id)) for event in now[pair]]
        _add(difference, tally(now[pair], read), 1)
        _add(difference, tally([event for event in before if event], read), -1)
    _store(session, difference)
    _engage(session, told, carried, [event for events in now.values() for event in events])


def unsubscribe(
    session: Session,
    subscriber: SubscriberId,
    *,
    campaign: int,
    segments: Sequence[str] | None,
    now: datetime,
    source: str,
) -> Left:
    """End follows through a letter, all of them with None, and count it: tracking.unsubscribe."""
    left = tracking_actions.unsubscribe(
        session, subscriber, campaign=campaign, segments=segments, now=now, source=source
    )
    count(session, left.events)
    return left


def change_preferences(
    session: Session,
    subscriber: SubscriberId,
    wanted: Wanted,
    *,
    campaign: int,
    now: datetime,
    source: str,
) -> Change:
    """Store what a reader wants who came through a letter; what they no longer follow is counted.

    Raises what subscribers.actions.change_preferences raises.
    """
    change = subscribers.change_preferences(session, subscriber, wanted, now=now, source=source)
    events = tracking_actions.note_unsubscribe(
        session, subscriber, campaign=campaign, ended=change.unfollow, now=now
    )
    count(session, events)
    return change


def _telling(changed: Mapping[tuple[int, int], Mapping[int, Event]]) -> set[tuple[int, int]]:
    """The readers whose acts with an issue are to be looked at again.

    Not those who only left: that is noted while others load events, and what is read of a reader
    then may be old by the time it is written.
    """
    return {
        pair
        for pair, new in changed.items()
        if any(event.kind in engagement.ACTS for event in new.values())
    }


def _elsewhere(
    told: Iterable[tuple[int, int]], carried: Mapping[int, Carried]
) -> Iterator[tuple[int, int]]:
    """The same readers in the other campaigns of the same issue."""
    same: dict[int, list[int]] = defaultdict(list)
    for campaign, letter in carried.items():
        same[letter.issue].append(campaign)
    for campaign, subscriber in told:
        yield from ((other, subscriber) for other in same[carried[campaign].issue])


def _engage(
    session: Session,
    told: Iterable[tuple[int, int]],
    carried: Mapping[int, Carried],
    events: Sequence[Event],
) -> None:
    """Keep what readers did with an issue equal to what their events tell."""
    readers: dict[int, set[SubscriberId]] = defaultdict(set)
    for campaign, subscriber in told:
        readers[carried[campaign].issue].add(SubscriberId(subscriber))
    for issue in sorted(readers):
        mine = [
            event
            for event in events
            if event.campaign in carried
            and carried[event.campaign].issue == issue
            and event.subscriber in readers[issue]
        ]
        engaging.keep(session, issue, readers[issue], engagement.facts(mine, carried))


def _before(event: Event, change: Event | None) -> Event | None:
    """An event as it counted before the change; None where it was not there."""
    if change is None:
        return event
    return None if change.before is None else replace(event, verdict=change.before)


def _add(total: Tally, part: Tally, sign: int) -> None:
    for cell, number in part.hits.items():
        total.hits[cell] += sign * number
    for cell, number in part.people.items():
        total.people[cell] += sign * number


def _store(session: Session, difference: Tally) -> None:
    """Add the differences; always in one order, so that two writers never wait for each other."""
    cells = sorted(c for c, number in difference.hits.items() if number or difference.people[c])
    if not cells:
        return
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    new = insert(RollupRow).values({name: bindparam(name) for name in _COLUMNS})
    session.execute(
        new.on_conflict_do_update(
            index_elements=[RollupRow.__table__.c[name] for name in _COLUMNS[:7]],
            set_={
                "hits": RollupRow.hits + new.excluded.hits,
                "people": RollupRow.people + new.excluded.people,
            },
        ),
        [_values(cell, difference) for cell in cells],
    )


_COLUMNS = (
    *("campaign_id", "segment", "item", "link", "measure", "verdict", "hour"),
    *("hits", "people"),
)


def _values(cell: Cell, difference: Tally) -> dict[str, object]:
    return {
        "campaign_id": cell.campaign,
        "segment": cell.segment,
        "item": cell.item,
        "link": cell.link,
        "measure": cell.measure,
        "verdict": cell.verdict,
        "hour": cell.hour,
        "hits": difference.hits[cell],
        "people": difference.people[cell],
    }
