"""One run of a worker: batches leased, chunks started, messages out, results in.

Three threads meet here. The relay pulls messages from a thread of its own: that one leases and
starts chunks. The caller takes the endings. A watch looks five times a second whether results
wait too long, whether somebody stopped a campaign, whether the leases have to be prolonged. One
lock guards the memory; another lets one of them at a time into the books.

A transaction that starts a chunk carries the results that came in before it. What cannot be
written waits here, and in the journal, until it can; nothing new starts before that.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog

from mailer.campaigns import queries as campaigns
from mailer.delivery import actions, batch
from mailer.delivery.actions import Manner
from mailer.delivery.batch import Lease, Person
from mailer.delivery.compose import Composer, Composers
from mailer.delivery.held import Held
from mailer.delivery.ledger import News, Result, accepted, entry
from mailer.delivery.relay import Ending, Message, Relay, RelayDown, Reply
from mailer.delivery.verdict import Patience
from mailer.kit import clock
from mailer.kit.database import Database
from mailer.kit.errors import DibaoError, Unavailable

_WATCH = 0.2  # seconds between two looks; results wait no longer to be written
_STOP_EVERY = 1.0  # seconds between two looks for a pause or a cancel
_MARGIN = 10.0  # seconds before the end of a lease when the last dot is written
_AGAIN = 1.0  # seconds between two tries to reach the database
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Terms:
    """How a worker works."""

    chunk_size: int = 200  # people per commit
    batch_size: int = 1000  # people per later batch
    lease: float = 60.0  # seconds
    run: float = 25.0  # seconds after which no further chunk is started
    relay_rest: float = 30.0  # seconds a batch rests after the relay was down
    judged_after: float = actions.JUDGED_AFTER
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True)
class Tools:
    """What a worker works with."""

    database: Database
    relay: Relay
    composers: Composers
    worker: str
    relay_name: str
    terms: Terms


@dataclass(frozen=True, slots=True)
class Worked:
    """What a run did."""

    settled: int = 0  # people with a result now
    deferred: int = 0
    campaigns: tuple[int, ...] = ()  # worked on
    more_due: bool = False
    relay_down: str = ""  # why the relay took nothing more


class Run:
    """One run; `work` once, then `settle` until it succeeds."""

    def __init__(self, tools: Tools, *, prefer: int | None, avoid: int) -> None:
        self.touched: dict[int, None] = {}  # campaigns, in order
        self.broken_off = False  # what is on the wire has no ending: only the journal knows
        self._tools, self._terms = tools, tools.terms
        self._prefer, self._avoid = prefer, avoid
        self._held: dict[tuple[int, int, int], Held] = {}
        self._memory = threading.Lock()
        self._books = threading.Lock()
        self._halt = threading.Event()  # start nothing more
        self._over = threading.Event()  # the relay has let go of every message
        self._until = time.monotonic() + self._terms.run
        self._deadline = float("inf")  # of all leases, by the clock that counts sleep
        self._written_at = time.monotonic()
        self._again = False  # the outcome of the last commit is unknown
        self._settled = self._deferred = 0

    def work(self) -> Worked:
        """Send what is due until nothing is, or time is up, or somebody stops us.

        Whatever happens, everybody it leased is accounted for at the end, or stays in memory for
        `settle`, or, after an exception that cut the relay short (a signal's, a bug's), has to be
        looked up in the journal: see `broken_off`. Raises what the messages or the database raised.
        """
        watch = threading.Thread(target=self._watch, name="watch", daemon=True)
        watch.start()
        down = ""
        self.broken_off = True  # until the relay has let go of every message in order
        try:
            relay = self._tools.relay
            for message, ending in relay.send(self._messages(), in_time=self._in_time):
                self._hand_in(message, ending)
            self.broken_off = False
        except RelayDown as away:
            self.broken_off = False
            down = str(away) or type(away).__name__
            _log.warning("the relay takes no mail", why=down)
        except DibaoError:
            self.broken_off = False
            raise
        finally:
            self._halt.set()
            self._over.set()
            watch.join()
            self.settle(reason=down, rest=self._terms.relay_rest if down else 0)
        return Worked(self._settled, self._deferred, tuple(self.touched), relay_down=down)

    def halt(self) -> None:
        """Start nothing more; what is on the wire comes to its end. From any thread."""
        self._halt.set()
        self._tools.relay.stop()

    def settle(self, *, reason: str = "", rest: float = 0) -> None:
        """Write what is left and give the batches back; those not sent to are free for others.

        Those of a run that was broken off stay leased: the journal has to settle them. Raises
        Unavailable where the database does not answer; nothing is lost then, call again.
        """
        with self._books:
            if not self._held:
                return
            self._write()
            if not self.broken_off:
                with self._tools.database.transaction() as session:
                    for held in self._held.values():
                        batch.release(session, held.lease, wait=rest, reason=reason)
            self._held.clear()

    def _messages(self) -> Iterator[Message]:
        while (held := self._lease()) is not None:
            while (people := self._start_chunk(held)) is not None:
                for person in people:
                    if self._halt.is_set():
                        return
                    message = self._composed(held, person)
                    if message is not None:
                        yield message

    def _closing(self) -> bool:
        return self._halt.is_set() or time.monotonic() > self._until

    def _lease(self) -> Held | None:
        """The next batch with its edition at hand; a batch whose edition is damaged rests."""
        while not self._closing():
            asked = _boot_clock()
            with self._books:
                lease = self._next()
                if lease is None:
                    return None
                composer = self._composer(lease)
                if composer is None:
                    continue
                held = Held(lease, composer)
                with self._memory:
                    if not self._held:
                        self._deadline = asked + self._terms.lease - self._margin
                    self._held[(*lease.key, lease.epoch)] = held
            self.touched.pop(lease.campaign, None)
            self.touched[lease.campaign] = None
            return held
        return None

    def _next(self) -> Lease | None:
        tools = self._tools
        with tools.database.transaction() as session:
            return batch.lease(
                session,
                tools.worker,
                seconds=self._terms.lease,
                prefer=None if self.touched else self._prefer,
                avoid=next(reversed(self.touched), self._avoid),
            )

    def _composer(self, lease: Lease) -> Composer | None:
        """None where its edition cannot be composed: that harms no other campaign."""
        tools = self._tools
        try:
            return tools.composers.of(lease.campaign, lease.edition)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001  # whatever it is, it is about this edition
            _log.exception(
                "an edition cannot be composed", campaign=lease.campaign, edition=lease.edition
            )
        with tools.database.transaction() as session:
            why = "its edition cannot be composed"
            batch.release(session, lease, wait=self._terms.relay_rest, reason=why)
        return None

    def _start_chunk(self, held: Held) -> tuple[Person, ...] | None:
        """Put the batch's next chunk on record and read its people; None ends the batch here."""
        while not self._closing() and not held.exhausted and not held.lost:
            try:
                return self._commit_start(held)
            except Unavailable:
                _log.warning("the database is away; nothing new is started")
                self._halt.wait(_AGAIN)
                if not self._in_time():
                    break
        return None

    def _commit_start(self, held: Held) -> tuple[Person, ...] | None:
        lease, number = held.lease, held.chunk + 1
        to = min(held.to + self._terms.chunk_size, lease.size)
        with self._books:
            news = self._take()
            mine = next((n for n in news if n.lease is lease), None)
            flushed = mine.flushed if mine else held.flushed
            try:
                with self._tools.database.transaction() as session:
                    started = batch.start_chunk(
                        session, lease, number, to, flushed=flushed, seconds=self._terms.lease
                    )
                    fenced = lease if started else None
                    ours = actions.enter(session, news, self._manner(), fenced=fenced)
                    if started:
                        people = batch.people(
                            session, lease, held.composer.segments, held.to, to, now=clock.now()
                        )
            except BaseException:
                self._put_back(news)
                raise
            self._written(news, ours)
            if not started:
                held.lost = True  # or its campaign was stopped: either way no further chunk
                return None
            with self._memory:
                held.begin(number, to, people, clock.now())
            return people.people

    def _composed(self, held: Held, person: Person) -> Message | None:
        """The message, or None where it cannot be made: a fault in one harms nobody else."""
        try:
            return held.composer.compose(held.lease, held.chunk, person)
        except Exception:  # noqa: BLE001  # whatever it is, it is about this one letter
            _log.exception(
                "a letter cannot be composed",
                campaign=held.lease.campaign,
                subscriber=person.subscriber,
            )
        why = Result(person.subscriber, "skipped", clock.now(), reason="render_failed")
        with self._memory:
            held.entries.append(why)
            held.left[held.chunk] -= 1
        return None

    def _hand_in(self, message: Message, ending: Ending) -> None:
        held = self._held[(message.campaign, message.batch, message.epoch)]
        at, subscriber, chunk = clock.now(), message.subscriber, message.chunk
        if type(ending) is Reply and 200 <= ending.code < 300:  # RFC 5321: 2yz
            row = accepted(held.lease, subscriber, chunk, ending, self._tools.relay_name, at)
            with self._memory:
                held.rows.append(row)
                held.left[chunk] -= 1
            return
        found = entry(
            ending,
            subscriber=subscriber,
            chunk=chunk,
            attempt=held.lease.attempt,
            first_tried=held.first_tried.get(subscriber),
            at=at,
            patience=self._terms.patience,
        )
        with self._memory:
            held.entries.append(found)
            held.left[chunk] -= 1

    def _take(self) -> list[News]:
        with self._memory:
            news = [(h.flushed, h.take()) for h in self._held.values()]
        return [n for before, n in news if n.rows or n.entries or n.done or n.flushed > before]

    def _manner(self) -> Manner:
        tools = self._tools
        return Manner(tools.relay_name, self._terms.batch_size, again=self._again, now=clock.now())

    def _put_back(self, news: list[News]) -> None:
        self._again = True
        with self._memory:
            for told in news:
                self._held[(*told.lease.key, told.lease.epoch)].put_back(told)

    def _written(self, news: list[News], ours: list[bool]) -> None:
        """The transaction is through."""
        self._again = False
        self._written_at = time.monotonic()
        with self._memory:
            for told, mine in zip(news, ours, strict=True):
                key = (*told.lease.key, told.lease.epoch)
                held = self._held[key]
                held.flushed, held.later = told.flushed, told.later
                final = sum(isinstance(e, Result) for e in told.entries)
                self._settled += len(told.rows) + final
                self._deferred += len(told.entries) - final
                held.lost = held.lost or not mine
                if told.done and mine:
                    del self._held[key]

    def _write(self) -> None:
        """Write results on their own; the caller has the books."""
        news = self._take()
        if not news:
            return
        try:
            with self._tools.database.transaction() as session:
                ours = actions.enter(session, news, self._manner())
        except BaseException:
            self._put_back(news)
            raise
        self._written(news, ours)

    def _watch(self) -> None:
        stop_seen = beat = time.monotonic()
        while not self._over.wait(_WATCH):
            now = time.monotonic()
            try:
                if now - self._written_at > _WATCH:
                    with self._books:
                        self._write()
                if now - stop_seen > _STOP_EVERY:
                    stop_seen = now
                    self._look_for_stop()
                if now - beat > self._terms.lease / 4:
                    beat = now
                    self._prolong()
            except Unavailable:
                _log.warning("the database is away; results wait")
            except Exception:  # noqa: BLE001  # a watch that dies unseen would be worse
                _log.exception("the books cannot be kept; sending stops")
                self.halt()
                return

    def _look_for_stop(self) -> None:
        with self._memory:
            seen = {h.lease.campaign: h.lease.stop_epoch for h in self._held.values()}
        with self._tools.database.reading() as session:
            stopped = [c for c, epoch in seen.items() if campaigns.stop_epoch(session, c) != epoch]
        if stopped:
            self.halt()

    def _prolong(self) -> None:
        asked = _boot_clock()
        with self._books:
            with self._memory:
                leases = [held.lease for held in self._held.values()]
            with self._tools.database.transaction() as session:
                still = batch.extend(session, leases, seconds=self._terms.lease)
                actions.heartbeat(session, self._tools.worker)
            with self._memory:
                gone = [h for key, h in self._held.items() if key not in still]
                self._deadline = asked + self._terms.lease - self._margin
        if gone:  # judged, or cancelled: nothing more of it may leave
            self.halt()

    @property
    def _margin(self) -> float:
        return min(_MARGIN, self._terms.lease / 6)

    def _in_time(self) -> bool:
        """Whether all leases are surely ours: asked before every final dot."""
        return _boot_clock() < self._deadline


def _boot_clock() -> float:
    """Seconds by a clock that goes on while the machine sleeps; where there is none, another."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
