"""`dibao segment` makes segments and counts who follows them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mailer.cli import segment
from mailer.cli.terminal import application
from subscribers.segment import SegmentExists, SegmentKeyInvalid


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installation of its own for each test."""
    monkeypatch.setenv("DIBAO_DATA_DIR", str(tmp_path))
    application.cache_clear()
    yield
    application().database.close()
    application.cache_clear()


def test_a_new_installation_has_the_three_starting_segments() -> None:
    shown = CliRunner().invoke(segment.app, ["list"])
    listed = CliRunner().invoke(segment.app, ["list", "--json"])

    assert shown.exit_code == 0
    assert "人工智能" in shown.stdout
    assert [one["segment"]["key"] for one in json.loads(listed.stdout)] == [
        "e-commerce",
        "ai",
        "luxury",
    ]


def test_a_segment_is_made_once_under_a_key_that_needs_no_quoting() -> None:
    words = ["create", "deep-tech", "Deep [b]tech", "--zh", "硬科技"]
    made = CliRunner().invoke(segment.app, [*words, "--json"])

    assert json.loads(made.stdout)["names"] == {"en": "Deep [b]tech", "zh": "硬科技"}
    assert "Deep [b]tech" in CliRunner().invoke(segment.app, ["list"]).stdout
    again = CliRunner().invoke(segment.app, words)
    assert isinstance(again.exception, SegmentExists)
    bad = CliRunner().invoke(segment.app, ["create", "Deep Tech", "Deep tech"])
    assert isinstance(bad.exception, SegmentKeyInvalid)
