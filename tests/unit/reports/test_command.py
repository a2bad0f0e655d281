"""`dibao report` for people, for programs and for spreadsheets."""

import csv
import io
import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from mailer import cli
from mailer.cli import report as command
from mailer.kit.database import Database
from mailer.reports import queries
from tests.unit.tracking.scene import Scene, sent


@pytest.fixture
def scene(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> Scene:
    class App:
        database = sqlite_database

    monkeypatch.setattr(command, "application", App)
    scene = sent(sqlite_database)
    scene.load(scene.hit("Ada"), scene.hit("Ada", "chips"), scene.hit("Ben", agent="Mozilla/5.0"))
    return scene


def run(*words: str) -> str:
    result = CliRunner().invoke(cli.app, ["report", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_json_holds_everything_with_names_for_what_is_divided(scene: Scene) -> None:
    found = json.loads(run(str(scene.campaign), "--json"))

    assert found["total"]["mailing"]["accepted"] == 4
    rate = next(r for r in found["total"]["rates"] if r["name"] == "opened-person")
    assert (rate["numerator"], rate["denominator"]) == (1, 3)
    assert rate["share"] == pytest.approx(1 / 3, abs=1e-5)
    assert "with a pixel" in rate["of"]


def test_csv_has_a_line_for_everything(scene: Scene) -> None:
    rows = list(csv.DictReader(io.StringIO(run(str(scene.campaign), "--csv"))))

    assert [row["scope"] for row in rows[:4]] == ["total", "segment", "segment", "segment"]
    chips = next(row for row in rows if row["scope"] == "item" and row["key"] == "chips")
    assert chips["clicked_person"] == "1"
    assert all(None not in row and None not in row.values() for row in rows)


def test_people_get_tables(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    class App:
        database = scene.database

    command.show(App(), scene.campaign)  # type: ignore[arg-type]

    shown = capsys.readouterr().out
    assert "Chips with gold" in shown
    assert "1 (33.3%)" in shown
    assert "never added" in shown


def test_no_cell_of_the_csv_is_a_formula(scene: Scene) -> None:
    with scene.database.reading() as session:
        line = queries.report(session, scene.campaign).total
    evil = replace(line, name='=HYPERLINK("https://evil.example")')

    row = list(command._row("total", evil))  # noqa: SLF001

    assert row[2] == '\'=HYPERLINK("https://evil.example")'
