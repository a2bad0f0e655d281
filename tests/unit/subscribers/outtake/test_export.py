"""People go to a file: those asked for, whole or not at all, and the audit says so."""

import csv
import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from python_calamine import CalamineWorkbook
from sqlalchemy import update

from mailer.kit.database import Database
from mailer.kit.errors import Unavailable
from subscribers import actions, bulk
from subscribers.address import EmailAddress
from subscribers.fields import CustomField, Kind
from subscribers.models import SubscriberRow
from subscribers.outtake import audit, export, people, sheet
from subscribers.outtake.asked import USUAL, Asked, ColumnUnknown, Form, columns
from subscribers.outtake.export import Place, PlaceInvalid, people_to_file, remove, strays
from subscribers.outtake.sheet import SheetWriter
from subscribers.outtake.writers import Cell
from subscribers.subscriber import NewPerson, State
from subscribers.suppression import Reason
from tests.unit.subscribers.people import KEY, NOON, Cast, confirmed, subscribed

CAST = {"ada": ("ai", "luxury"), "ben": ("ai",), "cleo": ("ai",), "dan": ("ai",)}


@pytest.fixture
def peopled(database: Database) -> Database:
    """Ada confirmed, Ben pending, Cleo unsubscribed, Dan suppressed, Eve erased."""
    with database.transaction() as session:
        actions.ensure_segments(session)
        confirmed(session, "ada", "ai", "luxury")
        subscribed(session, "ben")
        cleo = confirmed(session, "cleo")
        confirmed(session, "dan")
        eve = confirmed(session, "eve")
        actions.unsubscribe(session, cleo, segments=None, now=NOON, source="link")
        actions.suppress(session, Cast.key("dan"), Reason.OPERATOR, now=NOON)
        actions.erase(session, eve, now=NOON, source="test")
    return database


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "var", timedelta(hours=24))


def written(database: Database, asked: Asked, place: Place) -> Path:
    _, path = people_to_file(database, asked, place, actor="test", now=NOON)
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def names(database: Database, place: Place, **asked: Any) -> list[str]:
    return [row["name"] for row in rows(written(database, Asked(**asked), place))]


def test_everybody_who_is_left_is_written_with_what_is_known_of_them(
    peopled: Database, place: Place
) -> None:
    asked = Asked(columns=(*USUAL, "consent", "consent_at", "consent_source", "consent_wording"))
    ada, ben, cleo, dan = rows(written(peopled, asked, place))

    assert (ada["address"], ada["name"], ada["state"]) == ("ada@example.org", "Ada", "confirmed")
    assert (ada["segments"], ada["tracking"]) == ("ai luxury", "all")
    assert ada["created_at"] == "2026-03-01T12:00:00+00:00"
    assert (ada["consent"], ada["consent_source"]) == ("confirmed", "link")
    assert (ben["consent"], ben["consent_wording"]) == ("subscribed", "Send me the news.")
    assert [each["state"] for each in (ben, cleo, dan)] == ["pending", "unsubscribed", "suppressed"]
    assert cleo["segments"] == ""


def test_each_filter_narrows_the_list(peopled: Database, place: Place) -> None:
    assert names(peopled, place, part="CLE") == ["Cleo"]
    for nobody in ("%", "_", "\\", "\0", "'", "x" * 100_000):
        assert names(peopled, place, part=nobody) == []
    assert names(peopled, place, state=State.SUPPRESSED) == ["Dan"]
    assert names(peopled, place, state=State.CONFIRMED) == ["Ada"]
    assert names(peopled, place, state=State.ERASED) == [""]
    assert names(peopled, place, segment="luxury") == ["Ada"]
    assert names(peopled, place, segment="ai", state=State.PENDING) == ["Ben"]


@pytest.mark.parametrize(
    ("field", "found"),
    [
        (("country", "US"), ["Ada"]),
        (("country", "us"), []),
        (("score", "5"), ["Ben"]),
        (("tags", "gold"), ["Ada", "Cleo"]),
        (("tags", "old"), []),
        (("missing", "x"), []),
    ],
)
def test_people_are_found_by_a_custom_field(
    peopled: Database, place: Place, field: tuple[str, str], found: list[str]
) -> None:
    values: dict[str, dict[str, object]] = {
        "Ada": {"country": "US", "tags": ["gold", "a b"]},
        "Ben": {"score": 5.0},
        "Cleo": {"tags": ["gold"]},
    }
    with peopled.transaction() as session:
        for name, fields in values.items():
            session.execute(
                update(SubscriberRow).where(SubscriberRow.name == name).values(fields=fields)
            )

    assert names(peopled, place, field=field) == found
    cells = Asked(columns=("name", "field:country", "field:score", "field:tags"))
    ada, ben, *_ = rows(written(peopled, cells, place))
    assert (ada["country"], ada["tags"], ben["score"]) == ("US", "gold, a b", "5.0")


