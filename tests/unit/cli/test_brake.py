"""`dibao stop` stops at once, whatever is away; `dibao go` lifts it; `dibao brake` tells."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mailer import cli
from mailer.cli import brake
from mailer.cli.brake import NothingStopped
from mailer.cli.terminal import PARTLY, application
from mailer.delivery import brakes, hold
from mailer.delivery.brakes import RESTORE, BrakeNotOn, RestoreNotAccepted
from mailer.delivery.breakers import Trip
from mailer.kit import clock

LOGIN = Trip("relay", "main", "auth", "The relay main refuses our login [535]", probe_after=60)
RESTORED = Trip("all", "", RESTORE, "The database is older.")


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The data directory of an installation of its own for each test."""
    folder = tmp_path / "var"
    monkeypatch.setenv("DIBAO_DATA_DIR", str(folder))
    application.cache_clear()
    application()
    yield folder
    application().database.close()
    application.cache_clear()


def dibao(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(cli.app, words, input=stdin)


def said(*words: str) -> Any:
    return json.loads(dibao(*words, "--json").stdout)


def put_on(trip: Trip) -> None:
    with application().database.transaction() as session:
        brakes.put_on(session, trip, actor="w1", now=clock.now())


def held() -> str | None:
    house = application()
    with house.database.reading() as session:
        return brakes.held(session, house.settings.data_dir)


def test_stop_writes_the_file_and_the_brake_and_go_removes_both(data: Path) -> None:
    stopped = said("stop", "--reason", "wrong\nissue")

    assert stopped == {"file": True, "database": True, "reason": "wrong issue", "trouble": []}
    assert (data / "HOLD").read_text() == "wrong issue\n"
    (on,) = said("brake", "list")["brakes"]
    assert (on["scope"], on["cause"], on["reason"]) == ("all", "hand", "wrong issue")

    gone = said("go", "--yes")
    assert gone == {"brake": True, "file": True, "reason": "wrong issue", "journals": None}
    assert not (data / "HOLD").exists()
    assert held() is None
    assert "Nothing was held." in dibao("go").stdout


def test_stop_twice_keeps_the_first_reason() -> None:
    dibao("stop", "--reason", "first")
    second = dibao("stop", "--reason", "second")

    assert second.exit_code == 0
    assert held() == "first"
    assert len(said("brake", "list")["brakes"]) == 1


def test_go_asks_first_and_says_what_held() -> None:
    dibao("stop", "--reason", "wrong issue")
    refused = dibao("go", stdin="n\n")

    assert refused.exit_code == 1
    assert "Held: wrong issue" in refused.stderr
    assert held() == "wrong issue"
    assert "letters leave again" in dibao("go", stdin="y\n").stdout
    assert held() is None


def test_a_database_that_hangs_delays_the_stop_by_two_seconds_at_most(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        port = silent.getsockname()[1]
        url = f"postgresql://dibao@127.0.0.1:{port}/dibao"
        monkeypatch.setenv("DIBAO_DATABASE_URL", url)
        begun = time.monotonic()
        result = dibao("stop", "--reason", "now", "--json")
        took = time.monotonic() - begun

    assert took < 2
    assert result.exit_code == PARTLY
    stopped = json.loads(result.stdout)
    assert (stopped["file"], stopped["database"]) == (True, False)
    assert "other hosts go on" in stopped["trouble"][0]
    assert (data / "HOLD").exists()


def test_a_database_without_tables_leaves_the_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIBAO_DATABASE_URL", f"sqlite:///{tmp_path / 'empty.db'}")
    result = dibao("stop")

    assert result.exit_code == PARTLY
    assert "This host is stopped" in result.stdout
    assert "make a file HOLD" in result.stderr
    assert (data / "HOLD").exists()


def test_a_disk_that_takes_no_file_leaves_the_brake(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hold, "replace", full)
    result = dibao("stop", "--reason", "full")

    assert result.exit_code == PARTLY
    assert "No space left on device" in result.stderr
    assert "on any host" in result.stdout
    assert held() == "full"


def test_neither_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brake, "_write_file", lambda *_: "no file.")
    monkeypatch.setattr(brake, "_put_on", lambda *_: "no database.")

    assert isinstance(dibao("stop").exception, NothingStopped)


def test_after_a_restore_go_wants_to_be_told() -> None:
    put_on(RESTORED)

    refused = dibao("go", "--yes")
    assert isinstance(refused.exception, RestoreNotAccepted)
    assert "The database is older." in str(refused.exception)
    assert held() is not None
    gone = said("go", "--after-restore", "--yes")
    assert gone["brake"] is True
    assert gone["journals"]["journals"] == 0
    assert held() is None


def test_brakes_are_listed_with_what_comes_next(data: Path) -> None:
    assert "No brake is on." in dibao("brake", "list").stdout
    put_on(LOGIN)
    (data / "HOLD").touch()
    text = dibao("brake", "list").stdout

    assert "This host is held by its file HOLD" in text
    assert "relay main" in text
    assert "The relay main refuses our login [535]" in text
    assert "a probe at" in text


def test_a_brake_is_released_and_stays_in_the_history() -> None:
    put_on(LOGIN)

    assert "refuses our login [535]" in dibao("brake", "release", "relay", "main").stdout
    assert said("brake", "list")["brakes"] == []
    (off,) = said("brake", "list", "--all")["brakes"]
    assert off["off_by"]
    assert "off 20" in dibao("brake", "list", "--all").stdout
    assert isinstance(dibao("brake", "release", "relay", "main").exception, BrakeNotOn)


def test_a_scope_that_is_none_is_wrong_usage() -> None:
    assert dibao("brake", "release", "world", "x").exit_code == 2
