"""`dibao worker`: a worker of this host, and who works anywhere."""

import os
import socket
import sys
from typing import Annotated

import typer

from mailer.cli.terminal import application, emit, err, out, table
from mailer.delivery import workers
from mailer.kit import settings
from mailer.kit.broker import QUEUES
from mailer.kit.errors import Unavailable

app = typer.Typer()


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    concurrency: Annotated[int, typer.Option(min=1, help="Processes that work.")] = 2,
    queues: Annotated[
        str, typer.Option(help="Whose knocks it hears, parted by commas; else all.")
    ] = "",
) -> None:
    """Send, import and count: a Celery worker with the sweep (for Redis or RabbitMQ).

    SIGTERM ends it in order: letters on the wire get their answer, leases are given back.
    """
    if context.invoked_subcommand is not None:
        return
    if settings.read(os.environ).embedded:
        err.print("With DIBAO_BROKER_URL=memory:// the worker lives in `dibao web`.")
        raise typer.Exit(2)
    chosen = [queue for queue in queues.replace(" ", "").split(",") if queue]
    if strange := [queue for queue in chosen if queue not in QUEUES]:
        raise typer.BadParameter(
            f"no such queue: {', '.join(strange)}; there are {', '.join(QUEUES)}",
            param_hint="--queues",
        )
    words = ["--quiet", "-A", "worker", "worker", f"--concurrency={concurrency}"]
    # who there is stands in the database; workers need not tell each other
    words += ["--loglevel=WARNING", "--without-mingle", "--without-gossip", "--without-heartbeat"]
    words += [f"--hostname=dibao-{os.getpid()}@%h", *(["-Q", ",".join(chosen)] if chosen else [])]
    os.execv(sys.executable, (sys.executable, "-m", "celery", *words))  # noqa: S606


@app.command("check")
def check() -> None:
    """Exit code 0 where a worker of this host is alive, else 6: for whoever looks after it."""
    here = socket.gethostname()
    with application().database.reading() as session:
        found = workers.workers(session)
    if not any(one.host == here and one.is_alive for one in found):
        raise Unavailable(f"No worker on {here} has given a sign of life for 30 seconds.")


@app.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Also those long gone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List who works, on whichever host, what each hears and has in hand, and who fell silent."""
    with application().database.reading() as session:
        found = workers.workers(session, every=every)
    names = ("worker", "host", "pid", "version", "queues", "since", "last sign of life")
    rows = [
        (
            *(one.id, one.host, str(one.pid), one.version, _queues(one.queues)),
            *(one.started_at, one.heartbeat_at, one.batches, one.state),
        )
        for one in found
    ]

    def show() -> None:
        table((*names, "batches", "state"), rows)
        if any(one.state is workers.State.SILENT for one in found):
            out.print(
                "A silent worker gave no sign of life for 30 seconds: killed, hung, or cut off. "
                "What it had in hand is settled from its journal; see docs/operations.md, RB1."
            )

    emit(found, as_json=as_json, show=show)


def _queues(heard: tuple[str, ...]) -> str:
    return "all" if heard == QUEUES else " ".join(heard) or "-"
