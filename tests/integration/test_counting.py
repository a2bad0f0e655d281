"""Hits are counted by a worker of the same host, and where none does it, by the pages' process."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from mailer import jobs
from mailer.app import App, compose
from mailer.delivery.models import WorkerRow
from mailer.kit import settings
from mailer.kit.database import Database, database_now
from mailer.tracking.spool import Hit
from tests.servers import free_port


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[App]:
    """An installation with a broker, whose one worker hears everything and sees this directory."""
    url = database.engine.url.render_as_string(hide_password=False)
    chosen = {
        "DIBAO_DATA_DIR": str(tmp_path),
        "DIBAO_DATABASE_URL": url,
        "DIBAO_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0",
    }
    app = compose(settings.read(chosen))
    jobs.alive(replace(app.tools, queues=lambda: ("bulk", "events")))
    yield app
    app.stop()
    app.database.close()


def counting(app: App, knocks: list[str], *, heard: bool = True) -> jobs.Counting:
    def knock(job: str, _: int) -> bool:
        knocks.append(job)
        return heard

    return jobs.Counting(replace(app.tools, knock=knock))


def hit(app: App) -> None:
    app.spool.append(Hit("open", 1, 1, app.now()))


def test_nobody_is_asked_while_nothing_waits(app: App) -> None:
    knocks: list[str] = []

    counting(app, knocks).turn()
    assert knocks == []


def test_a_worker_of_this_host_is_asked_to_count(app: App) -> None:
    knocks: list[str] = []
    hit(app)

    counting(app, knocks).turn()
    assert knocks == ["event.count"]
    assert app.spool.waiting(), "it is the worker's to take"


def test_what_it_does_not_take_is_counted_here(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    knocks: list[str] = []
    hit(app)
    here = counting(app, knocks)
    here.turn()
    monkeypatch.setattr(jobs, "LATE", 0.0)

    here.turn()
    assert not app.spool.waiting()


def test_without_a_broker_it_is_counted_here(app: App) -> None:
    hit(app)

    counting(app, [], heard=False).turn()
    assert not app.spool.waiting()


@pytest.mark.parametrize("change", ["elsewhere", "silent", "other queues"])
def test_a_worker_that_would_not_count_it_is_not_asked(app: App, change: str) -> None:
    with app.database.transaction() as session:
        ago = database_now(session) - timedelta(minutes=1)
        values: dict[str, dict[str, object]] = {
            "elsewhere": {"journal": "another-host.journal"},
            "silent": {"heartbeat_at": ago},
            "other queues": {"queues": "bulk"},
        }
        session.execute(update(WorkerRow).values(**values[change]))
    knocks: list[str] = []
    hit(app)

    counting(app, knocks).turn()
    assert knocks == []
    assert not app.spool.waiting()
