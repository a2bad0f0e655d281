"""What a worker works with, how, and what a run of it did."""

from dataclasses import dataclass, field
from pathlib import Path

from mailer.delivery.breakers import Breakers
from mailer.delivery.closures import Closures
from mailer.delivery.compose import Composers
from mailer.delivery.pacing import Pacer
from mailer.delivery.relay import Relay
from mailer.delivery.settling import JUDGED_AFTER
from mailer.delivery.verdict import Patience
from mailer.kit.database import Database


@dataclass(frozen=True, slots=True)
class Terms:
    """How a worker works."""

    chunk_size: int = 200  # people per commit
    batch_size: int = 1000  # people per later batch
    lease: float = 60.0  # seconds
    run: float = 25.0  # seconds after which no further chunk is started
    relay_rest: float = 5.0  # seconds a relay rests after it failed, while no brake is on
    judged_after: float = JUDGED_AFTER  # seconds past a lease: the dot timeout and a margin
    patience: Patience = field(default_factory=Patience)  # where the pacer says nothing else


@dataclass(frozen=True, slots=True)
class Tools:
    """What a worker works with."""

    database: Database
    relay: Relay
    composers: Composers
    worker: str
    pacer: Pacer
    breakers: Breakers
    closures: Closures
    queues: tuple[str, ...] = ()  # whose knocks it hears
    directory: Path | None = None  # the data directory; a file HOLD in it stops this host
    terms: Terms = field(default_factory=Terms)


@dataclass(frozen=True, slots=True)
class Worked:
    """What a run did."""

    settled: int = 0  # people with a result now
    deferred: int = 0
    campaigns: tuple[int, ...] = ()  # worked on
    more_due: bool = False
    relay_down: str = ""  # why a relay took nothing more
    held: str = ""  # why nothing at all may leave
