"""`dibao subscriber import`, `imports` and `undo-import`: people from files."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from mailer.app import App
from mailer.cli.segment import house_with_segments
from mailer.cli.terminal import ACTOR, MAX_ID, PARTLY, Json, emit, err, out, table
from mailer.jobs import WAITING
from mailer.kit.errors import DibaoError
from subscribers.fields import FieldValue
from subscribers.intake import columns, runs, taking, undoing
from subscribers.intake.merge import Policy
from subscribers.intake.plan import Plan, Preview, Progress
from subscribers.intake.refused import RefusedRows
from subscribers.intake.row import Refusal
from subscribers.intake.run import Run, Undone
from subscribers.intake.waiting import Waiting

SHOWN = 20  # refused rows on the terminal; --refused writes them all
INTERRUPTED = 130
_SUMS = (
    *("rows", "added", "updated", "unchanged", "skipped", "duplicates", "opted_out", "refused"),
)


def register(app: typer.Typer) -> None:
    """Add the commands to `dibao subscriber`."""
    app.command("import")(import_)
    app.command("imports")(imports)
    app.command("undo-import")(undo_import)


def import_(  # noqa: PLR0913, PLR0917  # one for each option
    file: Annotated[Path, typer.Argument(help="CSV, XLSX or ODS; - is standard input.")],
    basis: Annotated[str, typer.Option(help="Where and to which words they agreed; is kept.")] = "",
    segment: Annotated[list[str] | None, typer.Option("--segment", help="Repeat it.")] = None,
    policy: Annotated[Policy, typer.Option(help="For those there already.")] = Policy.UPDATE,
    told: Annotated[
        list[str] | None, typer.Option("--map", help='"Heading=field"; "Heading=" leaves it out.')
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of a CSV, where the guess is wrong.")] = "",
    keep_opt_outs: Annotated[
        bool, typer.Option("--keep-opt-outs", help="Suppress who opted out elsewhere.")
    ] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Show ten rows and stop.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Though it was imported before.")] = False,
    refused: Annotated[Path | None, typer.Option(help="Write refused rows to this CSV.")] = None,
    background: Annotated[
        bool, typer.Option("--background", help="Leave it to a worker of this host.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import people from a file; columns are found by their headings, or by --map.

    Suppressed and unsubscribed people stay so. A row that cannot be taken is refused with its line,
    and the others are stored. Exit code 7 where some were refused. Interrupted, the same command
    goes on where it was.
    """
    if not (basis.strip() or preview):
        raise typer.BadParameter("say on what ground they may be mailed", param_hint="--basis")
    if background and (preview or dry_run or refused or str(file) == "-"):
        said = "takes a file, and goes with neither --preview, --dry-run nor --refused"
        raise typer.BadParameter(said, param_hint="--background")
    plan = Plan(
        basis,
        "standard input" if str(file) == "-" else file.name,
        tuple(segment or ()),
        policy=policy,
        actor=ACTOR,
        dry_run=dry_run,
        told=columns.parse_told(told or ()),
        encoding=encoding,
        keep_opt_outs=keep_opt_outs,
        again=again,
    )
    house = house_with_segments()
    with _opened(file) as stream:
        _require_apart(stream, refused)
        if preview:
            seen = taking.preview(house.database, stream, plan)
            emit(_previewed(seen), as_json=as_json, show=lambda: _show_preview(seen))
            return
        if background:
            _leave(house, stream, plan, as_json=as_json)
            return
        with RefusedRows(refused) as rows:
            total = _run(house, stream, plan, rows)
    emit(_sums(total, plan), as_json=as_json, show=lambda: _show(total, plan))
    if total.counts.refused:
        raise typer.Exit(PARTLY)


