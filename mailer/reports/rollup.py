"""What a reader's events add to the counters. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mailer.tracking.event import Event, Kind


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One counter's place: see models.RollupRow."""

    campaign: int
    segment: str
    item: str
    link: str
    measure: str
    verdict: str
    hour: datetime


@dataclass(slots=True)
class Tally:
    """Hits and people, or what changed in them."""

    hits: Counter[Cell]
    people: Counter[Cell]


def tally(events: Iterable[Event], segments: Sequence[str]) -> Tally:
    """What one reader's events of one campaign come to; `segments` are those of their edition.

    Every hit counts where and when it was; the person counts once per place, measure and class,
    in the hour of the first.
    """
    hits: Counter[Cell] = Counter()
    people: Counter[Cell] = Counter()
    been: set[tuple[str, ...]] = set()
    for event in sorted(events, key=lambda event: (event.at, event.id)):
        hour = event.at.replace(minute=0, second=0, microsecond=0)
        for segment in ("", *(event.segments if event.kind is Kind.UNSUBSCRIBE else segments)):
            for item, link in _places(event):
                place = (segment, item, link, event.kind.value, event.verdict.value)
                cell = Cell(event.campaign, *place, hour)
                hits[cell] += 1
                people[cell] += place not in been
                been.add(place)
    return Tally(hits, people)


def _places(event: Event) -> tuple[tuple[str, str], ...]:
    """Item and link of every place an event belongs to, from the whole campaign down."""
    if event.kind is not Kind.CLICK:
        return (("", ""),)
    if not event.item:
        return (("", ""), ("", event.target))
    return (("", ""), (event.item, ""), (event.item, event.target))
