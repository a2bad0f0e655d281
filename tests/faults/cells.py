"""One run of the matrix: a campaign, a fault at one place, and what it came to.

A cell says what is struck and where; the seed decides the rest (at which letter, beside whom, for
how long), so that a cell and a seed always make the same run.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Protocol

from sqlalchemy import text

from mailer.campaigns import queries as campaigns
from mailer.delivery.models import BatchRow
from mailer.kit import broker as brokers
from mailer.kit.database import Database
from mailer.kit.errors import DibaoError
from tests.faults import celery_worker, checker, failpoints, sender
from tests.faults.checker import Findings
from tests.faults.failpoints import Append, Armed, Wire
from tests.faults.processes import CONTEXT, PATIENCE, Waited, state, until
from tests.faults.scene import open_batches
from tests.faults.sender import Spec
from tests.faults.sink import LOGIN, Manners, Sink
from tests.faults.world import CAMPAIGN, World, address

CHUNK = 20
BY_CELERY = 5.0  # seconds of a lease where settings decide: their least
LATE = 6.0  # seconds to wait for others before a stopped worker goes on all the same


@dataclass(frozen=True, slots=True)
class Cell:
    """What is struck, where, under which circumstances."""

    point: str
    action: str
    connections: int
    database: str
    broker: str

    def __str__(self) -> str:
        return f"{self.point}:{self.action} c{self.connections} {self.database} {self.broker}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What the seed made of a cell."""

    cell: Cell
    nth: int
    beside: bool  # another worker from the start
    early: bool  # a stopped process goes on before its lease is over
    linger: float
    manners: Manners

    @property
    def armed(self) -> Armed:
        """The failpoint."""
        return Armed(self.cell.point, self.cell.action, self.nth)

    @property
    def budget(self) -> int:
        """How many letters may be uncertain in the end (reliability, table 3.2)."""
        armed, conns = self.armed, self.cell.connections
        needs = armed.point.needs
        before = 0
        if needs:  # what died first, to be found by the one that is struck
            before = {"dead": conns, "dead without journal": 2 * CHUNK + conns}.get(needs, 0)
        if armed.action == "kill9":
            nothing_left = armed.point.early and armed.nth == 1 and not self.beside
            return before + (0 if nothing_left else conns)
        dropped = isinstance(armed.point.place, Wire) and not (armed.point.early and armed.nth == 1)
        if armed.action == "raise" and (dropped or armed.name == "reply_read"):
            return before + 1  # one connection broke; the dot before may have been on it
        return before

    @property
    def skipped(self) -> int:
        """How many people are skipped for a letter that cannot be made."""
        return int(self.cell.point == "compose" and self.cell.action == "raise")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    cell: str
    seed: int
    struck: str  # the failpoint with its number
    fired: bool
    wrong: tuple[str, ...]
    uncertain: int
    budget: int
    counts: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether it was struck and the promise was kept."""
        return self.fired and not self.wrong

    def dumps(self) -> dict[str, Any]:
        """For a line of JSON."""
        return asdict(self)


def plan(cell: Cell, seed: int, people: int) -> Plan:
    """Let the seed decide."""
    dice = Random(f"{seed} {cell}")  # noqa: S311  # the same each time
    point = failpoints.POINTS[cell.point]
    letters = people // 3
    if isinstance(point.place, Append):  # one of them may be for several letters
        letters = people // (3 * cell.connections)
    nth = {"once": 1, "chunk": dice.randint(1, 3), "letter": dice.randint(1, letters)}
    slow = point.needs in {"slow", "told to end"}
    return Plan(
        cell,
        nth=nth[point.often],
        beside=cell.broker == "none" and point.often != "once" and dice.random() < 0.25,
        early=dice.random() < 0.3,
        linger=0.03 * cell.connections if slow else dice.choice((0.0, 0.001, 0.004)),
        manners=_manners(dice, people),
    )


def _manners(dice: Random, people: int) -> Manners:
    """Some are put off once, at either stage; two are refused, which stops no campaign."""
    some = [address(n) for n in dice.sample(range(people), max(6, people // 12))]
    tries: dict[str, tuple[str, ...]] = {}
    for n, who in enumerate(some):
        later = (("4xx@rcpt", "ok"), ("4xx@dot", "ok"))[n % 2]
        tries[who] = ("5xx@rcpt",) if n < 2 else later
    return Manners(tries)


class Process(Protocol):
    """A worker, of either kind."""

    pid: int | None
    exitcode: int | None

    def start(self) -> None: ...
    def join(self, timeout: float | None = None) -> None: ...
    def is_alive(self) -> bool: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class Run:
    """The run of one plan: processes, their record and the books."""

    def __init__(self, plan: Plan, url: str, broker: str, sink: Sink, folder: Path) -> None:
        self.plan, self.url, self.broker, self.sink = plan, url, broker, sink
        self.folder, self.log = folder, folder / "log"
        self.marker = folder / "struck"
        self.database = Database(url, pool_size=2)
        self.workers: list[Process] = []

    @property
    def struck(self) -> int | None:
        """The process that was struck."""
        return failpoints.struck(self.marker)

    def worker(self, failpoint: str = "", **more: Any) -> Process:
        """Start one more worker."""
        number = len(self.workers) + 1
        relay = f"{LOGIN}127.0.0.1:{self.sink.port}"
        cell = self.plan.cell
        if cell.broker == "none":
            spec = Spec(
                *(self.url, relay, self.folder / "journal", f"worker-{number}", self.log),
                connections=cell.connections,
                chunk=CHUNK,
                failpoint=failpoint,
                marker=self.marker,
            )
            made: Any = CONTEXT.Process(target=sender.work, args=(replace(spec, **more),))
        else:
            environment = celery_worker.environment(
                self.folder / "var",
                database=self.url,
                broker=self.broker,
                relay=relay,
                secret=sender.SECRET,
                connections=cell.connections,
                chunk=CHUNK,
                lease=BY_CELERY,
            )
            args = (environment, self.log, 1.0, failpoint, self.marker)
            made = CONTEXT.Process(target=celery_worker.work, args=args)
        made.start()
        self.workers.append(made)
        return made  # type: ignore[no-any-return]

    def knock(self) -> None:
        """Tell the workers, as a launch does."""
        if self.broker:
            app = brokers.build(self.broker, {})
            brokers.knock(app, "campaign.send", campaign=CAMPAIGN)
            app.close()

    def is_over(self) -> bool:
        """Whether the campaign is closed and no batch of it is open."""
        with suppress(DibaoError), self.database.reading() as session:
            over = campaigns.campaign(session, CAMPAIGN).is_over
            return over and not open_batches(session)
        return False

    def waits(self) -> str:
        """What is left undone, for an error."""
        with suppress(DibaoError), self.database.reading() as session:
            rows = session.query(BatchRow).where(BatchRow.state == "open").all()
            state = session.execute(text("SELECT state FROM campaign")).scalar()
            return f"{state}, open: " + ", ".join(
                f"{r.number} by {r.worker} epoch {r.epoch} {r.chunks_started}/{r.chunks_flushed} "
                f"{r.reason}"
                for r in rows
            )
        return "?"

    def end(self) -> list[str]:
        """End every worker in order; what went wrong with that."""
        wrong = []
        for number in range(1, len(self.workers) + 1):
            self.tell_to_end(number)
        for number, one in enumerate(self.workers, 1):
            one.join(PATIENCE)
            if one.exitcode is None:
                wrong.append(f"worker {number} does not end")
            elif one.exitcode not in self._in_order and not self._was_to_die(number):
                wrong.append(f"worker {number} ended with {one.exitcode}")
        return wrong

    def tell_to_end(self, number: int) -> None:
        """SIGTERM, as soon as the worker knows what that means."""
        one = self.workers[number - 1]
        if self.plan.cell.broker == "none":
            there = sender.ready(self.log, f"worker-{number}")
            until("a worker that has begun", lambda: there.exists() or not one.is_alive())
        if one.is_alive():
            one.terminate()

    def close(self) -> None:
        """Leave nothing behind."""
        for one in self.workers:
            if self.plan.cell.broker != "none" and one.pid is not None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(one.pid, signal.SIGKILL)
            one.kill()
            one.join()
        self.database.close()

    @property
    def _in_order(self) -> set[int]:
        """Celery learns late in its start what SIGTERM means."""
        return {0} if self.plan.cell.broker == "none" else {0, -signal.SIGTERM}

    def _was_to_die(self, number: int) -> bool:
        pid = self.workers[number - 1].pid
        return pid == self.struck or (bool(self.plan.armed.point.needs) and number == 1)

    def said_wrong(self) -> list[str]:
        """Breaches that workers found in the books themselves."""
        said = self.log.read_text(errors="replace") if self.log.exists() else ""
        return [line[:200] for line in said.splitlines() if "breach" in line][:3]


def play(world: World, cell: Cell, seed: int, folder: Path, *, lane: int = 0) -> Outcome:
    """Run a cell. Whatever it meets is in the outcome; raises only for a fault of the harness."""
    begun = time.monotonic()
    made = plan(cell, seed, world.people)
    folder.mkdir(parents=True)
    unfrozen = made.armed.point.needs == "unfrozen"
    manners = replace(made.manners, linger=made.linger)
    with ExitStack() as stack:
        url = stack.enter_context(world.database(cell.database, frozen=not unfrozen))
        broker = stack.enter_context(world.broker(cell.broker, lane))
        sink = stack.enter_context(Sink(folder / "sink", manners))
        run = Run(made, url, broker, sink, folder)
        stack.callback(run.close)
        wrong: list[str] = []
        try:
            _drive(run)
        except Waited as waited:
            wrong.append(f"{waited}; {run.waits()}")
        wrong += run.end()
        found = checker.check(
            run.database,
            CAMPAIGN,
            sink.letters(),
            refused=manners.refused(),
            skipped=made.skipped,
        )
        wrong += [*found.wrong(uncertain=made.budget), *run.said_wrong()]
        return _outcome(made, seed, run, found, wrong, time.monotonic() - begun)


def _outcome(
    made: Plan, seed: int, run: Run, found: Findings, wrong: list[str], seconds: float
) -> Outcome:
    return Outcome(
        str(made.cell),
        seed,
        str(made.armed),
        run.struck is not None,
        tuple(wrong),
        len(found.uncertain),
        made.budget,
        found.counts(),
        round(seconds, 2),
    )


def _drive(run: Run) -> None:
    plan = run.plan
    _prepare(run)
    if plan.beside:
        run.worker()
    one = run.worker(str(plan.armed))
    run.knock()
    if plan.armed.point.needs == "told to end":
        until("the middle", lambda: run.sink.count > 10)
        run.tell_to_end(len(run.workers))
    until(
        "the failpoint or the end",
        lambda: run.struck is not None or run.is_over() or not one.is_alive(),
    )
    if run.struck is None:  # a place that is met on the way out
        run.tell_to_end(len(run.workers))
        one.join(PATIENCE)
    pid = run.struck
    if pid is not None and plan.cell.action == "kill9":
        until("its death", lambda: state(pid) in {"", "Z"})
        run.worker()
    elif pid is not None and plan.cell.action == "stop":
        _stopped(run, pid)
    elif plan.armed.point.needs == "told to end":
        one.join(PATIENCE)
        run.worker()
    until("the end of the campaign", run.is_over)


def _prepare(run: Run) -> None:
    """Have somebody die first, where that is what the struck one is to find."""
    needs = run.plan.armed.point.needs
    if not needs.startswith("dead"):
        return
    first = run.folder / "first"
    run.worker("after_dot:kill9@7", marker=first)
    until("the first death", lambda: run.workers[0].exitcode is not None)
    if needs == "dead without journal":
        for left in (run.folder / "journal").glob("*.journal"):
            left.unlink()


def _stopped(run: Run, pid: int) -> None:
    """Others go on; then the stopped one does."""
    until("its stop", lambda: state(pid) == "T")
    stopped = len(run.workers)
    run.worker()
    if run.plan.early:
        time.sleep(0.3)
    else:
        with suppress(Waited):
            until("the others", run.is_over, seconds=LATE)
    os.kill(pid, signal.SIGCONT)
    time.sleep(0.3)  # it looks around
    until("the end of the campaign", run.is_over)
    run.tell_to_end(stopped)
    run.workers[stopped - 1].join(PATIENCE)


class Lanes:
    """Hands out the numbers 0 to count - 1."""

    def __init__(self, count: int) -> None:
        self._free = list(range(count))
        self._lock = threading.Lock()

    @contextmanager
    def taken(self) -> Iterator[int]:
        """One of them, while inside."""
        with self._lock:
            lane = self._free.pop()
        try:
            yield lane
        finally:
            with self._lock:
                self._free.append(lane)
