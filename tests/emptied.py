"""One database of PostgreSQL's for test after test, emptied in between.

Copying the schema makes some two hundred files, and takes ten times as long as deleting the few
rows that a test leaves. A database that a test has changed otherwise is not used again.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

GROWN = 4 << 20  # octets of dead rows, from which on another one is quicker

# Rows of the catalogue are written anew by whatever changes a table, a trigger or a function, by
# TRUNCATE, and, but for their xmin, by VACUUM and ANALYZE.
_SHAPE = """
SELECT md5(string_agg(line, ' ' ORDER BY line)) FROM (
  SELECT concat_ws(',', oid, xmin, relpages, reltuples) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT concat_ws(',', t.oid, t.xmin) FROM pg_trigger AS t
    JOIN pg_class AS c ON c.oid = t.tgrelid AND c.relnamespace = 'public'::regnamespace
  UNION ALL SELECT concat_ws(',', oid, xmin) FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace
) AS lines (line)
"""
_OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
_SEQUENCES = """
SELECT setval(oid, 1, false) FROM pg_class
WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace
"""


class Emptied:
    """Hands out the database; a context manager, which drops it."""

    def __init__(self, make: Callable[[], AbstractContextManager[str]]) -> None:
        """`make` creates a database with the full schema and no rows, and drops it at the end."""
        self._make, self._url = make, ""
        self._stack = ExitStack()
        self._shape = ""
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def url(self) -> str:
        """The URL of a database with the full schema and no rows, with nobody connected to it."""
        if not (self._url and self._empty()):
            self._stack.close()
            self._url = self._stack.enter_context(self._make())
            with _connected(self._url) as connection:
                self._shape, self._size = _look(connection)
        return self._url

    def _empty(self) -> bool:
        """Delete every row; False where more than rows has changed, or we may not."""
        with _connected(self._url) as connection:
            connection.execute(_OTHERS)
            shape, size = _look(connection)
            if shape != self._shape or size > self._size + GROWN:
                return False
            names = [sql.Identifier(name) for (name,) in connection.execute(_TABLES)]
            away = sql.SQL("; ").join(sql.SQL("DELETE FROM {}").format(name) for name in names)
            try:
                connection.execute("SET session_replication_role = replica")  # no trigger refuses
            except psycopg.errors.InsufficientPrivilege:  # on a server of somebody else's
                return False
            connection.execute(away)
            connection.execute(_SEQUENCES)
        return True


def _connected(url: str) -> "psycopg.Connection[Any]":
    return psycopg.connect(url, autocommit=True)


def _look(connection: "psycopg.Connection[Any]") -> tuple[str, int]:
    """How the schema is, and how many octets the database takes."""
    (shape,) = connection.execute(_SHAPE).fetchone() or ("",)
    (size,) = connection.execute("SELECT pg_database_size(current_database())").fetchone() or (0,)
    return shape, size
