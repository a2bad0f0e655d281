"""Who came: a person, a machine, or nobody can tell.

Pure. `opens.py` and `clicks.py` weigh one hit; this module holds the words they answer in and the
signs they share: what came shortly before and after from the same reader and the same network. A
sign seen later changes an earlier answer, so whoever asks gives all that is known by now.

Nothing is ever blocked for its answer: a link leads where it leads.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mailer.tracking.agents import Kind


class Verdict(StrEnum):
    """The three classes of a hit; shown side by side, never added up."""

    PERSON = "person"
    UNSURE = "unsure"
    MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A class and the sign it rests on."""

    verdict: Verdict
    reason: str  # one or two words, stable: "burst", "image proxy"; "" for a person


PERSON = Judgement(Verdict.PERSON, "")


@dataclass(frozen=True, slots=True)
class Look:
    """All that is known of one hit when it is judged."""

    id: str
    kind: str  # "open" or "click"
    campaign: int
    subscriber: int
    at: datetime
    link: int
    agent: Kind
    head: bool
    prefetch: bool
    accepted_at: datetime | None  # when a relay took the letter; None where that is not recorded
    links: int  # tracked links in the reader's edition
    domain: str  # of the reader's address; "" where it says nothing about its network
    network: str


@dataclass(frozen=True, slots=True)
class Company:
    """What came around a hit, itself included."""

    links_at_once: int = 0  # different links by this reader in two seconds around it
    links_in_all: int = 0  # different links by this reader in ten minutes around it
    readers_at_once: int = 0  # readers of one domain from its network in ten seconds around it
    readers_in_all: int = 0  # the same in a minute around it


AT_ONCE = timedelta(seconds=2)  # a person needs longer to find the next link
SWEEP = timedelta(minutes=10)
CROWD_AT_ONCE = timedelta(seconds=10)
CROWD = timedelta(minutes=1)
FEWEST = 3  # different links or readers: no sign needs fewer, and most hits are done with here
MEMORY = timedelta(minutes=15)
"""How long hits are remembered to be judged again together with later ones."""


def by_agent(look: Look) -> Judgement | None:
    """What the request itself gives away; None where it could be anybody's."""
    if look.head:
        return Judgement(Verdict.MACHINE, "head request")
    if look.prefetch:
        return Judgement(Verdict.MACHINE, "prefetch")
    match look.agent:
        case Kind.NONE:
            return Judgement(Verdict.MACHINE, "no user agent")
        case Kind.CRAWLER | Kind.LIBRARY:
            return Judgement(Verdict.MACHINE, "robot")
        case Kind.PRIVACY:
            return Judgement(Verdict.MACHINE, "mail privacy")
    return None


def company(looks: Iterable[Look]) -> Mapping[str, Company]:
    """For each hit, by id, what came around it."""
    looks = sorted(looks, key=lambda look: look.at)
    readers: dict[tuple[int, int], list[Look]] = defaultdict(list)
    networks: dict[tuple[str, str], list[Look]] = defaultdict(list)
    for look in looks:
        if look.kind == "click":
            readers[look.campaign, look.subscriber].append(look)
        if look.network and look.domain:
            networks[look.network, look.domain].append(look)
    links_at_once = _most(readers.values(), AT_ONCE, "link")
    links_in_all = _most(readers.values(), SWEEP, "link")
    readers_at_once = _most(networks.values(), CROWD_AT_ONCE, "subscriber")
    readers_in_all = _most(networks.values(), CROWD, "subscriber")
    return {
        look.id: Company(
            links_at_once.get(look.id, 0),
            links_in_all.get(look.id, 0),
            readers_at_once.get(look.id, 0),
            readers_in_all.get(look.id, 0),
        )
        for look in looks
    }


def _most(groups: Iterable[list[Look]], span: timedelta, what: str) -> dict[str, int]:
    """For each hit, the most different values in any stretch of time that has it in it."""
    most: dict[str, int] = {}
    for group in groups:
        values = [getattr(look, what) for look in group]
        if len(set(values)) >= FEWEST:
            found = _most_around([look.at for look in group], values, span)
            most |= {look.id: number for look, number in zip(group, found, strict=True)}
    return most


def _most_around(
    moments: Sequence[datetime], values: Sequence[int], span: timedelta
) -> Iterator[int]:
    """The same for one group in order of time. Linear, so that a flood costs its size only."""
    here: Counter[int] = Counter()  # values from `start` up to `end`
    end = 0
    stretches: list[tuple[int, int]] = []  # from each start: where it ends, how many different
    for start, moment in enumerate(moments):
        while end < len(moments) and moments[end] <= moment + span:
            here[values[end]] += 1
            end += 1
        stretches.append((end, len(here)))
        here[values[start]] -= 1
        if not here[values[start]]:
            del here[values[start]]
    best: deque[tuple[int, int]] = deque()  # of stretches that reach this far, most first
    for place, (reach, different) in enumerate(stretches):
        while best and best[-1][1] <= different:
            best.pop()
        best.append((reach, different))
        while best[0][0] <= place:
            best.popleft()
        yield best[0][1]
