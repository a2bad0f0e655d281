"""Drives the connections to one relay: messages in, endings out.

The event loop runs in the caller's thread while it waits for endings. Per turn of the loop one
append to the journal covers all connections; only then do the dots of that turn leave.
"""

import asyncio
import functools
import itertools
import os
import ssl
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from typing import Any, cast

from mailer.delivery.envelope import Outgoing
from mailer.delivery.feed import Feed
from mailer.delivery.handshake import Setback
from mailer.delivery.journal import Journal, JournalFull
from mailer.delivery.relay import Ending, Message, RelayDown, Reply
from mailer.delivery.relay_address import RelayAddress, relay_address
from mailer.delivery.smtp import Connection, Timeouts
from mailer.kit.errors import DibaoError

try:
    import uvloop
except ImportError:  # Windows has none
    _new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:
    _new_loop = uvloop.new_event_loop

_TRIES = 3  # connections a message may see break before its dot
_PATIENCE = 4  # setbacks in a row, beyond one per connection, that mean the relay is down
_YIELD = 50  # endings handed out at a time, or fewer after _PAUSE
_PAUSE = 0.01  # seconds


def relay_from_url(
    url: str,
    *,
    connections: int = 20,
    journal: Journal | None = None,
    timeouts: Timeouts | None = None,
    ahead: int = 200,
    name: str = "",
) -> "SmtpRelay":
    """The relay at `smtp://`, `smtp+starttls://` or `smtps://[user:password@]host[:port]`.

    Raises Misconfigured like `relay_address`; nothing is connected yet.
    """
    address = relay_address(url, name=name)
    return SmtpRelay(
        address, connections=connections, journal=journal, timeouts=timeouts, ahead=ahead
    )


