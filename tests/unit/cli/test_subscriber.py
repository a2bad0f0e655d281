"""`dibao subscriber` adds, imports, shows, stops and releases people, and says what it did."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mailer.cli import subscriber
from mailer.cli.subscriber import INTERRUPTED, PARTLY, NotAdded
from mailer.cli.terminal import application
from mailer.kit.errors import Unavailable
from subscribers import bulk, intake
from subscribers.address import AddressInvalid
from subscribers.segment import SegmentNotFound
from subscribers.spreadsheet import FileInvalid
from subscribers.subscriber import SubscriberNotFound
from subscribers.suppression import NotSuppressed

PEOPLE = """email,name,segments,phone
ada@example.org,Ada,ai luxury,1
ben@example.org,Ben,ai,2
ada@example.org,Ada,ai,1
cleo(at)example.org,Cleo,ai,3
"""


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installation of its own for each test."""
    monkeypatch.setenv("DIBAO_DATA_DIR", str(tmp_path / "var"))
    application.cache_clear()
    yield
    application().database.close()
    application.cache_clear()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Ada twice, Ben, and a line that is no address."""
    place = tmp_path / "people.csv"
    place.write_text(PEOPLE, encoding="utf-8")
    return place


def dibao(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(subscriber.app, words, input=stdin)


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


def test_a_file_is_imported_and_what_is_refused_is_kept_with_its_line(
    file: Path, tmp_path: Path
) -> None:
    refused = tmp_path / "refused.csv"
    done = dibao("import", str(file), "--basis", "the fair", "--refused", str(refused), "--json")
    sums = json.loads(done.stdout)

    assert done.exit_code == PARTLY
    assert (sums["rows"], sums["added"], sums["duplicates"], sums["refused"]) == (4, 2, 1, 1)
    assert sums["ignored_columns"] == ["phone"]
    assert refused.read_text(encoding="utf-8").splitlines()[1].startswith("5,email: ")
    assert [one["name"] for one in said("list")] == ["Ada", "Ben"]


def test_an_import_is_shown_in_words(file: Path) -> None:
    shown = dibao("import", str(file), "--basis", "the fair", "--dry-run").stdout

    assert "line 5: email: " in shown
    assert "Not read: phone" in shown
    assert "nothing was stored" in shown
    assert said("list") == []


def test_a_clean_import_from_standard_input_ends_well() -> None:
    done = dibao("import", "-", "--basis", "x", "--segment", "ai", stdin="email\nada@example.org\n")

    assert done.exit_code == 0
    assert len(said("list", "--segment", "ai")) == 1


def test_an_import_of_the_wrong_thing_is_refused(file: Path, tmp_path: Path) -> None:
    assert dibao("import", str(tmp_path / "none.csv"), "--basis", "x").exit_code == 2
    assert dibao("import", str(file)).exit_code == 2
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04")
    workbook = dibao("import", str(tmp_path / "book.xlsx"), "--basis", "x")
    assert isinstance(workbook.exception, FileInvalid)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), Unavailable("The database is away")])
def test_an_import_stopped_half_way_says_where_to_go_on(
    file: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    monkeypatch.setattr(intake, "BATCH", 1)
    store, calls = bulk.store, list[int]()

    def stopping(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise stop
        return store(*args, **options)

    monkeypatch.setattr(bulk, "store", stopping)
    done = dibao("import", str(file), "--basis", "the fair")
    monkeypatch.setattr(bulk, "store", store)

    assert "up to line 2 is stored" in done.stderr
    if isinstance(stop, KeyboardInterrupt):
        assert done.exit_code == INTERRUPTED
    else:
        assert done.exception is stop
    assert [one["name"] for one in said("list")] == ["Ada"]
    assert dibao("import", str(file), "--basis", "the fair").exit_code == PARTLY
    assert [one["name"] for one in said("list")] == ["Ada", "Ben"]


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


def test_an_address_is_suppressed_and_released_with_a_reason() -> None:
    add("ada@example.org")
    assert "Suppressed." in dibao("suppress", "ada@example.org", "--evidence", "a letter").stdout
    assert said("suppress", "ada@example.org")["new"] is False
    assert "the address is suppressed" in dibao("show", "1").stdout
    assert isinstance(add("ada@example.org").exception, NotAdded)
    assert said("lift", "ada@example.org", "--reason", "a mix-up") == {"lifted": "operator"}
    again = dibao("lift", "ada@example.org", "--reason", "a mix-up")

    assert isinstance(again.exception, NotSuppressed)
    assert said("show", "1")["standing"]["mailable"] is True


def test_nobody_is_suppressed_as_erased_by_hand() -> None:
    assert dibao("suppress", "ada@example.org", "--reason", "erased").exit_code == 2
