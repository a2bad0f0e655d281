"""Where the inbox keeps what it got: two growing files per run, cheap to write, safe to lose.

A segment is a pair of files, `000003.letters` with the raw messages one after the other and
`000003.index` with one JSON line each (offset, length, envelope, subject). A letter costs two
plain writes; it is listed once its index line is whole, so a killed process leaves no half letter.
Nothing is forced to the disk: this is a rehearsal's inbox, not an archive. Any number of processes
may read a directory while others write to it, each writer to a segment of its own.
"""

import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from mailer.inbox.letter import Letter, Message, parse
from mailer.kit import clock
from mailer.kit.errors import NotFound

PAGE = 50
"""Letters on one page of the list."""

_SUBJECT = re.compile(rb"(?:\A|\n)subject:[ \t]*((?:[^\r\n]|\r?\n[ \t])*)", re.IGNORECASE)
_HEAD = 16_384  # bytes searched for the subject
_IDENTITY = re.compile(r"(\d{1,9})-(\d{1,9})\Z")
_FORGOTTEN = "forgotten"  # a file whose time says when letters were last taken out


class LetterNotFound(NotFound):
    """No such letter is in the inbox: it was cleared, or pushed out by newer ones."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One letter in the list."""

    id: str  # "3-17": the 17th of segment 3
    recipients: tuple[str, ...]  # RCPT TO
    return_path: str  # MAIL FROM
    subject: str  # decoded
    at: datetime
    size: int  # bytes
    offset: int


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the list, newest first."""

    entries: tuple[Entry, ...]
    number: int  # from 1
    pages: int  # at least 1
    total: int  # letters found


@dataclass(slots=True)
class _Segment:
    """What has been read of one segment's index."""

    number: int
    read: int = 0  # bytes of the index
    entries: list[Entry] = field(default_factory=list)


