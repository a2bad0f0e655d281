"""A real Celery worker for fault tests, with one child, put into the shape a test needs.

What the settings do not offer is scaled from outside: how long after the end of a lease a batch is
judged. Failpoints are put in before Celery forks, so they are in its child too.
"""

import functools
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from celery.__main__ import main as celery

from mailer import app, equipment  # noqa: F401  # imported once, for every worker forked
from mailer.delivery.tools import Terms
from tests.faults import failpoints, sender
from tests.faults.failpoints import Armed

COMMAND = ("-A", "worker", "worker", "--concurrency=1", "--loglevel=WARNING")
QUIET = ("--without-mingle", "--without-gossip")


def work(
    environment: Mapping[str, str], log: Path, judged_after: float, failpoint: str, marker: Path
) -> None:
    """Be a Celery worker until SIGTERM; the main function of its process."""
    sender.written_to(log)
    os.setsid()  # so that all of it can be ended at once
    for name in [n for n in os.environ if n.startswith("DIBAO_")]:
        del os.environ[name]
    os.environ.update(environment)
    terms = functools.partial(Terms, judged_after=judged_after, relay_rest=0.3)
    setattr(equipment, "Terms", terms)  # noqa: B010  # no name of it that others may import
    if failpoint:
        failpoints.install(Armed.parse(failpoint), marker)
    name = f"--hostname=faults-{os.getpid()}@%h"  # two of one name do not share a RabbitMQ
    sys.argv = ["celery", *COMMAND, *QUIET, name]
    celery()


def environment(  # everything about an installation that a test decides
    folder: Path,
    *,
    database: str,
    broker: str,
    relay: str,
    secret: str,
    connections: int,
    chunk: int,
    lease: float,
) -> dict[str, str]:
    """The settings of a worker."""
    return {
        "DIBAO_DATA_DIR": str(folder),
        "DIBAO_DATABASE_URL": database,
        "DIBAO_BROKER_URL": broker,
        "DIBAO_SMTP_URL": f"smtp://{relay}",
        "DIBAO_SECRET_KEY": secret,
        "DIBAO_CONNECTIONS": str(connections),
        "DIBAO_CHUNK_SIZE": str(chunk),
        "DIBAO_LEASE": str(lease),
        "DIBAO_SWEEP": "0.3",
        "DIBAO_RETRY_WAITS": "1 1 1",
    }
