"""`dibao retention`: what is over goes; at night by itself, here when asked."""

from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn

from mailer.cli.terminal import Json, application, emit, err, out, table
from mailer.privacy import retention
from mailer.privacy.erasing import TOUCHED
from mailer.privacy.scrubbing import scrub

app = typer.Typer(help="How long what is kept.", no_args_is_help=True)


@app.command()
def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Remove whatever is older than its setting (DIBAO_KEEP_…) says; counts stay.

    The nightly run does the same. This one also takes what is left of deleted rows out of the
    database's files. Stopped half way it is gone on with by the next.
    """
    house = application()
    if dry_run:
        parts = retention.look(house.database, house.settings, house.now())
    else:
        with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=err) as bar:
            task = bar.add_task("looking")
            parts = retention.run(
                house.database,
                house.settings,
                house.now(),
                lambda kind, gone: bar.update(task, description=f"{kind}: {gone:,} gone"),
            )
            if any(part.found for part in parts):
                bar.update(task, description="writing over what was deleted")
                scrub(house.database, TOUCHED)

    def show() -> None:
        rows = [(p.kind.value, p.before, p.setting or "-", p.found) for p in parts]
        table(("what", "older than", "by", "would go" if dry_run else "gone"), rows)
        if dry_run:
            out.print("Dry run: nothing was removed.")

    emit({"dry_run": dry_run, "parts": parts}, as_json=as_json, show=show)
