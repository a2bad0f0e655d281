"""A file is read row by row; what is wrong with one row costs that row and nothing else."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.spreadsheet import (
    MAX_COLUMNS,
    MAX_LINES,
    MAX_RECORD,
    FileInvalid,
    Refusal,
    Row,
    Sheet,
    read_header,
)


def read(text: str | bytes) -> list[Row | Refusal]:
    data = text.encode() if isinstance(text, str) else text
    return list(Sheet(io.BytesIO(data)).rows())


def addresses(text: str | bytes) -> dict[int, str]:
    """By line, the address of each row, or why it was refused."""
    return {
        row.line: row.cells.get("email", "") if isinstance(row, Row) else row.reason
        for row in read(text)
    }


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_delimiter_byte_order_mark_and_line_ends_are_found_out(
    delimiter: str, mark: bytes, newline: str
) -> None:
    lines = [("Name", "E-Mail", "Phone"), ('"Ada, Countess; of"', " ada@example.org ", "1")]
    text = "".join(delimiter.join(line) + newline for line in lines)

    (row,) = read(mark + text.encode())
    assert row == Row(2, {"name": "Ada, Countess; of", "email": "ada@example.org"})


def test_columns_nobody_reads_are_named() -> None:
    header = Sheet(io.BytesIO(b"phone,EMAIL,Full_Name,notes\n")).header

    assert header.columns == ("", "email", "name", "")
    assert header.ignored == ("phone", "notes")


def test_columns_may_have_chinese_names() -> None:
    assert read_header("邮箱,姓名,分类,语言\n").columns == ("email", "name", "segments", "language")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\n  \n", "empty"),
        (b"ada@example.org,Ada\n", "none is called email"),
        (b"name,phone\n", "none is called email"),
        (b"email,name,E-mail\n", "2 columns are called email"),
        (b"email,name,full name\n", "2 columns are called name"),
        ("email,name\n".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04rest", "workbook"),
        (b"email\0\n", "NUL"),
        (b"email,\xff\n", "not UTF-8"),
        (b"email" + b"," * MAX_COLUMNS + b"\n", "columns; at most"),
        (b"email" + b"x" * MAX_RECORD, "longer than 64 KB"),
        (b"<html><body>404</body></html>", "none is called email"),
    ],
)
def test_a_file_that_is_no_table_of_people_is_refused_whole(data: bytes, message: str) -> None:
    with pytest.raises(FileInvalid, match=message):
        read(data)


def test_bad_rows_are_refused_with_their_line_and_the_rest_is_read() -> None:
    long = "x" * (MAX_RECORD + 10)
    rows = addresses(
        b"email,name\n"  # 1
        b"ada@example.org,Ada\n"
        b"ben@example.org,B\0n\n"  # 3
        b"\n"
        b"cleo@example.org,\xff\xfe\n"  # 5
        b"dan@example.org,Dan,more,cells\n"
        b'eve@example.org,"Eve"s"\n'  # 7
        b"finn@example.org,,,\n" + long.encode() + b"\n"  # 9
        b"gus@example.org"
    )

    assert rows == {
        2: "ada@example.org",
        3: "has a NUL octet",
        5: "is not UTF-8",
        6: "4 cells under 2 headings",
        7: rows[7],
        8: "finn@example.org",
        9: "longer than 64 KB",
        10: "gus@example.org",
    }
    assert rows[7].startswith("is no CSV")


def test_a_quoted_cell_may_go_over_lines() -> None:
    rows = read('email,name\nada@example.org,"Ada\nLovelace, ""A"""\nben@example.org,Ben\n')

    assert [row.line for row in rows] == [2, 4]
    assert isinstance(rows[0], Row)
    assert rows[0].cells["name"] == 'Ada\nLovelace, "A"'


@pytest.mark.parametrize("following", [1, MAX_LINES * 3])
def test_a_quote_that_is_never_closed_costs_its_line_only(following: int) -> None:
    text = 'email,name\nada@example.org,"Ada\n'
    text += "".join(f"p{n}@example.org,P\n" for n in range(following))
    rows = addresses(text)

    assert rows.pop(2) == "a quote is opened and never closed"
    assert list(rows.values()) == [f"p{n}@example.org" for n in range(following)]
    assert list(rows) == list(range(3, following + 3))


def test_lines_joined_by_a_stray_quote_are_read_again_one_by_one() -> None:
    rows = addresses(
        'email,name\nada@example.org,"Ada\nben@example.org,B "x" n\ncleo@example.org,C\n'
    )

    assert rows[2].startswith(("a quote", "is no CSV"))
    assert (rows[3], rows[4]) == ("ben@example.org", "cleo@example.org")


def test_a_short_row_lacks_its_last_cells() -> None:
    (row,) = read("email,name,language\nada@example.org\n")

    assert row == Row(2, {"email": "ada@example.org"})


@given(st.binary(max_size=300))
def test_no_octets_break_the_reader_and_lines_only_go_up(data: bytes) -> None:
    lines = [row.line for row in read(b"email,name\n" + data)]

    assert lines == sorted(set(lines))
    assert all(2 <= line <= data.count(b"\n") + 2 for line in lines)


@given(
    st.lists(st.sampled_from(['"', ",", "a@b.example", "\n", "\r", '""', " ", "x\n"]), max_size=60)
)
def test_quotes_and_breaks_in_any_order_are_read_to_the_end(pieces: list[str]) -> None:
    rows = addresses("email,name\n" + "".join(pieces) + "\nlast@example.org,Last\n")

    assert rows
    lines = [row.line for row in read("email,name\n" + "".join(pieces) + "\n")]
    assert lines == sorted(set(lines))
