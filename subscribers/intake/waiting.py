"""Files that wait in a folder until a worker imports them, each beside the plan it goes by.

An import is a folder named by its number; whoever has its file locked is at it, and a lock that is
free proves that nobody is. The folder is there whole or not at all, and so it goes.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mailer.kit.errors import Unavailable
from subscribers.intake.merge import Policy
from subscribers.intake.plan import Plan

_FILE, _PLAN = "file", "plan.json"


@dataclass(frozen=True, slots=True)
class Taken:
    """One waiting import in the hands of this process, while its file is open."""

    run: int
    plan: Plan
    file: IO[bytes]
    place: Path

    def done(self) -> None:
        """Take the file away; there is nothing more to do."""
        gone = self.place.with_name(f".{self.place.name}.done")
        self.place.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


class Waiting:
    """The imports that wait in a folder of the data directory."""

    def __init__(self, directory: Path) -> None:
        """`directory` is made when something is put in; commands and workers share it."""
        self._directory = directory

    def put(self, run: int, stream: IO[bytes], plan: Plan) -> None:
        """Keep a file for an import that has begun; twice changes nothing.

        Raises Unavailable where the disk is full.
        """
        if (self._directory / str(run)).exists():
            return
        made = self._directory / f".{run}.new"
        try:
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir(parents=True, mode=0o700)
            stream.seek(0)
            with (made / _FILE).open("xb") as file:
                shutil.copyfileobj(stream, file, 1 << 20)
                file.flush()
                os.fsync(file.fileno())
            (made / _PLAN).write_text(json.dumps(_told(plan)), encoding="utf-8")
            made.rename(self._directory / str(run))
        except OSError as full:
            shutil.rmtree(made, ignore_errors=True)
            said = f"The file cannot be kept for a worker: {full.strerror or full}"
            raise Unavailable(said) from full

    def idle(self) -> bool:
        """Whether something waits and nobody is at anything: time to ask for a worker."""
        free = [_is_free(place / _FILE) for place in self._places()]
        return bool(free) and all(free)

    @contextmanager
    def next(self) -> Iterator[Taken | None]:
        """The oldest import that nobody is at, for this process alone while inside; or None."""
        taken = next(filter(None, map(_taken, self._places())), None)
        if taken is None:
            yield None
            return
        with taken.file:
            yield taken

    def _places(self) -> list[Path]:
        names = [p.name for p in self._directory.glob("[0-9]*")] if self._directory.is_dir() else []
        return [self._directory / name for name in sorted(names, key=int)]


def _taken(place: Path) -> Taken | None:
    """The import, locked; None where somebody has it, or had it a moment ago."""
    with ExitStack() as stack, suppress(FileNotFoundError):
        file = stack.enter_context((place / _FILE).open("rb"))
        if _lock(file) and place.exists():
            plan = _read(json.loads((place / _PLAN).read_text(encoding="utf-8")))
            stack.pop_all()
            return Taken(int(place.name), plan, file, place)
    return None


def _is_free(path: Path) -> bool:
    with suppress(FileNotFoundError), path.open("rb") as file:
        return _lock(file)
    return True


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _told(plan: Plan) -> dict[str, object]:
    return {
        "basis": plan.basis,
        "source": plan.source,
        "segments": plan.segments,
        "policy": plan.policy.value,
        "actor": plan.actor,
        "told": dict(plan.told),
        "encoding": plan.encoding,
        "keep_opt_outs": plan.keep_opt_outs,
    }


def _read(told: Mapping[str, Any]) -> Plan:
    policy, segments = Policy(told["policy"]), tuple(told["segments"])
    return Plan(**{**told, "policy": policy, "segments": segments})
