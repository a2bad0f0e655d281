"""`dibao campaign create --exclude` leaves people out, and preview and explain say so."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mailer.campaigns.actions import SegmentExcluded
from mailer.cli import campaign, subscriber
from mailer.cli.terminal import application
from mailer.content import actions as content
from mailer.content.issue import Issue, Item, Section
from subscribers.segment import SegmentNotFound

ITEM = Item("models", "Models", "Text.", segments=("ai",))


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installation of its own, with an approved issue and two readers."""
    monkeypatch.setenv("DIBAO_DATA_DIR", str(tmp_path / "var"))
    application.cache_clear()
    app = application()
    with app.database.transaction() as session:
        issue = Issue(title="Weekly", slug="weekly", sections=(Section(items=(ITEM,)),))
        content.approve(session, content.save(session, issue, now=app.now()), now=app.now())
    for name, *more in (("ada", "--segment", "luxury"), ("ben",)):
        words = ("add", f"{name}@example.org", "--basis", "told us", "--segment", "ai", *more)
        CliRunner().invoke(subscriber.app, words)
    yield
    app.database.close()
    application.cache_clear()


def dibao(*words: str) -> Result:
    return CliRunner().invoke(campaign.app, words)


def test_who_is_in_an_excluded_segment_gets_no_letter_and_is_told_why() -> None:
    (made,) = json.loads(dibao("create", "weekly", "--exclude", "luxury", "--json").stdout)
    shown = dibao("preview", "1").stdout

    assert made["excluded_segments"] == ["luxury"]
    assert "Leaves out who is in luxury." in shown
    assert "1 of 2 people" in shown
    assert "without luxury" in dibao("status", "1").stdout
    assert "leaves out (luxury)" in dibao("explain", "1", "--recipient", "ADA@example.org").stdout
    assert "Reads the edition" in dibao("explain", "1", "--recipient", "ben@example.org").stdout


def test_what_cannot_be_left_out_is_refused() -> None:
    unknown = dibao("create", "weekly", "--exclude", "sport").exception

    assert isinstance(unknown, SegmentNotFound)
    assert isinstance(dibao("create", "weekly", "--exclude", "ai").exception, SegmentExcluded)