def imports(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    as_json: Json = False,
) -> None:
    """List the imports, newest first."""
    with house_with_segments().database.reading() as session:
        found = runs.every(session, limit=limit)

    def show() -> None:
        names = ("import", "file", "state", "begun", "line", *_SUMS[:3], "refused")
        table(
            names,
            [
                (
                    *(run.id, run.file_name, run.state, run.started_at, run.counts.line),
                    *(getattr(run.counts, name) for name in (*_SUMS[:3], "refused")),
                )
                for run in found
            ],
        )

    emit(found, as_json=as_json, show=show)


def undo_import(
    number: Annotated[
        int, typer.Argument(help="The import's number.", metavar="IMPORT", min=1, max=MAX_ID)
    ],
    as_json: Json = False,
) -> None:
    """Take an import back: who came by it goes, who was changed is as before.

    People who did something since, or were changed since, are kept. May be interrupted and run
    again.
    """
    house = house_with_segments()
    with house.database.reading() as session:
        found = runs.get(session, number)
        total = runs.people(session, found.id)
    run = _undone(house, found, total)
    undone = run.undone or Undone()

    def show() -> None:
        names = ("erased", "restored", "kept", "lifted")
        table(names, [[getattr(undone, name) for name in names]])

    emit(run, as_json=as_json, show=show)


def _undone(house: App, run: Run, total: int) -> Run:
    last, widgets = run, (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    try:
        with Bar(*widgets, TimeRemainingColumn(), console=err, transient=True) as bar:
            task = bar.add_task("taking back", total=total)
            for last in undoing.undo(house.database, run.id, now=house.now(), actor=ACTOR):
                undone = last.undone or Undone()
                done = undone.erased + undone.restored + undone.kept
                bar.update(task, completed=done)
    except KeyboardInterrupt:
        err.print("Stopped; what was taken back stays so. Run the same command again to go on.")
        raise typer.Exit(INTERRUPTED) from None
    return last


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    if str(file) == "-":
        yield sys.stdin.buffer
    elif file.is_file():
        try:
            stream = file.open("rb")
        except OSError as kept:
            said = f"{file} cannot be read: {kept.strerror}"
            raise typer.BadParameter(said, param_hint="FILE") from kept
        with stream:
            yield stream
    else:
        raise typer.BadParameter(f"there is no file {file}", param_hint="FILE")


def _require_apart(stream: IO[bytes], refused: Path | None) -> None:
    """Refuse to write refused rows over the very file they come from, under any name."""
    same = False
    with suppress(OSError):  # there is none yet, or what is read is no file of the system's
        same = refused is not None and os.path.samestat(os.fstat(stream.fileno()), refused.stat())
    if same:
        said = f"{refused} is the file that is read; name another"
        raise typer.BadParameter(said, param_hint="--refused")


def _run(house: App, stream: IO[bytes], plan: Plan, refused: RefusedRows) -> Progress:
    """Import with a bar on standard error; the last word says where to go on."""
    shown: list[Refusal] = []
    progress = Progress()
    widgets = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    try:
        with Bar(*widgets, TimeRemainingColumn(), console=err, transient=True) as bar:
            task = bar.add_task("reading", total=1.0)
            for progress in taking.take(
                house.database, stream, plan, key=house.address_key, now=house.now()
            ):
                if not progress.part:
                    _begin(progress)
                if not progress.already:  # what the run before refused is worth keeping
                    refused.write(progress.headings, progress.refusals)
                shown += progress.refusals[: max(0, SHOWN - len(shown))]
                words = f"{progress.counts.rows:,} rows"
                bar.update(task, completed=progress.part, description=words)
    except (KeyboardInterrupt, DibaoError) as stopped:
        if progress.counts.rows and not plan.dry_run:
            err.print(
                f"Stopped. Everything up to line {progress.counts.line:,} is stored or ", end=""
            )
            err.print("refused; run the same command again to go on: nobody is added twice.")
        if isinstance(stopped, DibaoError):
            raise
        raise typer.Exit(INTERRUPTED) from None
    return replace(progress, refusals=tuple(shown))


def _leave(house: App, stream: IO[bytes], plan: Plan, *, as_json: bool) -> None:
    """Begin an import, so that what is wrong with it is said at once; a worker does the rest."""
    begun = next(taking.take(house.database, stream, plan, key=house.address_key, now=house.now()))
    _begin(begun)
    if begun.run is not None and not begun.already:
        Waiting(house.settings.data_dir / WAITING).put(begun.run, stream, plan)
        house.knock("subscriber.import")

    def show() -> None:
        if not begun.already:
            out.print(
                f"Import {begun.run} waits for a worker with this data directory; "
                "`dibao subscriber imports` says how far it is."
            )

    emit(_sums(begun, plan), as_json=as_json, show=show)


def _begin(progress: Progress) -> None:
    for note in progress.form.notes:
        err.print(note, markup=False)
    if progress.already:
        err.print(
            f"This file was imported before, as import {progress.run}; nothing was done. ", end=""
        )
        err.print("--again imports it once more.")
    elif progress.resumed:
        err.print(f"Import {progress.run} goes on after line {progress.resumed:,}.")


def _sums(total: Progress, plan: Plan) -> dict[str, object]:
    return {
        "import": total.run,
        "dry_run": plan.dry_run,
        "already": total.already,
        "resumed_after_line": total.resumed,
        **{name: getattr(total.counts, name) for name in _SUMS},
        "form": total.form,
        "export_of": total.columns.peer,
        "ignored_columns": total.columns.ignored,
        "refusals": [_said(refusal) for refusal in total.refusals],  # the first ones
    }


def _said(refusal: Refusal) -> dict[str, object]:
    return {"line": refusal.line, "reason": refusal.reason}


def _show(total: Progress, plan: Plan) -> None:
    table(_SUMS, [[getattr(total.counts, name) for name in _SUMS]])
    if total.columns.peer:
        out.print(f"Read as an export of {total.columns.peer}.")
    if total.columns.ignored:
        out.print(f"Not read: {', '.join(total.columns.ignored)}", markup=False)
    _show_refusals(total.refusals)
    if total.counts.refused > len(total.refusals) and not total.already:
        more = total.counts.refused - len(total.refusals)
        out.print(f"and {more:,} more; --refused FILE keeps them all")
    if plan.dry_run:
        out.print("Dry run: nothing was stored.")


def _plain(value: FieldValue) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:.15g}" if isinstance(value, float) else value


