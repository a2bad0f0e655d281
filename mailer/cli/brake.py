"""`dibao stop`, `dibao go` and `dibao brake`: what must not be sent now, and what lifts it."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import structlog
import typer
from rich.markup import escape

from mailer.cli.terminal import PARTLY, Json, application, emit, err, out, table, who
from mailer.delivery import brakes, hold, restoring
from mailer.delivery.brakes import Brake, RestoreNotAccepted
from mailer.delivery.breakers import Trip
from mailer.delivery.instance import JOURNALS, ForeignDirectory, Guard, is_foreign
from mailer.delivery.restoring import Replayed
from mailer.kit import clock, log, settings
from mailer.kit.database import Database
from mailer.kit.errors import Unavailable
from mailer.kit.settings import Settings

app = typer.Typer(help="What is held up, and why.", no_args_is_help=True)

PATIENCE = 1.5
"""Seconds the database has to take the brake: whoever pulls it does not want to wait."""

SHOWN = 1000  # brakes of the history

_log = structlog.get_logger()


class Scope(StrEnum):
    """What a brake holds."""

    ALL = "all"
    RELAY = "relay"
    LANE = "lane"
    CAMPAIGN = "campaign"


class NothingStopped(Unavailable):
    """Neither the file HOLD nor the database could be written: end the workers by hand."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """What an emergency stop reached."""

    file: bool  # this host's workers stop
    database: bool  # everybody's do
    reason: str
    trouble: tuple[str, ...]  # what could not be done


def stop(
    reason: Annotated[str, typer.Option(help="Why; shown wherever something waits.")] = "by hand",
    as_json: Json = False,
) -> None:
    """Emergency stop: nothing more leaves, campaigns and notices alike, on any host.

    The database being away delays it by 2 seconds at most: then the file HOLD holds this host.
    Exit code 7 where only one of the two could be written.
    """
    own = settings.read(os.environ)
    log.configure(own.log_format, own.log_level)  # the application is not made: it could refuse
    said = " ".join(reason.split()) or "by hand"
    faults = (_write_file(own, said), _put_on(own, said))
    done = Stopped(not faults[0], not faults[1], said, tuple(fault for fault in faults if fault))
    if not done.file and not done.database:
        raise NothingStopped(f"{NothingStopped.__doc__} {' '.join(faults)}")
    emit(done, as_json=as_json, show=lambda: _show_stopped(done))
    if done.trouble:
        raise typer.Exit(PARTLY)


def go(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    after_restore: Annotated[
        bool,
        typer.Option("--after-restore", help="The database is the right one, though set back."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Lift an emergency stop, or with --after-restore the hold after a restore."""
    house = application()
    directory = house.settings.data_dir
    with house.database.reading() as session:
        held = brakes.seen(session).hold
        if after_restore and is_foreign(session, directory):
            raise ForeignDirectory
    if held is not None and held.cause == brakes.RESTORE and not after_restore:
        raise RestoreNotAccepted(f"{held.reason} ({RestoreNotAccepted.__doc__})")
    why = hold.hold_file(directory) or (held.reason if held else "")
    replayed = None
    if after_restore:
        replayed = restoring.replay(house.database, directory / JOURNALS, now=house.now())
        for line in _found(replayed):
            err.print(line, markup=False)
    if not yes and (why or after_restore):
        if why:
            err.print(f"Held: {why}", markup=False)
        typer.confirm("Send again, on all hosts?", abort=True, err=True)
    by = who()
    if after_restore:
        lifted = Guard(house.database, directory).accept(by=by, now=house.now())
    else:
        with house.database.transaction() as session:
            lifted = held is not None and brakes.take_off(session, held, by=by, now=house.now())
    removed = hold.remove(directory)
    said = {"brake": lifted, "file": removed, "reason": why, "journals": replayed}
    emit(said, as_json=as_json, show=lambda: out.print(_gone(held=lifted or removed)))


