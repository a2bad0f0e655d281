"""One SMTP connection as a state machine, from greeting to QUIT; one recipient per transaction.

RFC 5321 and 2920: with PIPELINING the body of one message and the envelope of the next leave in one
write; without, every command waits for its answer. Never a second dot before the first one's
reply. `engine.py` owns the connections; this module opens none.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from mailer.delivery.envelope import Features, Outgoing, mail, rcpt, unfit
from mailer.delivery.handshake import UPGRADE, Login, Setback, handshake
from mailer.delivery.relay import Ending, Reply, Silence, Stage
from mailer.delivery.replies import NoSmtp, Replies, brief, reply

_BLOCK = 65536  # bytes; a longer body goes first, and its dot once all of it left our buffer
_LOCKED_OUT = {530, 534, 535, 538}  # MAIL wants an AUTH that we do not have: no recipient's fault

_State = Callable[[int, bytes], None]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait, by what we wait for (RFC 5321 4.5.3.2)."""

    connect: float = 60  # TCP and TLS
    reply: float = 300  # any reply but the next
    dot: float = 600  # the reply to the final dot
    block: float = 180  # a long body leaving our buffer
    quit: float = 2  # the reply to QUIT: nobody depends on it


class Exchange(Protocol):
    """What a connection asks of the engine."""

    def take(self) -> Outgoing | None:
        """The next message to send, if there is one now."""

    def intend(self, connection: "Connection", outgoing: Outgoing) -> None:
        """Note that its envelope leaves next."""

    def dot(self, connection: "Connection", outgoing: Outgoing) -> None:
        """Witness the dot, then call `connection.release()`; or `abort()`, and there is no dot."""

    def ended(self, connection: "Connection", outgoing: Outgoing, ending: Ending) -> None:
        """Pass the ending on."""

    def give_back(self, outgoing: Outgoing, *, tried: bool) -> None:
        """Take back a message that has no ending."""

    def ready(self, connection: "Connection") -> None:
        """Nothing is on this wire; call `begin` with the next message."""

    def upgrade(self, connection: "Connection") -> None:
        """Make the transport TLS, then call `upgraded`."""

    def gone(self, connection: "Connection", setback: Setback | None) -> None:
        """The connection is closed; None where it had been of use and nobody is to blame."""


