"""A CSV file: cells parted by commas, semicolons, tabs or bars, quoted or not (RFC 4180).

A record is at most 64 K characters and a hundred lines; a longer one, or a quote that is never
closed, costs the line it began in and not the rest of the file (RFC 4180 has no answer to either).
"""

import csv
import os
from collections import deque
from collections.abc import Iterator
from typing import IO, Final

from subscribers.intake import encoding, lines
from subscribers.intake.lines import MAX_RECORD, Line
from subscribers.intake.row import FileInvalid, Form, Refusal, Row, checked, misfit

MAX_LINES: Final = 100  # of one record
DELIMITERS: Final = ",;\t|"
_WORDS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_UNCLOSED: Final = "a quote is opened and never closed"
_SAMPLE: Final = 20  # lines that say which character parts the cells


class Delimited:
    """A CSV file, opened: its headings at once, its rows as they are asked for."""

    def __init__(self, stream: IO[bytes], *, asked: str = "") -> None:
        """Read the first row of a file that can be wound back. Raises FileInvalid."""
        stream.seek(0)
        found = encoding.find(stream.read(encoding.LOOKED_AT), asked)
        self._size = max(1, stream.seek(0, os.SEEK_END))
        stream.seek(0)
        self._stream = stream
        self._lines = lines.numbered(stream, found)
        self._back: deque[Line] = deque()  # read ahead: a sample, or a quote never closed
        first = self._next()
        while first is not None and not first.text.strip() and not first.fault:
            first = self._next()
        if first is None:
            raise FileInvalid("The file is empty.")
        if first.fault:
            raise FileInvalid(f"Line {first.number}: the first row {first.fault}.")
        self._delimiter = self._find_delimiter(first)
        self.form = Form(
            "CSV", found.words, _WORDS[self._delimiter], (found.note,) if found.note else ()
        )
        row = self._row(first)
        if isinstance(row, Refusal):
            raise FileInvalid(f"Line {row.line}: {row.reason}")
        self.headings = checked(row.cells, first.number)

    def done(self) -> float:
        """Say which part of the file has been read, from 0 to 1."""
        return min(1.0, self._stream.tell() / self._size)

    def rows(self) -> Iterator[Row | Refusal]:
        """Read one row after the other, once; a bad one comes as a Refusal."""
        delimiter, headings = self._delimiter, len(self.headings)
        while (line := self._next()) is not None:
            text = line.text
            if line.fault:
                yield Refusal(line.number, line.fault, (text.rstrip("\r\n"),))
            elif '"' in text:
                yield self._checked(self._row(line), headings)
            elif text.strip():
                cells = [cell.strip() for cell in text.split(delimiter)]
                row = Row(line.number, cells)
                yield row if len(cells) <= headings else self._checked(row, headings)

    @staticmethod
    def _checked(row: Row | Refusal, headings: int) -> Row | Refusal:
        if isinstance(row, Refusal):
            return row
        if wrong := misfit(row.cells, headings):
            return Refusal(row.line, wrong, row.cells)
        return Row(row.line, row.cells[:headings])

    def _next(self) -> Line | None:
        return self._back.popleft() if self._back else next(self._lines, None)

    def _find_delimiter(self, first: Line) -> str:
        """Take what parts the first row into most cells; where two do, what fits more rows."""
        sample: list[Line] = []
        while len(sample) < _SAMPLE and (line := self._next()) is not None:
            sample.append(line)
        self._back.extendleft(reversed(sample))

        def fits(delimiter: str) -> tuple[int, int]:
            cells = len(self._split(first.text, delimiter))
            same = sum(len(self._split(line.text, delimiter)) == cells for line in sample)
            return cells, same

        return max(DELIMITERS, key=fits)

    @staticmethod
    def _split(text: str, delimiter: str) -> list[str]:
        try:
            return next(csv.reader([text.rstrip("\r\n")], delimiter=delimiter), [])
        except csv.Error:
            return []

    def _row(self, first: Line) -> Row | Refusal:
        """Read the record that begins in a line, with as many lines more as its quotes ask for."""
        text, more = first.text, list[Line]()
        while (cells := self._cells(text)) is None:
            following = self._next()
            if following is not None:
                more.append(following)
            too_long = len(more) >= MAX_LINES or len(text) > MAX_RECORD
            if following is None or following.fault or too_long:
                return self._give_up(first, more, _UNCLOSED)
            text += following.text
        if isinstance(cells, str):  # what seemed to be one record is none
            return self._give_up(first, more, cells)
        return Row(first.number, [cell.strip() for cell in cells])

    def _give_up(self, first: Line, more: list[Line], reason: str) -> Refusal:
        self._back.extendleft(reversed(more))
        return Refusal(first.number, reason, (first.text.rstrip("\r\n"),))

    def _cells(self, text: str) -> list[str] | str | None:
        """Split a record: its cells, or what is wrong with it, or None where a quote is open."""
        try:
            return next(csv.reader([text], delimiter=self._delimiter, strict=True), [])
        except csv.Error as error:
            if "unexpected end" in str(error):
                return None
            return f"is no CSV: {error}"
