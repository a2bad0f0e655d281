"""A campaign under way, a sink with manners, worker processes: what a test of one fault needs."""

from collections.abc import Collection
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mailer.campaigns import queries as campaigns
from mailer.delivery import queries
from mailer.delivery.models import BatchRow
from mailer.delivery.queries import Progress
from mailer.kit.database import Database
from mailer.kit.errors import DibaoError
from tests.fakes import books
from tests.faults import checker, failpoints, sender
from tests.faults.checker import Findings
from tests.faults.processes import CONTEXT, PATIENCE, state, until
from tests.faults.sender import Spec
from tests.faults.sink import LOGIN, Manners, Sink


def open_batches(session: Session) -> int:
    """How many batches have people to send to, again or for the first time."""
    open_ones = select(func.count()).where(BatchRow.state == "open")
    return session.scalar(open_ones) or 0


def reader(number: int) -> str:
    """The address of the n-th reader, from 1."""
    return f"reader{number}@example.org"


class Scene:
    """A context manager; leaves no process behind."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        people: int = 60,
        batch: int = 40,
        manners: Manners | None = None,
    ) -> None:
        self.database, self.folder, self.people = database, folder, people
        self.manners = manners or Manners(linger=0.002)
        self.campaign = books.sending(database, people, batch_size=batch)
        self.sink = Sink(folder / "sink", self.manners)
        self.journals = folder / "journal"
        self.log = folder / "log"
        self.workers: list[Any] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.sink)
        self._stack.callback(self._leave)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def relay(self) -> str:
        """How a worker is told of the sink."""
        return f"{LOGIN}127.0.0.1:{self.sink.port}"

    @property
    def marker(self) -> Path:
        """Where the last worker's failpoint leaves its mark."""
        return self.folder / f"struck-{len(self.workers)}"

    def worker(self, failpoint: str = "", **more: Any) -> Any:
        """Start a worker process."""
        spec = Spec(
            *(self.database.url, self.relay, self.journals),
            name=f"worker-{len(self.workers) + 1}",
            log=self.log,
            failpoint=failpoint,
            marker=self.folder / f"struck-{len(self.workers) + 1}",
        )
        process = CONTEXT.Process(target=sender.work, args=(replace(spec, **more),))
        process.start()
        self.workers.append(process)
        return process

    def struck(self) -> int:
        """Wait until the failpoint of the last worker has struck; the process."""
        until("the failpoint", lambda: failpoints.struck(self.marker) is not None)
        pid = failpoints.struck(self.marker)
        assert pid is not None
        return pid

    def dies(self, failpoint: str, **more: Any) -> None:
        """Have a worker die at a failpoint."""
        worker = self.worker(failpoint, **more)
        self.struck()
        worker.join(PATIENCE)
        assert worker.exitcode == -9

    def stops(self, failpoint: str, **more: Any) -> int:
        """Have a worker stop at a failpoint; its process."""
        self.worker(failpoint, **more)
        pid = self.struck()
        until("its stop", lambda: state(pid) == "T")
        return pid

    def sent(self, letters: int) -> None:
        """Wait until the sink has written down so many."""
        until(f"{letters} letters", lambda: self.sink.count >= letters)

    def is_over(self) -> bool:
        """Whether the campaign is closed, and nothing of it is sent again."""
        with suppress(DibaoError), self.database.reading() as session:
            return campaigns.campaign(session, self.campaign).is_over and not open_batches(session)
        return False

    def over(self, *, seconds: float = PATIENCE) -> None:
        """Wait for the end of the campaign, then end the workers in order."""
        until(f"the end of the campaign: {self.progress()}", self.is_over, seconds=seconds)
        self.end()

    def end(self) -> None:
        """Tell every worker to end, and see it off."""
        for number, one in enumerate(self.workers, 1):
            there = sender.ready(self.log, f"worker-{number}")
            alive = one.is_alive
            until("a worker that has begun", lambda: there.exists() or not alive())  # noqa: B023
            if one.is_alive():
                one.terminate()
        for one in self.workers:
            one.join(PATIENCE)
            assert one.exitcode in {0, -9}, self.log.read_text()[-3000:]

    def finish(self, **more: Any) -> None:
        """Have a further worker do the rest."""
        self.worker(**more)
        self.over()

    def progress(self) -> Progress:
        """What the books say."""
        with self.database.reading() as session:
            return queries.progress(session, self.campaign)

    def found(self, *, refused: Collection[str] = (), skipped: int = 0) -> Findings:
        """Compare sink, audience and books."""
        no = self.manners.refused() | set(refused)
        letters = self.sink.letters()
        return checker.check(self.database, self.campaign, letters, refused=no, skipped=skipped)

    def check(self, *, uncertain: int, skipped: int = 0) -> Findings:
        """The promise, with at most so many uncertain."""
        found = self.found(skipped=skipped)
        said = self.log.read_text(errors="replace") if self.log.exists() else ""
        assert not found.wrong(uncertain=uncertain), (found, said[-2000:])
        assert "breach" not in said, said
        return found

    def _leave(self) -> None:
        for one in self.workers:
            one.kill()
            one.join()
