"""One worker process of the bench: `python -m tests.bench.worker`, configured as any worker.

Says "ready", waits for a line with the number of a campaign, works until nothing is due, and says
in one line of JSON what that took.
"""

import json
import os
import resource
import sys
import threading
import time
from pathlib import Path

from mailer.app import compose
from mailer.campaigns.campaign import CampaignId
from mailer.kit import settings

_PAGE = resource.getpagesize()
_EVERY = 0.1  # seconds between two looks at the memory


def main() -> None:
    """Work one campaign."""
    app = compose(settings.read(os.environ))
    dispatcher = app.dispatcher()
    dispatcher.register()
    _say("ready")
    campaign = CampaignId(int(sys.stdin.readline()))
    memory = Memory()
    cpu, begun = _cpu(), time.monotonic()
    settled, more = 0, True
    while more:
        worked = dispatcher.work(campaign)
        settled += worked.settled
        more = worked.more_due
    figures = {
        "settled": settled,
        "begun": begun,
        "ended": time.monotonic(),
        "cpu_s": _cpu() - cpu,
        "rss_mb": memory.at(0.25, 1),
        "peak_rss_mb": _peak(),
    }
    app.stop()
    _say(json.dumps(figures))


class Memory:
    """How much memory this process has, looked at now and then."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []
        threading.Thread(target=self._watch, daemon=True).start()

    def at(self, *shares: float) -> list[int]:
        """Megabytes when these shares of the time until now had passed."""
        self._look()
        begun, ended = self._seen[0][0], self._seen[-1][0]
        moments = [begun + share * (ended - begun) for share in shares]
        nearest = [min(self._seen, key=lambda seen: abs(seen[0] - at))[1] for at in moments]
        return [_megabytes(size) for size in nearest]

    def _watch(self) -> None:
        while True:
            self._look()
            time.sleep(_EVERY)

    def _look(self) -> None:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        self._seen.append((time.monotonic(), pages * _PAGE))


def _peak() -> int:
    """Megabytes, of this program alone: `ru_maxrss` counts what forked us as well."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) / 1024)


def _megabytes(size: int) -> int:
    return round(size / 2**20)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
