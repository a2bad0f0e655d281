"""A database that is used again is as good as a new one, or is not used again."""

from functools import partial

import psycopg
import pytest

from tests.conftest import _created_database
from tests.emptied import Emptied

ROW = "INSERT INTO wording (sha256, text) VALUES ('a', 'b')"  # insert-only: a trigger guards it
SEGMENT = "INSERT INTO segment (key, name) VALUES ('ai', 'AI') RETURNING id"


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        done = connection.execute(statement)
        return done.fetchall() if done.description else []


@pytest.fixture
def emptied(postgres_server: str, _postgres_template: str) -> Emptied:
    return Emptied(partial(_created_database, postgres_server, template=_postgres_template))


def test_no_row_is_left_and_numbers_begin_anew(emptied: Emptied) -> None:
    with emptied:
        url = emptied.url()
        run(url, ROW)
        assert run(url, SEGMENT) == [(1,)]

        assert emptied.url() == url
        assert run(url, "SELECT 1 FROM wording UNION ALL SELECT 1 FROM segment") == []
        assert run(url, SEGMENT) == [(1,)]
        run(url, ROW)
        with pytest.raises(psycopg.Error, match="insert-only"):
            run(url, "DELETE FROM wording")


@pytest.mark.parametrize(
    "change",
    [
        "DROP TRIGGER consent_is_insert_only ON consent",
        "ALTER TABLE follow ADD COLUMN more integer",
        "CREATE TABLE more (id integer)",
        "ALTER FUNCTION subscriber_moves() RENAME TO subscriber_stays",
        f"{ROW}; ANALYZE wording",
    ],
)
def test_what_was_changed_otherwise_is_not_used_again(emptied: Emptied, change: str) -> None:
    with emptied:
        url = emptied.url()
        run(url, change)

        assert emptied.url() != url


def test_nobody_is_connected_to_it_any_more(emptied: Emptied) -> None:
    with emptied:
        url = emptied.url()
        with psycopg.connect(url) as left:
            left.execute(ROW)  # a transaction that nobody ends
            assert emptied.url() == url
            with pytest.raises(psycopg.OperationalError):
                left.execute("SELECT 1")
