"""Events become counters, in the transaction that stores them."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from mailer.reports import queries
from mailer.reports.models import RollupRow
from mailer.reports.rollup import Cell, Tally, tally
from mailer.tracking import queries as tracking
from mailer.tracking.event import Event


def count(session: Session, events: Iterable[Event]) -> None:
    """Bring the counters up to date with events just stored or judged anew.

    Call it once with what tracking.actions returned, in the same transaction: then the counters
    always equal a recount of the events. What a reader came to before is taken off and what they
    come to now is added, so a first open that turns out to be a scanner's leaves the people again.
    """
    changed: dict[tuple[int, int], dict[int, Event]] = defaultdict(dict)
    for event in events:
        changed[event.campaign, event.subscriber][event.id] = event
    now = tracking.events(session, changed)
    segments = queries.segments_read(session, changed)
    difference = Tally(Counter(), Counter())
    for pair, new in changed.items():
        read = segments.get(pair, ())
        before = [_before(event, new.get(event.id)) for event in now[pair]]
        _add(difference, tally(now[pair], read), 1)
        _add(difference, tally([event for event in before if event], read), -1)
    _store(session, difference)


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
