"""`dibao export`: people written to a file, and who did that when."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mailer.app import App
from mailer.cli.terminal import ACTOR, MAX_ID, Json, application, emit, err, out, table
from subscribers import queries
from subscribers.fields import FieldNotFound
from subscribers.outtake import asked as asking
from subscribers.outtake import audit
from subscribers.outtake.asked import Asked, ColumnUnknown, Form
from subscribers.outtake.export import Place, people_to_file, remove
from subscribers.subscriber import State

app = typer.Typer(help="People written to a file, and who did that when.", no_args_is_help=True)

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="The file; else one in the data directory, for a day."),
]


@app.command()
def create(
    output: Output = None,
    form: Annotated[Form | None, typer.Option(help="Else by the file's name, or CSV.")] = None,
    part: Annotated[str, typer.Option(help="A part of the address or name.")] = "",
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    segment: Annotated[
        str | None, typer.Option(help="Only those in it, by follow or rule.")
    ] = None,
    field: Annotated[str, typer.Option(help="Only those with it: country=US.")] = "",
    column: Annotated[list[str] | None, typer.Option(help="One of its columns; repeat it.")] = None,
    bom: Annotated[bool, typer.Option("--bom", help="CSV that Excel knows to be UTF-8.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="CSV with formula cells as they are.")] = False,
    as_json: Json = False,
) -> None:
    """Write people to a CSV, JSON or XLSX file; each filter narrows the list.

    The audit keeps who asked for what. Without --output the file lies in the data directory under a
    name that cannot be guessed, until it expires (DIBAO_KEEP_EXPORTS).
    """
    house = application()
    if raw:
        err.print("[yellow]--raw:[/yellow] a name like =HYPERLINK(…) runs in whoever opens this.")
    wanted = Asked(
        form=form or _form_of(output),
        columns=_columns(house, column),
        part=part,
        state=state,
        segment=segment,
        field=_field(house, field),
        bom=bom,
        raw=raw,
    )
    if segment is not None:
        with house.database.reading() as session:
            queries.require_segments(session, [segment])
    columns = (TextColumn("writing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("writing", total=None)
        written, path = people_to_file(
            house.database,
            wanted,
            place(house, output),
            actor=ACTOR,
            now=house.now(),
            advance=lambda done, total: bar.update(task, completed=done, total=total),
        )
    shown = {"export": written, "file": str(path)}
    emit(shown, as_json=as_json, show=lambda: _say(written, path))


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List exports, the newest first: who, which people, how many, and whether the file is kept."""
    house = application()
    with house.database.reading() as session:
        found = audit.exports(session, limit=limit)

    def show() -> None:
        rows = [
            (str(e.id), e.at, e.kind, e.form, e.rows, e.octets, e.actor, _kept(e)) for e in found
        ]
        table(("number", "when", "of", "form", "rows", "octets", "by", "file"), rows)

    emit(found, as_json=as_json, show=show)


@app.command("remove")
def remove_(
    number: Annotated[int, typer.Argument(help="The export's number.", min=1, max=MAX_ID)],
    as_json: Json = False,
) -> None:
    """Remove an export's file from the data directory; the audit keeps that it was there."""
    house = application()
    with house.database.reading() as session:
        found = audit.export(session, number)
    was_there = remove(house.database, house.settings.data_dir, found, house.now())
    words = "Removed." if was_there else "There is no file of it in the data directory."
    emit({"removed": was_there}, as_json=as_json, show=lambda: out.print(words))


def place(house: App, output: Path | None) -> Place:
    """Where an export goes."""
    own = house.settings
    return Place(own.data_dir, timedelta(hours=own.keep_exports), output)


def _form_of(output: Path | None) -> Form:
    ending = output.suffix.lower().removeprefix(".") if output else ""
    return next((each for each in Form if each.value == ending), Form.CSV)


def _columns(house: App, named: list[str] | None) -> tuple[str, ...]:
    with house.database.reading() as session:
        fields = [each.key for each in queries.custom_fields(session)]
    return asking.columns(named or (), fields)


def _field(house: App, text: str) -> tuple[str, str] | None:
    if not text:
        return None
    key, equals, value = text.partition("=")
    with house.database.reading() as session:
        known = {each.key for each in queries.custom_fields(session)}
    if not equals:
        raise ColumnUnknown("--field is a custom field and its value, like country=US.")
    if key.strip() not in known:
        raise FieldNotFound(f"There is no field {key.strip()!r}: dibao field list")
    return key.strip(), value.strip()


def _kept(export: audit.Export) -> str:
    if not export.file_name:
        return "elsewhere"
    if export.removed_at is not None:
        return "removed"
    return f"until {export.expires_at:%Y-%m-%d %H:%M}"


def _say(written: audit.Export, path: Path) -> None:
    out.print(f"{written.rows:,} people, {written.octets:,} octets:", str(path), markup=False)
    if written.expires_at is not None:
        out.print(f"kept until {written.expires_at:%Y-%m-%d %H:%M %Z}")