class SmtpRelay:
    """A relay over SMTP; `delivery.relay.Relay` says what may be expected of it.

    Connections are opened on demand and kept for the next `send`. After a fork it starts afresh.
    Closing the iterator of `send` early breaks off what is on the wire.
    """

    def __init__(
        self,
        address: RelayAddress,
        *,
        connections: int = 20,
        journal: Journal | None = None,
        timeouts: Timeouts | None = None,
        ahead: int = 200,
    ) -> None:
        """`ahead` is how many messages may wait composed; without a journal nobody witnesses."""
        self.address = address
        self._most = connections
        self._journal = journal
        self._timeouts = timeouts or Timeouts()
        self._ahead = ahead
        self._trust = address.tls  # to make one takes 20 ms
        if self._trust is None and address.security != "none":
            self._trust = ssl.create_default_context()
        self._numbers = itertools.count(1)
        self._process = 0
        self._begin_process()
        self._begin_send(None)

    def send(
        self, messages: Iterable[Message], *, in_time: Callable[[], bool] | None = None
    ) -> Generator[tuple[Message, Ending], None, None]:
        """See `Relay.send`. Raises JournalFull where the journal takes no more."""
        if self._process != os.getpid():
            self._begin_process()
        if not self._using.acquire(blocking=False):
            raise ValueError("one send at a time")
        try:
            self._begin_send(in_time)
            wake = functools.partial(self._loop.call_soon_threadsafe, self._schedule)
            feed = Feed(messages, self._ahead, wake)
            yield from self._drive(feed)
        finally:
            self._using.release()
        trouble = feed.error or self._error or self._trouble
        if trouble is not None:
            raise trouble

    def stop(self) -> None:
        """See `Relay.stop`."""
        self._halted = True
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._schedule)

    def close(self) -> None:
        """See `Relay.close`. Not while a `send` is under way."""
        if self._process != os.getpid() or self._loop.is_closed():
            return
        for connection in [*self._joining, *self._live]:
            connection.quit()
        self._loop.run_until_complete(self._empty(self._timeouts.quit))
        self._loop.close()
        self._process = 0  # a later send begins anew

    def _begin_process(self) -> None:
        self._process = os.getpid()
        self._using = threading.Lock()
        self._loop: asyncio.AbstractEventLoop = _new_loop()
        self._loop.set_exception_handler(self._on_bug)
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself holds them weakly
        self._dialling = 0
        self._joining: set[Connection] = set()  # connected, not yet ready
        self._live: set[Connection] = set()
        self._idle: list[Connection] = []

    def _begin_send(self, in_time: Callable[[], bool] | None) -> None:
        self._feed: Feed | None = None
        self._in_time = in_time
        self._halted = self._finished = self._turning = self._surfacing = False
        self._pause: asyncio.TimerHandle | None = None
        self._trouble: DibaoError | None = None
        self._error: BaseException | None = None
        self._retries: deque[Outgoing] = deque()
        self._in_flight = 0  # messages in the hands of connections
        self._limit = self._most  # connections the relay seems to allow
        self._setbacks = 0  # in a row, without an answer between
        self._answers = 0
        self._worn_out = 0  # messages out of tries
        self._records: list[bytes] = []
        self._dots: list[Connection] = []
        self._fresh: list[tuple[Message, Ending]] = []  # not yet in the journal
        self._endings: list[tuple[Message, Ending]] = []

    def _drive(self, feed: Feed) -> Iterator[tuple[Message, Ending]]:
        self._feed = feed
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
            self._halted = True
            self._feed = None  # no more turns
            feed.close()
            if self._in_flight:
                for connection in [*self._joining, *self._live]:
                    connection.abort()
                self._loop.run_until_complete(self._empty(1))

    # What connections ask (smtp.Exchange)

    def take(self) -> Outgoing | None:
        """The next message, those that lost a connection first."""
        if self._halted or self._feed is None:
            return None
        outgoing = self._retries.popleft() if self._retries else self._feed.take()
        if outgoing is not None:
            self._in_flight += 1
        return outgoing

    def intend(self, connection: Connection, outgoing: Outgoing) -> None:
        """Journal INTENT, with whatever this turn brings besides."""
        if self._journal is not None:
            self._records.append(self._journal.intent(outgoing.message, connection.number))
            self._schedule()

    def dot(self, connection: Connection, outgoing: Outgoing) -> None:
        """Journal DOT at the end of this turn and release the connection; not past its time."""
        if self._in_time is not None and not self._in_time():
            self._halted = True
            connection.abort()
            return
        if self._journal is not None:
            self._records.append(self._journal.dot(outgoing.message, connection.number))
        self._dots.append(connection)
        self._schedule()

    def ended(self, connection: Connection, outgoing: Outgoing, ending: Ending) -> None:
        """Journal REPLY at the end of this turn; then the ending is the caller's."""
        self._in_flight -= 1
        message = outgoing.message
        if isinstance(ending, Reply):
            self._setbacks = 0
            self._answers += 1
            if self._journal is not None:
                self._records.append(self._journal.reply(message, connection.number, ending))
        self._fresh.append((message, ending))
        self._schedule()

    def give_back(self, outgoing: Outgoing, *, tried: bool) -> None:
        """Try the message on another connection, a few times."""
        self._in_flight -= 1
        outgoing.tries += tried
        if outgoing.tries < _TRIES:
            self._retries.append(outgoing)
        else:
            self._worn_out += 1
        self._schedule()

    def ready(self, connection: Connection) -> None:
        """Give it a message at the end of this turn."""
        self._joining.discard(connection)
        self._live.add(connection)
        self._idle.append(connection)
        self._schedule()

    def upgrade(self, connection: Connection) -> None:
        """STARTTLS."""
        self._spawn(self._upgrade(connection))

    def gone(self, connection: Connection, setback: Setback | None) -> None:
        """Judge whether the relay as a whole is in trouble."""
        joining = connection in self._joining
        self._joining.discard(connection)
        self._live.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if setback is not None:
            self._suffer(setback, joining=joining)
        self._schedule()

    # The turn of the loop

    def _schedule(self) -> None:
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Journal first, then dots and endings; then the idle, then whether all is over."""
        self._turning = False
        if self._feed is None:
            return
        dots, self._dots = self._dots, []
        fresh, self._fresh = self._fresh, []
        if not self._witnessed():
            for connection in dots:
                connection.abort()
        else:
            for connection in dots:
                connection.release()
        self._endings += fresh
        self._employ(self._feed)
        self._finished = self._is_over(self._feed)
        if self._finished or len(self._endings) >= _YIELD:
            self._surface()
        elif self._endings and self._pause is None:
            self._pause = self._loop.call_later(_PAUSE, self._surface)

    def _surface(self) -> None:
        """Leave the loop, once: a second stop would wait for its next run (uvloop queues it)."""
        if not self._surfacing:
            self._surfacing = True
            self._loop.stop()

    def _witnessed(self) -> bool:
        """Append this turn's records; False where the journal took none of them."""
        records, self._records = self._records, []
        if self._journal is not None and records:
            try:
                self._journal.append(b"".join(records))
            except JournalFull as full:
                self._halt(full)
                return False
        return True

    def _employ(self, feed: Feed) -> None:
        """Give the idle something to send, and open connections for what is left."""
        while self._idle and (outgoing := self.take()) is not None:
            self._idle.pop().begin(outgoing)
        if self._halted:
            return
        coming = self._dialling + len(self._joining)
        wanted = len(feed) + len(self._retries) - coming
        for _ in range(min(wanted, self._limit - coming - len(self._live))):
            self._dialling += 1
            self._spawn(self._dial())

    def _is_over(self, feed: Feed) -> bool:
        if self._in_flight or self._fresh or self._records:
            return False
        over = self._halted or (feed.done and not len(feed) and not self._retries)
        if over and self._worn_out and not self._answers:
            self._trouble = self._trouble or RelayDown("Every connection broke before the dot")
        return over

    def _tick(self) -> None:
        limits, now = self._timeouts, self._loop.time()
        for connection in [*self._joining, *self._live]:
            connection.check(now, limits)
        self._schedule()
        self._timer = self._loop.call_later(min(1.0, limits.reply / 4, limits.dot / 4), self._tick)

    # Connections

    def _suffer(self, setback: Setback, *, joining: bool) -> None:
        self._setbacks += 1
        others = len(self._live) + len(self._joining) + self._dialling
        if setback.everyone or (joining and not others) or self._setbacks >= self._most + _PATIENCE:
            self._halt(RelayDown(f"The relay takes no mail: {setback}"))
        elif joining:  # it may allow fewer than we would like
            self._limit = others

    def _halt(self, trouble: DibaoError) -> None:
        self._halted = True
        self._trouble = self._trouble or trouble

    async def _dial(self) -> None:
        address, setback = self.address, None
        connection = Connection(
            self,
            next(self._numbers) & 0xFFFF,
            address.name,
            starttls=address.security == "starttls",
            login=address.login,
        )
        self._dialling -= 1
        self._joining.add(connection)
        context = self._trust if address.security == "tls" else None
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await self._loop.create_connection(
                    lambda: connection, address.host, address.port, ssl=context
                )
        except asyncio.CancelledError:
            self._joining.discard(connection)
            raise
        except ssl.SSLError as refused:
            setback = Setback(f"TLS: {refused}", everyone=True)
        except (OSError, TimeoutError) as refused:
            setback = Setback(f"no connection: {refused or 'no answer in time'}")
        if setback is not None:
            self.gone(connection, setback)

    async def _upgrade(self, connection: Connection) -> None:
        assert self._trust is not None
        transport = cast("asyncio.Transport", connection.transport)
        try:
            upgraded = await self._loop.start_tls(
                transport,
                connection,
                self._trust,
                server_hostname=self.address.host,
                ssl_handshake_timeout=self._timeouts.connect,
            )
        except (OSError, TimeoutError) as refused:
            connection.abort(Setback(f"TLS: {refused}", everyone=isinstance(refused, ssl.SSLError)))
            return
        connection.upgraded(cast("asyncio.Transport", upgraded))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _empty(self, seconds: float) -> None:
        """Wait until every connection is gone; break off those that take longer."""
        for task in self._tasks:
            task.cancel()
        until = self._loop.time() + seconds
        while (self._joining or self._live) and self._loop.time() < until:  # noqa: ASYNC110  # brief
            await asyncio.sleep(0.005)
        for connection in [*self._joining, *self._live]:
            connection.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self._dialling = 0  # those that were called off before they began

    def _on_bug(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception nobody caught: broken sockets are ordinary, the rest is ours to see."""
        error = context.get("exception")
        if self._feed is not None and error is not None and not isinstance(error, OSError):
            self._error = error
            self._finished = True
            self._surface()