def test_a_formula_in_a_name_is_text_in_every_form(peopled: Database, place: Place) -> None:
    evil = '=HYPERLINK("http://x.example";"Ada")'
    with peopled.transaction() as session:
        session.execute(update(SubscriberRow).where(SubscriberRow.name == "Ada").values(name=evil))

    assert names(peopled, place, part="ada@") == [f"'{evil}"]
    assert names(peopled, place, part="ada@", raw=True) == [evil]
    book = written(peopled, Asked(Form.XLSX, part="ada@", columns=("id", "name")), place)
    ((heading, row),) = [
        s.to_python() for s in [CalamineWorkbook.from_path(book).get_sheet_by_index(0)]
    ]
    assert (heading, row[1]) == (["id", "name"], evil)
    assert "<f>" not in sheet_xml(book)


def sheet_xml(book: Path) -> str:
    with zipfile.ZipFile(book) as parts:
        return parts.read("xl/worksheets/sheet1.xml").decode()


def test_json_holds_values_as_they_are(peopled: Database, place: Place) -> None:
    wanted = ("id", "address", "segments")
    array = json.loads(written(peopled, Asked(Form.JSON, columns=wanted), place).read_text())
    lines = written(peopled, Asked(Form.LINES, columns=wanted), place).read_text().splitlines()

    assert array[0] == {"id": 1, "address": "ada@example.org", "segments": ["ai", "luxury"]}
    assert [json.loads(line) for line in lines] == array
    nobody = Asked(Form.JSON, columns=wanted, part="nobody at all")
    assert json.loads(written(peopled, nobody, place).read_text()) == []
    assert written(peopled, Asked(Form.LINES, part="nobody at all"), place).read_text() == ""


def test_excel_is_told_that_a_csv_is_utf_8_where_asked(peopled: Database, place: Place) -> None:
    assert written(peopled, Asked(bom=True), place).read_bytes().startswith(b"\xef\xbb\xbfid,")
    assert written(peopled, Asked(), place).read_bytes().startswith(b"id,")


def test_what_a_sheet_has_no_room_for_goes_on_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    writer = SheetWriter(path, Asked(columns=("id", "name")), folder=tmp_path, rows=3)

    writer.write([[n, f"Reader {n}"] for n in range(5)])
    writer.close()

    book = CalamineWorkbook.from_path(path)
    found = [book.get_sheet_by_index(n).to_python() for n in range(3)]
    assert [[row[0] for row in one] for one in found] == [["id", 0, 1], ["id", 2, 3], ["id", 4]]
    assert sheet.ROWS == 1_048_576


def test_the_audit_says_who_wrote_which_people_where_and_until_when(
    peopled: Database, place: Place
) -> None:
    noted, path = people_to_file(
        peopled, Asked(part="a", state=State.CONFIRMED), place, actor="Wen", now=NOON
    )

    assert (noted.kind, noted.form, noted.rows, noted.actor) == ("subscribers", "csv", 1, "Wen")
    assert noted.asked == {"columns": list(USUAL), "part": "a", "state": "confirmed"}
    assert noted.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert noted.octets == path.stat().st_size
    assert noted.expires_at == NOON + timedelta(hours=24)
    assert path == place.data_dir / "exports" / noted.file_name
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with peopled.reading() as session:
        assert audit.exports(session) == (noted,)
        assert audit.kept(session, expired_at=NOON) == ()
        assert audit.kept(session, expired_at=NOON + timedelta(days=1)) == (noted,)

    assert remove(peopled, place.data_dir, noted, NOON)
    assert not remove(peopled, place.data_dir, noted, NOON)
    with peopled.reading() as session:
        assert audit.export(session, noted.id).removed_at == NOON
        with pytest.raises(audit.ExportNotFound):
            audit.export(session, 99)


