"""`dibao demo`: the main job, end to end, in one process."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mailer.app import compose
from mailer.cli import report
from mailer.cli.terminal import err, out
from mailer.delivery import queries as delivery
from mailer.demo import show
from mailer.web import site


def demo() -> None:
    """Send a sample issue to 3,000 synthetic people and show what came of it.

    Mail can reach nothing but the built-in inbox. Afterwards the pages stay up until Ctrl-C; with
    DIBAO_DEMO_EXIT=1 it ends, with status 0 where the sums hold.
    """
    chosen = show.chosen(os.environ)
    show.begin(chosen.data_dir)
    app = compose(chosen)
    app.ensure_schema()
    with app.working(), site.serving(app):
        with _steps() as step:
            issue = show.write_issues(app)
            show.add_people(app, step("people"))
            sent = show.send(app, issue, step("letters"))
            show.read(app, sent.campaign, step("visits"))
        report.show(app, sent.campaign)
        with app.database.reading() as session:
            verification = delivery.verify(session, sent.campaign)
        out.print(
            f"\nSent in {sent.seconds:.1f} s. "
            + ("The sum holds." if verification.holds else "[red]The sum does not hold.[/red]")
        )
        if os.environ.get("DIBAO_DEMO_EXIT") == "1":
            raise typer.Exit(0 if verification.holds else 1)
        _say_where(chosen.public_url, sent.campaign)
        threading.Event().wait()


def _say_where(url: str, campaign: int) -> None:
    out.print()
    out.print(f"  The campaign and its report   {url}/campaigns/{campaign}")
    out.print(f"  The inbox with every letter   {url}/inbox")
    out.print(f"  The public archive            {url}/archive")
    err.print("\nCtrl-C ends the demo.")


@contextmanager
def _steps() -> Iterator[Callable[[str], show.Advance]]:
    columns = (TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err) as bars:

        def step(name: str) -> show.Advance:
            line = bars.add_task(name, total=None)
            return lambda done, total: bars.update(line, completed=done, total=total)

        yield step
