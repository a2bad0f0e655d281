"""How long our leases surely hold, by clocks of our own.

A lease goes by the database's clock, which nobody can ask before each final dot. So the time is
taken before the statement that leases leaves the house, by the clock that goes on while the
machine sleeps. Where wall and that clock move apart, one of them is wrong, and the time is up.
"""

import time

from mailer.kit import clock

_JUMP = 5.0  # seconds that two clocks may move apart
_MARGIN = 10.0  # seconds before the end of a lease when the last dot is written


class Deadline:
    """The end of the leases of one run. Asked by the relay, moved by whoever prolongs."""

    def __init__(self, lease: float) -> None:
        """`lease`: seconds that one holds."""
        self._length = lease - min(_MARGIN, lease / 6)
        self._end = float("inf")  # nothing is leased
        self._apart = _wall() - boot_clock()

    def moved(self, asked: float) -> None:
        """All leases hold for another length since the moment `asked`, by `boot_clock`."""
        self._end = asked + self._length
        self._apart = _wall() - boot_clock()

    def in_time(self) -> bool:
        """Whether all leases are surely ours: asked before every final dot."""
        now = boot_clock()
        if now >= self._end:
            return False
        return abs(_wall() - now - self._apart) <= _JUMP


def boot_clock() -> float:
    """Seconds by a clock that goes on while the machine sleeps; where there is none, another."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def _wall() -> float:
    return clock.now().timestamp()
