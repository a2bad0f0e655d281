"""What a relay has to offer: messages in, one ending out for each.

`engine.py` offers it over SMTP, `tests/fakes/relay.py` from a script. Synchronous on purpose: the
event loop lives inside the engine, and nobody outside that module knows there is one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from mailer.kit.errors import Unavailable

Stage = Literal["mail", "rcpt", "data", "dot"]


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


Ending = Reply | Silence


class RelayDown(Unavailable):
    """The relay takes no mail at the moment; nothing was decided about anyone."""


class Relay(Protocol):
    """A way out of the house. One `send` at a time; `stop` may come from any thread."""

    def send(
        self, messages: Iterable[Message], *, in_time: Callable[[], bool] | None = None
    ) -> Iterator[tuple[Message, Ending]]:
        """Hand messages over, in any order; yield each with its ending as it comes.

        `messages` is pulled from a thread of its own, some way ahead of need, so it may block on a
        commit. An error it raises is raised again after the last ending. `in_time` is asked right
        before each final dot: where it says False no dot is written, neither then nor later.

        A message without an ending was not handed over and may be offered again; if this process
        dies, the journal says which those are. Raises RelayDown, after the last ending, for
        trouble that concerns all: no connection, TLS, AUTH, 421.
        """

    def stop(self) -> None:
        """Start no further message in the send under way; those on the wire come to their end."""

    def close(self) -> None:
        """Say goodbye and close every connection. A later `send` opens new ones."""
