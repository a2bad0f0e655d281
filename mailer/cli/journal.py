"""`dibao journal`: take in the journal of a worker that died on another host."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from mailer.app import App
from mailer.cli.terminal import Json, application, emit, table
from mailer.delivery import doubts, journal, settling, testimony, workers
from mailer.delivery.adoption import Reading
from mailer.delivery.instance import JOURNALS
from mailer.equipment import lives, patience
from mailer.kit.errors import Conflict, NotFound

app = typer.Typer(help="Journals of workers that died elsewhere.", no_args_is_help=True)


class JournalNotFound(NotFound):
    """There is no such journal."""


class WorkerMayLive(Conflict):
    """The journal's worker gave a sign of life not long ago; make sure that it is dead."""


class WorkerUnknown(Conflict):
    """The database knows no worker of this journal: it is another installation's, or restored."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What one journal changed."""

    file: str
    worker: str
    host: str
    new: bool  # it had not been taken in before
    results: int = 0  # new, what was learnt of uncertain letters included
    uncertain: int = 0  # of them
    batches: int = 0  # freed
    damaged: bool = False


@app.callback()
def journals() -> None:
    """Journals of workers that died elsewhere."""


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(help="Journals, copied from the other host.")],
    dead: Annotated[
        bool, typer.Option("--dead", help="Their workers are dead: you have made sure.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Settle by the journal of a lost worker what it left behind; again changes nothing.

    Only for workers that are dead: a letter that one of them still has in hand could leave twice.
    """
    house = application()
    done = [_imported(house, file, dead=dead) for file in files]
    names = ("file", "worker", "host", "results", "uncertain", "batches", "")
    rows = [
        (
            *(one.file, one.worker, one.host, one.results, one.uncertain, one.batches),
            ("damaged" if one.damaged else "") if one.new else "taken in before",
        )
        for one in done
    ]
    emit(done, as_json=as_json, show=lambda: table(names, rows))


def _imported(house: App, file: Path, *, dead: bool) -> Imported:
    try:
        told = testimony.read(file)
        with house.database.reading() as session:
            if not dead and not workers.knows(session, told.worker):
                raise WorkerUnknown(
                    f"The database knows no worker {told.worker}: is this journal another "
                    "installation's? If the database was restored since: --dead"
                )
            if not dead and doubts.may_live(session, told.worker, lives=lives(house.settings)):
                raise WorkerMayLive(
                    f"Worker {told.worker} on {told.host} gave a sign of life not long ago; "
                    "if you are sure that it is dead: --dead"
                )
        path = journal.copy_in(file, house.settings.data_dir / JOURNALS)
    except OSError as refused:
        raise JournalNotFound(f"{file} cannot be read: {refused.strerror}") from refused
    said = Imported(file.name, told.worker, told.host, new=path is not None, damaged=told.damaged)
    if path is None:
        return said
    with journal.adopt(path) as taken:
        if taken is None:  # a worker was faster, and has settled the same
            return said
        reading = Reading(taken, journal.boot(), patience(house.settings), house.now())
        with house.database.transaction() as session:
            done = settling.settle_by_journal(session, reading)
    return replace(said, results=done.results, uncertain=done.uncertain, batches=done.batches)
