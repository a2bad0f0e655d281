"""One SMTP connection as a state machine, from greeting to QUIT; one recipient per transaction.

RFC 5321 and 2920: with PIPELINING the body of one message and the envelope of the next leave in one
write; without, every command waits for its answer. Never a second dot before the first one's
reply. With CHUNKING (RFC 3030) `BDAT … LAST` stands for the dot. `engine.py` owns the connections;
this module opens none.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import cast

from mailer.delivery.dialect import Dialect, Notify
from mailer.delivery.envelope import Outgoing
from mailer.delivery.exchange import Exchange, Timeouts
from mailer.delivery.handshake import UPGRADE, Login, Setback, handshake, literal
from mailer.delivery.pipe import Pipe
from mailer.delivery.relay import Reply, Silence, Stage
from mailer.delivery.replies import NoSmtp, Replies, brief, reply

_LOCKED_OUT = {530, 534, 535, 538}  # MAIL wants an AUTH that we do not have: no recipient's fault
_UNKNOWN = {500, 502, 504}  # it does not know the command, whatever it offered
_NO_BDAT = Reply(451, "4.3.5", "local: the relay does not know BDAT", "data")

_State = Callable[[int, bytes], None]


class Connection(Pipe):
    """One connection; `exchange` feeds it and hears of it."""

    def __init__(  # how one relay is to be talked to, each by its name
        self,
        exchange: Exchange,
        number: int,
        name: str,
        *,
        starttls: bool,
        login: Login | None,
        opportunistic: bool = False,
        notify: Notify = "none",
        chunking: bool = False,
        most: int | None = None,
    ) -> None:
        """`name` is what we call ourselves in EHLO; empty is our end's address literal.

        After `most` messages it says goodbye. The rest is as in `handshake` and `Dialect`.
        """
        super().__init__()
        self.number = number
        self._exchange = exchange
        self._name, self._opportunistic = name, opportunistic
        self._lead = partial(handshake, starttls=starttls, login=login, opportunistic=opportunistic)
        self._notify: Notify = notify
        self._chunking = chunking
        self._left = most  # messages it may still begin
        self._settled = 0  # messages answered: whether this connection was of any use
        self._replies = Replies()
        self._dialect = Dialect({})
        self._upgrading = False
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
        self._handshake = self._lead(self._name or literal(transport.get_extra_info("sockname")))
        next(self._handshake)

    def data_received(self, data: bytes) -> None:
        """Act on each answer that is whole."""
        if self.closed or self._upgrading:  # plain text behind STARTTLS may be anybody's
            return
        try:
            answers = self._replies.feed(data)
            self._since = self._clock() if answers else self._since  # half of one is no headway
            for code, text in answers:
                self._answered(code, text)
                if self.closed or self._upgrading:
                    return
        except NoSmtp as nonsense:
            self.abort(Setback(str(nonsense), cause="spoke"))

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
        setback, useful = self._setback, current is None and self._settled > 0
        if setback is None and not useful and not self._at_rest():
            setback = Setback(f"the connection broke: {exc or 'closed by the relay'}")
        self._exchange.gone(self, setback)

    # What the engine calls

    def begin(self, outgoing: Outgoing) -> None:
        """Send a message on this idle connection."""
        refusal = self._dialect.unfit(outgoing)
        if refusal is not None:
            self._exchange.ended(self, outgoing, refusal)
            self._idle()
            return
        self._intend(outgoing)
        self._open(outgoing)
        self._write(self._dialect.opening(outgoing))

    def release(self) -> None:
        """The dot is witnessed: let it go, and the next envelope with it."""
        outgoing, following = self._pending, self._next
        if self.closed or outgoing is None:
            return
        self._current, self._pending, self._next = outgoing, following, None
        self._heard = False
        self._answered = self._on_dot
        self._write(self._dialect.end(outgoing, following))

    def upgraded(self, transport: asyncio.Transport) -> None:
        """The transport is TLS now."""
        self.transport = transport
        self._upgrading = False
        self._replies.clear()
        self._on_handshake(220, b"")

    def quit(self) -> None:
        """Say goodbye, if nothing is on the wire; else break off."""
        if self._answered == self._on_idle and not self.closed:
            self._take_leave()
        elif self._answered != self._on_goodbye:
            self.abort()

    def check(self, now: float, timeouts: Timeouts) -> None:
        """Break off what has waited too long; called now and then, `now` in loop time."""
        if self._answered == self._on_idle or self.transport is None:
            return
        if self._draining:
            limit, what = timeouts.block, "room for a block of data"
        elif self._current is not None:
            limit, what = timeouts.dot, "the reply to the final dot"
        elif self._answered == self._on_data:
            limit, what = min(timeouts.data, timeouts.reply), "the reply to DATA"
        elif self._answered == self._on_goodbye:
            limit, what = timeouts.quit, "goodbye"
        else:
            limit, what = timeouts.reply, "a reply"
        if now - self._since > limit:
            late = Setback(f"waited {limit:g} s in vain for {what}")
            self.abort(None if self._at_rest() else late)

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
            self._dialect = Dialect(done.value, notify=self._notify, chunking=self._chunking)
            self._idle()
        except Setback as setback:
            self.abort(setback)

    def _on_idle(self, _code: int, _text: bytes) -> None:
        """Nobody asked: the relay says goodbye (421), and an idle connection is no loss."""
        self.abort()

    def _on_goodbye(self, _code: int, _text: bytes) -> None:
        self.abort()

    def _on_mail(self, code: int, text: bytes) -> None:
        self._heard = True
        if code in _LOCKED_OUT:
            said = f"the relay says {brief(code, text)}"
            self.abort(Setback(said, cause="auth", everyone=True))
        elif not self._taken(code, text, "mail"):
            return
        elif self._dialect.pipelining:
            self._answered = self._on_rcpt
        elif self._refusal is not None:
            self._refused(reset=False)
        elif self._pending is not None:
            self._answered = self._on_rcpt
            self._write(self._dialect.rcpt(self._pending))

    def _on_rcpt(self, code: int, text: bytes) -> None:
        outgoing = self._pending
        if outgoing is None or not self._taken(code, text, "rcpt"):
            return
        if self._dialect.pipelining and not self._dialect.chunking:
            self._answered = self._on_data
        elif self._refusal is not None:
            self._refused(reset=True)
        elif self._dialect.chunking:
            self._send_body(outgoing)
        else:
            self._answered = self._on_data
            self._write(b"DATA\r\n")

    def _on_data(self, code: int, text: bytes) -> None:
        outgoing = self._pending
        if outgoing is None or not self._taken(code, text, "data"):
            return
        if code < 300:
            self.abort(Setback("the relay answers DATA out of turn", cause="spoke"))
        elif code >= 400:
            self._refused(reset=True)
        elif self._refusal is not None:  # refused, and yet it wants a body: an empty one
            self._answered = self._on_empty
            self._write(b".\r\n")
        else:
            self._send_body(outgoing)

    def _on_chunk(self, code: int, text: bytes) -> None:
        """All but the last block is there, or refused; RFC 3030: RSET after a refused chunk."""
        outgoing = self._pending
        self._draining = 0
        if outgoing is None or not self._taken(code, text, "data"):
            return
        if code in _UNKNOWN:
            self._pending = None
            self._puzzled(outgoing, code, text)
        elif self._refusal is not None:
            self._refused(reset=True)
        else:
            self._answered = self._on_early
            self._next = self._take() if self._dialect.pipelining else None
            self._exchange.dot(self, outgoing)

    def _on_early(self, code: int, text: bytes) -> None:
        """An answer to a message whose end is not out: no is no, and we are out of step."""
        outgoing = self._pending
        whose = outgoing.message.recipient if outgoing is not None else ""
        if outgoing is not None and code >= 400 and self._taken(code, text, "data"):
            self._pending = None
            self._exchange.ended(self, outgoing, reply(code, text, "data", whose))
        self.abort(Setback(f"the relay says {brief(code, text, whose)} too early", cause="spoke"))

    def _on_empty(self, code: int, text: bytes) -> None:
        if self._taken(code, text, "data"):
            self._refused(reset=True)

    def _on_reset(self, code: int, text: bytes) -> None:
        if code == 421 or code >= 500:
            self.abort(Setback(f"the relay answers RSET with {brief(code, text)}", cause="spoke"))
        elif self._pending is None:
            self._idle()
        else:
            self._answered = self._on_mail
            if not self._dialect.pipelining:
                self._write(self._dialect.opening(self._pending))

    def _on_dot(self, code: int, text: bytes) -> None:
        outgoing = self._current
        if outgoing is None or 300 <= code < 400:  # no final word: silence
            self.abort(Setback("the relay answers the final dot out of turn", cause="spoke"))
            return
        self._current = None
        self._settled += 1
        chunking = self._dialect.chunking
        if chunking and code in _UNKNOWN:
            self._puzzled(outgoing, code, text)
            return
        said = reply(code, text, "dot", outgoing.message.recipient)
        self._exchange.ended(self, outgoing, said)
        if code == 421:
            whose = outgoing.message.recipient
            self.abort(Setback(f"the relay says {brief(code, text, whose)}", cause="spoke"))
        elif self._pending is not None:
            self._answered = self._on_reset if chunking else self._on_mail
        elif chunking and code >= 400:
            self._answered = self._on_reset
            self._write(b"RSET\r\n")
        else:
            self._idle()

    # Steps they share

    def _taken(self, code: int, text: bytes, stage: Stage) -> bool:
        """Note a refusal; False where the relay closes, and nothing is decided about anyone."""
        lost = code == 421 or (300 <= code < 400 and stage != "data")  # or not in step with us
        if lost:
            whose = self._pending.message.recipient if self._pending is not None else ""
            self.abort(Setback(f"the relay says {brief(code, text, whose)}", cause="spoke"))
        elif code >= 400 and self._refusal is None and self._pending is not None:
            self._refusal = reply(code, text, stage, self._pending.message.recipient)
        return not lost

    def _send_body(self, outgoing: Outgoing) -> None:
        """The relay waits for the body: send ahead what is long, and have the dot witnessed."""
        ahead = self._dialect.ahead(outgoing)
        if ahead and self._dialect.chunking:
            self._answered = self._on_chunk
            self._send_ahead(ahead, lambda: None)
            return
        self._answered = self._on_early
        self._next = self._take() if self._dialect.pipelining else None
        if ahead:
            self._send_ahead(ahead, partial(self._hand_over, outgoing))
        else:
            self._exchange.dot(self, outgoing)

    def _hand_over(self, outgoing: Outgoing) -> None:
        """Ask for the witness of its end, if it is still wanted."""
        if self._pending is outgoing and not self.closed:
            self._exchange.dot(self, outgoing)

    def _puzzled(self, outgoing: Outgoing, code: int, text: bytes) -> None:
        """The relay took a chunk for commands: nothing was accepted, and nobody is to blame."""
        whose = outgoing.message.recipient
        said = f"the relay offers CHUNKING, but says {brief(code, text, whose)}"
        self._exchange.ended(self, outgoing, _NO_BDAT)
        self.abort(Setback(said, cause="spoke", everyone=True))

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
        if following is not None and (self._dialect.pipelining or not reset):
            command += self._dialect.opening(following)
        self._write(command)

    def _idle(self) -> None:
        if self._left is not None and self._left <= 0:
            self._take_leave()
        else:
            self._answered = self._on_idle
            self._exchange.ready(self)

    def _take_leave(self) -> None:
        self._answered = self._on_goodbye
        self._write(b"QUIT\r\n")

    def _at_rest(self) -> bool:
        """Whether closing now is nobody's fault: TLS nobody insists on may fail (RFC 7435)."""
        idle = self._answered in (self._on_idle, self._on_goodbye)
        return idle or (self._upgrading and self._opportunistic)

    def _open(self, outgoing: Outgoing) -> None:
        self._pending, self._heard, self._refusal = outgoing, False, None
        self._answered = self._on_mail

    def _intend(self, outgoing: Outgoing) -> None:
        if self._left is not None:
            self._left -= 1
        self._exchange.intend(self, outgoing)

    def _take(self) -> Outgoing | None:
        if self._left is not None and self._left <= 0:
            return None
        while (outgoing := self._exchange.take()) is not None:
            refusal = self._dialect.unfit(outgoing)
            if refusal is None:
                self._intend(outgoing)
                return outgoing
            self._exchange.ended(self, outgoing, refusal)
        return None
