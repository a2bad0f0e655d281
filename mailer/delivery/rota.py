"""Whose turn it is: batches leased, chunks started, messages made, lane beside lane.

Runs in the thread that the relay pulls messages from. It has one batch in hand for a relay and
lane at most, and goes round among those that may send now; so a lane that is slow, or has to wait,
holds nobody up. Where nothing is limited it works one batch after another, chunk by chunk.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator

import structlog

from mailer.delivery import batch
from mailer.delivery.batch import Lease, Person
from mailer.delivery.bookkeeping import Books
from mailer.delivery.deadline import Deadline, boot_clock
from mailer.delivery.held import Held, Rest
from mailer.delivery.pacing import Pacer
from mailer.delivery.relay import Message
from mailer.delivery.settling import POISON
from mailer.delivery.tools import Tools
from mailer.kit import clock
from mailer.kit.errors import Unavailable

_AGAIN = 1.0  # seconds between two tries to reach the database
_EDITION_REST = 30.0  # seconds a batch rests whose edition is damaged
_LOOK = 0.5  # seconds between two looks for further batches, and the longest wait without a look
_POLL = 0.005  # seconds between two looks for room on a way, or for an ending
_STUCK = 2.0  # seconds without room after which a way holds up another relay's share no longer
_HOURS = "outside its hours"
_log = structlog.get_logger()


class Rota:
    """The messages of one run, in the order they may leave."""

    def __init__(
        self,
        tools: Tools,
        books: Books,
        deadline: Deadline,
        *,
        prefer: int | None,
        avoid: int,
    ) -> None:
        self.touched: dict[int, None] = {}  # campaigns, in order
        self.halted = threading.Event()  # start nothing more
        self._tools, self._terms, self._pacer = tools, tools.terms, tools.pacer
        self._books, self._deadline = books, deadline
        self._prefer, self._avoid = prefer, avoid
        self._until = time.monotonic() + tools.terms.run
        self._plain = is_plain(tools.pacer)
        self._hands: list[Held] = []  # with people to send to, whoever is next in front
        self._turns: Counter[str] = Counter()  # chunks so far, by lane
        self._look_at = 0.0  # for further batches
        self._still_until = 0.0  # a fence said no, and nobody knows yet why

    def messages(self) -> Iterator[Message]:
        """Everybody's message who is due, until nobody is, or time is up, or we are stopped."""
        while (held := self._next()) is not None:
            if not held.pending and not self._start(held):
                continue
            for person in self._slice(held):
                if held.rest is not None or self.halted.is_set():
                    held.pending.appendleft(person)
                    break
                message = self._composed(held, person)
                if message is not None:
                    yield message

    def _closing(self) -> bool:
        return self.halted.is_set() or time.monotonic() > self._until

    def _next(self) -> Held | None:
        """A batch that may send now; waits for one, and leases one where none in hand may."""
        while not self.halted.is_set():
            for _ in range(len(self._hands)):
                held = self._hands.pop(0)
                if self._is_over(held):
                    continue
                self._hands.append(held)
                if self._may_send(held):
                    return held
            fresh = self._further()
            if fresh is not None:
                self._hands.insert(0, fresh)
            elif self._hands or self._still_until > time.monotonic():
                self._wait()
            else:
                return None
        return None

    def _is_over(self, held: Held) -> bool:
        """Whether nothing more of it is handed out; the rest of its people stay open."""
        if held.rest is not None:
            self._books.leave_pending(held)
            return True
        return not held.pending and (held.exhausted or self._closing())

    def _may_send(self, held: Held) -> bool:
        now = time.monotonic()
        if held.ready_at > now:
            return False
        if not held.pending and self._is_alone(held) and not held.idle:
            return False  # one after the other: the next when it is known how the last one went
        if self._plain or not held.way or self._tools.relay.room(held.way) > 0:
            held.stuck_since = 0.0
            return True
        held.stuck_since = held.stuck_since or now
        return False

    def _is_alone(self, held: Held) -> bool:
        """Whether it goes in chunks of one: somebody in it kills workers, or it is a probe."""
        if held.lease.deaths >= POISON:
            return True
        return bool(self._tools.closures.probes(held.relay, held.lease.lane))

    def _wait(self) -> None:
        """Until somebody in hand may be sent to, or there may be something further to lease."""
        now = time.monotonic()
        at = min((held.ready_at for held in self._hands), default=self._still_until)
        self.halted.wait(min(_LOOK, max(_POLL, at - now)))

    # A further batch

    def _further(self) -> Held | None:
        now = time.monotonic()
        if self._closing() or now < self._still_until:
            return None
        if self._hands and (self._plain or now < self._look_at):
            return None
        if any(held.lease.deaths >= POISON for held in self._books.all()):
            return None  # whoever it kills us of has to be alone
        self._look_at = now + _LOOK
        return self._lease()

    def _lease(self) -> Held | None:
        """The next batch with its edition at hand; one whose edition is damaged rests."""
        while not self._closing() and not self._tools.closures.held:
            asked = boot_clock()
            with self._books.writing:
                lease = self._leased()
                if lease is None:
                    return None
                held = self._taken_in(lease)
                if held is None:
                    continue
                if not self._books.held:
                    self._deadline.moved(asked)
                self._books.take_in(held)
            self.touched.pop(lease.campaign, None)
            self.touched[lease.campaign] = None
            return held
        return None

    def _leased(self) -> Lease | None:
        tools, closures = self._tools, self._tools.closures
        with tools.database.transaction() as session:
            known = batch.lanes(session) if self._is_shut() else ()
            shut = {n for n in known if self._pacer.choose(n, shut=self._shut(n)) is None}
            return batch.lease(
                session,
                tools.worker,
                seconds=self._terms.lease,
                prefer=None if self.touched else self._prefer,
                avoid=next(reversed(self.touched), self._avoid),
                shut_campaigns=closures.campaigns(),
                shut_lanes=shut | {h.lease.lane for h in self._hands if not self._may_share(h)},
                most_deaths=POISON - 1 if self._books.held else None,
            )

    def _is_shut(self) -> bool:
        return bool(self._books.endings.failed) or self._tools.closures.some

    def _may_share(self, held: Held) -> bool:
        """Whether another relay could take mail of its lane that it cannot get rid of."""
        now, lane = time.monotonic(), held.lease.lane
        stuck = held.stuck_since and now - held.stuck_since > _STUCK
        if held.ready_at <= now and not stuck:
            return False
        return self._pacer.choose(lane, shut=self._shut(lane) | self._busy(lane)) is not None

    def _taken_in(self, lease: Lease) -> Held | None:
        """None where it cannot be sent now: it rests, and harms no other campaign."""
        tools = self._tools
        opens = self._pacer.opens(lease.zone, lease.send_window, clock.now())
        if opens is not None:
            self._return(lease, Rest(_HOURS, not_before=opens))
            return None
        try:
            composer = tools.composers.of(lease.campaign, lease.edition)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001  # whatever it is, it is about this edition
            _log.exception(
                "an edition cannot be composed", campaign=lease.campaign, edition=lease.edition
            )
            self._return(lease, Rest("its edition cannot be composed", _EDITION_REST))
            return None
        tools.breakers.began(lease.campaign, lease.stop_epoch)
        return Held(lease, composer, self._pacer.patience(lease.lane))

    def _return(self, lease: Lease, rest: Rest) -> None:
        with self._tools.database.transaction() as session:
            batch.release(
                session, lease, wait=rest.wait, not_before=rest.not_before, reason=rest.reason
            )

    # The next chunk

    def _start(self, held: Held) -> bool:
        """Put the batch's next chunk on record, where something of it may leave at once."""
        lease = held.lease
        opens = self._pacer.opens(lease.zone, lease.send_window, clock.now())
        if opens is not None:
            self._books.stop(held, Rest(_HOURS, not_before=opens))
            return False
        shut = self._shut(lease.lane)
        others = shut | self._busy(lease.lane, besides=held)
        relay = self._pacer.choose(lease.lane, shut=others, turn=self._turns[lease.lane])
        if relay is None:
            if self._pacer.choose(lease.lane, shut=shut) is None:
                wait, why = self._tools.closures.waiting(lease.lane)
                self._books.stop(held, Rest(why or "no relay takes mail", wait))
            else:
                held.ready_at = time.monotonic() + _LOOK
            return False
        held.relay, held.way = relay, self._pacer.way(relay, lease.lane)
        size = self._pacer.chunk_size(relay, lease.lane, self._terms.chunk_size)
        if self._is_alone(held):
            size = 1
        held.granted = self._granted(held, self._fitting(held, size))
        if not held.granted or not self._recorded(held, size):
            return False
        self._turns[lease.lane] += 1
        return True

    def _recorded(self, held: Held, size: int) -> bool:
        while not self._closing():
            try:
                started = self._books.start(held, size)
            except Unavailable:
                _log.warning("the database is away; nothing new is started")
                self.halted.wait(_AGAIN)
                if not self._deadline.in_time():
                    break
            else:
                if not started:  # before the next lease it has to be known what is in the way
                    self._still_until = time.monotonic() + _LOOK
                    self._books.endings.alarm.set()
                return started
        return False

    def _fitting(self, held: Held, want: int) -> int:
        """As many as its way has room for: leave that is not used at once is lost."""
        return want if self._plain else min(want, max(1, self._tools.relay.room(held.way)))

    def _granted(self, held: Held, want: int) -> int:
        """How many of these may leave now; where none may, it waits, or is given back."""
        lane = held.lease.lane
        if not self._pacer.paced(held.relay, lane):
            return want
        allowed = self._pacer.allow(held.relay, lane, want)
        if not allowed.count:
            held.ready_at = time.monotonic() + allowed.wait
            if held.ready_at > self._until:
                self._tools.closures.wait(held.relay, lane, allowed.wait, allowed.why)
                self._books.stop(held, Rest(allowed.why, allowed.wait))
        return allowed.count

    def _slice(self, held: Held) -> Iterator[Person]:
        """Those of a started chunk who may leave now."""
        pending = held.pending
        count, held.granted = held.granted, 0
        count = count or self._granted(held, self._fitting(held, len(pending)))
        for _ in range(min(count, len(pending))):
            yield pending.popleft()

    def _shut(self, lane: str) -> frozenset[str]:
        """Relays that take nothing of a lane: by a brake, or since they failed in this run."""
        failed = self._books.endings.failed
        shut = self._tools.closures.relays(lane)
        return shut | frozenset(failed) if failed else shut

    def _busy(self, lane: str, besides: Held | None = None) -> frozenset[str]:
        """Relays that have a batch of this lane before them."""
        now = time.monotonic()
        mine = (h for h in self._hands if h is not besides and h.lease.lane == lane)
        return frozenset(held.relay for held in mine if held.pending or held.ready_at > now)

    def _composed(self, held: Held, person: Person) -> Message | None:
        """The message, or None where it cannot be made: a fault in one harms nobody else."""
        subscriber = person.subscriber
        if held.unmailable and subscriber in held.unmailable:
            self._books.skip(held, subscriber, held.unmailable[subscriber])
            return None
        try:
            return held.composer.compose(held.lease, held.chunk, person, held.way)
        except Exception:  # noqa: BLE001  # whatever it is, it is about this one letter
            campaign = held.lease.campaign
            _log.exception("a letter cannot be composed", campaign=campaign, subscriber=subscriber)
        self._books.skip(held, subscriber, "render_failed")
        return None


def is_plain(pacer: Pacer) -> bool:
    """Whether there is one way out without limits, so that there are no turns to take."""
    plan = pacer.plan
    relay = plan.relays[0]
    lanes = plan.lanes.values()
    return (
        len(plan.relays) == 1
        and relay.rate is None
        and not relay.warm_up
        and not any(lane.rate or lane.has_limits for lane in lanes)
    )
