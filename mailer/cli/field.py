"""`dibao field`: what else is kept about people."""

from typing import Annotated

import typer

from mailer.cli.terminal import Json, application, emit, out, table
from subscribers import actions, queries
from subscribers.fields import CustomField, Kind

app = typer.Typer(help="What else is kept about people: custom fields.", no_args_is_help=True)

Key = Annotated[str, typer.Argument(help="Lower-case letters, digits, underscores: city.")]


@app.command()
def create(
    key: Key,
    kind: Annotated[Kind, typer.Option(help="What it holds.")] = Kind.TEXT,
    label: Annotated[str, typer.Option(help="Its name, as people read it.")] = "",
    choice: Annotated[
        list[str] | None, typer.Option(help="One of the words there are; repeat it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a field, or take an archived one back."""
    field = CustomField(key, label, kind, tuple(choice or ()))
    with application().database.transaction() as session:
        made = actions.define_field(session, field)
    emit(made, as_json=as_json, show=lambda: out.print(f"Made field {made.key} ({made.kind})."))


@app.command("list")
def list_(
    archived: Annotated[bool, typer.Option("--archived", help="Archived ones too.")] = False,
    as_json: Json = False,
) -> None:
    """List the fields."""
    with application().database.reading() as session:
        found = queries.custom_fields(session, archived=archived)

    def show() -> None:
        rows = [(f.key, f.label, f.kind, ", ".join(f.choices), f.archived_at) for f in found]
        table(("key", "label", "kind", "choices", "archived"), rows)

    emit(found, as_json=as_json, show=show)


@app.command()
def archive(key: Key, as_json: Json = False) -> None:
    """Let a field be filled no more; what people have stays stored."""
    house = application()
    with house.database.transaction() as session:
        actions.archive_field(session, key, now=house.now())
    emit({"archived": key}, as_json=as_json, show=lambda: out.print(f"Archived field {key!r}."))
