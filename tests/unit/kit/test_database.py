"""One unit of work is done whole or not at all, on both kinds of database."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from mailer.kit import database as kit
from mailer.kit.database import Database, Moment, database_now, try_lock
from mailer.kit.errors import Misconfigured, Unavailable
from tests.servers import free_port

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Tables(DeclarativeBase):
    """A schema of this test's own."""


class Note(Tables):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str]
    at: Mapped[datetime | None] = mapped_column(Moment)


@pytest.fixture
def notes(database: Database) -> Iterator[Database]:
    Tables.metadata.create_all(database.engine)
    yield database
    Tables.metadata.drop_all(database.engine)


def words(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(Note.words).order_by(Note.id)))


def test_a_transaction_is_kept(notes: Database) -> None:
    with notes.transaction() as session:
        session.add(Note(id=1, words="kept"))

    assert words(notes) == ["kept"]


def test_an_error_undoes_all_of_it(notes: Database) -> None:
    with pytest.raises(ValueError, match="a bug"), notes.transaction() as session:
        session.add(Note(id=1, words="undone"))
        session.flush()
        raise ValueError("a bug")

    assert words(notes) == []


@pytest.mark.parametrize(
    "at", [NOON, NOON.astimezone(timezone(timedelta(hours=8))), NOON.replace(microsecond=123456)]
)
def test_a_moment_comes_back_aware_and_in_utc(notes: Database, at: datetime) -> None:
    with notes.transaction() as session:
        session.add(Note(id=1, words="", at=at))

    with notes.reading() as session:
        found = session.scalars(select(Note.at)).one()
    assert found == at
    assert found is not None
    assert found.tzinfo is UTC


def test_a_moment_without_a_zone_is_a_bug(notes: Database) -> None:
    with (
        pytest.raises(StatementError, match="without a time zone"),
        notes.transaction() as session,
    ):
        session.add(Note(id=1, words="", at=NOON.replace(tzinfo=None)))
        session.flush()


def test_moments_are_compared_as_moments(notes: Database) -> None:
    shanghai = timezone(timedelta(hours=8))
    with notes.transaction() as session:
        session.add(Note(id=1, words="noon", at=NOON))
        session.add(Note(id=2, words="later", at=NOON + timedelta(microseconds=1)))

    with notes.reading() as session:
        due = session.scalars(select(Note.words).where(Note.at <= NOON.astimezone(shanghai)))
        assert list(due) == ["noon"]


def test_rows_in_bulk_are_all_there(notes: Database) -> None:
    rows = [(n, f"note {n} \\ \t ☂", NOON if n % 2 else None) for n in range(1, 501)]
    with notes.transaction() as session:
        kit.insert_many(session, Note, ("id", "words", "at"), rows)  # type: ignore[arg-type]
        kit.insert_many(session, Note, ("id", "words", "at"), [])  # type: ignore[arg-type]

    with notes.reading() as session:
        found = session.execute(select(Note.id, Note.words, Note.at).order_by(Note.id)).all()
    assert [tuple(row) for row in found] == rows


def test_rows_in_bulk_are_undone_with_the_rest(notes: Database) -> None:
    with pytest.raises(ValueError, match="a bug"), notes.transaction() as session:
        kit.insert_many(session, Note, ("id", "words"), [(1, "undone")])  # type: ignore[arg-type]
        raise ValueError("a bug")

    assert words(notes) == []


def test_a_key_that_is_taken_is_refused(notes: Database) -> None:
    with pytest.raises(IntegrityError), notes.transaction() as session:
        session.add(Note(id=1, words="first"))
        session.flush()
        session.execute(text("INSERT INTO note (id, words) VALUES (1, 'second')"))


def test_the_database_has_a_clock_of_its_own(notes: Database) -> None:
    with notes.reading() as session:
        now = database_now(session)

    assert now.tzinfo is not None
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=30)


def test_a_right_is_had_by_one_at_a_time(postgres_database: Database) -> None:
    with postgres_database.transaction() as first, postgres_database.transaction() as second:
        assert try_lock(first, 1)
        assert try_lock(first, 1)
        assert not try_lock(second, 1)
        assert try_lock(second, 2)
    with postgres_database.transaction() as third:
        assert try_lock(third, 1)


