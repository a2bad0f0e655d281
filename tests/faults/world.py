"""Servers and starting positions for the matrix: a database per run, copied from a template.

A template holds the people and one campaign, either still to be frozen or sending already; a copy
takes a tenth of a second.
"""

import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis
from psycopg import sql

from mailer.campaigns.campaign import CampaignId
from mailer.kit.database import Database, upgrade
from subscribers import actions as subscribers
from subscribers import bulk
from subscribers.address import Canon, EmailAddress
from subscribers.subscriber import NewPerson
from tests import servers
from tests.fakes import books
from tests.faults import sender

CAMPAIGN = CampaignId(1)
KEY = Canon.of((sender.SECRET,), "")
DATABASES = ("sqlite", "postgresql")
BROKERS = ("none", "redis", "rabbitmq")


def address(number: int) -> str:
    """Of the n-th reader, from 0."""
    return f"reader{number}@example.org"


class World:
    """Everything a run needs but the processes it strikes."""

    def __init__(self, folder: Path, people: int, *, batch: int = 50) -> None:
        self.folder, self.people, self.batch = folder, people, batch
        self._stack = ExitStack()
        self._making = threading.RLock()
        self._servers: dict[str, str] = {}
        self._templates: set[tuple[str, bool]] = set()
        self._copies = 0

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def server(self, kind: str) -> str:
        """The URL of a server, started when first asked for. Raises servers.Missing."""
        with self._making:
            if kind not in self._servers:
                if kind == "postgresql":
                    made = self._stack.enter_context(servers.postgres())
                elif kind == "redis":
                    made = self._stack.enter_context(servers.redis_server())
                else:
                    made = self._stack.enter_context(servers.rabbitmq_server()).url
                self._servers[kind] = made
            return self._servers[kind]

    @contextmanager
    def broker(self, kind: str, lane: int) -> Iterator[str]:
        """The URL of an empty broker; empty for none. `lane` keeps runs side by side apart."""
        if kind == "none":
            yield ""
        elif kind == "redis":
            url = self.server("redis").removesuffix("/0") + f"/{lane}"
            with redis.Redis.from_url(url) as client:
                client.flushdb()
            yield url
        else:
            with self._making:  # one virtual host: one run at a time
                url = self.server("rabbitmq")
                servers.empty_queues(url)
                yield url

    @contextmanager
    def database(self, kind: str, *, frozen: bool) -> Iterator[str]:
        """The URL of a database with the people and campaign 1, gone afterwards."""
        with self._making:
            self._ensure_template(kind, frozen=frozen)
            self._copies += 1
            name = f"run{self._copies}"
        if kind == "sqlite":
            file = self.folder / f"{name}.db"
            shutil.copyfile(self.folder / f"{_template(frozen=frozen)}.db", file)
            yield f"sqlite:///{file}"
            for left in self.folder.glob(f"{name}.db*"):
                left.unlink()
            return
        self._create(name, _template(frozen=frozen))
        try:
            yield self._url(name)
        finally:
            self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _ensure_template(self, kind: str, *, frozen: bool) -> None:
        if (kind, frozen) in self._templates:
            return
        name = _template(frozen=frozen)
        if frozen:
            self._ensure_template(kind, frozen=False)
        if kind == "sqlite":
            url = f"sqlite:///{self.folder / name}.db"
            if frozen:
                shutil.copyfile(self.folder / f"{_template(frozen=False)}.db", f"{url[10:]}")
        else:
            url = self._url(name)
            self._create(name, _template(frozen=False) if frozen else "template1")
        database = Database(url)
        if frozen:
            with database.transaction() as session:
                books.launched(session, CAMPAIGN, batch_size=self.batch)
        else:
            populate(database, self.people)
        database.close()
        self._templates.add((kind, frozen))

    def _url(self, name: str) -> str:
        return urlunsplit(urlsplit(self.server("postgresql"))._replace(path=f"/{name}"))

    def _create(self, name: str, template: str) -> None:
        names = sql.Identifier(name), sql.Identifier(template)
        self._run(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.server("postgresql"), autocommit=True) as connection:
            connection.execute(statement)


def populate(database: Database, people: int) -> None:
    """The schema, so many people who follow AI, and a campaign for them that is preparing."""
    upgrade(database)
    new = [NewPerson(EmailAddress.parse(address(n)), segments=("ai",)) for n in range(people)]
    with database.transaction() as session:
        subscribers.ensure_segments(session)
        subscribers.remember_key(session, KEY)
        bulk.add_confirmed(session, new, now=books.NOON, key=KEY, source="a test", wording="Yes.")
        books.campaign(session)


def _template(*, frozen: bool) -> str:
    return "frozen" if frozen else "unfrozen"
