"""An export from the request to the finished file: audited first, written aside, named at the end.

A file is there whole or not at all. One that nobody gave a place lies in the folder `exports` of
the data directory, under a name that cannot be guessed, readable by its owner only, until it
expires.
"""

import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from mailer.kit.database import Database
from mailer.kit.errors import Invalid, Unavailable
from subscribers.outtake import audit, people
from subscribers.outtake.asked import Asked, Form
from subscribers.outtake.audit import Export
from subscribers.outtake.sheet import SheetWriter
from subscribers.outtake.writers import CsvWriter, JsonWriter, Writer

FOLDER: Final = "exports"
_UNFINISHED: Final = ".unfinished-"
Advance = Callable[[int, int], None]  # people written, people in all


class PlaceInvalid(Invalid):
    """The file cannot be written there."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an export goes, and how long it is kept there."""

    data_dir: Path
    keep: timedelta  # how long a file in the data directory is kept
    file: Path | None = None  # asked for by name; then it is its owner's to remove

    def target(self, kind: str, form: str, now: datetime) -> Path:
        """The file: the one asked for, or one that cannot be guessed."""
        if self.file is not None:
            return self.file
        name = f"{kind}-{now:%Y%m%d}-{secrets.token_urlsafe(16)}.{form}"
        return self.data_dir / FOLDER / name


def people_to_file(
    database: Database,
    asked: Asked,
    place: Place,
    *,
    actor: str,
    now: datetime,
    advance: Advance = lambda _done, _total: None,
) -> tuple[Export, Path]:
    """Write the people asked for; return the audit's entry and the file.

    Memory does not grow with the number of people. Interrupted, it leaves no file; the audit says
    that it was begun. Raises PlaceInvalid, Unavailable where the disk is full.
    """
    target = place.target("subscribers", asked.form.value, now)
    with database.reading() as session:
        total = people.count(session, asked, now)
    wanted = Wanted("subscribers", asked.form.value, asked.noted(), actor)
    with audited(database, place, target, wanted, now) as noted:
        reading, writing = database.reading(), _writer(noted.path, asked, noted.folder)
        with reading as session, writing as writer:
            for rows in people.rows(session, asked, now):
                writer.write(rows)
                noted.rows += len(rows)
                advance(noted.rows, total)
    return noted.entry(database), target


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the audit says before a byte is written."""

    kind: str  # subscribers, person
    form: str
    asked: dict[str, object]
    actor: str


class Noted:
    """An export under way."""

    def __init__(self, number: int, folder: Path, path: Path) -> None:
        self.number = number
        self.folder = folder  # for what is only there meanwhile
        self.path = path  # to write to
        self.rows = 0

    def entry(self, database: Database) -> Export:
        """What the audit says."""
        with database.reading() as session:
            return audit.export(session, self.number)


@contextmanager
def audited(
    database: Database, place: Place, target: Path, wanted: Wanted, now: datetime
) -> Iterator[Noted]:
    """Note an export, give it a file to write to, and put that in its place at the end.

    Raises PlaceInvalid, Unavailable, and ExportOvertaken where somebody was erased meanwhile.
    """
    own = place.file is None
    with _disk(), database.transaction() as session:
        number = audit.begin(
            session,
            kind=wanted.kind,
            form=wanted.form,
            asked=wanted.asked if own else wanted.asked | {"file": target.name},
            file_name=target.name if own else "",
            actor=wanted.actor,
            now=now,
            expires_at=now + place.keep,
        )
    try:
        with _disk(), _aside(target, own=own) as folder:
            noted = Noted(number, folder, folder / target.name)
            yield noted
            octets, sha256 = _sealed(noted.path)
            with database.transaction() as session:
                audit.finish(session, number, rows=noted.rows, octets=octets, sha256=sha256)
                noted.path.replace(target)  # in there: whoever finds it finished finds the file
    except BaseException:
        with suppress(Unavailable), database.transaction() as session:
            audit.removed(session, [number], now)
        raise


def remove(database: Database, data_dir: Path, export: Export, now: datetime) -> bool:
    """Remove an export's file; the audit stays. False where there is none in the data directory."""
    there = False
    if export.file_name:
        file = data_dir / FOLDER / Path(export.file_name).name
        there = file.exists()
        file.unlink(missing_ok=True)
    with database.transaction() as session:
        audit.removed(session, [export.id], now)
    return there


def strays(data_dir: Path, known: frozenset[str], older_than: float) -> tuple[Path, ...]:
    """What lies in the folder of exports and is none, as a killed process leaves it behind.

    `older_than`: seconds since 1970; what was touched since may still be written to.
    """
    found = []
    for path in sorted((data_dir / FOLDER).glob("*")) + sorted((data_dir / FOLDER).glob(".*")):
        with suppress(FileNotFoundError):
            if path.name not in known and path.stat().st_mtime < older_than:
                found.append(path)
    return tuple(dict.fromkeys(found))


@contextmanager
def _writer(path: Path, asked: Asked, folder: Path) -> Iterator[Writer]:
    if asked.form is Form.XLSX:
        sheet = SheetWriter(path, asked, folder=folder)
        try:
            yield sheet
            sheet.close()
        except BaseException:
            sheet.abandon()
            raise
        return
    newline = "" if asked.form is Form.CSV else "\n"
    with path.open("w", encoding="utf-8", newline=newline) as file:
        writer = CsvWriter(file, asked) if asked.form is Form.CSV else JsonWriter(file, asked)
        yield writer
        writer.close()


@contextmanager
def _aside(target: Path, *, own: bool) -> Iterator[Path]:
    """A folder of our own beside the target, for its owner only, gone at the end."""
    if own:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif not target.parent.is_dir() or (target.exists() and not target.is_file()):
        # a device or a pipe would be replaced, not written to
        raise PlaceInvalid(f"{target} is no place for a file: name one in a folder there is.")
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=target.parent) as folder:
        yield Path(folder)


def _sealed(path: Path) -> tuple[int, str]:
    """Force a file to the disk, for its owner only; its size and SHA-256."""
    path.chmod(0o600)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
        return file.tell(), sha256


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as refused:
        raise Unavailable(f"The file cannot be written: {refused.strerror or refused}") from refused
