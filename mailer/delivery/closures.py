"""What this process must not send now: brakes in the books, and what it has just learnt itself.

One for the life of a process. A breaker that trips counts here at once, and for all others as soon
as it is in the books. A brake that this process probes is open to it, for a little.
"""

import threading
import time
from collections.abc import Collection, Iterable, Sequence

from mailer.delivery.brakes import Brake, Seen
from mailer.delivery.breakers import Trip
from mailer.delivery.pacing import Pacer


class Closures:
    """Asked and told by every thread of a run."""

    def __init__(self, pacer: Pacer) -> None:
        self.seen = Seen()  # the brakes that were on when last looked
        self.refusal = ""  # of the guard: why nothing may be sent from here
        self._file = ""  # what the file HOLD says
        self._probing: frozenset[int] = frozenset()  # brakes this process has won to probe
        self._pacer = pacer
        self._relays = frozenset(pacer.most)
        self._tripped: dict[tuple[str, str], Trip] = {}
        self._waits: dict[tuple[str, str], tuple[float, str]] = {}  # relay, lane -> until when, why
        self._proven: set[Brake] = set()
        self._lock = threading.Lock()

    @property
    def some(self) -> bool:
        """Whether anything is shut at all."""
        return bool(self.seen.on or self._tripped or self._waits)

    def trip(self, trip: Trip) -> None:
        """A breaker tripped: it counts at once; a probe of ours has failed."""
        on = {b.id for b in self.seen.on if (b.scope, b.name) == (trip.scope, trip.name)}
        with self._lock:
            self._probing -= on
            self._tripped[trip.scope, trip.name] = trip

    def trips(self) -> list[Trip]:
        """Those that are not in the books yet."""
        with self._lock:
            return list(self._tripped.values())

    def entered(self, trips: Iterable[Trip], proven: Iterable[Brake]) -> None:
        """They are in the books now; the brakes that were proven wrong are off."""
        with self._lock:
            self._proven.difference_update(proven)
            for trip in trips:
                if self._tripped.get((trip.scope, trip.name)) is trip:  # no later one
                    del self._tripped[trip.scope, trip.name]

    def looked(self, seen: Seen, file: str) -> None:
        """The brakes that are on now, and what the file HOLD of this host says."""
        with self._lock:
            self.seen, self._file = seen, file
            self._probing &= frozenset(brake.id for brake in seen.on)

    def probe(self, brake: Brake) -> None:
        """Send a little now to see whether it goes: only this process may."""
        with self._lock:
            self._probing |= {brake.id}

    @property
    def held(self) -> str:
        """Why nothing at all may leave; "" where it may."""
        hold = self.seen.hold
        return self.refusal or self._file or ("" if hold is None else hold.reason)

    def wait(self, relay: str, lane: str, seconds: float, why: str) -> None:
        """A relay takes nothing of a lane for a while; of no lane, where `lane` is ""."""
        with self._lock:
            self._waits[relay, lane] = (time.monotonic() + seconds, why)

    def went(self, relay: str, lane: str) -> bool:
        """A relay took mail of a lane; whether that proves a brake wrong that we probe."""
        probed = self.probes(relay, lane)
        if probed:
            with self._lock:
                self._proven.update(probed)
        return bool(probed)

    def proven(self) -> list[Brake]:
        """Brakes whose probe went through, and which are on still."""
        with self._lock:
            return list(self._proven)

    def campaigns(self) -> frozenset[int]:
        """Campaigns that are paused, or about to be."""
        return frozenset(map(int, self._shut("campaign")))

    def relays(self, lane: str, but: Collection[Brake] = ()) -> frozenset[str]:
        """Relays that must not be used for a lane now, were these brakes not on."""
        if not self.some:
            return frozenset()
        if lane in self._shut("lane", but):
            return self._relays
        now = time.monotonic()
        with self._lock:
            ends = ((relay, w[0]) for (relay, of), w in self._waits.items() if of in {lane, ""})
            waiting = {relay for relay, end in ends if end > now}
        return self._shut("relay", but) | waiting

    def lanes(self, known: Iterable[str], but: Collection[Brake] = ()) -> frozenset[str]:
        """Which of these lanes no relay takes anything of now, were these brakes not on."""
        return frozenset(
            lane for lane in known if self._pacer.choose(lane, shut=self.relays(lane, but)) is None
        )

    def probes(self, relay: str, lane: str) -> tuple[Brake, ...]:
        """The brakes in the way of a relay and lane that this process may probe."""
        if not self._probing:
            return ()
        places = {("relay", relay), ("lane", lane)}
        mine = (b for b in self.seen.on if b.id in self._probing)
        return tuple(b for b in mine if (b.scope, b.name) in places)

    def why(self, campaign: int, relay: str, lane: str) -> str:
        """Why nothing of this may leave now; "" where it may."""
        if not self.seen.on and not self._tripped:
            return ""
        for scope, name in (("campaign", str(campaign)), ("relay", relay), ("lane", lane)):
            if name in self._shut(scope):
                return self._reason(scope, name)
        return ""

    def waiting(self, lane: str) -> tuple[float, str]:
        """Seconds until a relay may take something of a lane again, and why it waits."""
        now = time.monotonic()
        with self._lock:
            ends = [w for (_, of), w in self._waits.items() if of in {lane, ""} and w[0] > now]
        if not ends:
            return 0.0, next(filter(None, (self._reason("lane", lane), *self._relay_reasons())), "")
        end, why = min(ends)
        return end - now, why

    def _relay_reasons(self) -> Sequence[str]:
        return [self._reason("relay", relay) for relay in sorted(self._relays)]

    def _reason(self, scope: str, name: str) -> str:
        tripped = self._tripped.get((scope, name))
        if tripped is not None:
            return tripped.reason
        on = (b.reason for b in self.seen.on if (b.scope, b.name) == (scope, name))
        return next(on, "")

    def _shut(self, scope: str, but: Collection[Brake] = ()) -> frozenset[str]:
        free = self._probing | {brake.id for brake in but}
        on = {b.name for b in self.seen.on if b.scope == scope and b.id not in free}
        with self._lock:
            return frozenset(on | {name for of, name in self._tripped if of == scope})
