"""Which relay takes a lane's mail, over which way, and how much of it may go now.

A relay is chosen by weight among those that serve the lane; a lane with connections of its own has
its own way through each relay, all others share the relay's. Where nothing is limited, nothing is
asked: no lock, no look-up, no cost per message.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from math import gcd

from sqlalchemy.orm import Session

from mailer.delivery import warm_up
from mailer.delivery.plan import LanePlan, Plan, RelayPlan
from mailer.delivery.relay_address import relay_address
from mailer.delivery.verdict import Patience
from mailer.delivery.warm_up import Allowed
from mailer.delivery.ways import Way
from mailer.delivery.windows import Hours, NoWindow
from mailer.kit.buckets import Bucket, Buckets, MemoryBuckets

__all__ = ["Allowed", "Pacer", "turns"]

_AHEAD = 2.0  # seconds' worth of a slow lane in one chunk: reliability.md 4.3
_CONNECTIONS = 20  # of a relay that says nothing
_APART = "/"  # between relay and lane in the name of a way: no name holds one


@dataclass(frozen=True, slots=True)
class _Course:
    """One lane over one relay."""

    buckets: tuple[Bucket, ...]
    rate: float | None
    ladder: tuple[int, ...]


class Pacer:
    """What a delivery file asks for, answered question by question. From any thread."""

    def __init__(
        self,
        plan: Plan,
        buckets: Buckets | None = None,
        *,
        patience: Patience | None = None,
        zone: str = "UTC",
        name: str = "",
    ) -> None:
        """`zone` is the publication's clock, `name` what we call ourselves in EHLO."""
        self.plan = plan
        self._buckets = buckets or MemoryBuckets()
        self._patience = patience or Patience()
        self._zone, self._name = zone, name
        self._relays = {relay.name: relay for relay in plan.relays}
        self._apart: frozenset[str] = frozenset()
        self._courses: dict[tuple[str, str], _Course] = {}
        self._ways: dict[str, Way] = {}

    @property
    def most(self) -> Mapping[str, int]:
        """Connections of each relay, over all of its ways."""
        return {name: relay.connections or _CONNECTIONS for name, relay in self._relays.items()}

    def choose(self, lane: str, *, shut: Collection[str] = (), turn: int = 0) -> str | None:
        """The relay for a lane's next batch, or None where each that serves it is shut.

        Turn after turn each gets its share, as evenly mixed as can be. One of weight 0 is a
        reserve: it is used where no other takes mail.
        """
        able = [r for r in self.plan.relays if r.serves(lane) and r.name not in shut]
        regular = [r for r in able if r.weight] or able
        if not regular:
            return None
        order = turns(tuple((relay.name, relay.weight or 1) for relay in regular))
        return order[turn % len(order)]

    def way(self, relay: str, lane: str) -> str:
        """The name of the way that a lane's messages take through a relay."""
        apart = lane in self._apart or self.plan.lane(lane).has_limits
        return f"{relay}{_APART}{lane}" if apart else relay

    def set_apart(self, lane: str) -> tuple[str, ...]:
        """Give a lane ways of its own from now on, and name them.

        So what slows it down (`Relay.slow_start`) leaves the other lanes of a relay as they are.
        """
        self._apart |= {lane}
        return tuple(self.way(name, lane) for name in self._relays)

    def way_of(self, key: str) -> Way:
        """The way of a name; its address is made once. Raises KeyError for no relay of ours."""
        found = self._ways.get(key)
        if found is None:
            name, _, lane = key.partition(_APART)
            found = self._ways.setdefault(key, self._made(self._relays[name], key, lane))
        return found

    def paced(self, relay: str, lane: str) -> bool:
        """Whether anything limits how much of a lane goes through a relay in a time."""
        course = self._course(relay, lane)
        return bool(course.buckets or course.ladder)

    def chunk_size(self, relay: str, lane: str, most: int) -> int:
        """People of one chunk: two seconds' worth, at least one, so that a stop acts at once."""
        rate = self._course(relay, lane).rate
        return most if rate is None else max(1, min(most, int(rate * _AHEAD)))

    def allow(self, relay: str, lane: str, want: int) -> Allowed:
        """Take leave for up to `want` messages from the rates of relay and lane.

        What is allowed and not sent is lost, never saved up.
        """
        course = self._course(relay, lane)
        if not course.buckets:
            return Allowed(want)
        taken = self._buckets.take(course.buckets, want)
        return Allowed(taken.granted, taken.wait, f"rate of {taken.key}" if taken.key else "")

    def reserve(self, session: Session, relay: str, lane: str, want: int, now: datetime) -> Allowed:
        """Reserve up to `want` messages of the day's warm-up, in the chunk's transaction."""
        ladder = self._course(relay, lane).ladder
        if not ladder:
            return Allowed(want)
        return warm_up.reserve(
            session, relay, lane, want, ladder=ladder, deferrals=self.plan.brakes.deferrals, now=now
        )

    def give_back(self, session: Session, relay: str, lane: str, count: int, day: datetime) -> None:
        """Return what was reserved at a moment and has surely not been sent."""
        if count and self._course(relay, lane).ladder:
            warm_up.give_back(session, relay, lane, count, day=day)

    def patience(self, lane: str) -> Patience:
        """How long to go on trying for people of a lane."""
        own = self.plan.lane(lane)
        return Patience(
            own.backoff or self._patience.waits,
            own.expiry or self.plan.expiry or self._patience.limit,
        )

    def opens(self, zone: str, send_window: str, now: datetime) -> datetime | None:
        """The moment from which people of a time zone may be sent to; None is now already.

        Where a campaign's window leaves nothing beside the quiet hours, these alone count: it may
        be older than they are, and has to end.
        """
        return hours(send_window, self.plan.quiet_hours).opens(zone, now, default=self._zone)

    def _course(self, relay: str, lane: str) -> _Course:
        found = self._courses.get((relay, lane))
        if found is None:
            plan, own = self._relays[relay], self.plan.lane(lane)
            found = _course(plan, lane, own)
            self._courses[relay, lane] = found
        return found

    def _made(self, relay: RelayPlan, key: str, lane: str) -> Way:
        own = self.plan.lane(lane) if lane else LanePlan()
        most = relay.connections or _CONNECTIONS
        return Way(
            key,
            relay.name,
            relay_address(relay.url, name=self._name),
            connections=min(most, own.connections or most),
            per_connection=own.messages_per_connection or relay.messages_per_connection,
        )


@lru_cache(maxsize=256)
def turns(weights: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """The order in which relays take their turns: each as often as its weight, evenly mixed."""
    common = gcd(*(weight for _, weight in weights))
    shares = {name: weight // common for name, weight in weights}
    total, ahead, order = sum(shares.values()), dict.fromkeys(shares, 0), []
    for _ in range(total):
        for name, share in shares.items():
            ahead[name] += share
        best = max(ahead, key=lambda name: ahead[name])
        ahead[best] -= total
        order.append(best)
    return tuple(order)


@lru_cache(maxsize=256)
def hours(send: str, quiet: str) -> Hours:
    """When mail may go; a window that leaves nothing beside the quiet hours does not count."""
    try:
        return Hours.of(send, quiet)
    except NoWindow:
        return Hours.of(quiet=quiet)


def _course(relay: RelayPlan, lane: str, own: LanePlan) -> _Course:
    buckets = []
    if own.rate is not None:
        buckets.append(Bucket.paced(f"{relay.name}{_APART}{lane}", own.rate))
    if relay.rate is not None:
        buckets.append(Bucket.paced(relay.name, relay.rate))
    rate = min((bucket.rate for bucket in buckets), default=None)
    return _Course(tuple(buckets), rate, relay.warm_up)
