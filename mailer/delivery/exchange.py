"""What an SMTP connection asks of whoever drives it: messages, witnesses, endings, patience."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mailer.delivery.envelope import Outgoing
from mailer.delivery.handshake import Setback
from mailer.delivery.relay import Ending

if TYPE_CHECKING:
    from mailer.delivery.smtp import Connection


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait, by what we wait for (RFC 5321 4.5.3.2)."""

    connect: float = 60  # TCP and TLS
    reply: float = 300  # to all but the next two: greeting, EHLO, AUTH, MAIL, RCPT, RSET
    data: float = 120  # the reply to DATA, never longer than any other
    dot: float = 600  # the reply to the final dot
    block: float = 180  # some more of a long body leaving our buffer
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
