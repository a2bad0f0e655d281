"""A worker process for fault tests: a real dispatcher, wire and journal, and no broker.

It sweeps and works until it is told to end (SIGTERM), as the sweep of a worker does whose broker
is away. `python -m tests.faults.sender URL PORT JOURNALS NAME` runs one by hand, with a failpoint
in FP where one is wanted.
"""

import faulthandler
import os
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import structlog

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import State
from mailer.delivery.compose import Composers, Letterhead
from mailer.delivery.dispatch import Dispatcher
from mailer.delivery.engine import relay_from_url
from mailer.delivery.exchange import Timeouts
from mailer.delivery.instance import Guard
from mailer.delivery.journal import Journal
from mailer.delivery.testimony import Mode
from mailer.delivery.tools import Terms
from mailer.delivery.verdict import Patience
from mailer.kit.database import Database
from mailer.kit.signing import Keyring
from tests.fakes import books
from tests.faults import failpoints
from tests.faults.failpoints import Armed

TERMS = Terms(chunk_size=20, batch_size=100)
CONNECTIONS = 4
SECRET = "the-secret-of-the-fault-tests"  # noqa: S105  # of no installation
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Spec:
    """What a worker process is to be."""

    url: str  # of the database
    relay: str  # [login@]host:port
    journals: Path
    name: str
    log: Path
    connections: int = CONNECTIONS
    chunk: int = 20
    batch: int = 50
    lease: float = 1.5  # seconds; production has 60
    judged_after: float = 1.0  # seconds past the lease; production has 660
    waits: tuple[float, ...] = (0.2,)  # seconds between two tries of a person
    dot_timeout: float = 600.0  # seconds
    fsync: bool = False  # the journal survives power loss
    boot_id: str = ""  # of the host it pretends to be on; empty is this one
    guarded: bool = True  # by what tells a restored or copied database
    poison: int = 0  # the subscriber whose letter kills whoever makes it
    clock: float = 0.0  # seconds that its wall clock is ahead
    failpoint: str = ""
    marker: Path = field(default_factory=Path)

    def terms(self) -> Terms:
        """How it works."""
        return Terms(
            chunk_size=self.chunk,
            batch_size=self.batch,
            lease=self.lease,
            judged_after=self.judged_after,
            relay_rest=0.3,
            patience=Patience(waits=tuple(timedelta(seconds=w) for w in self.waits)),
        )


def worker(database: Database, port: int, journals: Path, name: str) -> Dispatcher:
    """A worker with a real wire and a real journal, in this process."""
    journal = Journal.open(journals, name)
    relay = relay_from_url(
        f"smtp://127.0.0.1:{port}", connections=CONNECTIONS, journal=journal, ahead=20
    )
    return books.dispatcher(database, relay, worker=name, journal=journal, terms=TERMS)


def made(database: Database, spec: Spec) -> Dispatcher:
    """The worker that a spec describes."""
    journal = Journal.open(
        spec.journals,
        spec.name,
        mode=Mode.FSYNC if spec.fsync else Mode.WRITE,
        boot_id=spec.boot_id or None,
    )
    relay = relay_from_url(
        f"smtp://{spec.relay}",
        connections=spec.connections,
        journal=journal,
        ahead=max(1, spec.chunk // 4),
        timeouts=Timeouts(dot=spec.dot_timeout, reply=min(300.0, spec.dot_timeout)),
    )
    place = spec.journals.parent
    guard = Guard(database, place, worker=spec.name, durable=False)
    return Dispatcher(
        database,
        relay,
        journal,
        composers=Composers(database, Letterhead(Keyring.of(SECRET), "https://gazette.example")),
        worker=spec.name,
        guard=guard.check if spec.guarded else None,
        directory=place,
        terms=spec.terms(),
    )


def work(spec: Spec) -> None:
    """Be a worker until SIGTERM; the main function of its process."""
    written_to(spec.log)
    ending = threading.Event()
    dispatchers: list[Dispatcher] = []

    def end(_number: int, _frame: FrameType | None) -> None:
        ending.set()
        for one in dispatchers:
            one.stop()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.register(signal.SIGUSR1)  # kill -USR1 writes to the log where it hangs
    if spec.failpoint:
        failpoints.install(Armed.parse(spec.failpoint), spec.marker)
    failpoints.poison(spec.poison)
    failpoints.set_clock(spec.clock)
    ready(spec.log, spec.name).touch()
    database = Database(spec.url)
    dispatcher = made(database, spec)
    dispatchers.append(dispatcher)
    while not ending.is_set():
        try:
            _prepare(database, spec)
            if dispatcher.sweep():
                while dispatcher.work().more_due:
                    pass
        except Exception:  # noqa: BLE001  # as the jobs do: the sweep looks again
            _log.exception("the sweep looks again")
        ending.wait(0.05)
    for _ in range(50):
        with suppress(Exception):
            dispatcher.close()
            break
        ending.clear()
        ending.wait(0.1)
    database.close()


def ready(log: Path, name: str) -> Path:
    """The file that is there once a worker can be told to end."""
    return log.with_name(f"{name}.ready")


def _prepare(database: Database, spec: Spec) -> None:
    """Freeze the audience of whatever is preparing, as jobs.prepare does: all or nothing."""
    with database.reading() as session:
        preparing = campaigns.campaigns(session, states=(State.PREPARING,))
    for found in preparing:
        with database.transaction() as session:
            if campaigns.campaign(session, found.id).state is State.PREPARING:
                books.launched(session, found.id, batch_size=spec.batch)


def written_to(log: Path) -> None:
    """What this process says goes into a file of its own."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)


if __name__ == "__main__":
    url, port, journals, name = sys.argv[1:]
    if struck := os.environ.get("FP"):
        failpoints.install(Armed.parse(struck), Path(journals) / "struck")
    one = worker(Database(url), int(port), Path(journals), name)
    while one.work().more_due:
        pass
