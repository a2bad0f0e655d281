"""A worker process for fault tests: `python -m tests.faults.sender URL PORT JOURNALS NAME`.

Works until it is killed or nothing is due.
"""

import sys
from pathlib import Path

from mailer.delivery.dispatch import Dispatcher
from mailer.delivery.engine import relay_from_url
from mailer.delivery.journal import Journal
from mailer.delivery.run import Terms
from mailer.kit.database import Database
from tests.fakes import books

TERMS = Terms(chunk_size=20, batch_size=100)
CONNECTIONS = 4


def worker(database: Database, port: int, journals: Path, name: str) -> Dispatcher:
    """A worker with a real wire and a real journal."""
    journal = Journal.open(journals, name)
    relay = relay_from_url(
        f"smtp://127.0.0.1:{port}", connections=CONNECTIONS, journal=journal, ahead=20
    )
    return books.dispatcher(database, relay, worker=name, journal=journal, terms=TERMS)


if __name__ == "__main__":
    url, port, journals, name = sys.argv[1:]
    one = worker(Database(url), int(port), Path(journals), name)
    while one.work().more_due:
        pass