def test_a_file_of_ones_own_has_no_term(peopled: Database, tmp_path: Path) -> None:
    place = Place(tmp_path / "var", timedelta(hours=24), tmp_path / "people.csv")

    noted, path = people_to_file(peopled, Asked(), place, actor="test", now=NOON)

    assert path == tmp_path / "people.csv"
    assert (noted.file_name, noted.expires_at, noted.asked["file"]) == ("", None, "people.csv")
    assert not remove(peopled, place.data_dir, noted, NOON)
    assert path.exists()


@pytest.mark.parametrize("form", list(Form))
def test_an_interrupted_export_leaves_no_file(
    peopled: Database, tmp_path: Path, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Iterator[list[list[Cell]]]:
        yield [["x"] * len(USUAL)]
        raise KeyboardInterrupt

    monkeypatch.setattr(people, "rows", interrupted)
    place = Place(tmp_path / "var", timedelta(hours=24), tmp_path / "mine" / "people")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "people").write_text("the one before")
    for where in (place, Place(tmp_path / "var", timedelta(hours=24))):
        with pytest.raises(KeyboardInterrupt):
            people_to_file(peopled, Asked(form), where, actor="test", now=NOON)

    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["people"]
    assert (tmp_path / "mine" / "people").read_text() == "the one before"
    assert list((tmp_path / "var" / "exports").iterdir()) == []
    with peopled.reading() as session:
        begun = audit.exports(session)
        assert [(each.rows, each.sha256, each.removed_at) for each in begun] == [(0, "", NOON)] * 2


def test_a_place_that_is_none_is_refused(peopled: Database, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # as a device, it would be replaced by a file
    for nowhere in (tmp_path, tmp_path / "not" / "there.csv", pipe):
        place = Place(tmp_path / "var", timedelta(hours=24), nowhere)
        with pytest.raises(PlaceInvalid):
            people_to_file(peopled, Asked(), place, actor="test", now=NOON)


def test_a_full_disk_is_nobodys_bug(
    peopled: Database, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path) -> tuple[int, str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "_sealed", full)

    with pytest.raises(Unavailable, match="No space left"):
        people_to_file(peopled, Asked(), place, actor="test", now=NOON)
    assert list((place.data_dir / "exports").iterdir()) == []


def test_what_a_killed_export_left_is_found(peopled: Database, place: Place) -> None:
    noted, path = people_to_file(peopled, Asked(), place, actor="test", now=NOON)
    left = path.parent / ".unfinished-abc"
    left.mkdir()
    later = (datetime.now().astimezone() + timedelta(hours=1)).timestamp()

    assert strays(place.data_dir, frozenset({noted.file_name}), later) == (left,)
    assert strays(place.data_dir, frozenset({noted.file_name}), 0) == ()


def test_many_people_are_read_in_portions(
    database: Database, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "STEP", 7)
    with database.transaction() as session:
        actions.ensure_segments(session)
        crowd = [
            NewPerson(EmailAddress.parse(f"reader{n}@example.org"), f"R{n}", ("ai",))
            for n in range(40)
        ]
        bulk.add_confirmed(session, crowd, now=NOON, key=KEY, source="test", wording="Yes.")
    advanced: list[tuple[int, int]] = []

    people_to_file(
        database,
        Asked(columns=("name", "segments", "consent")),
        place,
        actor="test",
        now=NOON,
        advance=lambda done, total: advanced.append((done, total)),
    )

    assert advanced == [(min(n, 40), 40) for n in range(7, 48, 7)]


def test_an_address_is_struck_from_what_was_asked(peopled: Database, place: Place) -> None:
    for part in ("ada@example.org", "da@exam", "org"):
        people_to_file(peopled, Asked(part=part), place, actor="test", now=NOON)

    with peopled.transaction() as session:
        assert audit.strike(session, ["ada@example.org"]) == 3
        assert {each.asked["part"] for each in audit.exports(session)} == {"(erased)"}
        assert audit.strike(session, [""]) == 0


def test_columns_are_named_or_the_usual_ones() -> None:
    fields = [CustomField("country", "Country", Kind.TEXT).key]

    assert columns([], fields) == (*USUAL, "field:country")
    assert columns(["name", "country", "name"], fields) == ("name", "field:country")
    assert columns(["field:country"], fields) == ("field:country",)
    with pytest.raises(ColumnUnknown, match=r"adress.*address.*country"):
        columns(["adress"], fields)
