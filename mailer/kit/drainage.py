"""A pool child that is told to leave ends its run first."""

import os
import signal
import threading
from collections.abc import Callable


class Drainage:
    """Lets a pool child end its run on SIGTERM.

    Whoever stops a service often signals all its processes (systemd does). A child left to itself
    would break off where it stands, with letters past their dot; this one stops handing out, lets
    the connections end the letter they are in, and leaves after the task.
    """

    def __init__(self, drain: Callable[[], None]) -> None:
        self._drain = drain
        self._pid = 0
        self._busy = self._leaving = False

    def __enter__(self) -> None:
        """Take the signal over, once per process; a worker's thread has none to take over."""
        if self._pid != os.getpid() and threading.current_thread() is threading.main_thread():
            self._pid = os.getpid()
            signal.signal(signal.SIGTERM, self._leave)
        self._busy = True

    def __exit__(self, *_: object) -> None:
        """Leave now, where that was asked for meanwhile."""
        self._busy = False
        if self._leaving:
            raise SystemExit(0)

    def _leave(self, *_: object) -> None:
        self._leaving = True
        if not self._busy:
            raise SystemExit(0)
        self._drain()
