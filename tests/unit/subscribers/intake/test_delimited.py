"""A file is read row by row; what is wrong with one row costs that row and nothing else."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.intake.delimited import MAX_LINES, Delimited
from subscribers.intake.lines import MAX_RECORD
from subscribers.intake.row import MAX_COLUMNS, FileInvalid, Refusal, Row


def opened(text: str | bytes, asked: str = "") -> Delimited:
    data = text.encode() if isinstance(text, str) else text
    return Delimited(io.BytesIO(data), asked=asked)


def read(text: str | bytes) -> list[Row | Refusal]:
    return list(opened(text).rows())


def addresses(text: str | bytes) -> dict[int, str]:
    """By line, the first cell of each row, or why it was refused."""
    return {row.line: row.cells[0] if isinstance(row, Row) else row.reason for row in read(text)}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_delimiter_byte_order_mark_and_line_ends_are_found_out(
    delimiter: str, mark: bytes, newline: str
) -> None:
    lines = [("Name", "E-Mail", "Phone"), ('"Ada, Countess; of"', " ada@example.org ", "1")]
    text = "".join(delimiter.join(line) + newline for line in lines)
    table = opened(mark + text.encode())

    assert table.headings == ("Name", "E-Mail", "Phone")
    assert list(table.rows()) == [Row(2, ["Ada, Countess; of", "ada@example.org", "1"])]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "gb18030"])
def test_a_file_is_read_in_its_encoding(encoding: str) -> None:
    text = "邮箱,姓名\r\nada@example.org,王小明\r\nben@example.org,李娜\r\n"
    table = opened(text.encode(encoding))

    assert table.headings == ("邮箱", "姓名")
    assert [row.cells[1] for row in table.rows()] == ["王小明", "李娜"]
    assert table.done() == 1


def test_another_encoding_than_the_guess_may_be_asked_for() -> None:
    (row,) = opened("email,name\na@example.org,Łukasz\n".encode("cp1250"), "cp1250").rows()

    assert row.cells[1] == "Łukasz"


def test_half_a_character_of_utf_16_costs_its_line() -> None:
    text = "email,name\nada@example.org,A\n".encode("utf-16-le") + b"\x00\xdcx\x00\n\x00"
    rows = read(b"\xff\xfe" + text + "ben@example.org,B\n".encode("utf-16-le"))

    assert [type(row) for row in rows] == [Row, Refusal, Row]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\n  \n", "empty"),
        (b"email\0,x\n", "NUL"),
        (b"email" + b",x" * MAX_COLUMNS + b"\n", "columns; at most"),
        (b"email" + b"x" * MAX_RECORD, "longer than 64 KB"),
        (b'email,"name\n', "a quote is opened"),
        ("email,name\n".encode("utf-16-le"), "without a byte order mark"),
    ],
)
def test_a_file_that_is_no_table_is_refused_whole(data: bytes, message: str) -> None:
    with pytest.raises(FileInvalid, match=message):
        read(data)


def test_bad_rows_are_refused_with_their_line_and_the_rest_is_read() -> None:
    long = "x" * (MAX_RECORD + 10)
    rows = addresses(
        b"email,name\n"  # 1
        b"ada@example.org,Ad\xc3\xa4\n"
        b"ben@example.org,B\0n\n"  # 3
        b"\n"
        b"cleo@example.org,\xff\xfe\n"  # 5, between others that are UTF-8
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
    assert rows[0].cells[1] == 'Ada\nLovelace, "A"'


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

    assert row == Row(2, ["ada@example.org"])


@given(st.binary(max_size=300))
def test_no_octets_break_the_reader_and_lines_only_go_up(data: bytes) -> None:
    try:
        lines = [row.line for row in read(b"email,name\n" + data)]
    except FileInvalid:
        assert b"\0" in data, "it looks like UTF-16"
        return
    ends = data.count(b"\n") + data.count(b"\r")

    assert lines == sorted(set(lines))
    assert all(2 <= line <= ends + 2 for line in lines)


@given(
    st.lists(st.sampled_from(['"', ",", "a@b.example", "\n", "\r", '""', " ", "x\n"]), max_size=60)
)
def test_quotes_and_breaks_in_any_order_are_read_to_the_end(pieces: list[str]) -> None:
    rows = addresses("email,name\n" + "".join(pieces) + "\nlast@example.org,Last\n")

    assert rows
    lines = [row.line for row in read("email,name\n" + "".join(pieces) + "\n")]
    assert lines == sorted(set(lines))


def test_a_refused_line_is_kept_as_far_as_it_can_be_shown() -> None:
    long = "x" * (MAX_RECORD * 3)
    refusals = read(f'email,name\n{long}\na@example.org,"A"x\nb@example.org,B,3\n')

    assert [len(row.cells[0]) for row in refusals] == [200, 18, 13]
    assert refusals[2].cells == ["b@example.org", "B", "3"]
