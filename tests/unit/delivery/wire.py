"""Drives one SMTP connection after the other, as the engine drives many, and tells what came of it.

Nothing but `mailer.delivery.smtp` is under test where this is used.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, Self, cast

from mailer.delivery.envelope import Outgoing
from mailer.delivery.exchange import Timeouts
from mailer.delivery.handshake import Setback
from mailer.delivery.relay import Ending, Message
from mailer.delivery.smtp import Connection
from tests.fakes.smtp import ScriptedSink

QUICK = Timeouts(connect=5, reply=0.4, data=0.4, dot=0.4, block=0.4, quit=0.3)


def letter(
    who: str, *, text: str = "Hello.\r\n", number: int = 1, return_path: str = ""
) -> Message:
    """A short message to somebody at example.org."""
    recipient = who if "@" in who else f"{who}@example.org"
    data = f"Subject: news for {who}\r\n\r\n{text}".encode()
    path = return_path or f"b+{number}@example.com"
    return Message(7, number, 1, 1, 1, recipient, path, data)


def letters(*who: str) -> list[Message]:
    """One for each, numbered from 1."""
    return [letter(name, number=number) for number, name in enumerate(who, 1)]


class Wire:
    """One way to a sink: connections one after the other until all is sent or nothing works."""

    def __init__(
        self, sink: ScriptedSink, *, timeouts: Timeouts = QUICK, patience: int = 4, **options: Any
    ) -> None:
        self.endings: list[tuple[Message, Ending]] = []
        self.setbacks: list[Setback] = []
        self.given_back: list[tuple[str, bool]] = []  # local part, whether it counts as a try
        self.log: list[str] = []
        self._port, self._timeouts, self._patience = sink.port, timeouts, patience
        self._tls: Any = options.pop("tls", None)
        self._name: str = options.pop("name", "")
        self._options: dict[str, Any] = {"starttls": False, "login": None, **options}
        self._waiting: deque[Outgoing] = deque()
        self._connection: Connection | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def send(self, messages: Iterable[Message]) -> Self:
        """Send them, then say goodbye."""
        for message in messages:
            stuffed = message.data.replace(b"\n.", b"\n..")
            self._waiting.append(Outgoing(message, stuffed))
        asyncio.run(self._run())
        return self

    def outcome(self) -> dict[str, Ending]:
        """What became of each, by the recipient's local part."""
        return {message.recipient.partition("@")[0]: ending for message, ending in self.endings}

    def setback(self) -> Setback:
        """The last one."""
        return self.setbacks[-1]

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wanted = len(self._waiting)
        for number in range(1, 100):
            self._gone, self._idle = self._loop.create_future(), asyncio.Event()
            made = Connection(self, number, self._name, **self._options)
            self._connection = made
            await self._loop.create_connection(lambda c=made: c, "127.0.0.1", self._port)  # type: ignore[misc]
            await self._until_gone(made)
            if self._done() or len(self.setbacks) >= self._patience:
                return
            if self.setbacks and self.setback().everyone:
                return

    async def _until_gone(self, connection: Connection) -> None:
        asked = False
        while not self._gone.done():
            await asyncio.wait([self._gone], timeout=0.02)
            connection.check(self._loop.time(), self._timeouts)
            if self._done() and not asked:
                asked = True
                connection.quit()

    def _done(self) -> bool:
        return len(self.endings) == self._wanted

    # What the connection asks

    def take(self) -> Outgoing | None:
        return self._waiting.popleft() if self._waiting else None

    def intend(self, _: Connection, outgoing: Outgoing) -> None:
        self.log.append(f"intent {outgoing.message.recipient}")

    def dot(self, connection: Connection, outgoing: Outgoing) -> None:
        self.log.append(f"dot {outgoing.message.recipient}")
        self._loop.call_soon(connection.release)

    def ended(self, _: Connection, outgoing: Outgoing, ending: Ending) -> None:
        self.endings.append((outgoing.message, ending))

    def give_back(self, outgoing: Outgoing, *, tried: bool) -> None:
        self.given_back.append((outgoing.message.recipient.partition("@")[0], tried))
        self._waiting.appendleft(outgoing)

    def ready(self, connection: Connection) -> None:
        if (outgoing := self.take()) is not None:
            self._loop.call_soon(connection.begin, outgoing)

    def upgrade(self, connection: Connection) -> None:
        self._tasks.append(self._loop.create_task(self._upgrade(connection)))

    async def _upgrade(self, connection: Connection) -> None:
        transport = cast("asyncio.Transport", connection.transport)
        try:
            upgraded = await self._loop.start_tls(
                transport, connection, self._tls, server_hostname="127.0.0.1"
            )
        except OSError as refused:
            if self._options.get("opportunistic"):
                self._options["opportunistic"] = False  # from now on without
                connection.abort()
            else:
                connection.abort(Setback(f"TLS: {refused}", cause="tls", everyone=True))
        else:
            connection.upgraded(cast("asyncio.Transport", upgraded))

    def gone(self, _: Connection, setback: Setback | None) -> None:
        if setback is not None:
            self.setbacks.append(setback)
        if not self._gone.done():
            self._gone.set_result(None)
