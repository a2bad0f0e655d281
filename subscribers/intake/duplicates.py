"""Addresses seen earlier in the same file: on disk, so that a file of any length fits in memory."""

import sqlite3
from collections.abc import Sequence
from types import TracebackType
from typing import Self

_CACHE = "-32768"  # KB; beyond it the file is used


class Seen:
    """The keys met so far."""

    def __init__(self) -> None:
        # the empty name is a private file of SQLite's own, deleted when it is closed
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute("PRAGMA journal_mode=OFF")
        self._file.execute("PRAGMA synchronous=OFF")
        self._file.execute(f"PRAGMA cache_size={_CACHE}")
        self._file.execute("CREATE TABLE seen (key BLOB PRIMARY KEY) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def before(self, keys: Sequence[str]) -> list[bool]:
        """Say of each key, in hexadecimal, whether it was met before, in this call too; note it."""
        add = "INSERT OR IGNORE INTO seen VALUES (?)"
        run = self._file.execute
        run("BEGIN")
        met = [run(add, (bytes.fromhex(key),)).rowcount == 0 for key in keys]
        run("COMMIT")
        return met
