"""Watches a run: results that wait to be written, whoever stops something, leases to prolong.

A thread of its own. Twice a second it reads what was stopped, in one look; what must not be sent
any more is taken back from the relay, message by message, while everything else goes on.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable

import structlog

from mailer.delivery import batch, brakes, chunk, workers
from mailer.delivery.bookkeeping import Books
from mailer.delivery.brakes import Brake
from mailer.delivery.breakers import Trip
from mailer.delivery.deadline import Deadline, boot_clock
from mailer.delivery.held import STOPPED, Key, Rest
from mailer.delivery.hold import hold_file
from mailer.delivery.relay import Message
from mailer.delivery.tools import Tools
from mailer.kit import clock
from mailer.kit.errors import Unavailable

_WRITE = 0.2  # seconds that results wait to be written
_STOP = 0.5  # seconds between two looks for what was stopped
_READ = 3.0  # seconds after which the people of a chunk are read again: an unsubscribe acts in 5
_log = structlog.get_logger()


class Watch:
    """The watch of one run. `start` it before anything is leased, `stop` it when all is over."""

    def __init__(
        self, tools: Tools, books: Books, deadline: Deadline, halt: Callable[[], None]
    ) -> None:
        self._tools, self._books, self._deadline, self._halt = tools, books, deadline, halt
        self._over = threading.Event()
        self._dropped: set[tuple[Key, int]] = set()  # lease and chunk
        self._unmailable: set[tuple[Key, int]] = set()  # lease and subscriber
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def start(self) -> None:
        """Look once, here and now, and begin. Raises Unavailable."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._books.endings.alarm.set()
        self._thread.join()

    def look(self) -> None:
        """Put on what tripped, read what was stopped, and stop it here."""
        tools, books = self._tools, self._books
        file = None if tools.directory is None else hold_file(tools.directory)
        if file:  # the database may be away: the file stops this host without it
            self._halt()
        trips, proven = tools.closures.trips(), tools.closures.proven()
        if trips or proven:
            self._put_on(trips, proven)
        leases = books.leases()
        with tools.database.reading() as session:
            withdrawn = {(*lease.key, lease.epoch) for lease in batch.withdrawn(session, leases)}
            seen = brakes.seen(session)
        tools.closures.looked(seen, file or "")
        tools.closures.entered(trips, proven)
        if tools.closures.held:
            self._halt()
        self._shut_out(withdrawn)

    def _watch(self) -> None:
        stop_seen = beat = time.monotonic()
        alarm = self._books.endings.alarm
        while not self._over.is_set():
            alarmed = alarm.wait(_WRITE)
            alarm.clear()
            now = time.monotonic()
            try:
                if alarmed or now - stop_seen > _STOP - _WRITE / 2:
                    stop_seen = now
                    self.look()
                if now - self._books.written_at > _WRITE:
                    self._books.write()
                self._read_again(now)
                if now - beat > self._tools.terms.lease / 4:
                    beat = now
                    self._prolong()
            except Unavailable:
                _log.warning("the database is away; results wait")
            except Exception:  # noqa: BLE001  # a watch that dies unseen would be worse
                _log.exception("the books cannot be kept; sending stops")
                self._halt()
                return

    def _put_on(self, trips: Iterable[Trip], proven: Iterable[Brake]) -> None:
        """Let every worker know of what tripped here, and of probes that went through."""
        worker, now = self._tools.worker, clock.now()
        with self._tools.database.transaction() as session:
            for trip in trips:
                brakes.put_on(session, trip, actor=worker, now=now)
            for brake in proven:
                brakes.take_off(session, brake, by="a letter was accepted", now=now)

    def _shut_out(self, withdrawn: Collection[Key]) -> None:
        """Take back whoever must not be sent to any more and is not on the wire."""
        closures, before = self._tools.closures, len(self._dropped)
        for held in self._books.all():
            lease = held.lease
            if held.key in withdrawn:
                self._books.stop(held, Rest(STOPPED))
            with self._books.memory:
                sent_by = {n: held.sent_by[n] for n, people in held.waiting.items() if people}
            for number, relay in sent_by.items():
                why = closures.why(lease.campaign, relay, lease.lane)
                if why and number == held.chunk:
                    self._books.stop(held, Rest(why))
                if why or held.key in withdrawn:
                    self._dropped.add((held.key, number))
        if len(self._dropped) > before:
            self._tools.relay.drop(self._is_unwanted)

    def _is_unwanted(self, message: Message) -> bool:
        key = (message.campaign, message.batch, message.epoch)
        unmailable = (key, message.subscriber) in self._unmailable
        return unmailable or (key, message.chunk) in self._dropped

    def _read_again(self, now: float) -> None:
        """Who unsubscribed since their chunk began and has not been sent to yet gets no letter."""
        with self._books.memory:
            old = [
                (held, number, frozenset(people))
                for held in self._books.held.values()
                for number, people in held.waiting.items()
                if people and now - held.looked[number] > _READ
            ]
        before = len(self._unmailable)
        for held, number, people in old:
            segments = held.composer.segments
            with self._tools.database.reading() as session:
                found = chunk.unmailable(session, people, segments, now=clock.now())
            with self._books.memory:
                held.looked[number] = now
                held.unmailable |= found
            self._unmailable |= {(held.key, subscriber) for subscriber in found}
        if len(self._unmailable) > before:
            self._tools.relay.drop(self._is_unwanted)

    def _prolong(self) -> None:
        asked = boot_clock()
        with self._books.writing:
            leases = self._books.leases()
            with self._tools.database.transaction() as session:
                still = batch.extend(session, leases, seconds=self._tools.terms.lease)
                workers.alive(session, self._tools.worker, self._tools.queues)
            gone = {held.key for held in self._books.all()} - still
        if gone:  # judged, or cancelled: nothing more of them may leave
            self._shut_out(gone)
        self._deadline.moved(asked)
