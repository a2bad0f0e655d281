"""Rows into CSV and JSON, one at a time."""

import csv
import json
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TextIO

from subscribers.outtake.asked import Asked, Form
from subscribers.outtake.neutral import neutral

Cell = str | int | float | list[str] | None
BOM: Final = "\ufeff"
OURS: Final = frozenset(
    {
        *("id", "state", "tracking", "frequency", "domain"),
        *("paused_until", "created_at", "confirmed_at", "updated_at", "consent", "consent_at"),
    }
)
"""Columns whose cells hold nothing that anybody typed: they need no look."""


class Writer(Protocol):
    """Takes rows until it is closed."""

    def write(self, rows: Sequence[Sequence[Cell]]) -> None:
        """Add rows, each with a cell for every column."""

    def close(self) -> None:
        """Write what is left; the file itself stays open."""


class CsvWriter:
    """CSV in UTF-8; tags and segments stand in one cell, parted by spaces or commas."""

    def __init__(self, file: TextIO, asked: Asked) -> None:
        if asked.bom:
            file.write(BOM)
        self._csv = csv.writer(file)
        self._text: Callable[[str], str] = str if asked.raw else neutral
        self._own = tuple(name in OURS for name in asked.columns)
        self._csv.writerow(self._text(heading(name)) for name in asked.columns)

    def write(self, rows: Sequence[Sequence[Cell]]) -> None:
        """Add rows; text that a spreadsheet would run is made plain."""
        self._csv.writerows(
            [
                cell if own else self._made_plain(cell)
                for cell, own in zip(row, self._own, strict=True)
            ]
            for row in rows
        )

    def _made_plain(self, cell: Cell) -> Cell:
        if isinstance(cell, list):
            cell = one_cell(cell)
        return self._text(cell) if isinstance(cell, str) else cell

    def close(self) -> None:
        """Nothing is left."""


class JsonWriter:
    """JSON: an array of objects, or an object a line."""

    def __init__(self, file: TextIO, asked: Asked) -> None:
        self._file = file
        self._names = [heading(name) for name in asked.columns]
        self._array = asked.form is Form.JSON
        self._between = "[\n" if self._array else ""

    def write(self, rows: Sequence[Sequence[Cell]]) -> None:
        """Add rows as objects; who has no value of a custom field has null."""
        for row in rows:
            line = json.dumps(dict(zip(self._names, row, strict=True)), ensure_ascii=False)
            self._file.write(self._between + line)
            self._between = ",\n" if self._array else "\n"

    def close(self) -> None:
        """End the array, or the last line."""
        if self._array:
            self._file.write("[]\n" if self._between == "[\n" else "\n]\n")
        else:
            self._file.write(self._between)


def heading(column: str) -> str:
    """What a column is called in the file: a custom field by its key."""
    return column.removeprefix("field:")


def one_cell(cell: list[str]) -> str:
    """Several words in one cell: by commas where one of them has a space in it."""
    return (", " if any(" " in word for word in cell) else " ").join(cell)
