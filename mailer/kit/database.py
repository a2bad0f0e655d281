"""SQLite and PostgreSQL behind one door: connections, transactions, bulk inserts, the schema.

Synchronous everywhere. One unit of work is one `Database.transaction()`; nobody commits inside.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from sqlalchemy import (
    DateTime,
    Engine,
    MetaData,
    Table,
    TypeDecorator,
    create_engine,
    event,
    func,
    select,
    text,
)
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeEngine

from mailer.kit.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parents[1] / "migrations"
T = TypeVar("T")
TRIES: Final = 5
"""How often a unit of work is begun that others cross."""

_PATIENCE = 30  # seconds until somebody who wants to write to SQLite gives up
_LOOK = 0.004  # seconds between two looks whether SQLite can be written to
_READING = "dibao_reading"
_NOW = select(func.now())
# How a database says that trying again can help, or that the fault is its host's.
_AWAY = ("connection", "is locked", "unable to open", "is full", "disk i/o", "readonly database")


class Crossed(Unavailable):
    """Two waited for each other in the database, and this one was rolled back. Try again."""


class Base(DeclarativeBase):
    """The parent of every table; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Moment(TypeDecorator[datetime]):
    """An aware datetime in UTC; SQLite, which knows no zones, stores it without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """What is stored. Raises ValueError for a moment without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment without a time zone: {value}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002  # SQLAlchemy passes it
    ) -> datetime | None:
        """What was stored, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """One database, by URL."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """Prepare to connect; nothing is opened yet. Raises Misconfigured for a bad URL."""
        self.url = url
        self.engine = _engine(url, pool_size)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite: one writer at a time, no rows to skip."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One unit of work: committed at the end, rolled back whole on any error.

        On SQLite it holds the write lock from its first statement (BEGIN IMMEDIATE), so it never
        fails half way for having read first. Raises Unavailable where the database is away.
        """
        with (
            _translated(),
            Session(self.engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    def settled(self, work: Callable[[Session], T]) -> T:
        """Do one unit of work; begin it again, from nothing, where another one crossed it.

        For what touches many people at once: PostgreSQL ends one of two that wait for each other.
        """
        for _ in range(TRIES - 1):
            with suppress(Crossed), self.transaction() as session:
                return work(session)
        with self.transaction() as session:
            return work(session)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that only reads; on SQLite it never waits for a writer."""
        with _translated(), self.engine.connect() as connection:
            reader = connection.execution_options(**{_READING: True})
            with Session(reader) as session:
                yield session

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()

    def forget(self) -> None:
        """Drop the pooled connections unclosed: in a forked child they are the parent's."""
        self.engine.dispose(close=False)


def database_now(session: Session) -> datetime:
    """The database's own time, by which leases go: workers' clocks differ."""
    if session.get_bind().dialect.name == "sqlite":
        stamp = session.scalar(text("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')"))
        return datetime.fromisoformat(str(stamp)).replace(tzinfo=UTC)
    moment = session.scalar(_NOW)
    assert isinstance(moment, datetime)
    return moment.astimezone(UTC)


def try_lock(session: Session, number: int) -> bool:
    """Take a named right until the transaction ends; False where another worker has it.

    On SQLite a transaction is exclusive anyway, so the answer is always True.
    """
    if session.get_bind().dialect.name == "sqlite":
        return True
    taken = session.scalar(select(func.pg_try_advisory_xact_lock(number)))
    return bool(taken)


def insert_many(
    session: Session, table: type[Base], columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Insert rows in bulk, in the given order of columns: COPY on PostgreSQL, else executemany.

    All or nothing, within the session's transaction. Raises IntegrityError where a key is there
    already, Unavailable where the database went away.
    """
    target = table.__table__
    assert isinstance(target, Table)
    dialect = session.get_bind().dialect
    if dialect.name == "sqlite":
        names = ", ".join(f'"{column}"' for column in columns)
        marks = ", ".join("?" * len(columns))
        write = [_writer(target.c[column].type, dialect) for column in columns]
        values = [tuple(w(v) for w, v in zip(write, row, strict=True)) for row in rows]
        if values:
            statement = f'INSERT INTO "{target.name}" ({names}) VALUES ({marks})'  # noqa: S608  # names of ours
            session.connection().exec_driver_sql(statement, values)
        return
    copy_rows(session, target.name, columns, rows)


def _writer(kind: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any]:
    """How a value of a column is handed to the driver; the last one is remembered.

    Rows of a batch share their moments, and to write one takes longer than to look it up.
    """
    process = kind.dialect_impl(dialect).bind_processor(dialect)
    if process is None:
        return lambda value: value
    last: tuple[Any, Any] = (None, process(None))

    def write(value: Any) -> Any:
        nonlocal last
        if value is not last[0]:
            last = (value, process(value))
        return last[1]

    return write


def copy_rows(
    session: Session, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Insert rows by COPY into a table by its name, a temporary one too; PostgreSQL only.

    Raises as insert_many does.
    """
    names = ", ".join(f'"{column}"' for column in columns)
    driver = session.connection().connection.driver_connection
    assert driver is not None
    statement = f'COPY "{table}" ({names}) FROM STDIN'
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except psycopg.errors.IntegrityError as broken:
        raise IntegrityError(statement, None, broken) from broken
    except psycopg.errors.DeadlockDetected as crossed:
        raise Crossed from crossed
    except (psycopg.OperationalError, psycopg.InterfaceError) as away:
        raise Unavailable(f"The database does not answer: {away}") from away


def upgrade(database: Database) -> None:
    """Bring the schema to this version's; doing it again changes nothing."""
    from alembic import command  # noqa: PLC0415  # 8 MB, and who only sends needs none of it

    config = _alembic()
    with _translated(), database.engine.connect() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_lock(4471)"))
            connection.commit()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_unlock(4471)"))
        connection.commit()


def is_current(database: Database) -> bool:
    """Whether the schema is the one this version expects."""
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415  # as above
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    with _translated(), database.engine.connect() as connection:
        here = MigrationContext.configure(connection).get_current_revision()
    return here == ScriptDirectory.from_config(_alembic()).get_current_head()


def _alembic() -> "Config":
    from alembic.config import Config  # noqa: PLC0415  # as above

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _engine(url: str, pool_size: int) -> Engine:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as bad:  # ValueError: of a port that is no number
        raise Misconfigured("DIBAO_DATABASE_URL: this is no database URL") from bad
    if parsed.get_backend_name() == "sqlite":
        if parsed.database and parsed.database != ":memory:":
            _make(Path(parsed.database).parent)
        engine = create_engine(
            parsed, connect_args={"timeout": _PATIENCE}, pool_size=pool_size, hide_parameters=True
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        return create_engine(
            parsed,
            pool_size=pool_size,
            max_overflow=20,
            pool_pre_ping=True,
            hide_parameters=True,  # an error's text goes to the log, a row's values do not
        )
    raise Misconfigured(
        f"DIBAO_DATABASE_URL: {parsed.get_backend_name()} is not supported; "
        "use sqlite:///file or postgresql://user:password@host/name"
    )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise Misconfigured(
            f"The database's folder {folder} cannot be made: {refused.strerror}"
        ) from refused


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver's own comes too late
    for pragma in (
        *("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"),
        f"busy_timeout={_PATIENCE * 1000}",
        "secure_delete=ON",  # what is deleted is written over: erased people are in no free page
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    if connection.get_execution_options().get(_READING):
        connection.exec_driver_sql("BEGIN")
        return
    driver = connection.connection.driver_connection
    (patience,) = driver.execute("PRAGMA busy_timeout").fetchone()  # milliseconds
    driver.execute("PRAGMA busy_timeout=0")
    try:
        if not _has_begun(driver, patience / 1000):
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # fails, in SQLAlchemy's words
    finally:
        driver.execute(f"PRAGMA busy_timeout={patience}")


def _has_begun(driver: Any, patience: float) -> bool:
    """Begin to write as soon as nobody else does; False where that takes too long.

    SQLite itself looks ten times a second, and misses the moment between two batches of an import
    for seconds, while somebody waits for a page.
    """
    until = time.monotonic() + patience
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as refused:
            busy = refused.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > until:
                return False
            time.sleep(_LOOK)
        else:
            return True


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.DeadlockDetected):
            raise Crossed from error
        said = str(error.orig).lower()
        if error.connection_invalidated or any(words in said for words in _AWAY):
            raise Unavailable(f"The database does not answer: {error.orig}") from error
        raise