def test_on_sqlite_a_reader_does_not_wait_for_a_writer(sqlite_database: Database) -> None:
    Tables.metadata.create_all(sqlite_database.engine)
    with sqlite_database.transaction() as writer:
        writer.add(Note(id=1, words="not yet"))
        writer.flush()
        assert words(sqlite_database) == []


def test_on_sqlite_who_reads_and_then_writes_does_not_fail_half_way(
    sqlite_database: Database,
) -> None:
    Tables.metadata.create_all(sqlite_database.engine)
    with sqlite_database.transaction() as session:
        session.add(Note(id=1, words="0"))

    def count_up() -> None:
        for _ in range(20):
            with sqlite_database.transaction() as session:
                note = session.get_one(Note, 1)
                note.words = str(int(note.words) + 1)

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert words(sqlite_database) == ["80"]


def test_sqlite_writes_as_safely_as_we_promise(sqlite_database: Database) -> None:
    def pragma(name: str) -> object:
        with sqlite_database.reading() as session:
            return session.scalar(text(f"PRAGMA {name}"))

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2, "FULL: a commit survives a power cut"
    assert pragma("foreign_keys") == 1


def test_a_database_that_is_away_can_be_tried_again() -> None:
    away = Database(f"postgresql://dibao@127.0.0.1:{free_port()}/dibao")

    with pytest.raises(Unavailable, match="does not answer"), away.transaction() as session:
        session.execute(text("SELECT 1"))
    with pytest.raises(Unavailable, match="does not answer"), away.reading() as session:
        session.execute(text("SELECT 1"))
    with pytest.raises(Unavailable, match="does not answer"):
        kit.is_current(away)


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://localhost/dibao", "postgres", "postgresql://h:x/y"]
)
def test_a_url_that_means_nothing_to_us_is_refused_by_name(url: str) -> None:
    with pytest.raises(Misconfigured, match="DIBAO_DATABASE_URL"):
        Database(url)


def test_a_refused_url_does_not_tell_its_password() -> None:
    with pytest.raises(Misconfigured) as refused:
        Database("mysql://dibao:hunter2@localhost/dibao")

    assert "hunter2" not in str(refused.value)


def test_sqlite_makes_the_folder_it_needs(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/new/dibao.db")
    with database.transaction() as session:
        session.execute(text("SELECT 1"))
    database.close()

    assert (tmp_path / "new/dibao.db").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(Misconfigured, match="file"):
        Database(f"sqlite:///{tmp_path}/file/dibao.db")


def test_an_error_of_the_database_does_not_tell_what_was_to_be_stored(
    database: Database,
) -> None:
    statement = text("SELECT no_such_column WHERE :who = 'x'")

    with pytest.raises(DBAPIError) as failed, database.reading() as session:
        session.execute(statement, {"who": "ada@example.com"})

    assert "ada@example.com" not in str(failed.value)


def test_a_writer_that_waits_in_vain_for_another_may_try_again(
    tmp_path: Path,
) -> None:
    hurried = Database(f"sqlite:///{tmp_path}/shared.db")
    event.listen(hurried.engine, "connect", lambda it, _: it.execute("PRAGMA busy_timeout=10"))
    other = Database(hurried.url)
    with other.transaction() as writer:
        writer.execute(text("SELECT 1"))
        with pytest.raises(Unavailable, match="locked"), hurried.transaction() as late:
            late.execute(text("SELECT 1"))


def test_a_writer_finds_the_moment_between_two_transactions_of_another(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/shared.db")
    stopping = threading.Event()

    def busy() -> None:
        while not stopping.wait(0.008):  # as an import pauses between two batches
            with database.transaction() as session:
                session.execute(text("SELECT 1"))
                time.sleep(0.3)

    importing = threading.Thread(target=busy)
    importing.start()
    begun = time.monotonic()
    for _ in range(4):
        with database.transaction() as session:
            session.execute(text("SELECT 1"))
    took = time.monotonic() - begun
    stopping.set()
    importing.join()

    assert took < 3, "each waits for one transaction, not for many"


def test_a_file_that_cannot_be_opened_is_a_database_away(tmp_path: Path) -> None:
    (tmp_path / "dibao.db").mkdir()

    with (
        pytest.raises(Unavailable),
        Database(f"sqlite:///{tmp_path}/dibao.db").reading() as session,
    ):
        session.execute(text("SELECT 1"))
