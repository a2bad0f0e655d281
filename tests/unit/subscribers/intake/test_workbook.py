"""A workbook's first sheet is a table; one made to harm is refused before it is expanded."""

import hashlib
import io
import struct
import time
import zipfile
from datetime import datetime
from pathlib import Path

import pytest

from subscribers.intake import archive, measure
from subscribers.intake.opening import opened
from subscribers.intake.row import FileInvalid, Refusal, Row
from subscribers.intake.workbook import Workbook
from tests.unit.subscribers.intake.books import cell, ods, packed, replaced, row, xlsx

HEAD = ("Email", "Name", "Joined", "Score", "VIP")
PEOPLE = (
    HEAD,
    ("ada@example.org", "Ada", datetime(2026, 3, 1), 3, True),  # noqa: DTZ001
    (),
    ("ben@example.org", "王小明", datetime(2026, 3, 1, 9, 30), 2.5, False),  # noqa: DTZ001
)
SHEET = "xl/worksheets/sheet1.xml"


def refusal(book: bytes) -> str:
    """Why a workbook is not opened; at once."""
    begun = time.monotonic()
    with pytest.raises(FileInvalid) as invalid:
        opened(io.BytesIO(book))
    assert time.monotonic() - begun < 5
    return str(invalid.value)


def test_cells_come_as_people_write_them() -> None:
    table = opened(io.BytesIO(xlsx(PEOPLE, [("other",)])))

    assert isinstance(table, Workbook)
    assert (table.form.kind, table.headings) == ("XLSX", HEAD)
    assert table.form.notes == ("Only the first of 2 sheets is read: Sheet1.",)
    assert list(table.rows()) == [
        Row(2, ["ada@example.org", "Ada", "2026-03-01", "3", "true"]),
        Row(4, ["ben@example.org", "王小明", "2026-03-01 09:30:00", "2.5", "false"]),
    ]
    assert table.done() == 1


def test_an_ods_is_a_table_too() -> None:
    rows = row(cell("email"), cell("name")) + row(cell("ada@example.org"), cell("Ada"))
    table = opened(io.BytesIO(ods(rows + row("<table:table-cell/>", repeated=1_048_000))))

    assert (table.form.kind, table.headings) == ("ODS", ("email", "name"))
    assert list(table.rows()) == [Row(2, ["ada@example.org", "Ada"])]


def test_rows_that_are_too_much_are_refused_and_others_are_read() -> None:
    table = opened(
        io.BytesIO(
            ods(
                row(cell("email"), cell("name"))
                + row(cell("x" * 70_000), cell("long"))
                + row(cell("ada@example.org"), cell("Ada"), cell("more"))
                + row(cell("ben@example.org"), cell("Ben"))
            )
        )
    )
    rows = list(table.rows())

    assert [type(each) for each in rows] == [Refusal, Refusal, Row]
    assert [each.line for each in rows] == [2, 3, 4]


def test_an_empty_workbook_has_nobody() -> None:
    assert "empty" in refusal(xlsx([]))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../../etc/passwd", "outside"),
        ("/etc/passwd", "outside"),
        ("..\\x.xml", "outside"),
        ("C:/x.xml", "outside"),
        ("xl/media/inner.zip", "another archive"),
        ("xl/embeddings/inner.xlsx", "another archive"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str, reason: str) -> None:
    assert reason in refusal(packed({"xl/workbook.xml": "<a/>", name: "x"}))


def test_links_and_many_parts_and_twins_are_refused() -> None:
    link = zipfile.ZipInfo("xl/link.xml")
    link.external_attr = 0o120777 << 16
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as each:
        each.writestr(link, "/etc/passwd")

    assert "points elsewhere" in refusal(file.getvalue())
    many = {f"xl/{n}.xml": "" for n in range(archive.MAX_PARTS + 1)}
    assert "1,001 parts" in refusal(packed(many))
    with zipfile.ZipFile(file, "w") as each:
        each.writestr("xl/workbook.xml", "<a/>")
        with pytest.warns(UserWarning, match="Duplicate"):
            each.writestr("xl/workbook.xml", "<b/>")
    assert "two parts" in refusal(file.getvalue())


def test_an_archive_that_is_no_workbook_is_refused() -> None:
    assert "no workbook" in refusal(packed({"people.csv": "email\n"}))
    assert "damaged" in refusal(b"PK\x03\x04" + b"x" * 100)
    assert "damaged" in refusal(xlsx(PEOPLE)[:-200])
    assert "encrypted" in refusal(b"\xd0\xcf\x11\xe0" + b"x" * 600)


