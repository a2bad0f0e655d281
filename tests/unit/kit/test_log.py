"""A line of the log is for a person or for a machine, and goes to standard error."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from mailer.kit import log


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    before = logging.getLogger().handlers[:]
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = before


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json", "info")
    structlog.get_logger().info("batch leased", campaign=7, batch=3)

    printed = capsys.readouterr()
    line = json.loads(printed.err)
    assert printed.out == ""
    assert (line["event"], line["campaign"], line["batch"]) == ("batch leased", 7, 3)
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")


def test_what_lies_below_the_level_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("console", "warning")
    structlog.get_logger().info("batch leased")
    structlog.get_logger().warning("relay away")

    printed = capsys.readouterr().err
    assert "batch leased" not in printed
    assert "relay away" in printed


def test_an_exception_is_told_whole_and_on_one_line_for_machines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure("json", "info")
    try:
        int("no such reply")
    except ValueError:
        structlog.get_logger().exception("sweep failed")

    (line,) = capsys.readouterr().err.splitlines()
    assert "no such reply" in json.loads(line)["exception"]


def test_a_library_that_warns_is_heard_too(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("console", "error")
    logging.getLogger("somebody.else").warning("pool is full")

    assert "pool is full" in capsys.readouterr().err


def test_where_nobody_reads_the_log_any_more_nothing_stops(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = (tmp_path / "terminal").open("w")
    monkeypatch.setattr(sys, "stderr", gone)
    log.configure("console", "warning")
    gone.close()

    structlog.get_logger().warning("relay away")


def test_the_log_goes_to_what_standard_error_is_now(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as before:
        before.setattr(sys, "stderr", io.StringIO())
        log.configure("console", "warning")

    structlog.get_logger().warning("relay away")

    assert "relay away" in capsys.readouterr().err
