"""The batches in a worker's hands and the books: endings in, chunks on record, batches back.

One lock guards the memory; another lets one thread at a time into the books. A transaction that
starts a chunk carries the results that came in before it. What cannot be written waits here, and
in the journal, until it can; nothing new starts before that.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from mailer.delivery import actions, batch, chunk, settling
from mailer.delivery.actions import Manner
from mailer.delivery.batch import Chunk, Lease
from mailer.delivery.endings import Endings
from mailer.delivery.held import STOPPED, Held, Key, Rest
from mailer.delivery.ledger import News, Result
from mailer.delivery.pacing import Allowed
from mailer.delivery.relay import Ending, Message, Reply
from mailer.delivery.tools import Tools
from mailer.kit import clock

_TICK = 0.005  # seconds that results may share a moment
_ASK_AGAIN = 900.0  # seconds; the longest that a batch rests for a warm-up: its plan may change
_CANARY = "the first letters of its campaign go alone"
_log = structlog.get_logger()


class Books:
    """What one run has in hand. `hand_in` from the thread that has the endings."""

    def __init__(self, tools: Tools) -> None:
        self.held: dict[Key, Held] = {}
        self.memory = threading.Lock()
        self.writing = threading.Lock()
        self.settled = self.deferred = 0
        self.written_at = time.monotonic()
        self.endings = Endings(tools)
        self._tools, self._terms = tools, tools.terms
        self._again = False  # the outcome of the last commit is unknown
        self._moment, self._looked = clock.now(), 0.0

    def take_in(self, held: Held) -> None:
        """A batch has been leased."""
        with self.memory:
            self.held[held.key] = held

    def hand_in(self, message: Message, ending: Ending) -> None:
        """A message came to its end."""
        held = self.held[message.campaign, message.batch, message.epoch]
        if type(ending) is Reply and 200 <= ending.code < 300:  # RFC 5321: 2yz
            ticks = time.monotonic()
            if ticks - self._looked > _TICK:
                self._moment, self._looked = clock.now(), ticks
            subscriber, number = message.subscriber, message.chunk
            with self.memory:
                held.accepted.append((subscriber, number, ending, self._moment))
                held.waiting[number].discard(subscriber)
                self.endings.taken(held, number)
            return
        with self.memory:
            self.endings.other(held, message, ending, clock.now())

    def start(self, held: Held, most: int) -> bool:
        """Put the batch's next chunk on record, with what came in before; whether it may be sent.

        At most `most` people, who are then `pending`. Where it may not, the batch takes no further
        chunk. Raises Unavailable where the database does not answer: nothing may be sent then, and
        the same may be asked again.
        """
        lease, number = held.lease, held.chunk + 1
        with self.writing:
            with self.memory:
                if held.rest is not None:
                    return False
                news = self._take()
            mine = next((n for n in news if n.lease is lease), None)
            flushed = mine.flushed if mine else held.flushed
            now = clock.now()
            try:
                with self._tools.database.transaction() as session:
                    fence = self._fenced(session, held, most, flushed, now)
                    fenced = None if fence.refused else lease
                    ours = actions.enter(session, news, self._manner(), fenced=fenced)
                    if not fence.refused:
                        people = self._people(session, held, fence, now)
            except BaseException:
                held.unknown = number
                self._put_back(news)
                raise
            self._written(news, ours)
            with self.memory:
                if fence.refused:
                    held.rest = held.rest or fence.refused
                    return False
                held.begin(number, fence.to, people, now)
                held.looked[number] = time.monotonic()
                held.reserved[number] = now
                held.pending.extend(people.people)
            return True

    def write(self) -> None:
        """Write results on their own, and give back the batches that rest."""
        with self.writing:
            with self.memory:
                news, back = self._take(), self._resting()
            if not news and not back:
                return
            try:
                with self._tools.database.transaction() as session:
                    ours = actions.enter(session, news, self._manner())
                    self._give_back(session, back)
            except BaseException:
                self._put_back(news)
                raise
            self._written(news, ours)
            with self.memory:
                for held in back:
                    self.held.pop(held.key, None)

    def settle(self, *, broken_off: bool) -> None:
        """Write what is left and give the batches back; those not sent to are free for others.

        Those of a run that was `broken_off` stay leased: the journal has to settle them. Raises
        Unavailable where the database does not answer; nothing is lost then, call again.
        """
        if not broken_off:
            now = clock.now()
            with self.memory:
                for held in self.held.values():
                    held.pending.clear()
                    held.leave_all(now)
                    held.rest = held.rest or Rest("")
        self.write()
        if broken_off:
            self.held.clear()

    def leases(self) -> list[Lease]:
        """All that is in hand."""
        with self.memory:
            return [held.lease for held in self.held.values()]

    def all(self) -> list[Held]:
        """All batches in hand."""
        with self.memory:
            return list(self.held.values())

    def stop(self, held: Held, rest: Rest) -> None:
        """Hand out nothing more of a batch: whoever is not on the wire yet stays open."""
        with self.memory:
            held.rest = held.rest or rest

    def leave_pending(self, held: Held) -> None:
        """Whoever was not handed out is not sent to."""
        now = clock.now()
        with self.memory:
            while held.pending:
                held.leave(held.chunk, held.pending.popleft().subscriber, now)

    def skip(self, held: Held, subscriber: int, why: str) -> None:
        """Somebody who was not handed out gets no letter."""
        skipped = Result(subscriber, "skipped", clock.now(), reason=why, chunk=held.chunk)
        with self.memory:
            held.settle(held.chunk, skipped)

    def _fenced(
        self, session: Session, held: Held, most: int, flushed: int, now: datetime
    ) -> "_Fence":
        """Take the fence of the next chunk, and count who begins."""
        lease, number = held.lease, held.chunk + 1
        to = chunk.reached(session, lease, number) if held.unknown == number else None
        fresh = to is None  # else its people are counted already
        if to is None:
            allowed = self._room(session, held, min(most, lease.size - held.to), now)
            if not allowed.count and allowed.why:
                return _Fence(held.to, Rest(allowed.why, allowed.wait))
            to = held.to + allowed.count
        probes = self._tools.closures.probes(held.relay, lease.lane)
        if chunk.start(
            session,
            lease,
            number,
            to,
            flushed=flushed,
            seconds=self._terms.lease,
            relay=held.relay,
            probes=[brake.id for brake in probes],
        ):
            return _Fence(to, None, fresh=fresh)
        if fresh:
            pacer = self._tools.pacer
            pacer.give_back(session, held.relay, lease.lane, to - held.to, now)
        return _Fence(held.to, Rest(STOPPED))

    def _room(self, session: Session, held: Held, want: int, now: datetime) -> Allowed:
        """How many may begin by the canary and the warm-up; others who begin wait for us."""
        lease, tools = held.lease, self._tools
        if lease.canary:
            left = chunk.canary_room(session, lease)
            if left == 0:
                return Allowed(0, 0.0, _CANARY)
            want = want if left is None else min(want, left)
        allowed = tools.pacer.reserve(session, held.relay, lease.lane, want, now)
        if allowed.count or not allowed.why:
            return allowed
        tools.closures.wait(held.relay, lease.lane, allowed.wait, allowed.why)
        shut = tools.closures.relays(lease.lane)
        another = tools.pacer.choose(lease.lane, shut=shut) is not None
        return replace(allowed, wait=0.0 if another else min(allowed.wait, _ASK_AGAIN))

    def _people(self, session: Session, held: Held, fence: "_Fence", now: datetime) -> Chunk:
        """Who stands in a chunk that is on record now; places nobody needs are free again."""
        lease, segments = held.lease, held.composer.segments
        people = chunk.people(session, lease, segments, held.to, fence.to, now=now)
        if fence.fresh:
            begin = len(people.people)
            if lease.canary:
                chunk.count_canary(session, lease, begin)
            unused = fence.to - held.to - begin
            self._tools.pacer.give_back(session, held.relay, lease.lane, unused, now)
        return people

    def _take(self) -> list[News]:
        news = [(h.flushed, h.take()) for h in self.held.values()]
        return [n for before, n in news if n.rows or n.entries or n.done or n.flushed > before]

    def _resting(self) -> list[Held]:
        """Batches that take no further chunk and have nobody on the wire: settled by ourselves."""
        return [held for held in self.held.values() if held.rest and held.idle]

    def _give_back(self, session: Session, back: Iterable[Held]) -> None:
        for held in back:
            lease, rest = held.lease, held.rest
            if rest is None:  # nobody asked for it back
                continue
            ours = batch.release(
                session, lease, wait=rest.wait, not_before=rest.not_before, reason=rest.reason
            )
            unsent = {one for people in held.unsent.values() for one in people}
            if not ours and unsent:
                now = clock.now()
                settling.record_unsent(session, lease, unsent, actor=lease.worker, now=now)
            for number, people in held.unsent.items():
                relay, day = held.sent_by[number], held.reserved[number]
                self._tools.pacer.give_back(session, relay, lease.lane, len(people), day)

    def _manner(self) -> Manner:
        return Manner(self._terms.batch_size, again=self._again, now=clock.now())

    def _put_back(self, news: list[News]) -> None:
        self._again = True
        with self.memory:
            for told in news:
                self.held[(*told.lease.key, told.lease.epoch)].put_back(told)

    def _written(self, news: list[News], ours: list[bool]) -> None:
        """The transaction is through."""
        self._again = False
        self.written_at = time.monotonic()
        with self.memory:
            for told, mine in zip(news, ours, strict=True):
                key = (*told.lease.key, told.lease.epoch)
                held = self.held[key]
                held.written(told)
                final = sum(isinstance(e, Result) for e in told.entries)
                self.settled += len(told.rows) + final
                self.deferred += len(told.entries) - final
                if not mine:
                    held.rest = held.rest or Rest(STOPPED)
                elif told.done:
                    del self.held[key]
            self.endings.accepted(news, clock.now())


@dataclass(frozen=True, slots=True)
class _Fence:
    """How far the next chunk reaches."""

    to: int
    refused: Rest | None  # why nobody of it may be sent to
    fresh: bool = False  # it was not on record before