@app.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Those taken off too.")] = False,
    as_json: Json = False,
) -> None:
    """What is held up now, since when, why, and what comes next."""
    house = application()
    with house.database.reading() as session:
        found = brakes.history(session, limit=SHOWN) if every else brakes.seen(session).on
    here = hold.hold_file(house.settings.data_dir)
    said = {"brakes": found, "file": here}
    emit(said, as_json=as_json, show=lambda: _show_list(found, here))


@app.command()
def release(
    scope: Annotated[Scope, typer.Argument(help="What it holds.", metavar="SCOPE")],
    name: Annotated[
        str, typer.Argument(help="Of the relay or lane, number of the campaign.", metavar="NAME")
    ] = "",
    as_json: Json = False,
) -> None:
    """Take a brake off by hand; a campaign goes on."""
    house = application()
    with house.database.transaction() as session:
        was = brakes.release(session, scope, name, by=who(), now=house.now())
    if scope is Scope.CAMPAIGN:
        house.knock("campaign.send", campaign=int(name))
    emit(was, as_json=as_json, show=lambda: out.print(f"Released; it was: {escape(was.reason)}"))


def _write_file(own: Settings, reason: str) -> str:
    """Hold this host; what went wrong, or ""."""
    try:
        hold.write(own.data_dir, reason)
    except OSError as refused:
        return f"The file {own.data_dir / hold.NAME} cannot be written: {refused.strerror}."
    return ""


def _put_on(own: Settings, reason: str) -> str:
    """Put the brake on for everybody, in time; what went wrong, or ""."""
    failed: list[str] = []
    done = threading.Event()

    def write() -> None:
        try:
            with Database(own.database).transaction() as session:
                trip = Trip(*brakes.HOLD, "hand", reason)
                brakes.put_on(session, trip, actor=who(), now=clock.now())
        except Exception as refused:  # noqa: BLE001  # whatever it is, the file has to do
            _log.debug("no brake", exc_info=refused)
            failed.append("The database does not take it: other hosts go on.")
        done.set()

    begun = time.monotonic()
    threading.Thread(target=write, name="brake", daemon=True).start()
    if not done.wait(PATIENCE):
        waited = time.monotonic() - begun
        return f"The database did not answer within {waited:.1f} s: other hosts go on."
    return failed[0] if failed else ""


def _show_stopped(done: Stopped) -> None:
    if done.database:
        out.print("Stopped: nothing more leaves, on any host. dibao go lifts it.")
    else:
        out.print("This host is stopped. dibao go lifts it.")
    for each in done.trouble:
        err.print(each, markup=False)
    if not done.database:
        err.print("Run dibao stop on each of them, or make a file HOLD in their data directories.")


def _show_list(found: tuple[Brake, ...], here: str | None) -> None:
    if here is not None:
        out.print(f"This host is held by its file HOLD: {escape(here)}")
    if not found:
        out.print("No brake is on.")
        return
    rows = [
        (f"{b.scope} {b.name}".strip(), b.cause, b.on_at, b.trips, _next(b), b.reason)
        for b in found
    ]
    table(("what", "cause", "since", "trips", "next", "reason"), rows)


def _found(replayed: Replayed) -> Iterator[str]:
    yield (
        f"{replayed.journals:,} journals of this host were read again: {replayed.results:,} "
        "results the database had forgotten are entered."
    )
    if replayed.unreadable:
        yield f"These cannot be read: {', '.join(replayed.unreadable)}"
    for campaign, letters in replayed.unknown.items():
        yield (
            f"Campaign {campaign} had sent {letters:,} letters the database has no audience for: "
            "do not send it again."
        )


def _next(brake: Brake) -> str:
    if brake.off_at is not None:
        return f"off {brake.off_at:%Y-%m-%d %H:%M:%S} by {brake.off_by}"
    if brake.probing:
        return "being probed"
    if brake.probe_at is not None:
        return f"a probe at {brake.probe_at:%H:%M:%S} UTC"
    return "a person"


def _gone(*, held: bool) -> str:
    return "Lifted: letters leave again." if held else "Nothing was held."
