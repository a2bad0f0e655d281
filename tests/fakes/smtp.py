"""A real SMTP server on a real socket that does as a script says, and notes what it got.

It runs in a thread of its own. The script is asked at each stage and may answer with a reply, an
`Act`, or None for the ordinary reply.
"""

import asyncio
import socket
import ssl
import struct
import threading
from base64 import b64decode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NoReturn, Self


class Act(Enum):
    """What the sink may do instead of answering."""

    DROP = auto()  # close without a word
    RECORD_AND_DROP = auto()  # after the dot: keep the message, then close without a word
    HANG = auto()  # never answer
    RECORD_AND_HANG = auto()  # after the dot: keep the message, never answer
    RESET = auto()  # RST instead of an answer
    ANSWER_AND_RESET = auto()  # the ordinary answer, and an RST right behind it
    HALF_ANSWER = auto()  # after the dot: keep the message, answer without the end of the line
    HALF_CLOSE = auto()  # say nothing more, and go on reading


@dataclass(frozen=True, slots=True)
class Late:
    """An ordinary answer that takes its time."""

    seconds: float


Answer = str | Act | Late | None
Script = Callable[[str, str], Answer]


@dataclass(frozen=True, slots=True)
class Received:
    """One message the sink took."""

    connection: int
    return_path: str
    recipient: str
    data: bytes  # dots unstuffed
    next_was_there: bool  # more bytes had come behind the dot before it was answered


def by_recipient(**stages: dict[str, Answer]) -> Script:
    """A script from answers by stage and recipient, such as `rcpt={"ben@x": "550 no"}`."""
    return lambda stage, about: stages.get(stage, {}).get(about)


@dataclass
class ScriptedSink:
    """The server. Stages: greeting, ehlo, helo, starttls, auth, mail, rcpt, data, dot, rset, quit.

    The script hears of the stage and what it is about: the connection's number up to auth, the
    return path at mail, the recipient from rcpt to dot. `BDAT … LAST` is a dot; the stage of any
    other chunk is bdat.
    """

    script: Script = lambda _stage, _about: None
    offers: tuple[str, ...] = ("PIPELINING", "SIZE 10240000", "8BITMIME", "SMTPUTF8")
    packets: Callable[[bytes], Iterable[bytes]] = lambda data: (data,)
    tls: ssl.SSLContext | None = None  # offers STARTTLS
    immediate_tls: ssl.SSLContext | None = None
    injected: bytes = b""  # sent right behind the answer to STARTTLS, in plain text
    linger: float = 0.0  # seconds before the reply to a dot
    keep: Callable[["Received", bool], None] = lambda _message, _taken: None
    """Called with each message that came whole, and whether it is taken, before the answer."""
    received: list[Received] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    most_at_once: int = 0
    port: int = 0
    _open: int = 0

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        started = threading.Event()

        async def start() -> None:
            self._server = await asyncio.start_server(
                self._serve, "127.0.0.1", self.port, ssl=self.immediate_tls, limit=2**22
            )
            self.port = self._server.sockets[0].getsockname()[1]
            started.set()

        def run() -> None:
            self._loop.run_until_complete(start())
            self._loop.run_forever()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        async def stop() -> None:
            self._server.close()
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def recipients(self) -> list[str]:
        """Whom it got mail for, in the order of arrival."""
        return [received.recipient for received in self.received]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open += 1
        self.most_at_once = max(self.most_at_once, self._open)
        try:
            await _Session(self, self.connections, reader, writer).run()
        except (OSError, EOFError, asyncio.CancelledError, _Over):
            pass
        finally:
            self._open -= 1
            writer.transport.abort()


def reset(writer: asyncio.StreamWriter) -> None:
    """Let the close that follows be an RST."""
    there = writer.get_extra_info("socket")
    there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class _Over(Exception):
    """The connection is to be closed."""


_TAKEN = {
    None,
    Act.RECORD_AND_DROP,
    Act.RECORD_AND_HANG,
    Act.ANSWER_AND_RESET,
    Act.HALF_ANSWER,
}


