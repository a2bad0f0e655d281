"""The migrations lead to the very schema the tables describe."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from mailer.kit.database import Base, Database, is_current, upgrade

TRIGGERS = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname"
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexdef"
FUNCTIONS = "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
ALEMBIC = "alembic_version"


def sqlite_schema(database: Database) -> dict[tuple[str, str], str]:
    """Every table, index and trigger with its text, white space and quotes aside."""
    with database.engine.connect() as connection:
        rows = connection.execute(text("SELECT type, name, sql FROM sqlite_master")).all()
    plain = {(row[0], row[1]): "".join((row[2] or "").replace('"', "").split()) for row in rows}
    return {key: sql for key, sql in plain.items() if ALEMBIC not in key[1]}


def rows(connection: Connection, query: str) -> list[list[str]]:
    """What a query finds, white space aside."""
    return sorted(
        [" ".join(cell.split()) for cell in row] for row in connection.execute(text(query))
    )


@pytest.fixture
def migrated(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path / 'migrated.db'}")
    upgrade(database)
    return database


def test_on_sqlite_both_ways_make_the_same_schema(
    migrated: Database, sqlite_database: Database
) -> None:
    made, described = sqlite_schema(migrated), sqlite_schema(sqlite_database)

    assert made.keys() == described.keys()
    for key, sql in described.items():
        if key[0] != "table":  # a table's constraints may stand in another order
            assert made[key] == sql
        else:
            assert sorted(made[key]) == sorted(sql), key


def test_on_postgresql_nothing_is_left_to_migrate(
    postgres_url: str, postgres_database: Database
) -> None:
    database = Database(postgres_url)
    upgrade(database)
    with database.engine.connect() as made, postgres_database.engine.connect() as described:
        assert compare_metadata(MigrationContext.configure(made), Base.metadata) == []
        for query in (TRIGGERS, FUNCTIONS):
            assert rows(made, query) == rows(described, query)
        indexes = [row[0] for row in made.execute(text(INDEXES)) if ALEMBIC not in row[0]]
        assert indexes == [row[0] for row in described.execute(text(INDEXES))]
    database.close()


def test_upgrading_again_changes_nothing(migrated: Database) -> None:
    before = sqlite_schema(migrated)

    upgrade(migrated)

    assert is_current(migrated)
    assert sqlite_schema(migrated) == before


def test_an_empty_database_is_not_current(tmp_path: Path) -> None:
    assert not is_current(Database(f"sqlite:///{tmp_path / 'empty.db'}"))
