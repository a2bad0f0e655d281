"""Zyx signs up, is imported, written to, clicks, is exported, is erased: then nothing knows them.

On both stacks, through the command and the pages: no table, file, log or key of Redis has their
address or name, and no backup brings them back.
"""

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psycopg
import pytest
import redis
from psycopg import sql
from sqlalchemy import create_engine, inspect, text

from mailer.inbox.server import Inbox
from mailer.inbox.store import Store
from tests.functional.forked import Forked
from tests.functional.house import ROOT, House, embedded, full
from tests.servers import free_port

ADDRESS = "zyx.canary.90417@readers.example"
NAME = "Zyxcanary Quillfeather"
CANARIES = ("zyx.canary", "90417", "zyxcanary", "quillfeather")
"""Nothing else in the world has any of these in it."""

ISSUE = "2026-47-couriers-and-carts"
PEOPLE = f"""email,name,segments,language
{ADDRESS},{NAME},ai luxury,en
hugo@readers.example,Hugo,ai,en
refuse.ines@readers.example,Ines,ai,en
{ADDRESS.upper()},{NAME},no-such-segment,en
"""
TOKEN = re.compile(rb"/c/([a-z2-7]{24})/(\d+)")
FORM = re.compile(r'name="form" value="([^"]+)"')
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@dataclass
class Stack:
    """An installation, the files its processes log to, and what else it keeps things in."""

    house: Forked
    redis: str = ""
    logs: list[Path] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return Path(self.house.environment["DIBAO_DATA_DIR"])

    @property
    def database(self) -> str:
        kept = self.house.environment.get("DIBAO_DATABASE_URL", "")
        return (
            kept.replace("postgresql:", "postgresql+psycopg:") or f"sqlite:///{self.data}/dibao.db"
        )

    @contextmanager
    def running(self, *words: str) -> Iterator[None]:
        """A process of the installation; what it says goes to a file that is searched as well."""
        log = self.house.folder / f"log-{len(self.logs)}"
        self.logs.append(log)
        environment = self.house._environment()  # noqa: SLF001
        environment |= {"DIBAO_LOG_LEVEL": "debug"}
        with log.open("wb") as file:
            process = subprocess.Popen(
                words, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT
            )
            try:
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)

    @contextmanager
    def alive(self) -> Iterator[str]:
        """Pages, and on the full stack a worker and an inbox; gives the pages' address."""
        port = self.house.environment["DIBAO_WEB_PORT"]
        with ExitStack() as stack:
            if self.redis:
                inbox = Inbox(
                    "127.0.0.1", int(self.house.environment["DIBAO_INBOX_PORT"]), self.house.inbox
                )
                inbox.start()
                stack.callback(inbox.stop)
                celery = ("celery", "-A", "worker", "worker", "--concurrency=1", "--loglevel=DEBUG")
                stack.enter_context(self.running(sys.executable, "-m", *celery))
            stack.enter_context(self.running(sys.executable, "-m", "mailer.cli", "web"))
            address = f"http://127.0.0.1:{port}"
            until(lambda: httpx2.get(f"{address}/archive").status_code == 200)
            yield address


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Stack]:
    """SQLite, everything in one process."""
    yield from _stack(embedded(tmp_path, port=free_port()))


@pytest.fixture
def large(tmp_path: Path, postgres_url: str, redis_url: str) -> Iterator[Stack]:
    """PostgreSQL and Redis, a worker, pages."""
    house = full(tmp_path, port=free_port(), database=postgres_url, broker=redis_url)
    yield from _stack(house, redis_url)


def _stack(house: House, broker: str = "") -> Iterator[Stack]:
    forked = Forked(house.folder, house.environment)
    yield Stack(forked, broker)
    forked.close()


@pytest.fixture(params=["small", "large"])
def stack(request: pytest.FixtureRequest) -> Stack:
    """Each stack in turn."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Stack)
    return found


def until(holds: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            if holds():  # type: ignore[operator]
                return
        except httpx2.HTTPError:
            pass
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.2)


def lived(stack: Stack) -> None:
    """Zyx does everything there is to do."""
    house = stack.house
    house.dibao("db", "upgrade")
    house.dibao("issue", "import", str(ROOT / f"mailer/demo/issues/{ISSUE}.md"), "--approve")
    people = house.folder / "people.csv"
    people.write_text(PEOPLE, encoding="utf-8")
    refused = stack.data / "imports" / "refused.csv"
    refused.parent.mkdir(parents=True)
    said = ("--basis", "a test", "--refused", str(refused))
    house.dibao("subscriber", "import", str(people), *said, expect=7)
    people.unlink()  # theirs to remove: it lies outside
    assert "canary" in refused.read_text().lower()
    with stack.alive() as address:
        signed_up(stack, address)
        campaign = house.json("campaign", "create", ISSUE)[0]["id"]
        house.json("campaign", "send", str(campaign), "--no-wait")
        house.until(campaign, "finished")
        clicked(stack, address)
        until(lambda: hits(house, campaign) >= 2)
    house.json("export", "create", "--part", ADDRESS)
    house.json("export", "create", "--form", "xlsx", "--segment", "ai")
    house.json("person", "export", ADDRESS)
    evidence = ("--reason", "complained", "--evidence", f"{NAME} wrote from {ADDRESS}")
    house.dibao("suppression", "add", ADDRESS, *evidence)
    held = house.json("person", "export", ADDRESS)
    assert held["subject"]["address"] == ADDRESS
    assert held["held"]["event"]
    assert held["held"]["delivery"][0]["outcome"] == "accepted"
    assert held["inbox"]


def signed_up(stack: Stack, address: str) -> None:
    """The form, filled in by somebody the house knows already, and by them again, with a slip."""
    with httpx2.Client(base_url=address) as browser:
        form = FORM.search(browser.get("/subscribe").text)
        assert form is not None
        time.sleep(2.1)  # nobody types faster
        filled = {"address": ADDRESS, "name": NAME, "segment": "e-commerce", "form": form[1]}
        answer = browser.post("/subscribe", data=filled)
    assert answer.status_code == 200
    assert ADDRESS not in answer.text
    until(lambda: any(ADDRESS in m.recipients for m in Store(stack.house.inbox).all()))


def clicked(stack: Stack, address: str) -> None:
    """Every letter's first link, and its pixel."""
    for letter in Store(stack.house.inbox).all():
        found = TOKEN.search(letter.source.replace(b"=\r\n", b""))
        if found is None:
            continue
        token, link = found[1].decode(), found[2].decode()
        with httpx2.Client(base_url=address, headers={"User-Agent": FIREFOX}) as reader:
            assert reader.get(f"/c/{token}/{link}").status_code == 302
            assert reader.get(f"/o/{token}").status_code == 200


