"""What a relay has to offer: messages in, one ending out for each.

`engine.py` offers it over SMTP, `tests/fakes/relay.py` from a script. Synchronous on purpose: the
event loop lives inside the engine, and nobody outside that module knows there is one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

Stage = Literal["mail", "rcpt", "data", "dot"]
Hindrance = Literal["connect", "tls", "auth", "closed", "spoke", "stopped"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message ready for the wire, for one recipient."""

    campaign: int
    subscriber: int
    batch: int
    epoch: int
    chunk: int
    recipient: str  # RCPT TO; case kept, domain as stored (the wire makes A-labels of it)
    return_path: str  # MAIL FROM; unique per recipient (VERP)
    data: bytes  # headers CRLF CRLF body, ends with CRLF, only CRLF as line end, signed
    way: str = ""  # which of the relay's ways it takes


@dataclass(frozen=True, slots=True)
class Reply:
    """The relay's final word on one message.

    Where we refuse a message ourselves, without asking the relay (an address that no SMTP command
    can carry, SIZE exceeded), the text starts with "local:".
    """

    code: int  # 200 to 599
    enhanced: str = ""  # "5.1.1"; empty where the relay sends none, or one of another class
    text: str = ""  # first 200 characters, every address cut out
    stage: Stage = "dot"  # what it answered; only at "rcpt" and "dot" may it speak of the recipient


@dataclass(frozen=True, slots=True)
class Silence:
    """The connection broke after the final dot: the relay has the message, or it has not."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a way takes no mail now. Says nothing about any recipient.

    `cause`: no connection, or none that held ("connect"); "tls"; "auth"; every connection broke
    before the dot ("closed"); an answer that refuses us and not the recipient ("spoke"); we were
    asked to stop ("stopped").
    """

    cause: Hindrance
    text: str  # for people; without password and addresses
    everyone: bool = False  # no other connection would fare better


@dataclass(frozen=True, slots=True)
class Unsent:
    """Surely not handed over: its way takes no mail now. It may be offered again later."""

    trouble: Trouble


Ending = Reply | Silence | Unsent


class Relay(Protocol):
    """One or several ways out of the house. One `send` at a time."""

    def send(
        self, messages: Iterable[Message], *, in_time: Callable[[], bool] | None = None
    ) -> Iterator[tuple[Message, Ending]]:
        """Hand messages over, in any order; yield each with its ending as it comes.

        `messages` is pulled from a thread of its own, some way ahead of need, so it may block on a
        commit; see `room` for how far ahead. An error it raises is raised again after the last
        ending. `in_time` is asked right before final dots leave: where it says False no dot is
        written, neither then nor later.

        A way that fails (no connection, TLS, AUTH, every connection broke) ends each of its
        messages, those still to come included, as Unsent for the rest of this `send`; other ways
        go on. A message without an ending was not handed over and may be offered again; if this
        process dies, the journal says which those are.
        """

    def room(self, way: str = "") -> int:
        """How many more messages of this way find a place before it holds up the others.

        0 or less where it holds as many as it wants; one more, and `messages` is not asked for the
        next before it has room again. A way that has failed has much room, since it ends whatever
        comes at once. For whoever makes the messages of several ways: ask before each of them.
        """

    def wait(self, seconds: float) -> None:
        """Wait until a way has room again, or was stopped or failed; at most so long.

        For the thread that pulls `messages`, where no way it has messages for has room.
        """

    def slow_start(self, way: str = "") -> None:
        """Go back to one connection on this way; one more after each success, up to its limit."""

    def drop(self, unwanted: Callable[[Message], bool]) -> None:
        """End the messages of the send under way that are unwanted and have not begun as Unsent.

        Those that come later too: it stands until the `send` ends. Its cause is "stopped". From
        any thread.
        """

    def stop(self) -> None:
        """Start no further message in the send under way; those on the wire come to their end.

        From any thread. Those not begun have no ending.
        """

    def close(self) -> None:
        """Say goodbye and close every connection. A later `send` opens new ones."""
