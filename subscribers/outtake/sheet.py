"""Rows into a spreadsheet (XLSX), in constant memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from subscribers.outtake.asked import Asked
from subscribers.outtake.writers import Cell, heading, one_cell

ROWS: Final = 1_048_576  # of one sheet, its headings included
LONGEST: Final = 32_767  # characters of a cell
_PLAIN = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_numbers": False,
    "strings_to_urls": False,
}


class SheetWriter:
    """A workbook; what does not fit on a sheet goes on to the next. Every text is a text."""

    def __init__(self, path: Path, asked: Asked, *, folder: Path, rows: int = ROWS) -> None:
        """Begin the file `path`; what is written meanwhile lies in `folder`."""
        import xlsxwriter  # noqa: PLC0415  # 2 MB that few processes ever need

        self._book = xlsxwriter.Workbook(str(path), {**_PLAIN, "tmpdir": str(folder)})
        self._names = [heading(name) for name in asked.columns]
        self._rows = rows
        self._sheets = 0
        self._begin()

    def write(self, rows: Sequence[Sequence[Cell]]) -> None:
        """Add rows."""
        for row in rows:
            if self._next == self._rows:
                self._begin()
            for column, cell in enumerate(row):
                if isinstance(cell, int | float):
                    self._sheet.write_number(self._next, column, cell)
                elif cell:
                    text = one_cell(cell) if isinstance(cell, list) else cell
                    self._sheet.write_string(self._next, column, text[:LONGEST])
            self._next += 1

    def close(self) -> None:
        """Put the file together."""
        self._book.close()

    def abandon(self) -> None:
        """Close what is open, and put nothing together."""
        self._book.fileclosed = 1
        for one in self._book.worksheets():
            one.row_data_fh.close()

    def _begin(self) -> None:
        self._sheets += 1
        self._sheet: Any = self._book.add_worksheet(f"People {self._sheets}")
        for column, name in enumerate(self._names):
            self._sheet.write_string(0, column, name)
        self._next = 1
