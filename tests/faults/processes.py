"""How the harness makes processes: forked off one that has imported everything already.

A worker is then there in 20 ms instead of a second, which is what lets a matrix of a thousand
runs end within the hour.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        *(("pytest",) if "pytest" in sys.modules else ()),
        *("tests.faults.sink", "tests.faults.sender", "tests.faults.celery_worker"),
    ]
)
PATIENCE = 60.0  # seconds


class Waited(Exception):
    """What was waited for did not happen."""


def until(what: str, holds: Callable[[], bool], *, seconds: float = PATIENCE) -> None:
    """Wait until it holds. Raises Waited."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise Waited(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.01)


def state(pid: int) -> str:
    """What the kernel says of a process: R, S, T for stopped, Z; empty where there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return status.rpartition(")")[2].split()[0]
