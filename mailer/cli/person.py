"""`dibao person`: what is held on one person, for them, and its removal."""

import csv
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mailer.app import App
from mailer.cli.export import place
from mailer.cli.terminal import ACTOR, PARTLY, Json, application, emit, err, out, plain
from mailer.privacy import dossier, erasing
from mailer.privacy.dossier import Dossier
from mailer.privacy.erasing import Erased, House
from subscribers.outtake import audit
from subscribers.outtake.export import PlaceInvalid, Wanted, audited
from subscribers.outtake.neutral import neutral

app = typer.Typer(help="What is held on one person, and its removal.", no_args_is_help=True)

Who = Annotated[str, typer.Argument(help="An address, or a subscriber's number.", metavar="WHO")]


@app.command("export")
def export_(
    who: Who,
    as_json: Json = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON to a file.")] = None,
    csv_folder: Annotated[
        Path | None, typer.Option(help="A CSV for each table, and the summary, into this folder.")
    ] = None,
) -> None:
    """Give everything held on one person; an erased or suppressed address may be asked for, too."""
    house = application()
    found = dossier.collect(_house(house), who, house.now())
    if csv_folder is not None:
        _to_folder(house, found, csv_folder)
        out.print(f"{found.rows:,} rows in", str(csv_folder), markup=False)
        return
    if output is not None:
        _to_file(house, found, output)
        out.print(f"{found.rows:,} rows in", str(output), markup=False)
        return
    _note(house, found, "json" if as_json else "text")
    emit(_machine(found), as_json=as_json, show=lambda: _read(found))


@app.command()
def erase(
    who: Who,
    reason: Annotated[str, typer.Option(help="Why; is kept, so it names nobody.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove a person everywhere; a keyed hash of the address stays, so that it is not mailed.

    Counts stay as they are. It cannot be undone, and is done again should an older backup be
    restored. Exit code 7 where something is left that somebody typed; it is listed.
    """
    house = application()
    if not yes:
        found = dossier.collect(_house(house), who, house.now())
        for line in dossier.summary(found):
            err.print(line, markup=False)
        typer.confirm("Erase all of it, for good?", abort=True, err=True)
    done = erasing.erase(
        _house(house),
        who,
        now=house.now(),
        reason=reason,
        source="dibao person erase",
        actor=ACTOR,
    )
    emit(done, as_json=as_json, show=lambda: _say(done))
    if not done.is_whole:
        raise typer.Exit(PARTLY)


def _house(house: App) -> House:
    return House(house.database, house.settings.data_dir, house.address_key)


def _machine(found: Dossier) -> dict[str, Any]:
    return {
        "at": found.at,
        "subject": found.subject,
        "held": found.tables,
        "names": found.names,
        "inbox": found.letters,
        "visits": found.visits,
        "exports": found.exports,
        "kept_after_erasure": found.kept,
    }


def _read(found: Dossier) -> None:
    for line in dossier.summary(found):
        out.print(line, markup=False)


def _wanted(found: Dossier, form: str) -> Wanted:
    return Wanted("person", form, {"subscriber": found.subject.subscriber}, ACTOR)


def _note(house: App, found: Dossier, form: str) -> None:
    """What is shown on a terminal is audited like a file, with the number of its rows."""
    with house.database.transaction() as session:
        wanted = _wanted(found, form)
        number = audit.begin(
            session,
            kind=wanted.kind,
            form=wanted.form,
            asked=wanted.asked,
            file_name="",
            actor=wanted.actor,
            now=found.at,
            expires_at=None,
        )
        audit.finish(session, number, rows=found.rows, octets=0, sha256="")


def _to_file(house: App, found: Dossier, output: Path) -> None:
    there = place(house, output)
    with audited(house.database, there, output, _wanted(found, "json"), found.at) as noted:
        text = json.dumps(plain(_machine(found)), ensure_ascii=False, indent=2)
        noted.path.write_text(f"{text}\n", encoding="utf-8")
        noted.rows = found.rows


def _to_folder(house: App, found: Dossier, folder: Path) -> None:
    """One CSV a table that has rows, and the summary."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as refused:
        raise PlaceInvalid(f"{folder} is no folder to write to: {refused.strerror}") from refused
    _note(house, found, "csv")
    summary = "".join(f"{line}\n" for line in dossier.summary(found))
    (folder / "summary.txt").write_text(summary, encoding="utf-8")
    lists: dict[str, Any] = {
        **found.tables,
        "inbox": plain(found.letters),
        "visits": plain(found.visits),
    }
    for name, rows in lists.items():
        if rows:
            with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(rows[0].keys())
                writer.writerows([_cell(value) for value in row.values()] for row in plain(rows))


def _cell(value: object) -> object:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    return neutral(value) if isinstance(value, str) else value


def _say(done: Erased) -> None:
    if done.subscriber is None:
        out.print("Nobody subscribes with this address; it is suppressed all the same.")
    else:
        out.print(f"Erased: subscriber {done.subscriber}.")
    for each in done.rows:
        if each.rows:
            out.print(f"- {each.table}: {each.rows:,} rows {each.fate}")
    for what, number in (
        ("letters of the built-in inbox", done.letters),
        ("visits not loaded yet", done.visits),
        ("files of exports", len(done.exports)),
        ("other files", len(done.files)),
    ):
        if number:
            out.print(f"- {what}: {number:,}")
    if done.left:
        out.print("Left, in words that somebody typed:")
    for place_left in done.left:
        out.print(f"- {place_left}", markup=False)
