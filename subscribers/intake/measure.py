"""How much a workbook's XML would take in memory, told by reading it as a stream.

It declares no entities, and the cells it has, repeated ones counted as often as they repeat, fit.
"""

from array import array
from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from subscribers.intake.row import FileInvalid

MAX_ROWS: Final = 1_048_576  # what spreadsheet programs allow
MAX_CELLS: Final = 1_000_000  # of the rectangle around a sheet's cells: 200,000 rows of five
MAX_TEXT: Final = 30 * 2**20  # octets of UTF-8 in all cells together
ADVICE: Final = "; save it as CSV, which is read at any length"


class Xml:
    """Reads XML as a stream, and refuses what declares anything about itself."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._declared
        self._parser.EntityDeclHandler = self._declared
        self._parser.buffer_text = True

    def read(self, pieces: Iterator[bytes]) -> None:
        """Read it to its end. Raises FileInvalid."""
        try:
            for piece in pieces:
                self._parser.Parse(piece, False)  # noqa: FBT003  # expat's own signature
            self._parser.Parse(b"", True)  # noqa: FBT003
        except expat.ExpatError as broken:
            raise FileInvalid("The workbook is damaged: a part of it is no XML.") from broken

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
        self._first_row = 0
        self._value = ""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        if name == "row":
            self._row = _number(attributes.get("r", ""), self._row + 1)
            self._first_row = self._first_row or self._row
            self._column = 0
        elif name == "c":
            self._column = _column(attributes.get("r", ""), self._column + 1)
            self._width = max(self._width, self._column)
            self._shared = attributes.get("t") == "s"
            _fits(self._row - self._first_row + 1, self._width)
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
        self._in_text = False
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters

    def _start(self, name: str, attributes: dict[str, str]) -> None:
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
        elif name == "p":
            self._in_text = True
            self._fill()

    def _fill(self) -> None:
        self._filled = True
        self._width = max(self._width, self._column)
        _fits(self._rows + self._row_times, self._width)

    def _end(self, name: str) -> None:
        name = name.rpartition(":")[2]
        if name == "table-row":
            self._rows += self._row_times
        elif name == "p":
            self._in_text = False

    def _characters(self, text: str) -> None:
        if self._in_text:
            self._text += _octets(text) * self._cell_times * self._row_times
            _short(self._text)


def _number(text: str, default: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 9):
        raise FileInvalid("The workbook is damaged: a number in it is none.")
    return int(text)


def _column(reference: str, default: int) -> int:
    letters = reference.rstrip("0123456789")
    if not letters:
        return default
    if not (letters.isascii() and letters.isalpha() and len(letters) <= 3):
        raise FileInvalid("The workbook is damaged: a cell has no place.")
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number


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
