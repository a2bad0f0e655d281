"""Imports a file in a process of its own, to be killed.

importer.py URL FILE SIZE [PAUSE]
Prints a line after each batch, and the sums of all at the end.
"""

import json
import sys
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from mailer.kit.database import Database
from subscribers.intake import batch
from subscribers.intake.plan import Plan
from subscribers.intake.taking import take

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = b"a key for tests"


def main(url: str, file: str, size: str, pause: str = "0") -> None:
    batch.SIZE = int(size)  # type: ignore[misc]  # small ones, so that there are many to strike at
    plan = Plan("Agreed at the fair.", "people.csv", ("ai",), keep_opt_outs=True)
    database = Database(url)
    with Path(file).open("rb") as stream:
        for progress in take(database, stream, plan, key=KEY, now=NOW):
            last = replace(progress, refusals=())
            refused = [(one.line, one.reason) for one in progress.refusals]
            sys.stdout.write(json.dumps([last.counts.line, refused]) + "\n")
            sys.stdout.flush()
            time.sleep(float(pause))
    sys.stdout.write(json.dumps(asdict(last.counts)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