def test_an_encrypted_part_is_refused() -> None:
    book = bytearray(xlsx(PEOPLE))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = book.index(mark) + place
        book[at] |= 1
    assert "encrypted" in refusal(bytes(book))


def test_a_bomb_is_refused_by_what_it_says_of_itself() -> None:
    zeros = b"0" * (4 << 20)
    assert "200-fold" in refusal(packed({"xl/workbook.xml": "<a/>", SHEET: zeros}))
    stored = packed({f"xl/{n}.xml": zeros for n in range(60)})
    assert "240 MB when expanded" in refusal(stored)


def test_a_bomb_that_lies_about_its_size_is_refused() -> None:
    book = bytearray(packed({"xl/workbook.xml": "<a/>", SHEET: b"0" * (4 << 20)}))
    at = book.rindex(b"PK\x01\x02")
    struct.pack_into("<I", book, at + 24, 900)
    assert "longer than it says" in refusal(bytes(book))


def test_parts_on_top_of_each_other_are_refused() -> None:
    book = bytearray(packed({"xl/workbook.xml": "<a/>", "xl/a.xml": "<a/>"}))
    first, second = book.index(b"PK\x01\x02"), book.rindex(b"PK\x01\x02")
    book[second + 42 : second + 46] = book[first + 42 : first + 46]
    assert "on top of each other" in refusal(bytes(book))


LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_declared_entities_are_refused(encoding: str) -> None:
    bomb = f"<?xml version='1.0' encoding='{encoding}'?>{LAUGHS}<x>&c;</x>".encode(encoding)
    for part in (SHEET, "xl/sharedStrings.xml", "xl/styles.xml", "docProps/core.xml"):
        assert "declares entities" in refusal(replaced(xlsx(PEOPLE), part, bomb))
    assert "declares entities" in refusal(ods(row(cell("&c;")), LAUGHS))


def test_a_sheet_of_two_far_corners_is_refused() -> None:
    sheet = (
        "<worksheet><sheetData><row r='1'><c r='A1'><v>1</v></c></row>{}</sheetData></worksheet>"
    )
    far = "<row r='1048576'><c r='XFD1048576'><v>1</v></c></row>"
    assert "spans more" in refusal(replaced(xlsx(PEOPLE), SHEET, sheet.format(far)))
    odd = "<row r='9'><c r='-1'><v>1</v></c></row>"
    assert "damaged" in refusal(replaced(xlsx(PEOPLE), SHEET, sheet.format(odd)))


def test_repeated_cells_count_as_often_as_they_repeat() -> None:
    head = row(cell("email"))
    assert "spans more" in refusal(ods(head + row(cell("x", 1000), repeated=10_000)))
    assert "spans more" in refusal(ods(row("<table:table-cell/>", repeated=2_000_000) + head))
    assert "MB of text" in refusal(ods(head + row(cell("x" * 60_000, 100), repeated=100)))


def test_a_long_string_shared_by_many_cells_is_refused() -> None:
    strings = f"<sst><si><t>{'x' * 30_000}</t></si></sst>"
    cells = "".join(f"<row r='{n}'><c r='A{n}' t='s'><v>0</v></c></row>" for n in range(1, 4000))
    book = replaced(xlsx(PEOPLE), "xl/sharedStrings.xml", strings)
    sheet = f"<worksheet><sheetData>{cells}</sheetData></worksheet>"

    assert "MB of text" in refusal(replaced(book, SHEET, sheet))


def test_the_limits_are_what_the_manual_says() -> None:
    manual = (Path(__file__).parents[4] / "docs/importing.md").read_text(encoding="utf-8")

    assert f"{archive.MAX_EXPANDED >> 20} MB, {archive.MAX_RATIO}-fold" in manual
    assert f"{measure.MAX_CELLS:,} cells" in manual
    assert f"{measure.MAX_ROWS:,} rows, {measure.MAX_TEXT >> 20} MB of text" in manual


CORNER = "<row r='1048576'><c r='XFD1048576'><v>1</v></c></row>"
WIDE = (
    f"<worksheet><sheetData><row r='1'><c r='A1'><v>1</v></c></row>{CORNER}</sheetData></worksheet>"
)


