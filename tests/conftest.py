"""What tests may ask for: empty databases, brokers, a mail sink, a browser, the shared corpora.

Whatever a machine lacks is skipped loudly: one sentence at the end of the run says what is missing
and what went untested. With REQUIRE_SERVERS=1 it is a failure instead.
"""

import importlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import psycopg
import pytest
import redis
from playwright.sync_api import Browser, Page, Route, sync_playwright
from psycopg import sql
from sqlalchemy import text

from mailer.kit.database import Base, Database
from tests import servers
from tests.emptied import Emptied

ROOT = Path(__file__).parents[1]
REQUIRED = os.environ.get("REQUIRE_SERVERS") == "1"
NOT_TESTED = "not tested here: "
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

for variable in [name for name in os.environ if name.startswith("DIBAO_")]:
    if not variable.startswith("DIBAO_TEST_"):
        del os.environ[variable]  # a developer's own settings are no part of a test

# A machine shared by many runs is slow at random: a deadline per example would only be noise.
hypothesis.settings.register_profile("dibao", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("dibao")


def lacking(what: str, *, untested: str) -> NoReturn:
    """Skip, or fail where everything is required; the sentence comes up again at the end."""
    sentence = f"{NOT_TESTED}{untested}, because {what}"
    if REQUIRED:
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say once each what this machine could not test."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        if isinstance(report.longrepr, tuple) and NOT_TESTED in report.longrepr[2]:
            reason = report.longrepr[2].partition(NOT_TESTED)[2]
            reasons[reason] = reasons.get(reason, 0) + 1
    if reasons:
        terminalreporter.section("NOT TESTED ON THIS MACHINE", yellow=True, bold=True)
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"{count} skipped: {reason}", yellow=True)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The corpora and seeds that lie beside the checkout."""
    place = (ROOT / "../shared").resolve()
    if not place.is_dir():
        lacking("there is no folder `shared` beside the checkout", untested="corpora and seeds")
    return place


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the full schema and no rows."""
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(f"sqlite:///{file}")
    _create_schema(database)
    with database.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    database.close()
    return file


@pytest.fixture
def sqlite_database(_sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """A SQLite database with the full schema and no rows."""
    file = tmp_path / "dibao.db"
    shutil.copyfile(_sqlite_template, file)
    database = Database(f"sqlite:///{file}")
    yield database
    database.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server where databases may be created and dropped."""
    if given := os.environ.get("DIBAO_TEST_DATABASE_URL"):
        yield given
        return
    with ExitStack() as stack:
        try:
            url = stack.enter_context(servers.postgres())
        except servers.Missing as missing:
            lacking(str(missing), untested="everything on PostgreSQL")
        yield url


@pytest.fixture(scope="session")
def _postgres_template(postgres_server: str) -> Iterator[str]:
    """The name of a database with the full schema and no rows, to be copied for each test."""
    with _created_database(postgres_server) as url:
        database = Database(url)
        _create_schema(database)
        database.close()
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of a PostgreSQL database with nothing in it, not even a schema."""
    with _created_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def _postgres_emptied(postgres_server: str, _postgres_template: str) -> Iterator[Emptied]:
    """What hands out a database test after test."""
    with Emptied(partial(_created_database, postgres_server, template=_postgres_template)) as kept:
        yield kept


@pytest.fixture
def postgres_database(_postgres_emptied: Emptied) -> Iterator[Database]:
    """A PostgreSQL database with the full schema and no rows."""
    database = Database(_postgres_emptied.url())
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """A database with the full schema and no rows; the test runs once on each kind."""
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    found = request.getfixturevalue(f"{kind}_database")
    assert isinstance(found, Database)
    return found


@pytest.fixture(scope="session")
def _redis_server() -> Iterator[str]:
    if given := os.environ.get("DIBAO_TEST_REDIS_URL"):
        yield given
        return
    with ExitStack() as stack:
        try:
            url = stack.enter_context(servers.redis_server())
        except servers.Missing as missing:
            lacking(str(missing), untested="everything on Redis")
        yield url


@pytest.fixture
def redis_url(_redis_server: str) -> str:
    """The URL of a Redis database, emptied first: never give the tests one that matters."""
    with redis.Redis.from_url(_redis_server) as client:
        client.flushdb()
    return _redis_server


@pytest.fixture(scope="session")
def rabbitmq_node() -> Iterator[servers.Rabbit]:
    """A RabbitMQ node of the tests' own, which may be restarted; some five seconds to start."""
    with ExitStack() as stack:
        try:
            node = stack.enter_context(servers.rabbitmq_server())
        except servers.Missing as missing:
            lacking(str(missing), untested="everything on RabbitMQ")
        yield node


@pytest.fixture
def rabbitmq_url(request: pytest.FixtureRequest) -> str:
    """The URL of a RabbitMQ virtual host without queues of ours: none with queues that matter."""
    given = os.environ.get("DIBAO_TEST_RABBITMQ_URL")
    url = given or str(request.getfixturevalue("rabbitmq_node").url)
    servers.empty_queues(url)
    return url


@pytest.fixture
def smtp_sink() -> Iterator[Callable[..., servers.Sink]]:
    """Starts Postfix's smtp-sink: `smtp_sink("-c")` gives a Sink with host and port."""
    with ExitStack() as stack:

        def start(*options: str, port: int = 0) -> servers.Sink:
            try:
                return stack.enter_context(servers.smtp_sink(*options, port=port))
            except servers.Missing as missing:
                lacking(str(missing), untested="the wire against Postfix's smtp-sink")

        yield start


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium of the system's.

    Per module: while Playwright runs, its event loop counts as running in this thread, and the
    next module's asyncio.run() would refuse to start.
    """
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        lacking(
            "chromium is not installed (Debian: apt-get install chromium)",
            untested="pages in a browser",
        )
    options = ["--disable-gpu", "--no-first-run", "--disable-background-networking"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """An empty page, 1280 x 900; nothing beyond this machine can be reached from it."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    context.set_default_timeout(10_000)
    context.route("**/*", _only_here)
    yield context.new_page()
    context.close()


def _only_here(route: Route) -> None:
    parts = urlsplit(route.request.url)
    local = parts.scheme in {"about", "blob", "data", "file"}
    if local or parts.hostname in {"127.0.0.1", "localhost"}:
        route.continue_()
    else:
        route.abort()


def _create_schema(database: Database) -> None:
    for models in sorted([*ROOT.glob("mailer/*/models.py"), ROOT / "subscribers/models.py"]):
        stage = ".".join(models.parent.relative_to(ROOT).parts)
        importlib.import_module(f"{stage}.models")
    Base.metadata.create_all(database.engine)


@contextmanager
def _created_database(server: str, *, template: str = "") -> Iterator[str]:
    name = f"dibao_test_{secrets.token_hex(6)}"
    copied = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
    create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)) + copied
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(create)
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            connection.execute(drop)
