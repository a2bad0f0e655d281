"""`dibao field` makes, lists and archives what is kept about people."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mailer.cli import field
from mailer.cli.terminal import application
from subscribers.fields import FieldExists, FieldInvalid, FieldKeyInvalid, FieldNotFound


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installation of its own for each test."""
    monkeypatch.setenv("DIBAO_DATA_DIR", str(tmp_path / "var"))
    application.cache_clear()
    yield
    application().database.close()
    application.cache_clear()


def dibao(*words: str) -> Result:
    return CliRunner().invoke(field.app, words)


def listed(*words: str) -> list[str]:
    return [each["key"] for each in json.loads(dibao("list", *words, "--json").stdout)]


def test_a_field_is_made_listed_and_archived() -> None:
    assert "Made field city (text)." in dibao("create", "city", "--label", "City").stdout
    dibao("create", "plan", "--kind", "choice", "--choice", "Free", "--choice", "Paid")

    assert listed() == ["city", "plan"]
    assert "Free, Paid" in dibao("list").stdout
    assert "Archived" in dibao("archive", "city").stdout
    assert listed() == ["plan"]
    assert listed("--archived") == ["city", "plan"]
    assert dibao("create", "city").exit_code == 0, "an archived one comes back"
    assert listed() == ["city", "plan"]


def test_what_cannot_be_a_field_is_refused() -> None:
    dibao("create", "city")
    dibao("create", "born", "--kind", "date")
    dibao("archive", "born")

    assert isinstance(dibao("create", "city").exception, FieldExists)
    assert isinstance(dibao("create", "born").exception, FieldExists)
    assert isinstance(dibao("create", "Größe").exception, FieldKeyInvalid)
    assert isinstance(dibao("create", "language").exception, FieldKeyInvalid)
    assert isinstance(dibao("create", "plan", "--kind", "choice").exception, FieldInvalid)
    assert isinstance(dibao("archive", "height").exception, FieldNotFound)
    assert dibao("create", "x", "--kind", "blob").exit_code == 2