class _Session:
    def __init__(
        self,
        sink: ScriptedSink,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.sink, self.number, self.reader, self.writer = sink, number, reader, writer
        self.return_path = self.recipient = ""
        self.secure = sink.immediate_tls is not None
        self.chunking = "CHUNKING" in sink.offers
        self.chunks = bytearray()  # BDAT so far
        self.spoilt = False  # a chunk was refused: the transaction has to be cleared

    async def run(self) -> None:
        await self._answer("greeting", str(self.number), "220 sink.example ESMTP")
        while True:
            line = (await self.reader.readuntil(b"\r\n")).decode()[:-2]
            self.sink.commands.append(line)
            verb = line.split(" ")[0].split(":")[0].lower()
            handle = getattr(self, f"_{verb}", None)
            if handle is None:
                await self._say("500 5.5.1 what?")
            else:
                await handle(line)

    async def _ehlo(self, _: str) -> None:
        offers = [*self.sink.offers]
        if self.sink.tls is not None and not self.secure:
            offers.append("STARTTLS")
        lines = ["sink.example", *offers]
        marks = ["-"] * (len(lines) - 1) + [" "]
        usual = "\r\n".join(f"250{mark}{line}" for mark, line in zip(marks, lines, strict=True))
        await self._answer("ehlo", str(self.number), usual)

    async def _helo(self, _: str) -> None:
        await self._answer("helo", str(self.number), "250 sink.example")

    async def _starttls(self, _: str) -> None:
        assert self.sink.tls is not None
        if await self._answer("starttls", str(self.number), "220 2.0.0 go", self.sink.injected):
            await self.writer.start_tls(self.sink.tls)
            self.secure = True

    async def _auth(self, line: str) -> None:
        _, way, *initial = line.split(" ")
        right = ["ada", "s3cret word"]
        if way == "PLAIN":
            said = b64decode(initial[0]).decode().split("\0")[1:]
        elif way == "XOAUTH2":
            said = [b64decode(initial[0]).decode()]
            right = ["user=ada\1auth=Bearer s3cret word\1\1"]
            if said != right:
                await self._say("334 eyJzdGF0dXMiOiI0MDEifQ==")
                assert await self.reader.readuntil(b"\r\n") == b"\r\n"
        else:
            said = []
            for question in ("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"):
                await self._say(question)
                said.append(b64decode(await self.reader.readuntil(b"\r\n")).decode())
        usual = "235 2.7.0 welcome" if said == right else "535 5.7.8 ada may not with s3cret word"
        await self._answer("auth", str(self.number), usual)

    async def _mail(self, line: str) -> None:
        if self.return_path:
            await self._say("503 5.5.1 nested MAIL")
            return
        if self.spoilt:
            await self._say("503 5.5.1 RSET first")
            return
        path = line.partition("<")[2].partition(">")[0]
        if await self._answer("mail", path, "250 2.1.0 ok"):
            self.return_path = path

    async def _rcpt(self, line: str) -> None:
        recipient = line.partition("<")[2].rpartition(">")[0]
        if not self.return_path:
            await self._say("503 5.5.1 MAIL first")
        elif await self._answer("rcpt", recipient, "250 2.1.5 ok"):
            self.recipient = recipient

    async def _data(self, _: str) -> None:
        usual = "354 go on" if self.recipient else "503 5.5.1 RCPT first"
        if not await self._answer("data", self.recipient, usual):
            return
        taken = bytearray(b"\r\n")
        while not taken.endswith(b"\r\n.\r\n"):
            taken += await self.reader.readuntil(b"\r\n")
        data = bytes(taken[:-3]).replace(b"\r\n..", b"\r\n.")[2:]
        if not self.recipient:
            await self._say("554 5.5.1 no valid recipients")
            return
        await self._end(data)

    async def _bdat(self, line: str) -> None:
        """RFC 3030: exact octets; after a chunk that was refused nothing but RSET will do."""
        _, size, *last = line.split(" ")
        self.chunks += await self.reader.readexactly(int(size))
        if not self.recipient or self.spoilt:
            await self._say("503 5.5.1 RCPT first" if not self.recipient else "503 5.5.1 RSET")
        elif last:
            data, self.chunks = bytes(self.chunks), bytearray()
            await self._end(data)
        elif not await self._answer("bdat", self.recipient, "250 2.0.0 go on"):
            self.spoilt = True

    async def _end(self, data: bytes) -> None:
        if self.sink.linger:
            await asyncio.sleep(self.sink.linger)
        there = bool(self.reader._buffer)  # type: ignore[attr-defined]  # noqa: SLF001
        message = Received(self.number, self.return_path, self.recipient, data, there)
        answer = self.sink.script("dot", self.recipient)
        kept = answer in _TAKEN or isinstance(answer, Late) or str(answer)[:1] == "2"
        if kept:
            self.sink.received.append(message)
        self.sink.keep(message, kept)
        self.return_path = self.recipient = ""
        if not await self._give(answer, "250 2.0.0 Ok: queued as 4XYZ"):
            self.spoilt = self.chunking

    async def _rset(self, _: str) -> None:
        self.return_path = self.recipient = ""
        self.chunks, self.spoilt = bytearray(), False
        await self._answer("rset", str(self.number), "250 2.0.0 ok")

    async def _quit(self, _: str) -> None:
        await self._answer("quit", str(self.number), "221 2.0.0 bye")
        raise _Over

    async def _answer(self, stage: str, about: str, usual: str, behind: bytes = b"") -> bool:
        """Answer as the script says; whether that was a yes."""
        return await self._give(self.sink.script(stage, about), usual, behind)

    async def _give(self, answer: Answer, usual: str, behind: bytes = b"") -> bool:
        if isinstance(answer, Late):
            await asyncio.sleep(answer.seconds)
            answer = None
        if isinstance(answer, Act):
            await self._act(answer, usual)
        said = answer if isinstance(answer, str) else usual
        await self._say(said, behind)
        if said.startswith("421"):
            raise _Over
        return said[0] in "23"

    async def _act(self, act: Act, usual: str) -> NoReturn:
        if act is Act.HALF_CLOSE:
            self.writer.write_eof()
        if act in {Act.HANG, Act.RECORD_AND_HANG, Act.HALF_CLOSE}:
            await asyncio.sleep(3600)
        if act is Act.HALF_ANSWER:
            self.writer.write(usual[:5].encode())
            await self.writer.drain()
            self.writer.write_eof()
            await asyncio.sleep(0.05)
        if act is Act.ANSWER_AND_RESET:
            await self._say(usual)
            await asyncio.sleep(0.02)  # an RST at once would take the answer with it
        if act in {Act.RESET, Act.ANSWER_AND_RESET}:
            reset(self.writer)
        raise _Over

    async def _say(self, text: str, behind: bytes = b"") -> None:
        for packet in self.sink.packets(text.encode() + b"\r\n" + behind):
            self.writer.write(packet)
            await self.writer.drain()
            await asyncio.sleep(0)
