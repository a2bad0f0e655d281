"""A population in a database of each kind, stored once for a module that only reads it."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.orm import Session

from mailer.kit.database import Database
from tests.unit.subscribers.rules.population import People, humans, settle


@pytest.fixture(scope="module")
def people() -> People:
    return humans()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def settled(
    request: pytest.FixtureRequest, people: People, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Session]:
    """A session in which the population can be read."""
    if request.param == "sqlite":
        file = tmp_path_factory.mktemp("population") / "dibao.db"
        shutil.copyfile(request.getfixturevalue("_sqlite_template"), file)
        with _stored(f"sqlite:///{file}", people) as session:
            yield session
        return
    server = request.getfixturevalue("postgres_server")
    template = request.getfixturevalue("_postgres_template")
    with _copied(server, template) as url, _stored(url, people) as session:
        yield session


@contextmanager
def _stored(url: str, people: People) -> Iterator[Session]:
    database = Database(url)
    with database.transaction() as session:
        settle(session, people)
    if not database.is_sqlite:
        with database.transaction() as session:
            session.execute(text("ANALYZE"))
    with database.reading() as session:
        yield session
    database.close()


@contextmanager
def _copied(server: str, template: str) -> Iterator[str]:
    name = f"dibao_test_{secrets.token_hex(6)}"
    names = sql.Identifier(name), sql.Identifier(template)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(names[0]))
