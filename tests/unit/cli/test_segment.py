"""`dibao segment` makes segments, with rules and without, and counts who is in them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mailer.cli import segment
from mailer.cli.terminal import application
from subscribers import actions
from subscribers.address import EmailAddress
from subscribers.rules.tree import RuleInvalid
from subscribers.segment import SegmentExists, SegmentInUse, SegmentKeyInvalid, SegmentStale


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


def dibao(*words: str) -> Result:
    return CliRunner().invoke(segment.app, list(words))


def answer(*words: str) -> Any:
    found = dibao(*words, "--json")
    assert found.exit_code == 0, found.exception
    return json.loads(found.stdout)


def someone(name: str, *segments: str) -> None:
    """Somebody at Gmail who has confirmed."""
    house = segment.house_with_segments()
    with house.database.transaction() as session:
        person = actions.subscribe(
            session,
            EmailAddress.parse(f"{name}@gmail.com"),
            key=house.address_key,
            segments=segments,
            source="form",
            wording="",
            now=house.now(),
        )
        actions.confirm(session, person, now=house.now(), source="link")


def test_a_rule_is_read_said_back_and_counted() -> None:
    someone("ada", "ai")
    checked = answer("check", 'follows:ai and not provider = "qq"')

    assert checked["words"] == "People who follow AI and whose mailbox provider is not qq."
    assert checked["text"] == 'follows:ai and not provider = "qq"'
    assert (checked["count"]["people"], checked["count"]["mailable"]) == (1, 1)
    shown = dibao("check", "follows:ai").stdout
    assert "People who follow AI." in shown
    assert "1 people as of 20" in shown


def test_a_rule_that_cannot_be_is_refused_with_its_place() -> None:
    refused = dibao("check", "follows:ai and contry = US")

    assert isinstance(refused.exception, RuleInvalid)
    assert str(refused.exception) == "line 1, column 16: there is no field contry"
    assert isinstance(dibao("check").exception, segment.RuleMissing)
    assert isinstance(dibao("check", "@nowhere").exception, segment.RuleUnreadable)


def test_a_segment_with_a_rule_lives_through_its_versions(tmp_path: Path) -> None:
    someone("ada", "ai")
    someone("ben", "luxury")
    file, tree = tmp_path / "rule", tmp_path / "rule.json"
    file.write_text("provider = gmail\n", encoding="utf-8")
    made = answer("create", "g", "Gmail", "--rule", f"@{file}")
    assert (made["revision"], made["rule"]["field"]) == (1, "provider")
    assert answer("count", "g")["people"] == 2

    tree.write_text(json.dumps(answer("check", "in:g and follows:ai")["rule"]), encoding="utf-8")
    answer("create", "both", "Both", "--json-rule", str(tree))
    assert answer("count", "both")["people"] == 1
    sampled = answer("sample", "both", "--limit", "5")["people"]
    assert [each["address"] for each in sampled] == ["ada@gmail.com"]

    assert answer("revise", "g", "--rule", "provider = qq")["revision"] == 2
    assert isinstance(
        dibao("revise", "g", "--rule", "opened", "--seen", "1").exception, SegmentStale
    )
    shown = answer("show", "g")
    assert [version["number"] for version in shown["versions"]] == [2, 1]
    assert shown["text"] == 'provider = "qq"'
    assert 'provider = "gmail"' in dibao("show", "g").stdout

    assert isinstance(dibao("archive", "g").exception, SegmentInUse)
    assert answer("archive", "both")["archived_at"]
    assert "both" not in dibao("list").stdout


def test_segments_are_laid_over_each_other() -> None:
    someone("ada", "ai", "luxury")
    someone("ben", "luxury")
    answer("create", "g", "Gmail", "--rule", "provider = gmail")
    shared = answer("overlap", "ai", "luxury", "g")

    assert shared["together"] == [[1, 1, 1], [1, 2, 2], [1, 2, 2]]
    assert shared["alone"] == [0, 0, 0]
    assert shared["people"] == 2
    shown = dibao("overlap").stdout
    assert "2 (100%)" in shown
    assert "as of" in shown


def test_one_person_is_explained() -> None:
    someone("ada", "ai")
    answer("create", "s", "Some", "--rule", "follows:ai and (opened or provider = gmail)")
    explained = answer("explain", "s", "ada@gmail.com")

    assert explained["in"] is True
    assert {each["condition"]: each["holds"] for each in explained["conditions"]} == {
        "follows:ai": True,
        "opened": False,
        'provider = "gmail"': True,
        'follows:ai and (opened or provider = "gmail")': True,
    }
    assert "In s." in dibao("explain", "s", "ada@gmail.com").stdout


def test_a_segment_is_made_once_under_a_key_that_needs_no_quoting() -> None:
    words = ["create", "deep-tech", "Deep [b]tech", "--zh", "硬科技"]
    made = CliRunner().invoke(segment.app, [*words, "--json"])

    assert json.loads(made.stdout)["names"] == {"en": "Deep [b]tech", "zh": "硬科技"}
    assert "Deep [b]tech" in CliRunner().invoke(segment.app, ["list"]).stdout
    again = CliRunner().invoke(segment.app, words)
    assert isinstance(again.exception, SegmentExists)
    bad = CliRunner().invoke(segment.app, ["create", "Deep Tech", "Deep tech"])
    assert isinstance(bad.exception, SegmentKeyInvalid)
