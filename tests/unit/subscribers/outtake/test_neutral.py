"""No cell of an export runs in a spreadsheet."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.outtake.neutral import neutral

SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("+49 170 1", "'+49 170 1"),
        ("-2", "'-2"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t'=1"),
        ("\r=1", "'\r'=1"),
        ("\tplain", "'\tplain"),
        ('"=1+1"', '\'"=1+1"'),
        ("'=1", "''=1"),
        ("  =1", "'  =1"),
        ("\ufeff=1", "'\ufeff=1"),
        ("\uff1dHYPERLINK(1)", "'\uff1dHYPERLINK(1)"),
        ("x;=1+1", "x;'=1+1"),
        ("x\n@SUM(1)", "x\n'@SUM(1)"),
        ("Ada", "Ada"),
        ("", ""),
        ("ada+news@example.org", "ada+news@example.org"),
        ("a = b; c", "a = b; c"),
        ("小明", "小明"),
    ],
)
def test_a_cell_that_a_spreadsheet_would_run_is_text(cell: str, safe: str) -> None:
    assert neutral(cell) == safe


@given(st.text(alphabet=f"{SIGNS}\t\r\n ;\"'aB1\u200b,", max_size=12))
def test_no_cell_of_the_file_begins_with_a_sign_wherever_a_program_parts_them(cell: str) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerow(["1", neutral(cell)])

    for delimiter in ",;\t":
        for row in csv.reader(io.StringIO(file.getvalue(), newline=""), delimiter=delimiter):
            for found in row:
                assert found.lstrip(' "\u200b')[:1] not in SIGNS or not found.strip(' "\u200b')


@given(st.text(max_size=20))
def test_what_a_cell_says_is_all_still_there(cell: str) -> None:
    assert neutral(cell).replace("'", "") == cell.replace("'", "")
