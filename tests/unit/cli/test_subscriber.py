"""`dibao subscriber` adds, lists, shows and stops people, and says what it did."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mailer.cli import subscriber, suppression
from mailer.cli.subscriber import NotAdded
from mailer.cli.terminal import application
from subscribers.address import AddressInvalid
from subscribers.segment import SegmentNotFound
from subscribers.subscriber import SubscriberNotFound


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installation of its own for each test."""
    monkeypatch.setenv("DIBAO_DATA_DIR", str(tmp_path / "var"))
    application.cache_clear()
    yield
    application().database.close()
    application.cache_clear()


def dibao(*words: str) -> Result:
    return CliRunner().invoke(subscriber.app, words)


def said(*words: str) -> Any:
    return json.loads(dibao(*words, "--json").stdout)


def add(address: str, *more: str) -> Result:
    return dibao("add", address, "--basis", "told us so", "--segment", "ai", *more)


def test_a_person_is_added_with_the_ground_they_agreed_on() -> None:
    assert add("Ada@Example.org", "--name", "Ada", "--language", "zh_CN").exit_code == 0
    shown = said("show", "ada@example.org")

    assert shown["standing"]["mailable"] is True
    assert shown["standing"]["follows"] == ["ai"]
    assert shown["standing"]["subscriber"]["address"] == "Ada@example.org"
    assert shown["history"][0]["wording"] == "told us so"
    assert shown["history"][0]["actor"] == "command line"


def test_a_name_cannot_dress_up_as_markup() -> None:
    add("ada@example.org", "--name", "[/red][b]Ada")

    assert "[/red][b]Ada" in dibao("list").stdout
    assert "[/red][b]Ada" in dibao("show", "1").stdout


def test_what_is_wrong_with_a_person_is_said() -> None:
    assert isinstance(add("ada(at)example.org").exception, AddressInvalid)
    unknown = dibao("add", "ada@example.org", "--basis", "x", "--segment", "sport")
    assert isinstance(unknown.exception, SegmentNotFound)
    assert isinstance(dibao("show", "ada@example.org").exception, SubscriberNotFound)
    assert dibao("add", "ada@example.org", "--segment", "ai").exit_code == 2, "a basis is required"


def test_people_are_listed_by_part_state_and_page() -> None:
    for name in ("ada", "ben", "cleo"):
        add(f"{name}@example.org", "--name", name.title())
    dibao("unsubscribe", "cleo@example.org")

    assert [one["name"] for one in said("list", "be")] == ["Ben"]
    assert [one["name"] for one in said("list", "--state", "unsubscribed")] == ["Cleo"]
    assert "--after 2" in dibao("list", "--limit", "2").stdout
    assert isinstance(dibao("list", "--segment", "sport").exception, SegmentNotFound)


def test_somebody_leaves_one_segment_or_all() -> None:
    add("ada@example.org", "--segment", "luxury")
    dibao("unsubscribe", "1", "--segment", "ai")
    assert said("show", "1")["standing"]["follows"] == ["luxury"]
    dibao("unsubscribe", "1")
    shown = said("show", "1")

    assert shown["standing"]["subscriber"]["state"] == "unsubscribed"
    assert isinstance(add("ada@example.org").exception, NotAdded)


def test_somebody_suppressed_is_not_added() -> None:
    add("ada@example.org")
    CliRunner().invoke(suppression.app, ("add", "ada@example.org"))

    assert "the address is suppressed" in dibao("show", "1").stdout
    assert isinstance(add("ada@example.org").exception, NotAdded)