class Connection(asyncio.Protocol):
    """One connection; `exchange` feeds it and hears of it."""

    def __init__(
        self, exchange: Exchange, number: int, name: str, *, starttls: bool, login: Login | None
    ) -> None:
        """`name` is what we call ourselves in EHLO; empty is our end's address literal."""
        self.number = number
        self.transport: asyncio.Transport | None = None
        self.closed = False
        self._exchange = exchange
        self._name, self._starttls, self._login = name, starttls, login
        self._clock = asyncio.get_running_loop().time
        self._since = self._clock()  # the last headway
        self._settled = 0  # messages answered: whether this connection was of any use
        self._replies = Replies()
        self._features: Features = {}
        self._pipelining = False
        self._upgrading = False
        self._draining = False
        self._setback: Setback | None = None
        self._answered: _State = self._on_handshake  # what the next answer means
        self._current: Outgoing | None = None  # its dot is out
        self._pending: Outgoing | None = None  # its envelope is out
        self._next: Outgoing | None = None  # its envelope leaves with the pending one's body
        self._heard = False  # an answer to the pending one's envelope
        self._refusal: Reply | None = None  # of the pending one

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self.transport = cast("asyncio.Transport", transport)
        self._since = self._clock()
        name = self._name or _literal(transport.get_extra_info("sockname"))
        self._handshake = handshake(name, starttls=self._starttls, login=self._login)
        next(self._handshake)

    def data_received(self, data: bytes) -> None:
        """Act on each answer that is whole."""
        if self.closed or self._upgrading:  # plain text behind STARTTLS may be anybody's
            return
        self._since = self._clock()
        try:
            for code, text in self._replies.feed(data):
                self._answered(code, text)
                if self.closed or self._upgrading:
                    return
        except NoSmtp as nonsense:
            self.abort(Setback(str(nonsense)))

    def resume_writing(self) -> None:
        """Let the dot of a long body follow: all of it has left our buffer."""
        if self._draining and self._pending is not None:
            self._draining = False
            self._since = self._clock()
            self._exchange.dot(self, self._pending)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give back what has no dot yet; what has one is silence."""
        self.closed = True
        current, pending, following = self._current, self._pending, self._next
        self._current = self._pending = self._next = None
        if current is not None:
            self._exchange.ended(self, current, Silence())
        if pending is not None:  # closing between two messages is the relay's right, and no try
            self._exchange.give_back(pending, tried=self._heard or not self._settled)
        if following is not None:
            self._exchange.give_back(following, tried=False)
        setback = self._setback
        idle = self._answered == self._on_idle
        if setback is None and not idle and (current is not None or not self._settled):
            setback = Setback(f"the connection broke: {exc or 'closed by the relay'}")
        self._exchange.gone(self, setback)

    # What the engine calls

    def begin(self, outgoing: Outgoing) -> None:
        """Send a message on this idle connection."""
        refusal = unfit(outgoing, self._features)
        if refusal is not None:
            self._exchange.ended(self, outgoing, refusal)
            self._idle()
            return
        self._exchange.intend(self, outgoing)
        self._open(outgoing)
        self._write(self._envelope(outgoing))

    def release(self) -> None:
        """The dot is witnessed: let it go, and the next envelope with it."""
        outgoing, following = self._pending, self._next
        if self.closed or outgoing is None:
            return
        tail = b".\r\n" if following is None else b".\r\n" + self._envelope(following)
        self._current, self._pending, self._next = outgoing, following, None
        self._heard = False
        self._answered = self._on_dot
        self._write(tail if len(outgoing.data) > _BLOCK else outgoing.data + tail)

    def upgraded(self, transport: asyncio.Transport) -> None:
        """The transport is TLS now."""
        self.transport = transport
        self._upgrading = False
        self._replies.clear()
        self._on_handshake(220, b"")

    def abort(self, setback: Setback | None = None) -> None:
        """Break the connection off; whoever has no ending yet is given back, or is silence."""
        self._setback = self._setback or setback
        self.closed = True
        if self.transport is not None:
            self.transport.abort()

    def quit(self) -> None:
        """Say goodbye, if nothing is on the wire; else break off."""
        if self._answered == self._on_idle and not self.closed:
            self._answered = self._on_goodbye
            self._write(b"QUIT\r\n")
        else:
            self.abort()

    def check(self, now: float, timeouts: Timeouts) -> None:
        """Break off what has waited too long; called now and then, `now` in loop time."""
        if self._draining:
            limit, what = timeouts.block, "room for a block of data"
        elif self._current is not None:
            limit, what = timeouts.dot, "the reply to the final dot"
        elif self._answered == self._on_idle or self.transport is None:
            return
        else:
            limit, what = timeouts.reply, "a reply"
        if now - self._since > limit:
            self.abort(Setback(f"waited {limit:g} s in vain for {what}"))

    # What an answer means, state by state

    def _on_handshake(self, code: int, text: bytes) -> None:
        try:
            step = self._handshake.send((code, text))
            if step == UPGRADE:
                self._upgrading = True
                self._exchange.upgrade(self)
            elif step is not None:
                self._write(step)
        except StopIteration as done:
            self._features = done.value
            self._pipelining = b"PIPELINING" in self._features
            self._idle()
        except Setback as setback:
            self.abort(setback)

    def _on_idle(self, _code: int, _text: bytes) -> None:
        """Nobody asked: the relay says goodbye (421), and an idle connection is no loss."""
        self.abort()

    _on_goodbye = _on_idle

    def _on_mail(self, code: int, text: bytes) -> None:
        self._heard = True
        if code in _LOCKED_OUT:
            self.abort(Setback(f"the relay says {brief(code, text)}", everyone=True))
        elif not self._taken(code, text, "mail"):
            return
        elif self._pipelining:
            self._answered = self._on_rcpt
        elif self._refusal is not None:
            self._refused(reset=False)
        elif self._pending is not None:
            self._answered = self._on_rcpt
            self._write(rcpt(self._pending))

    def _on_rcpt(self, code: int, text: bytes) -> None:
        if not self._taken(code, text, "rcpt"):
            return
        if self._pipelining:
            self._answered = self._on_data
        elif self._refusal is not None:
            self._refused(reset=True)
        else:
            self._answered = self._on_data
            self._write(b"DATA\r\n")

    def _on_data(self, code: int, text: bytes) -> None:
        outgoing = self._pending
        if outgoing is None or not self._taken(code, text, "data"):
            return
        if code < 300:
            self.abort(Setback("the relay answers DATA out of turn"))
        elif code >= 400:
            self._refused(reset=True)
        elif self._refusal is not None:  # refused, and yet it wants a body: an empty one
            self._answered = self._on_empty
            self._write(b".\r\n")
        else:
            if self._pipelining:
                self._next = self._take()
            if len(outgoing.data) <= _BLOCK or self._body_has_left(outgoing.data):
                self._exchange.dot(self, outgoing)

    def _on_empty(self, code: int, text: bytes) -> None:
        if self._taken(code, text, "data"):
            self._refused(reset=True)

    def _on_reset(self, code: int, text: bytes) -> None:
        if code == 421 or code >= 500:
            self.abort(Setback(f"the relay answers RSET with {brief(code, text)}"))
        elif self._pending is None:
            self._idle()
        else:
            self._answered = self._on_mail
            if not self._pipelining:
                self._write(self._envelope(self._pending))

    def _on_dot(self, code: int, text: bytes) -> None:
        outgoing = self._current
        if outgoing is None or 300 <= code < 400:  # no final word: silence
            self.abort(Setback("the relay answers the final dot out of turn"))
            return
        self._current = None
        self._settled += 1
        said = reply(code, text, "dot", outgoing.message.recipient)
        self._exchange.ended(self, outgoing, said)
        if code == 421:
            self.abort(Setback(f"the relay says {brief(code, text)}"))
        elif self._pending is None:
            self._idle()
        else:
            self._answered = self._on_mail

    # Steps they share

    def _taken(self, code: int, text: bytes, stage: Stage) -> bool:
        """Note a refusal; False where the relay closes, and nothing is decided about anyone."""
        if code == 421:
            self.abort(Setback(f"the relay says {brief(code, text)}"))
        elif code >= 400 and self._refusal is None and self._pending is not None:
            self._refusal = reply(code, text, stage, self._pending.message.recipient)
        return code != 421

    def _refused(self, *, reset: bool) -> None:
        """The pending message is refused: pass that on, clear the transaction, take the next."""
        outgoing, refusal = self._pending, self._refusal
        if outgoing is None or refusal is None:
            raise ValueError("nothing was refused")
        self._settled += 1
        self._pending = self._refusal = None
        self._exchange.ended(self, outgoing, refusal)
        following = self._take()
        if following is not None:
            self._open(following)
        elif not reset:
            self._idle()
            return
        self._answered = self._on_reset if reset else self._on_mail
        command = b"RSET\r\n" if reset else b""
        if following is not None and (self._pipelining or not reset):
            command += self._envelope(following)
        self._write(command)

    def _idle(self) -> None:
        self._answered = self._on_idle
        self._exchange.ready(self)

    def _open(self, outgoing: Outgoing) -> None:
        self._pending, self._heard, self._refusal = outgoing, False, None
        self._answered = self._on_mail

    def _take(self) -> Outgoing | None:
        while (outgoing := self._exchange.take()) is not None:
            refusal = unfit(outgoing, self._features)
            if refusal is None:
                self._exchange.intend(self, outgoing)
                return outgoing
            self._exchange.ended(self, outgoing, refusal)
        return None

    def _envelope(self, outgoing: Outgoing) -> bytes:
        command = mail(outgoing, self._features)
        return command + rcpt(outgoing) + b"DATA\r\n" if self._pipelining else command

    def _body_has_left(self, body: bytes) -> bool:
        """Send a long body; False where its dot has to wait for `resume_writing`."""
        self._draining = True
        if self.transport is not None:
            self.transport.set_write_buffer_limits(high=0)
            self._write(body)
            self._draining = self.transport.get_write_buffer_size() > 0
        return not self._draining

    def _write(self, data: bytes) -> None:
        if self.transport is not None and not self.closed:
            self._since = self._clock()
            self.transport.write(data)


def _literal(sockname: tuple[str, int] | None) -> str:
    host = sockname[0] if sockname else "127.0.0.1"
    return f"[IPv6:{host}]" if ":" in host else f"[{host}]"
