"""The first sheet of a workbook, XLSX or ODS, as a table.

A sheet is read into memory whole, so `archive` has looked at it first and refused what is too
large. Dates come as ISO 8601, whole numbers without a decimal point, formulas as their last result.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import IO, Final

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from subscribers.intake import archive
from subscribers.intake.row import FileInvalid, Form, Refusal, Row, checked, misfit

MAX_CELL: Final = 64 * 1024  # characters, as in a CSV
_Cell = int | float | str | bool | time | date | datetime | timedelta


class Workbook:
    """A workbook, opened: its headings at once, its rows as they are asked for."""

    def __init__(self, stream: IO[bytes]) -> None:
        """Look at it, open it and read the first row. Raises FileInvalid."""
        kind = archive.check(stream)
        stream.seek(0)
        self._sheet, notes = _first_sheet(stream)
        self.form = Form(kind, notes=notes)
        self._height = max(1, self._sheet.total_height + 1)
        self._line = (self._sheet.start or (0, 0))[0]
        self._rows = self._sheet.iter_rows()
        first = next(self._numbered(), None)
        if first is None:
            raise FileInvalid("The first sheet is empty.")
        self.headings = checked([" ".join(cell.split()) for cell in first.cells], first.line)

    def done(self) -> float:
        """Say which part of the sheet has been read, from 0 to 1."""
        return min(1.0, self._line / self._height)

    def rows(self) -> Iterator[Row | Refusal]:
        """Read one row after the other, once; a bad one comes as a Refusal."""
        headings = len(self.headings)
        for row in self._numbered():
            if any(len(cell) > MAX_CELL for cell in row.cells):
                shown = [cell[:200] for cell in row.cells]
                yield Refusal(row.line, f"a cell is longer than {MAX_CELL // 1024} KB", shown)
            elif any("\0" in cell for cell in row.cells):
                yield Refusal(row.line, "has a NUL character")
            elif wrong := misfit(row.cells, headings):
                yield Refusal(row.line, wrong, row.cells)
            else:
                yield Row(row.line, row.cells[:headings])

    def _numbered(self) -> Iterator[Row]:
        for cells in self._rows:
            self._line += 1
            texts = _texts(cells)
            if any(texts):
                yield Row(self._line, texts)


def _first_sheet(stream: IO[bytes]) -> tuple[CalamineSheet, tuple[str, ...]]:
    try:
        book = CalamineWorkbook.from_filelike(stream)
        names, sheet = book.sheet_names, book.get_sheet_by_index(0)
    except CalamineError as broken:
        raise FileInvalid(f"The workbook cannot be read: {str(broken)[:200]}") from broken
    except BaseException as panic:  # a fault of the library, which Exception does not cover
        if type(panic).__name__ == "PanicException":
            raise FileInvalid("The workbook cannot be read.") from panic
        raise
    if len(names) == 1:
        return sheet, ()
    return sheet, (f"Only the first of {len(names)} sheets is read: {names[0][:60]}.",)


def _texts(cells: Sequence[_Cell]) -> list[str]:
    return [cell.strip() if isinstance(cell, str) else _text(cell) for cell in cells]


def _text(cell: _Cell) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        midnight = not (cell.hour or cell.minute or cell.second)
        return cell.date().isoformat() if midnight else cell.isoformat(" ", "seconds")
    return cell.isoformat() if isinstance(cell, date | time) else str(cell)