class Store:
    """Letters in a directory: the newest `capacity` letters and `limit` bytes, about."""

    def __init__(
        self, directory: Path, *, capacity: int = 20_000, limit: int = 2 * 1024**3
    ) -> None:
        self.directory = directory
        self._share = (max(1, capacity // 8), max(1, limit // 8))  # of one segment
        self._lock = threading.RLock()
        self._segments: dict[int, _Segment] = {}
        self._forgotten = 0  # ns: see `forget`
        self._writer: _Writer | None = None

    def add(self, data: bytes, *, return_path: str, recipients: Sequence[str]) -> None:
        """Keep a message as it came. It outlives the process once this returns, not the host."""
        with self._lock:
            writer = self._writer
            if writer is None or writer.is_spent(*self._share):
                if writer is not None:
                    writer.close()
                self._drop_oldest()
                writer = self._writer = _Writer.open(self.directory)
            writer.write(data, return_path, recipients)

    def find(self, sought: str = "", *, page: int = 1, size: int = PAGE) -> Page:
        """Letters whose recipient or subject holds the words sought (any case), newest first."""
        with self._lock:
            self._refresh()
            words = sought.casefold().split()
            if words:
                found = [entry for entry in self._newest() if _holds(entry, words)]
                total = len(found)
            else:
                total = sum(1 for _ in self._newest())
                found = []
            pages = max(1, -(-total // size))
            number = min(max(page, 1), pages)
            first = (number - 1) * size
            shown = iter(found) if words else self._newest()
            return Page(tuple(islice(shown, first, first + size)), number, pages, total)

    def __len__(self) -> int:
        return self.find(size=1).total

    def get(self, identity: str) -> Letter:
        """One letter, read. Raises LetterNotFound."""
        return parse(self.message(identity))

    def message(self, identity: str) -> Message:
        """One message as it came. Raises LetterNotFound."""
        place = _IDENTITY.match(identity)
        if place is None:
            raise LetterNotFound
        number, position = int(place[1]), int(place[2])
        with self._lock:
            self._refresh()
            segment = self._segments.get(number)
            if segment is None or not 1 <= position <= len(segment.entries):
                raise LetterNotFound
            entry = segment.entries[position - 1]
            if not entry.recipients:
                raise LetterNotFound("The letter was taken out: its recipient's data was erased.")
        return self._load(number, entry)

    def all(self) -> Iterator[Message]:
        """Every message, in the order they came."""
        with self._lock:
            self._refresh()
            known = [(n, entry) for n in sorted(self._segments) for entry in self._entries(n)]
        for number, entry in known:
            yield self._load(number, entry)

    def clear(self) -> None:
        """Forget every letter. A writer in another process notices and begins a new segment."""
        with self._lock:
            for number in _numbers(self.directory):
                _remove(self.directory, number)
            self._segments.clear()

    def addressed(self, to: Callable[[str], bool]) -> tuple[Entry, ...]:
        """The letters to somebody, newest first."""
        with self._lock:
            self._refresh()
            return tuple(entry for entry in self._newest() if any(map(to, entry.recipients)))

    def forget(self, to: Callable[[str], bool]) -> int:
        """Take the letters to somebody out, on the disk too; how many they were.

        They are written over where they lie, so that whoever writes to the same files goes on.
        """
        with self._lock:
            found = self.addressed(to)
            for entry in found:
                _write_over(self.directory, entry)
            if found:
                (self.directory / _FORGOTTEN).touch(0o600)
            return len(found)

    def close(self) -> None:
        """Close the files; the store may be used again."""
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _entries(self, number: int) -> tuple[Entry, ...]:
        return tuple(entry for entry in self._segments[number].entries if entry.recipients)

    def _load(self, number: int, entry: Entry) -> Message:
        try:
            with _letters(self.directory, number).open("rb") as letters:
                letters.seek(entry.offset)
                source = letters.read(entry.size)
        except FileNotFoundError as cleared:
            raise LetterNotFound from cleared
        return Message(entry.id, entry.recipients, entry.return_path, entry.at, source)

    def _newest(self) -> Iterator[Entry]:
        for number in sorted(self._segments, reverse=True):
            yield from (e for e in reversed(self._segments[number].entries) if e.recipients)

    def _drop_oldest(self) -> None:
        for number in _numbers(self.directory)[:-7]:  # the new one is the eighth
            _remove(self.directory, number)

    def _refresh(self) -> None:
        """Read what was appended since the last look, by whichever process."""
        forgotten = _forgotten_at(self.directory)
        if forgotten != self._forgotten:  # what was read of the files may hold what is out now
            self._segments.clear()
            self._forgotten = forgotten
        there = _numbers(self.directory)
        for gone in self._segments.keys() - set(there):
            del self._segments[gone]
        for number in there:
            segment = self._segments.setdefault(number, _Segment(number))
            try:
                _read_on(self.directory, segment)
            except FileNotFoundError:  # cleared this moment
                self._segments.pop(number, None)


class _Writer:
    """The one segment a store appends to."""

    def __init__(self, index: int, letters: int) -> None:
        self._index = index
        self._letters = letters
        self._offset = 0
        self._count = 0

    @classmethod
    def open(cls, directory: Path) -> "_Writer":
        """Begin a segment no other process writes to."""
        directory.mkdir(parents=True, exist_ok=True)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
        number = max(_numbers(directory), default=0)
        while True:
            number += 1
            try:
                index = os.open(_index(directory, number), flags, 0o600)
            except FileExistsError:  # another process was faster
                continue
            return cls(index, os.open(_letters(directory, number), flags, 0o600))

    def is_spent(self, count: int, size: int) -> bool:
        """Whether a new segment is due: this one is full, or somebody cleared it."""
        if self._count >= count or self._offset >= size:
            return True
        return os.fstat(self._index).st_nlink == 0

    def write(self, data: bytes, return_path: str, recipients: Sequence[str]) -> None:
        """Append a letter, then its line in the index."""
        line = json.dumps(
            {
                "offset": self._offset,
                "size": len(data),
                "at": clock.now().timestamp(),
                "from": return_path,
                "to": list(recipients),
                "subject": _raw_subject(data),
            }
        )
        _write_whole(self._letters, data)
        _write_whole(self._index, line.encode() + b"\n")
        self._offset += len(data)
        self._count += 1

    def close(self) -> None:
        """Close both files."""
        os.close(self._index)
        os.close(self._letters)


def _write_whole(target: int, data: bytes) -> None:
    written = os.write(target, data)
    while written < len(data):
        written += os.write(target, memoryview(data)[written:])


def _read_on(directory: Path, segment: _Segment) -> None:
    path = _index(directory, segment.number)
    if path.stat().st_size == segment.read:
        return
    with path.open("rb") as index:
        index.seek(segment.read)
        for line in index:
            if not line.endswith(b"\n"):  # being written
                break
            segment.entries.append(_entry(segment, json.loads(line)))
            segment.read += len(line)


def _entry(segment: _Segment, line: dict[str, Any]) -> Entry:
    return Entry(
        id=f"{segment.number}-{len(segment.entries) + 1}",
        recipients=tuple(map(_sound, line["to"])),
        return_path=_sound(line["from"]),
        subject=_decoded(line["subject"]),
        at=datetime.fromtimestamp(line["at"], tz=UTC),
        size=line["size"],
        offset=line["offset"],
    )


def _raw_subject(data: bytes) -> str:
    end = data.find(b"\r\n\r\n", 0, _HEAD)
    found = _SUBJECT.search(data, 0, _HEAD if end < 0 else end + 2)
    return found[1].decode("utf-8", "replace") if found else ""


@lru_cache(maxsize=4096)  # a campaign's letters mostly share one subject
def _decoded(subject: str) -> str:
    unfolded = re.sub(r"\r?\n", "", subject)
    try:
        return _sound(str(make_header(decode_header(unfolded))))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return unfolded


def _sound(text: str) -> str:
    """Text that a page can hold: some encodings decode to lone surrogates, which UTF-8 has not."""
    return text.encode("utf-8", "replace").decode()


def _holds(entry: Entry, words: list[str]) -> bool:
    text = f"{' '.join(entry.recipients)} {entry.subject}".casefold()
    return all(word in text for word in words)


def _write_over(directory: Path, entry: Entry) -> None:
    """Put blanks in the place of a letter, and nobody in its line of the index."""
    number, position = map(int, entry.id.split("-"))
    with _letters(directory, number).open("r+b") as letters:
        letters.seek(entry.offset)
        letters.write(b" " * entry.size)
        os.fsync(letters.fileno())
    with _index(directory, number).open("r+b") as index:
        start = sum(len(index.readline()) for _ in range(position - 1))
        line = index.readline()
        nobody = {"offset": entry.offset, "size": entry.size, "at": entry.at.timestamp()}
        blank = json.dumps(nobody | {"from": "", "to": [], "subject": ""}).encode()
        index.seek(start)
        index.write(blank.ljust(len(line) - 1))
        os.fsync(index.fileno())


def _forgotten_at(directory: Path) -> int:
    try:
        return (directory / _FORGOTTEN).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _numbers(directory: Path) -> list[int]:
    return sorted(int(path.stem) for path in directory.glob("*.index") if path.stem.isdecimal())


def _index(directory: Path, number: int) -> Path:
    return directory / f"{number:06}.index"


def _letters(directory: Path, number: int) -> Path:
    return directory / f"{number:06}.letters"


def _remove(directory: Path, number: int) -> None:
    _index(directory, number).unlink(missing_ok=True)
    _letters(directory, number).unlink(missing_ok=True)
