"""A file of people as rows: CSV in UTF-8, read as a stream, with the line of everything refused.

A record is at most 64 KB and a hundred lines; a longer one, or a quote that is never closed, costs
the line it began in and not the rest of the file (RFC 4180 has no answer to either).
"""

import csv
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from mailer.kit.errors import Invalid

MAX_RECORD: Final = 64 * 1024  # octets
MAX_LINES: Final = 100  # of one record
MAX_COLUMNS: Final = 200
DELIMITERS: Final = ",;\t"

HEADINGS: Mapping[str, tuple[str, ...]] = {
    "email": ("email", "e-mail", "mail", "email address", "e-mail address", "邮箱", "电子邮件"),
    "name": ("name", "full name", "姓名"),
    "segments": ("segments", "segment", "topics", "分类"),
    "language": ("language", "lang", "语言"),
}
"""The columns an import reads, and what they may be called; upper and lower case are one."""


class FileInvalid(Invalid):
    """The file cannot be read as a table of people."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was not taken."""

    line: int  # where it begins, from 1
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row, its cells trimmed."""

    line: int  # where it begins, from 1
    cells: Mapping[str, str]  # by the names of HEADINGS; a column the file lacks is missing


@dataclass(frozen=True, slots=True)
class Header:
    """What the first row says."""

    delimiter: str
    columns: tuple[str, ...]  # names of HEADINGS; "" for a column that is not read
    ignored: tuple[str, ...]  # headings not read, as written


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    fault: str = ""


class Sheet:
    """One file: its header at once, its rows as they are asked for."""

    def __init__(self, stream: BinaryIO) -> None:
        """Read the first row. Raises FileInvalid with what is wrong about it."""
        self._lines = _lines(stream)
        self._back: deque[_Line] = deque()  # read ahead for a quote that was never closed
        first = self._next()
        while first is not None and not first.text.strip() and not first.fault:
            first = self._next()
        if first is None:
            raise FileInvalid("The file is empty.")
        if first.fault:
            raise FileInvalid(f"Line {first.number}: {first.fault}")
        self.header = read_header(first.text)

    def rows(self) -> Iterator[Row | Refusal]:
        """Read one row after the other; a bad one comes as a Refusal."""
        while (line := self._next()) is not None:
            if line.fault:
                yield Refusal(line.number, line.fault)
            elif line.text.strip():
                yield self._row(line)

    def _next(self) -> _Line | None:
        return self._back.popleft() if self._back else next(self._lines, None)

    def _row(self, first: _Line) -> Row | Refusal:
        """Read the record that begins in a line, with as many lines more as its quotes ask for."""
        text, more = first.text, list[_Line]()
        while (cells := self._cells(text)) is None:
            following = self._next()
            if following is not None:
                more.append(following)
            too_long = len(more) >= MAX_LINES or len(text) > MAX_RECORD
            if following is None or following.fault or too_long:
                self._back.extendleft(reversed(more))
                return Refusal(first.number, "a quote is opened and never closed")
            text += following.text
        if isinstance(cells, str):
            self._back.extendleft(reversed(more))  # what seemed to be one record is none
            return Refusal(first.number, cells)
        columns = self.header.columns
        if any(cells[len(columns) :]):
            return Refusal(first.number, f"{len(cells)} cells under {len(columns)} headings")
        named = zip(columns, cells, strict=False)
        return Row(first.number, {column: cell.strip() for column, cell in named if column})

    def _cells(self, text: str) -> list[str] | str | None:
        """Split a record: its cells, or what is wrong with it, or None where a quote is open."""
        try:
            return next(csv.reader([text], delimiter=self.header.delimiter, strict=True))
        except csv.Error as error:
            if "unexpected end" in str(error):
                return None
            return f"is no CSV: {error}"


def read_header(text: str) -> Header:
    """Find out from the first row how cells are parted and which column is which.

    Raises FileInvalid where none is called email, or two are called the same.
    """
    candidates = [(mark, _split(text, mark)) for mark in DELIMITERS]
    known = [(_known(headings), mark, headings) for mark, headings in candidates]
    columns, delimiter, headings = max(known, key=lambda each: sum(map(bool, each[0])))
    if "email" not in columns:
        raise FileInvalid(
            "Line 1: the first row has to name the columns, and none is called email "
            f"(it reads: {text.strip()[:80]})."
        )
    if len(columns) > MAX_COLUMNS:
        raise FileInvalid(f"Line 1: {len(columns)} columns; at most {MAX_COLUMNS}.")
    for name in HEADINGS:
        if columns.count(name) > 1:
            raise FileInvalid(f"Line 1: {columns.count(name)} columns are called {name}.")
    pairs = zip(headings, columns, strict=True)
    return Header(delimiter, columns, tuple(heading for heading, name in pairs if not name))


def _split(text: str, delimiter: str) -> list[str]:
    try:
        return [
            cell.strip() for cell in next(csv.reader([text.strip("\r\n")], delimiter=delimiter))
        ]
    except csv.Error:
        return []


def _known(headings: Sequence[str]) -> tuple[str, ...]:
    names = {heading: name for name, headings in HEADINGS.items() for heading in headings}
    return tuple(names.get(heading.casefold().replace("_", " "), "") for heading in headings)


def _lines(stream: BinaryIO) -> Iterator[_Line]:
    """Read line by line, never more than MAX_RECORD at once."""
    number = 0
    while raw := stream.readline(MAX_RECORD + 1):
        number += 1
        if number == 1:
            raw = _without_mark(raw)
        if len(raw) > MAX_RECORD and not raw.endswith(b"\n"):
            while (rest := stream.readline(MAX_RECORD)) and not rest.endswith(b"\n"):
                pass
            yield _Line(number, "", f"longer than {MAX_RECORD // 1024} KB")
        elif b"\0" in raw:
            yield _Line(number, "", "has a NUL octet")
        else:
            try:
                yield _Line(number, raw.decode())
            except UnicodeDecodeError:
                yield _Line(number, "", "is not UTF-8")


def _without_mark(raw: bytes) -> bytes:
    """Take off the byte order mark of UTF-8. Raises FileInvalid for that of UTF-16."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FileInvalid("The file is UTF-16; save it as CSV in UTF-8.")
    if raw.startswith(b"PK\x03\x04"):
        raise FileInvalid("The file is a workbook or an archive; save it as CSV in UTF-8.")
    return raw.removeprefix(b"\xef\xbb\xbf")