def _show_refusals(refusals: Sequence[Refusal]) -> None:
    for refusal in refusals:
        out.print(f"line {refusal.line}: {refusal.reason}", markup=False)


def _previewed(seen: Preview) -> dict[str, object]:
    return {
        "form": seen.form,
        "export_of": seen.columns.peer,
        "columns": [asdict(column) for column in seen.columns.each],
        "people": [
            asdict(one.person) | {"address": one.person.address.address} for one in seen.people
        ],
        "refusals": [_said(refusal) for refusal in seen.refusals],
    }


def _show_preview(seen: Preview) -> None:
    form = seen.form
    parted = f", {form.encoding}, parted by {form.delimiter}" if form.encoding else ""
    out.print(f"{form.kind}{parted}", markup=False)
    if seen.columns.peer:
        out.print(f"Read as an export of {seen.columns.peer}.")
    for note in form.notes:
        out.print(note, markup=False)
    rows = [(one.heading, one.target or "not read", one.why) for one in seen.columns.each]
    table(("column", "is read as", "because of its"), rows)
    people = [
        (
            *(one.person.address, one.person.name, ", ".join(one.person.segments)),
            one.person.language,
            "; ".join(f"{key}: {_plain(value)}" for key, value in one.person.fields.items()),
        )
        for one in seen.people
    ]
    table(("address", "name", "segments", "language", "fields"), people)
    _show_refusals(seen.refusals)
