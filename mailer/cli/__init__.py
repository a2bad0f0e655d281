"""The command `dibao`."""

import os
import signal
import sys
from typing import Annotated

import structlog
import typer

from mailer import __version__, equipment
from mailer.cli import (
    asking,
    brake,
    campaign,
    database,
    demo,
    export,
    field,
    issue,
    journal,
    ledger,
    person,
    report,
    resolving,
    retention,
    segment,
    servers,
    subscriber,
    suppression,
    worker,
)
from mailer.cli.terminal import emit, err, exit_code, out, table
from mailer.kit import settings
from mailer.kit.errors import DibaoError

app = typer.Typer(
    name="dibao",
    help="Dibao sends newsletters: one mail per subscriber, exactly once, counted honestly.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(issue.app, name="issue")
subscriber.app.command("ask")(asking.ask)
app.add_typer(subscriber.app, name="subscriber")
app.add_typer(field.app, name="field")
app.add_typer(suppression.app, name="suppression")
app.add_typer(segment.app, name="segment")
app.add_typer(export.app, name="export")
app.add_typer(person.app, name="person")
app.add_typer(retention.app, name="retention")
campaign.app.command()(ledger.verify)
campaign.app.command()(ledger.ledger)
campaign.app.command()(ledger.uncertain)
campaign.app.command()(resolving.resolve)
campaign.app.command()(resolving.reconcile)
app.add_typer(campaign.app, name="campaign")
app.add_typer(ledger.app, name="ledger")
app.add_typer(journal.app, name="journal")
app.add_typer(database.app, name="db")
app.add_typer(brake.app, name="brake")
app.command("stop")(brake.stop)
app.command("go")(brake.go)
app.command("report")(report.report)
app.command("web")(servers.web)
app.add_typer(worker.app, name="worker")
app.command("inbox")(servers.inbox)
app.command("demo")(demo.demo)


@app.command("config")
def config(
    check: Annotated[
        bool, typer.Option("--check", help="Read the delivery file and the keys too; show no more.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every setting with its value; secrets are masked.

    With --check it says whether a process could start with them: exit code 3 where not.
    """
    found = settings.read(os.environ)
    if check:
        equipment.check(found)
        plan = equipment.plan(found)
        said = {"relays": [relay.name for relay in plan.relays], "lanes": [*plan.lanes]}
        emit(said, as_json=as_json, show=lambda: _show_plan(said))
        return
    every = settings.shown(found)
    given = {f"{settings.PREFIX}{name.upper()}" for name in found.model_fields_set}
    rows = [(name, value, "set" if name in given else "default") for name, value in every.items()]
    emit(every, as_json=as_json, show=lambda: table(("setting", "value", ""), rows))


def _show_plan(said: dict[str, list[str]]) -> None:
    lanes = ", ".join(said["lanes"]) or "none"
    out.print(
        f"Nothing is wrong with them. Relays: {', '.join(said['relays'])}. "
        f"Lanes with limits: {lanes}.",
        markup=False,
    )


@app.command("version")
def version() -> None:
    """Print the version."""
    out.print(__version__)


def main() -> None:
    """Run the command; a refusal is a sentence on standard error and an exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: in order
    if any("\udc80" <= character <= "\udcff" for word in sys.argv for character in word):
        err.print("The command line is not UTF-8.")
        sys.exit(2)
    try:
        app()
    except DibaoError as refusal:
        err.print(f"[red]{type(refusal).__name__}[/red]: ", end="")
        err.print(str(refusal), markup=False)
        sys.exit(exit_code(refusal))
    except Exception as bug:  # noqa: BLE001  # no stack trace reaches a person
        structlog.get_logger().debug("bug", exc_info=bug)
        err.print(f"[red]Dibao has a bug[/red] ({type(bug).__name__}). ", end="")
        err.print("Nothing that was stored is lost. DIBAO_LOG_LEVEL=debug shows where it is.")
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("Interrupted; what was done is kept.")
        sys.exit(130)
