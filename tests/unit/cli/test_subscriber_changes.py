"""`dibao subscriber` changes what is known of somebody, what they want, and their address."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mailer.cli import field as fields
from mailer.cli import subscriber
from mailer.cli.terminal import application
from subscribers.fields import FieldInvalid, FieldNotFound
from subscribers.subscriber import (
    AddressTaken,
    FrequencyInvalid,
    LanguageInvalid,
    PauseInvalid,
    SubscriberNotFound,
    TimezoneInvalid,
)


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


def add(address: str) -> Result:
    return dibao("add", address, "--basis", "told us so", "--segment", "ai")


def field(*words: str) -> Result:
    return CliRunner().invoke(fields.app, words)


def test_details_wishes_and_custom_fields_are_set_and_shown() -> None:
    add("ada@example.org")
    field("create", "city", "--label", "City")
    field("create", "born", "--kind", "date")
    field("create", "plan", "--kind", "choice", "--choice", "Free", "--choice", "Paid")
    done = dibao(
        *("set", "1", "city=Paris", "plan=paid", "born=1990-02-28", "name=Ada L.", "language=FR"),
        *("timezone=Europe/Paris", "frequency=monthly", "tracking=clicks"),
    )
    person = said("show", "1")["standing"]["subscriber"]

    assert done.exit_code == 0, done.output
    assert person["fields"] == {"city": "Paris", "plan": "Paid", "born": "1990-02-28"}
    assert (person["name"], person["language"], person["timezone"]) == (
        "Ada L.",
        "fr",
        "Europe/Paris",
    )
    assert (person["frequency"], person["tracking"]) == ("monthly", 2)
    shown = dibao("show", "1").stdout
    assert "City: Paris" in shown
    assert "Wants monthly letters" in shown
    assert "Paris" in dibao("list").stdout
    assert said("list", "--field", "city=Paris")[0]["id"] == 1
    assert said("list", "--field", "city=Rome") == []
    dibao("set", "1", "city=", "frequency=every")
    person = said("show", "1")["standing"]["subscriber"]
    assert "city" not in person["fields"]
    assert not person["frequency"]


@pytest.mark.parametrize(
    ("pair", "refusal"),
    [
        ("height=3", FieldNotFound),
        ("born=yesterday", FieldInvalid),
        ("timezone=Mars/Olympus", TimezoneInvalid),
        ("frequency=daily", FrequencyInvalid),
        ("language=klingon!", LanguageInvalid),
    ],
)
def test_what_cannot_be_set_is_refused_and_nothing_is_stored(pair: str, refusal: type) -> None:
    add("ada@example.org")
    field("create", "born", "--kind", "date")

    assert isinstance(dibao("set", "1", "name=Eve", pair).exception, refusal)
    assert said("show", "1")["standing"]["subscriber"]["name"] == ""


@pytest.mark.parametrize("pair", ["city", "=Paris", "tracking=everything"])
def test_what_is_no_pair_is_wrong_usage(pair: str) -> None:
    add("ada@example.org")

    assert dibao("set", "1", pair).exit_code == 2


def test_somebody_pauses_and_resumes() -> None:
    add("ada@example.org")

    assert "no letters until 2999-01-01" in dibao("pause", "1", "2999-01-01").stdout
    assert said("show", "1")["standing"]["mailable"] is False
    assert said("resume", "1")["standing"]["mailable"] is True
    assert isinstance(dibao("pause", "1", "2001-01-01").exception, PauseInvalid)
    assert dibao("pause", "1", "soon").exit_code == 2


def test_an_address_moves_and_its_history_stays() -> None:
    add("ada@example.org")
    add("ben@example.org")
    shown = said("move", "ADA@example.org", "lovelace@example.org")

    assert shown["standing"]["subscriber"]["address"] == "lovelace@example.org"
    assert [entry["act"] for entry in shown["history"]] == ["imported", "address-changed"]
    assert isinstance(dibao("show", "ada@example.org").exception, SubscriberNotFound)
    assert isinstance(dibao("move", "1", "ben@example.org").exception, AddressTaken)
