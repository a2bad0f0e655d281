"""`dibao suppression` holds addresses back, one or a list, and lets them go with a reason."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mailer.cli import suppression
from mailer.cli.terminal import PARTLY, application
from subscribers.suppression import LiftingReasonMissing, NotSuppressed
from subscribers.suppression_list import ListInvalid


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installation of its own for each test."""
    monkeypatch.setenv("DIBAO_DATA_DIR", str(tmp_path / "var"))
    application.cache_clear()
    yield
    application().database.close()
    application.cache_clear()


def dibao(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(suppression.app, words, input=stdin)


def said(*words: str, stdin: str = "") -> Any:
    return json.loads(dibao(*words, "--json", stdin=stdin).stdout)


def test_an_address_is_suppressed_and_released_with_a_reason() -> None:
    assert "Suppressed." in dibao("add", "ada@example.org", "--evidence", "a letter").stdout
    assert said("add", "ADA@example.org")["new"] is False
    (one,) = said("list")
    assert (one["suppression"]["reason"], one["suppression"]["evidence"]) == (
        "operator",
        "a letter",
    )
    assert (one["address"], one["subscriber"]) == ("", None), "known by its hash only"
    assert isinstance(
        dibao("lift", "ada@example.org", "--reason", " ").exception, LiftingReasonMissing
    )
    assert said("lift", "ada@example.org", "--reason", "a mix-up") == {"lifted": "operator"}
    again = dibao("lift", "ada@example.org", "--reason", "a mix-up")

    assert isinstance(again.exception, NotSuppressed)
    assert said("list") == []
    assert "a mix-up" in dibao("list", "--lifted").stdout


def test_a_scope_is_kept() -> None:
    found = said("add", "ada@example.org", "--reason", "asked", "--scope", "campaigns")

    assert found["suppression"]["scope"] == "campaigns"
    assert said("add", "ada@example.org", "--reason", "bounced")["suppression"]["scope"] == "all"
    assert dibao("add", "ada@example.org", "--scope", "some").exit_code == 2


def test_nobody_is_suppressed_as_erased_by_hand() -> None:
    assert dibao("add", "ada@example.org", "--reason", "erased").exit_code == 2
    assert dibao("import", "-", "--reason", "erased").exit_code == 2


def test_a_list_is_suppressed_and_what_is_no_address_is_said(tmp_path: Path) -> None:
    file = tmp_path / "optouts.csv"
    file.write_text(
        "name;Email\nAda;ada@example.org\nBen;ben(at)example.org\nCleo;cleo@example.org\n"
    )
    done = dibao("import", str(file))

    assert done.exit_code == PARTLY
    assert "2 addresses, of which 2 were not suppressed so far." in done.stdout
    assert "line 3: " in done.stdout
    assert "ben" not in done.stdout, "no refusal repeats an address"
    assert {each["suppression"]["reason"] for each in said("list")} == {"asked"}
    assert said("import", "-", stdin="ada@example.org\n\ndan@example.org\n") == {
        "addresses": 2,
        "new": 1,
        "refused": 0,
        "refusals": [],
    }
    assert isinstance(dibao("import", "-", stdin="phone\n1\n").exception, ListInvalid)
    assert dibao("import", str(tmp_path / "none.csv")).exit_code == 2
