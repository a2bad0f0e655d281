"""How much a workbook's XML would take in memory, told by reading it as a stream.

It declares no entities, and the cells it has, repeated ones counted as often as they repeat, fit.
"""

from array import array
from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from subscribers.intake.row import FileInvalid

MAX_ROWS: Final = 1_048_576  # what spreadsheet programs allow
MAX_CELLS: Final = 1_000_000  # of the rectangle from A1 to the last cell: 200,000 rows of five
MAX_TEXT: Final = 30 * 2**20  # octets of UTF-8 in all cells together
MAX_TAG: Final = 2**20  # octets: expat reads an unfinished one again from its beginning
MAX_TAGS: Final = 5_000_000  # of one part: a full sheet has half as many
ADVICE: Final = "; save it as CSV, which is read at any length"


class Xml:
    """Reads XML as a stream, and refuses what declares anything about itself."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._declared
        self._parser.EntityDeclHandler = self._declared
        self._parser.buffer_text = True
        self._tags = 0

    def read(self, pieces: Iterator[bytes]) -> None:
        """Read it to its end. Raises FileInvalid."""
        try:
            fed = 0
            for piece in pieces:
                fed += len(piece)
                self._parser.Parse(piece, False)  # noqa: FBT003  # expat's own signature
                if fed - self._parser.CurrentByteIndex > MAX_TAG:
                    raise FileInvalid("The workbook is damaged: a tag in it does not end.")
            self._parser.Parse(b"", True)  # noqa: FBT003
        except (expat.ExpatError, LookupError) as broken:  # LookupError: an encoding of no name
            raise FileInvalid("The workbook is damaged: a part of it is no XML.") from broken

    def _count(self) -> None:
        self._tags += 1
        if self._tags > MAX_TAGS:
            raise FileInvalid(f"The workbook has more than {MAX_TAGS:,} tags in one part{ADVICE}.")

    @staticmethod
    def _declared(*_: object) -> None:
        raise FileInvalid("The workbook's XML declares entities: no spreadsheet program does.")


class Strings(Xml):
    """How long each of the strings is that cells of an XLSX share."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths = array("I")
        self._parser.StartElementHandler = self._start
        self._parser.CharacterDataHandler = self._text

    def _start(self, name: str, _: dict[str, str]) -> None:
        self._count()
        if name.rpartition(":")[2] == "si":
            self.lengths.append(0)

    def _text(self, text: str) -> None:
        if self.lengths:
            self.lengths[-1] += _octets(text)


class Sheet(Xml):
    """How many cells a sheet of an XLSX spans, and how much text they hold."""

    def __init__(self, strings: "array[int]") -> None:
        super().__init__()
        self._strings = strings
        self._row = self._column = self._width = self._text = 0
        self._shared = self._in_value = False
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._last_row = 0  # empty rows before the first cell are read like others
        self._value = ""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count()
        name = name.rpartition(":")[2]
        if name == "row":
            self._row = _number(attributes.get("r", ""), self._row + 1)
            self._column = 0
        elif name == "c":
            row, self._column = _place(attributes.get("r", ""), self._row, self._column + 1)
            self._last_row = max(row, self._last_row)
            self._width = max(self._width, self._column)
            self._shared = attributes.get("t") == "s"
            _fits(self._last_row, self._width)
        elif name in {"v", "t"}:
            self._in_value, self._value = True, ""

    def _end(self, name: str) -> None:
        if name.rpartition(":")[2] in {"v", "t"}:
            self._in_value = False
            if self._shared and self._value.isdecimal() and len(self._value) < 9:
                number = int(self._value)
                self._add(self._strings[number] if number < len(self._strings) else 0)

    def _characters(self, text: str) -> None:
        if self._in_value:
            if self._shared:
                self._value = (self._value + text)[:9]
            else:
                self._add(_octets(text))

    def _add(self, length: int) -> None:
        self._text += length
        _short(self._text)


class Ods(Xml):
    """How many cells the sheets of an ODS span, and how much text they hold."""

    def __init__(self) -> None:
        super().__init__()
        self._rows = self._row = self._width = self._column = self._times = 0
        self._row_times, self._cell_times = 1, 1
        self._filled = False
        self._text = 0
        self._texts = 0  # paragraphs that are open: a note in one has its own
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count()
        name = name.rpartition(":")[2]
        if name == "table":
            self._rows = self._width = 0
        elif name == "table-row":
            self._row_times = _number(attributes.get("table:number-rows-repeated", ""), 1)
            self._column, self._filled = 0, False
        elif name in {"table-cell", "covered-table-cell"}:
            self._cell_times = _number(attributes.get("table:number-columns-repeated", ""), 1)
            self._column += self._cell_times
            if any(key.endswith(("value-type", "formula")) for key in attributes):
                self._fill()
            self._add(sum(map(_octets, attributes.values())))  # the value may be one of them
        elif name == "p":
            self._texts += 1
            self._fill()
        elif name == "s":  # so many spaces
            self._add(_number(attributes.get("text:c", ""), 1))

    def _fill(self) -> None:
        self._filled = True
        self._width = max(self._width, self._column)
        _fits(self._rows + self._row_times, self._width)

    def _end(self, name: str) -> None:
        name = name.rpartition(":")[2]
        if name == "table-row":
            self._rows += self._row_times
        elif name == "p":
            self._texts -= 1

    def _characters(self, text: str) -> None:
        if self._texts:
            self._add(_octets(text))

    def _add(self, octets: int) -> None:
        self._text += octets * self._cell_times * self._row_times
        _short(self._text)


def _number(text: str, default: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 9):
        raise FileInvalid("The workbook is damaged: a number in it is none.")
    return int(text)


def _place(reference: str, row: int, column: int) -> tuple[int, int]:
    """Read where a cell says it stands, its row too; else it is where the last one leads."""
    if not reference:
        return row, column
    letters = reference.rstrip("0123456789")
    if not (letters.isascii() and letters.isalpha() and len(letters) <= 3):
        raise FileInvalid("The workbook is damaged: a cell has no place.")
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return _number(reference[len(letters) :], row), number


def _fits(rows: int, columns: int) -> None:
    if rows > MAX_ROWS or rows * columns > MAX_CELLS:
        raise FileInvalid(
            f"The sheet spans more than {MAX_CELLS:,} cells, or {MAX_ROWS:,} rows{ADVICE}."
        )


def _octets(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _short(octets: int) -> None:
    if octets > MAX_TEXT:
        raise FileInvalid(f"The sheet's cells hold more than {MAX_TEXT >> 20} MB of text{ADVICE}.")
