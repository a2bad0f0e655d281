"""Addresses seen earlier in the same file: on disk, so that a file of any length fits in memory."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from types import TracebackType
from typing import Self


class Seen:
    """The keys met so far, each with the line it was first met in."""

    def __init__(self) -> None:
        # the empty name is a private file of SQLite's own, deleted when it is closed
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute("PRAGMA journal_mode=OFF")
        self._file.execute("PRAGMA synchronous=OFF")
        self._file.execute("CREATE TABLE seen (key TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def before(self, lines: Mapping[str, int]) -> dict[str, int]:
        """Say where keys were met in an earlier call, by key; note those met for the first time."""
        marks = ",".join("?" * len(lines))
        query = f"SELECT key, line FROM seen WHERE key IN ({marks})"  # noqa: S608  # marks only
        with closing(self._file.execute(query, tuple(lines))) as found:
            earlier = dict(found.fetchall())
        self._file.execute("BEGIN")
        self._file.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", lines.items())
        self._file.execute("COMMIT")
        return earlier
