"""The log of erasures, which a restored backup has to be led through again.

One file, `erasures` in the data directory, only ever added to: a keyed hash and a moment a line, no
address. A line is on the disk before anything is erased. The first line numbers the file, so that
the database can say how much of it it has been through; a backup says so as of its own day.
"""

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from mailer.kit.errors import Unavailable

NAME: Final = "erasures"
_FIRST = re.compile(r"# dibao erasures ([0-9a-f]{32})")
_LINE = re.compile(r"([0-9a-f]{32}) (\S+)")


@dataclass(frozen=True, slots=True)
class Erasure:
    """One address that was to be forgotten."""

    address_key: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Added:
    """Where in the file something was added."""

    file: str  # its number
    before: int  # octets
    after: int


@dataclass(frozen=True, slots=True)
class News:
    """What a file holds beyond a mark."""

    file: str  # its number
    octets: int  # its size now: the next mark
    erasures: tuple[Erasure, ...]


class Log:
    """The file of one installation."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / NAME

    def add(self, keys: Sequence[str], at: datetime) -> Added:
        """Write down what is about to be erased; it is on the disk once this returns.

        Raises Unavailable where the disk does not take it: then nothing may be erased.
        """
        moment = at.astimezone(UTC).isoformat()
        lines = "".join(f"{key} {moment}\n" for key in keys)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                before = os.fstat(file).st_size
                if before == 0:
                    lines = f"# dibao erasures {secrets.token_hex(16)}\n{lines}"
                elif os.pread(file, 1, before - 1) != b"\n":
                    lines = f"\n{lines}"  # a full disk cut the last line off
                if os.write(file, lines.encode()) < len(lines):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file)
                after = os.fstat(file).st_size
            finally:
                os.close(file)
            _settle(self._path.parent)
        except OSError as refused:
            why = refused.strerror or refused
            raise Unavailable(f"The log of erasures cannot be written: {why}") from refused
        return Added(self.number(), before, after)

    def is_empty(self) -> bool:
        """Whether nobody was ever erased here."""
        return not self._path.exists()

    def number(self) -> str:
        """The number of the file; "" where there is none yet."""
        try:
            with self._path.open(encoding="ascii", errors="replace") as file:
                first = _FIRST.match(file.readline())
        except FileNotFoundError:
            return ""
        return first[1] if first else ""

    def size(self) -> int:
        """Octets of the file."""
        return self._path.stat().st_size if self._path.exists() else 0

    def since(self, octets: int) -> News:
        """What was added after a mark; all of it where the file is shorter than the mark.

        Lines that are none are passed over: two files may be joined into one.
        """
        size = self.size()
        with self._path.open("rb") as file:
            file.seek(octets if octets <= size else 0)
            text = file.read().decode("ascii", "replace")
        found = (_erasure(line) for line in text.splitlines())
        return News(self.number(), size, tuple(each for each in found if each is not None))


def _erasure(line: str) -> Erasure | None:
    whole = _LINE.fullmatch(line.strip())
    if whole is None:
        return None
    try:
        at = datetime.fromisoformat(whole[2])
    except ValueError:
        return None
    return Erasure(whole[1], at if at.tzinfo else at.replace(tzinfo=UTC))


def _settle(folder: Path) -> None:
    """Force the folder to the disk: a new file is in it only then."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
