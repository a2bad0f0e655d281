"""Drives the connections of all ways: messages in, endings out.

The event loop runs in the caller's thread while it waits for endings. Per turn of the loop one
append to the journal covers all connections of all ways; only then do the dots of that turn leave.
"""

import asyncio
import functools
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any

from mailer.delivery.exchange import Timeouts
from mailer.delivery.feed import Feed, Line
from mailer.delivery.journal import Journal, JournalFull
from mailer.delivery.relay import Ending, Message
from mailer.delivery.relay_address import relay_address
from mailer.delivery.smtp import Connection
from mailer.delivery.traffic import Desk, Traffic
from mailer.delivery.ways import Way

try:
    import uvloop
except ImportError:  # Windows has none
    _new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:
    _new_loop = uvloop.new_event_loop

_YIELD = 50  # endings handed out at a time, or fewer after _PAUSE
_PAUSE = 0.01  # seconds
_MUCH = 1_000_000  # room of a way that ends whatever comes


def relay_from_url(
    url: str,
    *,
    connections: int = 20,
    journal: Journal | None = None,
    timeouts: Timeouts | None = None,
    ahead: int = 200,
    name: str = "",
) -> "SmtpRelay":
    """One way to the relay at `smtp://`, `smtp+starttls://` or `smtps://[user:password@]host`.

    Raises Misconfigured like `relay_address`; nothing is connected yet.
    """
    way = Way("", "", relay_address(url, name=name), connections)
    return SmtpRelay(lambda _: way, journal=journal, timeouts=timeouts, ahead=ahead)


