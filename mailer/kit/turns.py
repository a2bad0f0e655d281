"""An action every few seconds, in a thread of its own."""

import threading
from collections.abc import Callable

import structlog

from mailer.kit.errors import Unavailable

_log = structlog.get_logger()


class Turns:
    """Calls an action every few seconds in a thread; after a failed turn comes the next one."""

    def __init__(self, name: str, act: Callable[[], object], seconds: float) -> None:
        self._name = name
        self._act = act
        self._seconds = seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)

    def start(self) -> None:
        """Start, with a first turn at once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the turn that is running."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._act()
            except Unavailable as away:
                _log.warning("turn failed; the next tries again", turn=self._name, why=str(away))
            except Exception:  # noqa: BLE001  # whatever it was, the next turn has to come
                _log.exception("turn failed; the next one tries again", turn=self._name)
            self._stopped.wait(self._seconds)
