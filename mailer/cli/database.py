"""`dibao db`: the schema."""

import os

import typer

from mailer.app import compose
from mailer.cli.terminal import out
from mailer.kit import settings
from mailer.kit.database import is_current

app = typer.Typer(help="The database schema.", no_args_is_help=True)


@app.command()
def upgrade() -> None:
    """Bring the schema to this version's; doing it again changes nothing."""
    compose(settings.read(os.environ)).upgrade()
    out.print("The schema is up to date.")


@app.command()
def check() -> None:
    """Exit 0 where the schema is this version's, 1 where `dibao db upgrade` is due."""
    house = compose(settings.read(os.environ))
    if not is_current(house.database):
        out.print("The schema is not up to date: dibao db upgrade")
        raise typer.Exit(1)
    out.print("The schema is up to date.")
