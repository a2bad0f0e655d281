"""What a database keeps of rows that are gone, and how it goes as well.

SQLite leaves deleted rows in the free parts of its file and in the log beside it until they are
used again; its search index remembers what it no longer finds. PostgreSQL keeps the old version of
a row until VACUUM. Its write-ahead log, and backups, are beyond a program's reach.
"""

import sqlite3
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from mailer.kit.database import Database
from mailer.kit.errors import Unavailable


def scrub(database: Database, tables: Sequence[str]) -> bool:
    """Take what is left of deleted rows out of a database; whether nothing can be read any more.

    False where somebody reads an older state of the database meanwhile: do it again. SQLite's file
    is written anew, some seconds for a million people, while others wait to write. Raises
    Unavailable where they have to wait too long.
    """
    try:
        return _sqlite(database) if database.is_sqlite else _postgresql(database, tables)
    except (sqlite3.OperationalError, DBAPIError) as refused:
        why = getattr(refused, "orig", refused)
        raise Unavailable(f"What is left of deleted rows could not be removed: {why}") from refused


def _postgresql(database: Database, tables: Sequence[str]) -> bool:
    with database.engine.connect() as connection:
        apart = connection.execution_options(isolation_level="AUTOCOMMIT")
        quote = database.engine.dialect.identifier_preparer.quote
        for table in tables:
            apart.execute(text(f"VACUUM {quote(table)}"))
    return True


def _sqlite(database: Database) -> bool:
    raw = database.engine.raw_connection()  # VACUUM wants no transaction around it
    try:
        cursor = raw.cursor()
        cursor.execute(
            "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL%USING fts5(%'"
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f'INSERT INTO "{name}" ("{name}") VALUES (\'optimize\')')  # noqa: S608
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        outcome = cursor.fetchone()
        return outcome is not None and not outcome[0]
    finally:
        raw.close()