class SmtpRelay:
    """Ways over SMTP; `delivery.relay.Relay` says what may be expected of them.

    Connections are opened on demand and kept for the next `send`. After a fork it starts afresh.
    Closing the iterator of `send` early breaks off what is on the wire.
    """

    def __init__(
        self,
        ways: Callable[[str], Way],
        *,
        journal: Journal | None = None,
        timeouts: Timeouts | None = None,
        ahead: int = 200,
        most: Mapping[str, int] | None = None,
    ) -> None:
        """`ways` names each way once asked for; `ahead` is how many messages of one may wait.

        `most` is connections per relay over all of its ways. Without a journal nobody witnesses.
        """
        self._ways = ways
        self._journal = journal
        self._timeouts = timeouts or Timeouts()
        self._ahead = ahead
        self._most = dict(most or {})
        self._process = 0
        self._begin_process()

    def send(
        self,
        messages: Iterable[Message],
        *,
        in_time: Callable[[], bool] | None = None,
    ) -> Generator[tuple[Message, Ending], None, None]:
        """See `Relay.send`. Raises JournalFull where the journal takes no more."""
        if self._process != os.getpid():
            self._begin_process()
        if not self._using.acquire(blocking=False):
            raise ValueError("one send at a time")
        try:
            self._begin_send(in_time)
            wake = functools.partial(self._loop.call_soon_threadsafe, self._schedule)
            feed = Feed(messages, self._line, wake)
            yield from self._drive(feed)
        finally:
            self._using.release()
        trouble = feed.error or self._error
        if trouble is not None:
            raise trouble

    def room(self, way: str = "") -> int:
        """See `Relay.room`."""
        traffic = self._traffic(way)
        return traffic.line.room if traffic.trouble is None else _MUCH

    def wait(self, seconds: float) -> None:
        """See `Relay.wait`."""
        feed = self._desk.feed
        if feed is not None and not any(traffic.trouble for traffic in self._all):
            feed.wait(seconds, [traffic.line for traffic in self._all])

    def slow_start(self, way: str = "") -> None:
        """See `Relay.slow_start`."""
        self._from_any_thread(self._traffic(way).slow_start)

    def drop(self, unwanted: Callable[[Message], bool]) -> None:
        """See `Relay.drop`."""
        self._from_any_thread(functools.partial(self._drop, unwanted))

    def stop(self) -> None:
        """See `Relay.stop`."""
        self._desk.halted = True
        if self._desk.feed is not None:
            self._desk.feed.loosen()
        self._from_any_thread(self._schedule)

    def close(self) -> None:
        """See `Relay.close`. Not while a `send` is under way."""
        if self._process != os.getpid() or self._loop.is_closed():
            return
        for connection in self._connections:
            connection.quit()
        self._loop.run_until_complete(self._empty(self._timeouts.quit))
        self._loop.close()
        self._process = 0  # a later send begins anew

    @property
    def _connections(self) -> list[Connection]:
        return [c for traffic in self._all for c in traffic.connections]

    def _begin_process(self) -> None:
        self._process = os.getpid()
        self._using = threading.Lock()
        self._meeting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop = _new_loop()
        self._loop.set_exception_handler(self._on_bug)
        self._desk = Desk(self._loop, self._journal, self._timeouts, self._schedule)
        self._all: list[Traffic] = []  # only ever grows
        self._by_name: dict[str, Traffic] = {}
        self._neighbours: dict[str, list[Traffic]] = {}  # ways of one relay
        self._turning = False

    def _begin_send(self, in_time: Callable[[], bool] | None) -> None:
        desk = self._desk
        self._in_time = in_time
        self._finished = self._turning = self._surfacing = False
        self._pause: asyncio.TimerHandle | None = None
        self._error: BaseException | None = None
        self._endings: list[tuple[Message, Ending]] = []
        for left in (desk.unwanted, desk.records, desk.dots, desk.fresh):
            left.clear()
        desk.in_flight, desk.halted = 0, False
        for traffic in self._all:
            traffic.begin()

    def _traffic(self, name: str) -> Traffic:
        """The way of this name; from any thread."""
        found = self._by_name.get(name)
        if found is None:
            with self._meeting:
                found = self._by_name.get(name)
                if found is None:
                    found = Traffic(self._ways(name), self._desk, self._ahead)
                    self._neighbours.setdefault(found.way.relay, []).append(found)
                    self._by_name[name] = found
                    self._all.append(found)
        return found

    def _line(self, name: str) -> Line:
        return self._traffic(name).line

    def _from_any_thread(self, act: Callable[[], object]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(act)

    def _drop(self, unwanted: Callable[[Message], bool]) -> None:
        self._desk.unwanted.append(unwanted)
        for traffic in self._all:
            traffic.drop()
        if self._desk.feed is not None:
            self._desk.feed.loosen()

    def _drive(self, feed: Feed) -> Iterator[tuple[Message, Ending]]:
        self._desk.feed = feed
        self._timer = self._loop.call_soon(self._tick)
        try:
            while not self._finished:
                self._loop.run_forever()
                self._surfacing = False
                if self._pause is not None:
                    self._pause.cancel()  # or it would stop the loop at a worse time
                    self._pause = None
                endings, self._endings = self._endings, []
                yield from endings
        finally:
            self._timer.cancel()
            self._desk.halted = True
            self._desk.feed = None  # no more turns
            feed.close()
            if self._desk.in_flight:
                for connection in self._connections:
                    connection.abort()
                self._loop.run_until_complete(self._empty(1))

    # The turn of the loop

    def _schedule(self) -> None:
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Journal first, then dots and endings; then the idle, then whether all is over."""
        self._turning = False
        desk = self._desk
        if desk.feed is None:
            return
        dots, desk.dots = desk.dots, []
        fresh, desk.fresh = desk.fresh, []
        if self._witnessed(dots):
            for connection, _ in dots:
                connection.release()
        else:
            for connection, _ in dots:
                connection.abort()
        self._endings += fresh
        if not desk.halted:
            for traffic in self._all:
                if traffic.idle or traffic.trouble or traffic.waiting:
                    self._employ(traffic)
        self._finished = self._is_over(desk.feed)
        if self._finished or len(self._endings) >= _YIELD:
            self._surface()
        elif self._endings and self._pause is None:
            self._pause = self._loop.call_later(_PAUSE, self._surface)

    def _surface(self) -> None:
        """Leave the loop, once: a second stop would wait for its next run (uvloop queues it)."""
        if not self._surfacing:
            self._surfacing = True
            self._loop.stop()

    def _witnessed(self, dots: list[tuple[Connection, Any]]) -> bool:
        """Append this turn's records; False where no dot may leave: too late, or no journal."""
        desk, journal = self._desk, self._journal
        in_time = not dots or self._in_time is None or self._in_time()
        if not in_time:
            desk.halted = True
        if journal is None:
            return in_time
        records, desk.records = desk.records, []
        if in_time:
            records += [journal.dot(outgoing.message, c.number) for c, outgoing in dots]
        if records:
            try:
                journal.append(b"".join(records))
            except JournalFull as full:
                desk.halted = True
                self._error = self._error or full
                return False
        return in_time

    def _employ(self, traffic: Traffic) -> None:
        relay = traffic.way.relay
        most = self._most.get(relay)
        if most is None:
            traffic.employ(_MUCH)
            return
        neighbours = self._neighbours[relay]
        left = most - sum(neighbour.berths for neighbour in neighbours)
        if traffic.berths:  # or it would take back what it gave up for a neighbour
            left -= sum(neighbour.is_starving for neighbour in neighbours)
        starved = traffic.employ(max(0, left)) > 0
        if starved and not traffic.berths:
            max(neighbours, key=lambda neighbour: len(neighbour.live)).give_way()

    def _is_over(self, feed: Feed) -> bool:
        desk = self._desk
        if desk.in_flight or desk.fresh or desk.records or desk.dots:
            return False
        done = feed.done  # before the lines are looked at: it may fill one and end meanwhile
        return desk.halted or (done and not any(traffic.waiting for traffic in self._all))

    def _tick(self) -> None:
        limits, now = self._timeouts, self._loop.time()
        for connection in self._connections:
            connection.check(now, limits)
        self._schedule()
        self._timer = self._loop.call_later(min(1.0, limits.reply / 4, limits.dot / 4), self._tick)

    async def _empty(self, seconds: float) -> None:
        """Wait until every connection is gone; break off those that take longer."""
        for task in self._desk.tasks:
            task.cancel()
        until = self._loop.time() + seconds
        while self._connections and self._loop.time() < until:  # noqa: ASYNC110  # brief
            await asyncio.sleep(0.005)
        for connection in self._connections:
            connection.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for traffic in self._all:
            traffic.dialling = 0  # those that were called off before they began

    def _on_bug(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception nobody caught: broken sockets are ordinary, the rest is ours to see."""
        error = context.get("exception")
        if self._desk.feed is not None and error is not None and not isinstance(error, OSError):
            self._error = error
            self._finished = True
            self._surface()
