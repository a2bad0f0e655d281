"""One way's share of a send: its line, its connections, and whether it still takes mail.

A connection asks here for messages and tells here what becomes of them (`exchange.Exchange`);
what leaves and what ends is noted on the desk, which all ways share and the engine clears.
"""

import asyncio
import itertools
import ssl
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

from mailer.delivery.envelope import Outgoing
from mailer.delivery.exchange import Timeouts
from mailer.delivery.feed import Feed, Line
from mailer.delivery.handshake import Setback
from mailer.delivery.journal import Journal
from mailer.delivery.relay import Ending, Message, Reply, Trouble, Unsent
from mailer.delivery.smtp import Connection
from mailer.delivery.ways import Way

_TRIES = 3  # connections a message may see break before its dot
_PATIENCE = 4  # setbacks in a row, beyond one per connection, that mean the way is shut
_STOPPED = Unsent(Trouble("stopped", "It was not wanted any more"))
_REMEMBERED = 1000  # messages that broke every connection while nothing else was answered
_BROKE = f"{_TRIES} connections broke before its dot"
_WORN_OUT = Unsent(Trouble("closed", _BROKE))
_PUT_OFF = Reply(451, "4.4.2", f"local: {_BROKE}", "rcpt")  # RFC 3463: a bad connection


