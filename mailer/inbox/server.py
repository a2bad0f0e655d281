"""An SMTP server in this process that keeps every message and can be told to misbehave.

Made of aiosmtpd, with the two steps replaced that cost most of its time: a message is read by its
end mark and not line by line, an ordinary address is matched and not parsed. It may share the
process with the sender, so time matters. Bare line feeds and carriage returns, the stuff of SMTP
smuggling, end nothing and are refused.
"""

import asyncio
import logging
import re
import threading
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import NoReturn

from aiosmtpd.smtp import SMTP, Envelope, Session

from mailer.inbox.script import Answer, Drop, Rule, Script
from mailer.inbox.store import Store
from mailer.kit.errors import Unavailable

LARGEST = 32 * 1024 * 1024
"""Bytes of the largest message taken; advertised as SIZE."""

CLOSING = 421
"""The one reply that ends the connection (RFC 5321 3.8)."""

_LONGEST_LINE = 998  # bytes without CRLF (RFC 5321 4.5.3.1.6)
_END = b"\r\n.\r\n"
_PATIENCE = 5  # seconds to start and to stop
_ORDINARY = re.compile(r"<([A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+)>(.*)\Z", re.DOTALL)

logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd's own log names recipients


class Inbox:
    """A place for mail to land in."""

    def __init__(
        self, host: str, port: int, directory: Path, *, rules: Iterable[Rule] = ()
    ) -> None:
        self.host = host
        self.port = port  # the real one after `start`, where 0 was asked for
        self.store = Store(directory)
        self._script = Script(rules)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def script(self) -> tuple[Rule, ...]:
        """The rules in force, besides the addresses that act by their name."""
        return self._script.rules

    @script.setter
    def script(self, rules: Iterable[Rule]) -> None:
        self._script = Script(rules)

    def start(self) -> None:
        """Listen, in a thread. Raises Unavailable where the port is taken."""
        loop = _new_loop()
        try:
            server = loop.run_until_complete(
                loop.create_server(lambda: _Wire(self, loop), self.host, self.port, backlog=512)
            )
        except OSError as taken:
            loop.close()
            why = taken.strerror or taken
            raise Unavailable(
                f"The inbox cannot listen on {self.host}:{self.port}: {why}"
            ) from taken
        self.port = int(server.sockets[0].getsockname()[1])
        self._loop = loop
        self._thread = threading.Thread(
            target=_serve, args=(loop, server), name="inbox", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Hang up and stop listening; stopping twice is no harm."""
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop = self._thread = None
        self.store.close()

    def take(self, envelope: Envelope) -> str | Drop:
        """Keep a whole message, or do what the script says; the reply to its final dot."""
        act = self._script.at_dot(envelope.rcpt_tos)
        if isinstance(act, Answer):
            return f"{act.code} {act.text}"
        if act is None or act.keeps:
            self.store.add(
                envelope.original_content or b"",
                return_path=envelope.mail_from or "",
                recipients=[str(recipient) for recipient in envelope.rcpt_tos],
            )
        return act or "250 2.0.0 kept"

    def admit(self, address: str) -> Answer | None:
        """Ask the script for the answer to RCPT TO; None goes on."""
        return self._script.at_recipient(address)

    def interrupts(self, envelope: Envelope) -> bool:
        """Whether the script breaks the connection before the final dot."""
        return self._script.at_data(envelope.rcpt_tos) is not None


class _Hooks:
    """What aiosmtpd asks on the way; one per connection. It looks for the names and shapes."""

    def __init__(self, inbox: Inbox, hang_up: Callable[[str], Awaitable[NoReturn]]) -> None:
        self._inbox = inbox
        self._hang_up = hang_up

    async def handle_EHLO(  # noqa: N802
        self, _server: SMTP, session: Session, _envelope: Envelope, name: str, offers: list[str]
    ) -> list[str]:
        session.host_name = name
        return [*offers[:-1], "250-PIPELINING", "250-ENHANCEDSTATUSCODES", "250 HELP"]

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        answer = self._inbox.admit(address)
        if answer is None:
            envelope.rcpt_tos.append(address)
            return "250 2.1.5 OK"
        reply = f"{answer.code} {answer.text}"
        if answer.code == CLOSING:
            await self._hang_up(reply)
        return reply


class _Wire(SMTP):
    """aiosmtpd's protocol, faster where it counts."""

    def __init__(self, inbox: Inbox, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            _Hooks(inbox, self.hang_up),
            data_size_limit=LARGEST,
            enable_SMTPUTF8=True,
            hostname="inbox.dibao.test",
            ident="Dibao inbox",
            loop=loop,
        )
        self._inbox = inbox

    async def hang_up(self, reply: str = "") -> NoReturn:
        """End the connection after a last reply, or without one and at once."""
        if reply:
            await self.push(reply)
            self._writer.close()
        else:
            self._writer.transport.abort()
        raise asyncio.CancelledError  # aiosmtpd's word for it: no further command is read

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        ordinary = _ORDINARY.match(arg)
        if ordinary is not None and ".." not in arg:
            return ordinary[1], ordinary[2]
        if arg.startswith("<>"):  # the null return path of bounces
            return "<>", arg[2:]
        return super()._getaddr(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802  # the name aiosmtpd looks for
        """Read a message up to its end mark and keep it."""
        envelope = self.envelope
        if arg or envelope is None or not envelope.rcpt_tos:
            await super().smtp_DATA(arg)  # refuses it
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        if self._inbox.interrupts(envelope):
            await self._reader.read(1)
            await self.hang_up()
        content = await self._message()
        reply: str | Drop = _fault(content)
        if not reply:
            envelope.original_content = content
            reply = self._inbox.take(envelope)
        self._set_post_data_state()  # type: ignore[no-untyped-call]
        if isinstance(reply, Drop):
            await self.hang_up()
        if reply.startswith(str(CLOSING)):
            await self.hang_up(reply)
        await self.push(reply)

    async def _message(self) -> bytes | None:
        """Read a message; without end mark and dot-stuffing, or None where it is too long."""
        content = bytearray()
        while True:  # at the start of a line, where a lone dot ends the message
            first = await self._reader.readexactly(1)
            content += first
            if first == b".":
                rest = await self._through(b"\r\n", content)
                if rest == b"\r\n":
                    end = 1
                    break
                content += rest
                continue
            if first == b"\r":
                while (following := await self._reader.readexactly(1)) == b"\r":
                    content += following
                content += following
                if following == b"\n":
                    continue
            content += await self._through(_END, content)  # its mark cannot have begun yet
            end = 3
            break
        if len(content) > LARGEST:
            return None
        whole = bytes(memoryview(content)[:-end]).replace(b"\r\n.", b"\r\n")
        return whole[1:] if whole.startswith(b".") else whole

    async def _through(self, mark: bytes, content: bytearray) -> bytes:
        """Read on up to and with the mark; what exceeds the reader's buffer goes to `content`.

        Past the largest size `content` grows no further, so that it is too long and no more.
        """
        while True:
            try:
                return await self._reader.readuntil(mark)
            except asyncio.LimitOverrunError as overrun:
                part = await self._reader.read(overrun.consumed)
                if len(content) <= LARGEST:
                    content += part


def _fault(content: bytes | None) -> str:
    """Why a message cannot be taken, as a reply, or ""."""
    if content is None:
        return "552 5.3.4 message too long"
    lines = content.split(b"\r\n")
    ends = len(lines) - 1
    if content.count(b"\n") != ends or content.count(b"\r") != ends:  # RFC 5321 2.3.8
        return "554 5.6.0 bare line feed or carriage return"
    if max(map(len, lines)) > _LONGEST_LINE:
        return "554 5.6.0 line longer than 998 bytes"
    return ""


def _serve(loop: asyncio.AbstractEventLoop, server: asyncio.Server) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        server.close()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(asyncio.sleep(0))  # closed connections say goodbye
        loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415  # not on Windows
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