def moved(sheet: str, name: str, target: str) -> bytes:
    """A workbook whose sheet lies in a part of another name."""
    with zipfile.ZipFile(io.BytesIO(xlsx(PEOPLE))) as book:
        parts = {each: book.read(each) for each in book.namelist() if each != SHEET}
    led = parts["xl/_rels/workbook.xml.rels"].replace(b"worksheets/sheet1.xml", target.encode())
    return packed({**parts, "xl/_rels/workbook.xml.rels": led, name: sheet})


@pytest.mark.parametrize(
    ("name", "target", "reason"),
    [
        ("xl/worksheets/sheet1.bin", "worksheets/sheet1.bin", "name that no sheet has"),
        ("xl/sheets/s.xml", "/xl/sheets/s.xml", "spans more"),
        ("xl/worksheets/SHEET1.XML", "worksheets/SHEET1.XML", "spans more"),
    ],
)
def test_a_sheet_is_measured_whatever_its_part_is_called(
    name: str, target: str, reason: str
) -> None:
    assert reason in refusal(moved(WIDE, name, target))


@pytest.mark.parametrize(
    "rows",
    [
        "<row r='3'><c r='XFD1048576'><v>1</v></c></row>",  # the cell's word counts, not the row's
        "<row r='99999999'><c r='A99999999'><v>1</v></c></row>",  # empty rows before it count too
        CORNER,
    ],
)
def test_a_cell_far_away_is_refused_however_it_is_reached(rows: str) -> None:
    sheet = f"<worksheet><sheetData>{rows}</sheetData></worksheet>"

    assert "spans more" in refusal(replaced(xlsx(PEOPLE), SHEET, sheet))


def test_strings_are_found_under_capital_letters_too() -> None:
    cells = "".join(f"<row r='{n}'><c r='A{n}' t='s'><v>0</v></c></row>" for n in range(1, 4000))
    book = replaced(xlsx(PEOPLE), SHEET, f"<worksheet><sheetData>{cells}</sheetData></worksheet>")
    with zipfile.ZipFile(io.BytesIO(book)) as each:
        parts = {n: each.read(n) for n in each.namelist() if n != "xl/sharedStrings.xml"}
    strings = f"<sst><si><t>{'x' * 30_000}</t></si></sst>"

    assert "MB of text" in refusal(packed({**parts, "xl/SHAREDSTRINGS.xml": strings}))


@pytest.mark.parametrize("other", ["content.xml", "xl/workbook.bin"])
def test_a_workbook_is_of_one_kind(other: str) -> None:
    assert "two kinds" in refusal(replaced(xlsx(PEOPLE), other, "<a/>"))


def test_text_that_an_ods_only_speaks_of_counts() -> None:
    head = row(cell("email"))
    value = f'<table:table-cell office:value-type="string" office:string-value="{"x" * 2000}"/>'

    assert "MB of text" in refusal(ods(head + row(cell('<text:s text:c="40000000"/>'))))
    assert "MB of text" in refusal(ods(head + row(value, repeated=100_000)))
    noted = f"<office:annotation><text:p>n</text:p></office:annotation>{'x' * 2000}"
    assert "MB of text" in refusal(ods(head + row(cell(noted), repeated=100_000)))


def test_a_tag_that_hardly_ends_is_refused_before_it_is_read_over_and_over() -> None:
    rows = "<row r='1' x='" + "0123456789abcdef" * 400_000 + "'/>"
    sheet = f"<worksheet><sheetData>{rows}</sheetData></worksheet>"
    noise = hashlib.shake_128(b"noise").hexdigest(100_000)  # what is all alike is refused for that

    book = replaced(xlsx(PEOPLE), SHEET, sheet.replace("x='", f"x='{noise}"))
    assert "does not end" in refusal(book)


def test_a_part_has_so_many_tags_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "MAX_TAGS", 20)

    assert "more than 20 tags" in refusal(xlsx(PEOPLE))


def test_archives_and_xml_of_no_known_version_are_damaged() -> None:
    book = bytearray(xlsx(PEOPLE))
    place = book.index(b"PK\x01\x02")
    book[place + 6] = 203  # the version needed to read it

    assert "damaged" in refusal(bytes(book))
    odd = '<?xml version="1.0" encoding="UTF.8"?><worksheet/>'
    assert "damaged" in refusal(replaced(xlsx(PEOPLE), SHEET, odd))
