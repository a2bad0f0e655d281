"""`dibao segment`: the sets of subscribers there are."""

from typing import Annotated

import typer

from mailer.app import App
from mailer.cli.terminal import application, emit, out, table
from subscribers import actions, queries
from subscribers.segment import NewSegment

app = typer.Typer(help="The segments people follow.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def house_with_segments() -> App:
    """Return the application; a new installation gets the three starting segments first."""
    house = application()
    with house.database.reading() as session:
        fresh = not queries.segments(session, archived=True)
    if fresh:
        with house.database.transaction() as session:
            actions.ensure_segments(session)
    return house


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the segments with their followers, and how many of those may be mailed now."""
    with house_with_segments().database.reading() as session:
        found = queries.segment_counts(session)

    def show() -> None:
        rows = [
            (
                one.key,
                one.name_in("en"),
                one.name_in("zh"),
                each.followers,
                each.mailable,
            )
            for each in found
            for one in (each.segment,)
        ]
        table(("key", "name", "in Chinese", "followers", "mailable"), rows)

    emit(found, as_json=as_json, show=show)


@app.command()
def create(
    key: Annotated[str, typer.Argument(help="Lower-case letters, digits, hyphens: deep-tech.")],
    name: Annotated[str, typer.Argument(help="Its name, as readers see it.")],
    chinese: Annotated[str, typer.Option("--zh", help="Its name in Chinese.")] = "",
    description: Annotated[str, typer.Option(help="A line for the preference page.")] = "",
    color: Annotated[str, typer.Option(help="#rrggbb")] = "",
    as_json: Json = False,
) -> None:
    """Make a segment for people to follow."""
    names = {"en": name} | ({"zh": chinese} if chinese else {})
    house = house_with_segments()
    with house.database.transaction() as session:
        actions.create_segment(session, NewSegment(key, name, names, description, color))
        made = queries.segment(session, key)
    emit(made, as_json=as_json, show=lambda: out.print(f"Made segment {made.key}."))
