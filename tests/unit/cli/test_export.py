"""`dibao export`, `dibao person` and `dibao retention` do what they are asked, and say it."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mailer.cli import app
from mailer.cli.terminal import application
from mailer.privacy.erasing import ReasonInvalid
from subscribers.fields import FieldNotFound
from subscribers.outtake.asked import ColumnUnknown
from subscribers.segment import SegmentNotFound

PEOPLE = [("ada@example.org", "Ada"), ("ben@example.org", '=HYPERLINK("x")')]


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ada, and Ben with a name that a spreadsheet would run."""
    monkeypatch.setenv("DIBAO_DATA_DIR", str(tmp_path / "var"))
    application.cache_clear()
    for address, name in PEOPLE:
        said = ("--basis", "told us so", "--segment", "ai", "--name", name)
        assert dibao("subscriber", "add", address, *said).exit_code == 0
    assert dibao("field", "create", "country", "--kind", "text").exit_code == 0
    yield
    application().database.close()
    application.cache_clear()


def dibao(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, words, input=stdin)


def said(*words: str) -> Any:
    return json.loads(dibao(*words, "--json").stdout)


def test_people_go_to_the_file_asked_for_in_the_form_of_its_name(tmp_path: Path) -> None:
    done = dibao("export", "create", "-o", str(tmp_path / "people.jsonl"), "--segment", "ai")

    assert done.exit_code == 0
    assert "2 people" in done.stdout
    lines = (tmp_path / "people.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == [name for _, name in PEOPLE]
    assert json.loads(lines[0])["country"] is None


def test_without_a_place_the_file_is_kept_for_a_while_listed_and_removed() -> None:
    done = said("export", "create", "--part", "ben", "--column", "name")
    file = Path(done["file"])

    assert file.read_text() == 'name\n"\'=HYPERLINK(""x"")"\n'
    (listed,) = said("export", "list")
    assert listed == done["export"]
    assert "until 2" in dibao("export", "list").stdout
    assert dibao("export", "remove", "1").stdout == "Removed.\n"
    assert not file.exists()
    assert said("export", "remove", "1") == {"removed": False}
    assert "removed" in dibao("export", "list").stdout


def test_raw_cells_come_with_a_warning() -> None:
    done = dibao("export", "create", "--raw", "--column", "name", "--json")

    assert "runs in whoever opens" in done.stderr
    assert '"=HYPERLINK(""x"")"' in Path(json.loads(done.stdout)["file"]).read_text()


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (("--column", "phone"), ColumnUnknown),
        (("--field", "country"), ColumnUnknown),
        (("--field", "shoe=42"), FieldNotFound),
        (("--segment", "none"), SegmentNotFound),
    ],
)
def test_what_there_is_not_is_refused(words: tuple[str, ...], refusal: type[Exception]) -> None:
    assert isinstance(dibao("export", "create", *words).exception, refusal)


def test_people_are_found_by_a_field() -> None:
    assert said("export", "create", "--field", "country=US")["export"]["rows"] == 0


def test_everything_on_a_person_is_shown_and_written(tmp_path: Path) -> None:
    assert "Subscriber 1: Ada <ada@example.org>" in dibao("person", "export", "1").stdout
    assert said("person", "export", "ada@example.org")["held"]["follow"]

    dibao("person", "export", "ada@example.org", "-o", str(tmp_path / "ada.json"))
    dibao("person", "export", "2", "--csv-folder", str(tmp_path / "ben"))

    written = json.loads((tmp_path / "ada.json").read_text())
    assert written["held"]["wording"][0]["text"] == "told us so"
    assert (tmp_path / "ada.json").stat().st_mode & 0o777 == 0o600
    with (tmp_path / "ben" / "subscriber.csv").open() as file:
        (ben,) = csv.DictReader(file)
    assert ben["name"].startswith("'=HYPERLINK")
    assert "consent" in (tmp_path / "ben" / "summary.txt").read_text()
    audited = said("export", "list")
    assert [each["kind"] for each in audited] == ["person"] * 4
    assert "example.org" not in json.dumps(audited)


def test_an_erasure_is_confirmed_said_and_done_again_in_vain() -> None:
    words = ("person", "erase", "ada@example.org", "--reason", "asked by letter")
    assert dibao(*words, stdin="n\n").exit_code == 1
    assert said("person", "export", "ada@example.org")["subject"]["address"]

    done = dibao(*words, stdin="y\n")

    assert done.exit_code == 0
    assert "Ada <ada@example.org>" in done.stderr
    assert "Erased: subscriber 1." in done.stdout
    assert "follow: 1 rows gone" in done.stdout
    assert said(*words, "--yes")["left"] == []
    assert "their data was erased" in dibao("person", "export", "ada@example.org").stdout
    nobody = dibao("person", "erase", "eve@example.org", "--reason", "asked", "--yes")
    assert "Nobody subscribes" in nobody.stdout


def test_what_somebody_typed_is_named_with_an_exit_code_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "var" / "notes.txt").write_text("ada@example.org")

    done = dibao("person", "erase", "1", "--reason", "asked", "--yes")

    assert done.exit_code == 7
    assert "notes.txt" in done.stdout
    named = dibao("person", "erase", "2", "--reason", "ben@example.org wrote", "--yes")
    assert isinstance(named.exception, ReasonInvalid)


def test_retention_says_what_would_go_before_it_goes() -> None:
    would = said("retention", "run", "--dry-run")
    assert {part["kind"] for part in would["parts"]} >= {"events", "replies", "exports"}
    assert "Dry run" in dibao("retention", "run", "--dry-run").stdout
    assert said("retention", "run")["parts"][0]["found"] == 0
    assert dibao("retention", "run").exit_code == 0