@dataclass(slots=True)
class Desk:
    """What all ways of a process share: the loop, the journal, and what this turn brings."""

    loop: asyncio.AbstractEventLoop
    journal: Journal | None
    timeouts: Timeouts
    stir: Callable[[], None]  # a turn is due
    feed: Feed | None = None  # of the send under way
    halted: bool = True  # nothing more is begun
    in_flight: int = 0  # messages in the hands of connections
    unwanted: list[Callable[[Message], bool]] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    dots: list[tuple[Connection, Outgoing]] = field(default_factory=list)
    fresh: list[tuple[Message, Ending]] = field(default_factory=list)  # not yet in the journal
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)  # the loop holds them weakly

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task and keep it alive."""
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class Traffic:
    """The connections of one way. All but `line` is the loop's thread's."""

    def __init__(self, way: Way, desk: Desk, ahead: int) -> None:
        """At most `ahead` messages wait, and no more than its connections take in a moment."""
        self.way = way
        self.line = Line(max(1, min(ahead, 5 * way.connections)))
        self.trouble: Trouble | None = None  # it takes no mail for the rest of this send
        self.joining: set[Connection] = set()  # connected, not yet ready
        self.live: set[Connection] = set()
        self.idle: list[Connection] = []
        self.dialling = 0
        self._leaving: set[Connection] = set()  # QUIT is said
        self._desk = desk
        self._retries: deque[Outgoing] = deque()
        self._giving = False  # another way of this relay is to have one of its connections
        self._ceiling: int | None = None  # slow start: connections allowed now
        self._breaking: set[tuple[int, int]] = set()  # campaign, subscriber: worn out before
        self.begin()

    def begin(self) -> None:
        """Start afresh with a new send; connections are kept."""
        self.trouble = None
        self._retries.clear()
        self.line.waiting.clear()
        self.line.hungry = True
        self._limit = self.way.connections  # connections the relay seems to allow
        self._setbacks = 0  # in a row, without an answer between
        self._giving = False
        self._tighten()

    @property
    def berths(self) -> int:
        """Connections it has or is about to have."""
        return len(self.joining) + len(self.live) + len(self._leaving) + self.dialling

    @property
    def waiting(self) -> int:
        """Messages nobody has begun."""
        return len(self.line.waiting) + len(self._retries)

    @property
    def is_starving(self) -> bool:
        """Whether somebody waits and it has no connection at all."""
        return not self.berths and self.waiting > 0 and self.trouble is None

    @property
    def connections(self) -> list[Connection]:
        """All that are open."""
        return [*self.joining, *self.live, *self._leaving]

    def slow_start(self) -> None:
        """Go back to one connection; one more with each message that is accepted."""
        self._ceiling = 1
        self._tighten()

    def fail(self, trouble: Trouble) -> None:
        """Take no more mail in this send."""
        self.trouble = self.trouble or trouble
        if self._desk.feed is not None:
            self._desk.feed.loosen()
        self._desk.stir()

    def give_way(self) -> None:
        """Let another way of the same relay have a connection, as soon as one is free."""
        if self.idle:
            self._leave(self.idle.pop())
        elif len(self.live) > 1:
            self._giving = True
            self._tighten()

    def drop(self) -> None:
        """End those among the waiting that are not wanted any more."""
        for line in (self._retries, self.line.waiting):
            for _ in range(len(line)):
                outgoing = line.popleft()
                if not self._is_dropped(outgoing):
                    line.append(outgoing)

    # What connections ask (exchange.Exchange)

    def take(self) -> Outgoing | None:
        """The next message, those that lost a connection first."""
        if self._desk.halted or self.trouble is not None or (self._tight and self._is_surplus()):
            return None
        return self._next()

    def intend(self, connection: Connection, outgoing: Outgoing) -> None:
        """Journal INTENT, with whatever this turn brings besides."""
        desk = self._desk
        if desk.journal is not None:
            desk.records.append(desk.journal.intent(outgoing.message, connection.number))
            desk.stir()

    def dot(self, connection: Connection, outgoing: Outgoing) -> None:
        """Journal DOT at the end of this turn and release the connection; not past its time."""
        self._desk.dots.append((connection, outgoing))
        self._desk.stir()

    def ended(self, connection: Connection, outgoing: Outgoing, ending: Ending) -> None:
        """Journal REPLY at the end of this turn; then the ending is the caller's."""
        desk, message = self._desk, outgoing.message
        desk.in_flight -= 1
        if type(ending) is Reply:
            self._setbacks = 0
            if self._ceiling is not None and ending.code < 300:
                self._grow()
            if desk.journal is not None:
                desk.records.append(desk.journal.reply(message, connection.number, ending))
        desk.fresh.append((message, ending))
        desk.stir()

    def give_back(self, outgoing: Outgoing, *, tried: bool) -> None:
        """Try the message on another connection, a few times."""
        self._desk.in_flight -= 1
        outgoing.tries += tried
        if outgoing.tries < _TRIES:
            self._retries.append(outgoing)
        else:
            self._desk.fresh.append((outgoing.message, self._worn_out(outgoing.message)))
        self._desk.stir()

    def ready(self, connection: Connection) -> None:
        """Give it a message at the end of this turn."""
        self.joining.discard(connection)
        self.live.add(connection)
        self.idle.append(connection)
        self._desk.stir()

    def upgrade(self, connection: Connection) -> None:
        """STARTTLS."""
        self._desk.spawn(self._upgrade(connection))

    def gone(self, connection: Connection, setback: Setback | None) -> None:
        """Judge whether the way as a whole is in trouble."""
        joining = connection in self.joining
        for group in (self.joining, self.live, self._leaving):
            group.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        if setback is not None:
            self._suffer(setback, joining=joining)
        self._desk.stir()

    # What the engine asks at each turn

    def employ(self, allowed: int) -> int:
        """Give the idle something to send, and open connections for what is left.

        It may open as many as are `allowed`; how many more it would like.
        """
        if self.trouble is not None:
            self._end_all(Unsent(self.trouble))
            return 0
        idle = self.idle
        while idle:
            if self._tight and self._is_surplus():
                self._leave(idle.pop())
                continue
            outgoing = self._next()
            if outgoing is None:
                break
            idle.pop().begin(outgoing)
        coming = self.dialling + len(self.joining)
        wanted = self.waiting - coming
        if wanted <= 0:
            return 0
        limit = self._limit if self._ceiling is None else min(self._limit, self._ceiling)
        wanted = min(wanted, limit - coming - len(self.live))
        for _ in range(min(wanted, allowed)):
            self.dialling += 1
            self._desk.spawn(self._dial())
        return wanted - allowed

    def _next(self) -> Outgoing | None:
        desk = self._desk
        while True:
            if self._retries:
                outgoing: Outgoing | None = self._retries.popleft()
            else:
                outgoing = desk.feed.take(self.line) if desk.feed is not None else None
            if outgoing is None:
                return None
            if desk.unwanted and self._is_dropped(outgoing):
                continue
            desk.in_flight += 1
            return outgoing

    def _is_dropped(self, outgoing: Outgoing) -> bool:
        message = outgoing.message
        if any(unwanted(message) for unwanted in self._desk.unwanted):
            self._desk.fresh.append((message, _STOPPED))
            self._desk.stir()
            return True
        return False

    def _end_all(self, ending: Unsent) -> None:
        while (outgoing := self._next()) is not None:
            self._desk.in_flight -= 1
            self._desk.fresh.append((outgoing.message, ending))
            self._desk.stir()

    def _worn_out(self, message: Message) -> Ending:
        """Whose fault it is that the message broke every connection.

        Its own, where others were answered meanwhile, or where it does so once more: it is put off,
        or it would hold up everybody for ever. Else the way's.
        """
        one = (message.campaign, message.subscriber)
        if self._setbacks < _TRIES - 1 or one in self._breaking:
            self._breaking.discard(one)
            return _PUT_OFF
        if len(self._breaking) >= _REMEMBERED:
            self._breaking.clear()
        self._breaking.add(one)
        return _WORN_OUT

    # Connections

    def _tighten(self) -> None:
        """Whether a connection has to look before it takes another message."""
        self._tight = self._giving or self._ceiling is not None

    def _is_surplus(self) -> bool:
        """Whether a connection is to take no further message, and to leave once it is idle."""
        most = self._ceiling if self._ceiling is not None else len(self.live)
        return len(self.live) > max(1, most - self._giving)

    def _leave(self, connection: Connection) -> None:
        self.live.discard(connection)
        self._leaving.add(connection)
        self._giving = False
        self._tighten()
        connection.quit()

    def _grow(self) -> None:
        """Allow a connection more, once the surplus is gone."""
        if self._ceiling is None or len(self.live) > self._ceiling:
            return
        self._ceiling += 1
        if self._ceiling >= self.way.connections:
            self._ceiling = None
            self._tighten()

    def _suffer(self, setback: Setback, *, joining: bool) -> None:
        self._setbacks += 1
        others = len(self.live) + len(self.joining) + self.dialling
        shut = self._setbacks >= self.way.connections + _PATIENCE
        if setback.everyone or (joining and not others) or shut:
            self.fail(Trouble(setback.cause, str(setback), setback.everyone))
        elif joining:  # it may allow fewer than we would like
            self._limit = others

    async def _dial(self) -> None:
        desk, address, setback = self._desk, self.way.address, None
        connection = Connection(
            self,
            next(desk.numbers) & 0xFFFF,
            address.name,
            starttls=address.security == "starttls",
            login=address.login,
            opportunistic=address.security == "opportunistic",
            notify=address.notify,
            chunking=address.chunking,
            most=self.way.per_connection,
        )
        self.dialling -= 1
        self.joining.add(connection)
        context = address.tls if address.security == "tls" else None
        try:
            async with asyncio.timeout(desk.timeouts.connect):
                await desk.loop.create_connection(
                    lambda: connection, address.host, address.port, ssl=context
                )
        except asyncio.CancelledError:
            self.joining.discard(connection)
            raise
        except ssl.SSLError as refused:
            setback = Setback(f"TLS: {refused}", everyone=True, cause="tls")
        except (OSError, TimeoutError) as refused:
            why = refused or "no answer in time"
            setback = Setback(f"no connection: {why}", cause="connect")
        if setback is not None:
            self.gone(connection, setback)

    async def _upgrade(self, connection: Connection) -> None:
        address = self.way.address
        assert address.tls is not None
        transport = cast("asyncio.Transport", connection.transport)
        try:
            upgraded = await self._desk.loop.start_tls(
                transport,
                connection,
                address.tls,
                server_hostname=address.host,
                ssl_handshake_timeout=self._desk.timeouts.connect,
            )
        except (OSError, TimeoutError) as refused:
            everyone = isinstance(refused, ssl.SSLError)
            connection.abort(Setback(f"TLS: {refused}", everyone=everyone, cause="tls"))
            return
        connection.upgraded(cast("asyncio.Transport", upgraded))