def hits(house: House, campaign: int) -> int:
    report = house.json("report", str(campaign))
    return sum(part["hits"] for part in report["total"]["clicks"].values())


def dump(stack: Stack) -> Iterator[tuple[str, str]]:
    """Every column of every table, with what no model knows of."""
    engine = create_engine(stack.database)
    with engine.connect() as connection:
        for table in inspect(connection).get_table_names():
            if "subscriber_search" in table:  # an index without words; its bytes are searched
                continue
            rows = connection.execute(text(f'SELECT * FROM "{table}"')).all()  # noqa: S608
            yield f"table {table}", "\n".join(map(str, rows))
    engine.dispose()


def places(stack: Stack) -> Iterator[tuple[str, str]]:
    """Everything an installation keeps: tables, files, logs, Redis."""
    yield from dump(stack)
    for path in (*stack.data.rglob("*"), *stack.logs):
        if path.is_file():
            yield f"file {path.name}", path.read_bytes().decode("latin-1")
    if stack.redis:
        with redis.Redis.from_url(stack.redis) as client:
            for key in client.scan_iter():
                kept = client.dump(key)
                yield f"redis {key!r}", f"{key!r} {kept!r}"


def found_in(stack: Stack, words: tuple[str, ...] = CANARIES) -> list[str]:
    return [
        f"{place}: {word}"
        for place, content in places(stack)
        for word in words
        if word in content.lower()
    ]


def backup(stack: Stack) -> Path | str:
    """A copy of the database, as an operator makes one while nothing runs."""
    if not stack.redis:
        copy = stack.house.folder / "backup.db"
        engine = create_engine(stack.database)
        with engine.connect() as connection:
            connection.execute(text(f"VACUUM INTO '{copy}'"))
        engine.dispose()
        return copy
    url = stack.house.environment["DIBAO_DATABASE_URL"]
    name = url.rpartition("/")[2]
    copied(url, name, f"{name}_backup")
    return f"{name}_backup"


def restore(stack: Stack, copy: Path | str) -> None:
    if isinstance(copy, Path):
        for suffix in ("", "-wal", "-shm"):
            (stack.data / f"dibao.db{suffix}").unlink(missing_ok=True)
        shutil.move(copy, stack.data / "dibao.db")
        return
    url = stack.house.environment["DIBAO_DATABASE_URL"]
    name = url.rpartition("/")[2]
    with psycopg.connect(url.removesuffix(name) + "postgres", autocommit=True) as connection:
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
        connection.execute(drop.format(sql.Identifier(name)))
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        connection.execute(rename.format(sql.Identifier(copy), sql.Identifier(name)))


def copied(url: str, name: str, copy: str) -> None:
    with psycopg.connect(url.removesuffix(name) + "postgres", autocommit=True) as connection:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(create.format(sql.Identifier(copy), sql.Identifier(name)))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_knows_an_erased_person_and_no_backup_brings_them_back(stack: Stack) -> None:
    house = stack.house
    lived(stack)
    known = found_in(stack)
    assert {place.partition(" ")[0] for place in known} >= {"table", "file"}
    assert not [place for place in known if place.startswith("redis")]
    assert not [place for place in known if place.startswith("file log-")]
    report = house.json("report", "1")
    saved = backup(stack)

    done = house.json("person", "erase", ADDRESS, "--reason", "asked by letter", "--yes")

    assert done["left"] == []
    assert found_in(stack) == []
    assert house.json("report", "1") == report, "counts stay"
    assert house.json("campaign", "verify", "1")["sums"]
    assert house.json("person", "erase", ADDRESS, "--reason", "once more", "--yes")["left"] == []

    restore(stack, saved)
    assert found_in(stack), "the backup remembers"
    house.dibao("db", "upgrade")

    assert found_in(stack) == []
    told = house.dibao("person", "export", ADDRESS)
    assert "their data was erased" in told
    again = house.folder / "again.csv"
    again.write_text(PEOPLE.replace(f"{ADDRESS.upper()},{NAME},no-such-segment,en\n", ""))
    house.dibao("subscriber", "import", str(again), "--basis", "a test", "--again", expect=7)
    assert [place for place in found_in(stack) if place.startswith("table subscriber")] == []
