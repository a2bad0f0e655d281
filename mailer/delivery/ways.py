"""The ways out of the house: a relay's address, and how hard it may be used."""

from dataclasses import dataclass

from mailer.delivery.relay_address import RelayAddress


@dataclass(frozen=True, slots=True)
class Way:
    """One way to one relay: all of its mail, or a lane of it with limits of its own."""

    name: str  # what messages name it by
    relay: str  # name of the relay; several ways may lead to one
    address: RelayAddress
    connections: int = 20  # at once
    per_connection: int | None = None  # messages, then QUIT and a new one
