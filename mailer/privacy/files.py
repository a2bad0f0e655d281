"""What lies about one person in the files of the data directory, and how it goes.

The built-in inbox keeps letters by recipient; the spool keeps visits by number for a second or two;
exports, and the rows an import refused, are files with addresses in them. The delivery journal
holds numbers and replies with every address cut out, and goes by itself.
"""

import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final
from xml.sax.saxutils import escape

from mailer.inbox.store import Entry, Store
from mailer.privacy.erasures import NAME as ERASURES
from mailer.tracking.spool import Hit, Spool, peek
from subscribers.address import AddressInvalid, EmailAddress, address_key
from subscribers.outtake.audit import Export

OURS: Final = ("exports", "imports")
"""Folders whose files are ours to remove."""

_APART = frozenset({"journal", "spool", "inbox"})  # looked after each in its own way
_CHUNK: Final = 1 << 20
_DATABASE = re.compile(r".*\.db(?:-wal|-shm|-journal)?")


def letters(data_dir: Path, key: object, keys: Sequence[str]) -> tuple[Entry, ...]:
    """The letters to somebody in the built-in inbox."""
    return Store(data_dir / "inbox").addressed(_to(key, keys))


def forget_letters(data_dir: Path, key: object, keys: Sequence[str]) -> int:
    """Take somebody's letters out of the built-in inbox; how many they were."""
    return Store(data_dir / "inbox").forget(_to(key, keys))


def visits(data_dir: Path, people: Sequence[int]) -> tuple[Hit, ...]:
    """What somebody did that is on the disk and not loaded yet."""
    return tuple(hit for hit in peek(data_dir / "spool") if hit.subscriber in people)


def forget_visits(data_dir: Path, people: Sequence[int]) -> int:
    """Take somebody's visits out of the spool; how many they were. Nobody else's is lost."""
    if not visits(data_dir, people):
        return 0
    gone = 0
    spool = Spool(data_dir / "spool")
    for part in spool.ready():
        theirs = [hit for hit in part.hits if hit.subscriber in people]
        if not theirs:
            continue
        for hit in part.hits:
            if hit.subscriber not in people:  # a second time on the disk, its id counts once
                spool.append(hit)
        part.done()
        gone += len(theirs)
    return gone


def exports_with(
    data_dir: Path, exports: Sequence[Export], address: str, moved_at: datetime | None
) -> tuple[Export, ...]:
    """The exports in the data directory that somebody is in, or may be in.

    A file without addresses, and one from before they changed theirs, cannot be searched: it counts
    as one that holds them.
    """
    found = []
    for export in exports:
        file = data_dir / "exports" / Path(export.file_name).name
        columns = export.asked.get("columns", ())
        blind = "address" not in columns or (moved_at is not None and moved_at > export.at)
        if file.exists() and (blind or holds(file, address)):
            found.append(export)
    return tuple(found)


def others_with(data_dir: Path, address: str) -> Iterator[Path]:
    """Other files in the data directory with an address in them; the database is no such file."""
    if not address or not data_dir.is_dir():
        return
    for path in sorted(data_dir.rglob("*")):
        top = path.relative_to(data_dir).parts[0]
        plain = path.is_file() and not path.is_symlink()
        if plain and top not in _APART and top != ERASURES and not _DATABASE.fullmatch(path.name):
            with suppress(FileNotFoundError):
                if holds(path, address):
                    yield path


def is_ours(data_dir: Path, path: Path) -> bool:
    """Whether a file lies in a folder where only we write."""
    return path.relative_to(data_dir).parts[0] in OURS


def holds(path: Path, words: str) -> bool:
    """Whether a file has words in it, in upper or lower case; a spreadsheet is looked into."""
    if not words:
        return False
    if zipfile.is_zipfile(path):
        sought = escape(words).lower().encode()
        with zipfile.ZipFile(path) as book:
            return any(_in(book.open(name), sought) for name in book.namelist())  # type: ignore[arg-type]
    with path.open("rb") as file:
        return _in(file, words.lower().encode())


def _in(file: BinaryIO, sought: bytes) -> bool:
    """Read a file in pieces that overlap."""
    with file:
        last = b""
        while piece := file.read(_CHUNK):
            if sought in (last + piece).lower():
                return True
            last = piece[-len(sought) :]
    return False


def _to(key: object, keys: Sequence[str]) -> Callable[[str], bool]:
    hashes = frozenset(keys)

    def to(recipient: str) -> bool:
        try:
            return address_key(key, EmailAddress.parse(recipient)) in hashes  # type: ignore[arg-type]
        except AddressInvalid:
            return False

    return to
