"""Refused rows can be mended and imported again, and opened without danger."""

import csv
from pathlib import Path

from subscribers.intake.delimited import Delimited
from subscribers.intake.refused import RefusedRows
from subscribers.intake.row import Refusal


def test_refused_rows_keep_their_line_reason_and_cells(tmp_path: Path) -> None:
    place = tmp_path / "refused.csv"
    with RefusedRows(place) as rows:
        rows.write(("email", "name"), [])
        rows.write(("email", "name"), [Refusal(2, "email: is empty", ("", "=HYPERLINK(1)"))])
        rows.write(("email", "name"), [Refusal(9, "has a NUL octet", ("x,y",))])

    with place.open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file)) == [
            ["line", "reason", "email", "name"],
            ["2", "email: is empty", "", "'=HYPERLINK(1)"],
            ["9", "has a NUL octet", "x,y"],
        ]
    with place.open("rb") as again:
        assert Delimited(again).headings == ("line", "reason", "email", "name")


def test_without_a_file_nothing_is_written() -> None:
    with RefusedRows(None) as rows:
        rows.write(("email",), [Refusal(2, "email: is empty")])
