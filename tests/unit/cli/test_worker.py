"""`dibao worker` starts one, lists those there are, and says whether one of this host lives."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mailer.cli import worker
from mailer.cli.terminal import application
from mailer.delivery.models import WorkerRow
from mailer.kit.broker import QUEUES
from mailer.kit.database import database_now
from mailer.kit.errors import Unavailable


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installation of its own for each test."""
    monkeypatch.setenv("DIBAO_DATA_DIR", str(tmp_path / "var"))
    application.cache_clear()
    application()
    yield
    application().database.close()
    application.cache_clear()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The commands that took this process over."""
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(os, "execv", lambda _, words: commands.append(words))
    return commands


def dibao(*words: str) -> Result:
    return CliRunner().invoke(worker.app, words)


def works(name: str, *, host: str = "", seconds: int = 0, queues: str = "bulk") -> None:
    """Somebody whose last sign of life is so long ago."""
    with application().database.transaction() as session:
        seen = database_now(session) - timedelta(seconds=seconds)
        session.add(
            WorkerRow(
                id=name,
                host=host or socket.gethostname(),
                boot_id="",
                pid=1,
                journal="",
                version="1",
                started_at=seen,
                heartbeat_at=seen,
                queues=queues,
            )
        )


def test_those_there_are_are_listed_and_the_silent_explained() -> None:
    works("ada", queues=" ".join(QUEUES))
    assert "silent" not in dibao("list").stdout
    works("ben", seconds=60)
    works("cleo", seconds=10_000)

    listed = json.loads(dibao("list", "--json").stdout)
    assert [(one["id"], one["state"]) for one in listed] == [("ben", "silent"), ("ada", "idle")]
    assert len(json.loads(dibao("list", "--all", "--json").stdout)) == 3
    told = dibao("list").stdout
    assert " all " in told
    assert "RB1." in told


def test_a_host_is_well_where_a_worker_of_it_lives() -> None:
    works("ben", seconds=60)
    works("eve", host="elsewhere")
    assert isinstance(dibao("check").exception, Unavailable)

    works("ada")
    assert dibao("check").exit_code == 0


def test_a_worker_hears_what_it_is_told_to(
    started: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIBAO_BROKER_URL", "redis://127.0.0.1/0")

    assert dibao("--concurrency", "4", "--queues", "bulk, events").exit_code == 0
    assert dibao("--queues", "").exit_code == 0
    some, every = started
    assert some[:3] == (sys.executable, "-m", "celery")
    assert "--concurrency=4" in some
    assert some[-2:] == ("-Q", "bulk,events")
    assert "-Q" not in every


def test_what_cannot_be_heard_is_refused(
    started: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = dibao()
    assert embedded.exit_code == 2
    assert "lives in `dibao web`" in embedded.stderr

    monkeypatch.setenv("DIBAO_BROKER_URL", "redis://127.0.0.1/0")
    refused = dibao("--queues", "bluk")
    assert refused.exit_code == 2
    assert "no such queue: bluk" in refused.stderr
    assert started == []
