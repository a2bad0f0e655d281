"""A row made a person: cells parsed, names joined, opt-outs of elsewhere respected.

Cells repeat: languages, segments, countries. What was parsed once is remembered, for a while.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

from mailer.kit.errors import Invalid
from subscribers import fields
from subscribers.address import AddressInvalid, EmailAddress
from subscribers.fields import CustomField, FieldInvalid, FieldValue
from subscribers.intake.columns import Columns
from subscribers.intake.peers import NEVER_AGREED, OPTED_OUT
from subscribers.intake.row import Row
from subscribers.outtake.neutral import neutral
from subscribers.segment import Segment
from subscribers.subscriber import (
    LanguageInvalid,
    NewPerson,
    TimezoneInvalid,
    parse_language,
    parse_timezone,
    tidy_name,
)
from subscribers.suppression import Reason

_SEPARATORS = str.maketrans(",;|\n\r\t", "\n" * 6)  # between segments in one cell
_NO: Final = frozenset({"", "0", "false", "no", "n", "off", "none", "null"})
_MOMENT: Final = re.compile(r"[0-9][0-9T:./ +Z-]{5,34}", re.ASCII)
_REMEMBERED: Final = 4096
_T = TypeVar("_T")


class RowInvalid(Invalid):
    """A row that cannot be taken."""


class OptedOut(Invalid):
    """Somebody who must not be mailed, going by where they come from."""

    def __init__(self, address: EmailAddress, reason: Reason, words: str) -> None:
        super().__init__(words)
        self.address = address
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Incoming:
    """Somebody to be stored, and when they agreed, as far as the file says."""

    person: NewPerson
    evidence: str = ""


class Reader:
    """Makes people of the rows of one file."""

    def __init__(
        self,
        columns: Columns,
        segments: Sequence[Segment],
        schema: Sequence[CustomField],
        *,
        everybody: Sequence[str] = (),
        source: str = "",
    ) -> None:
        """`everybody`: keys of segments that are followed beside those of the row."""
        self._everybody = tuple(everybody)
        self._source = source
        self._status = columns.status
        self._called = _names(segments)
        where = columns.where
        (self._email,) = where("email")
        self._name, self._language = _only(where("name")), _only(where("language"))
        self._first, self._last = _only(where("first_name")), _only(where("last_name"))
        self._segments, self._timezone = _only(where("segments")), _only(where("timezone"))
        self._lax_timezone = _only(where("timezone?"))
        self._statuses, self._agreed = where("status"), where("agreed")
        self._signs = tuple(
            (n, word, expected)
            for word, expected in (
                ("unsubscribed", True),
                ("cleaned", True),
                ("deleted", True),
                ("subscribed", False),
            )
            for n in where(word)
        )
        self._attributes = where("attributes")
        self._schema = {field.key: field for field in schema}
        self._fields = tuple(
            (n, self._schema[key.removeprefix("field:")])
            for n, key in enumerate(column.target for column in columns.each)
            if key.startswith("field:")
        )
        self._parse_language = _remembering(parse_language)
        self._parse_timezone = _remembering(parse_timezone)
        self._parse_segments = _remembering(self._find_segments)
        self._parse_field = {
            field.key: _remembering(_field_parser(field)) for field in self._schema.values()
        }

    def read(self, row: Row) -> Incoming:
        """Make a person of a row.

        Raises RowInvalid with every reason, none of which repeats the address, and OptedOut.
        """
        cells = row.cells
        if "'" in "".join(cells):
            cells = [_as_it_was(cell) for cell in cells]
        here = len(cells)

        def cell(n: int) -> str:
            return cells[n] if 0 <= n < here else ""

        reasons: list[str] = []
        address = self._address(cell(self._email), reasons)
        if address and (self._signs or self._statuses or self._status):
            self._respect(cell, address)
        name = self._full_name(cell)
        language = _tried("language", self._parse_language, cell(self._language), reasons)
        timezone = _tried("timezone", self._parse_timezone, cell(self._timezone), reasons)
        if self._lax_timezone >= 0:
            timezone = _tried("", self._parse_timezone, cell(self._lax_timezone), []) or ""
        keys = _tried("segments", self._parse_segments, cell(self._segments), reasons)
        values = self._values(cell, reasons)
        if reasons or address is None:
            raise RowInvalid("; ".join(reasons))
        person = NewPerson(
            address, name, keys or (), language or "", timezone or "", 3, values, self._source
        )
        return Incoming(person, self._evidence(cell) if self._agreed else "")

    @staticmethod
    def _address(text: str, reasons: list[str]) -> EmailAddress | None:
        if not text:
            reasons.append("email: is empty")
            return None
        try:
            return EmailAddress.parse(text)
        except AddressInvalid as invalid:
            reasons.append(f"email: {invalid}")
            return None

    def _full_name(self, cell: Callable[[int], str]) -> str:
        name = cell(self._name)
        if not name and (self._first >= 0 or self._last >= 0):
            name = joined(cell(self._first), cell(self._last))
        if name.isascii() and name.isprintable() and len(name) <= 100 and "  " not in name:
            return name  # as tidy_name leaves it: cells are stripped
        return tidy_name(name)

    def _find_segments(self, text: str) -> tuple[str, ...]:
        """Read the keys of a cell; raises RowInvalid for what is no segment, and for none."""
        called = _split(text, self._called)
        unknown = [name for name in called if name not in self._called]
        if unknown:
            raise RowInvalid(f"there is no {', '.join(repr(name[:40]) for name in unknown)}")
        keys = dict.fromkeys([*self._everybody, *(self._called[name] for name in called)])
        if not keys:
            raise RowInvalid("is empty, and nothing is followed without one")
        return tuple(keys)

    def _values(self, cell: Callable[[int], str], reasons: list[str]) -> dict[str, FieldValue]:
        values: dict[str, FieldValue] = {}
        for n in self._attributes:
            values |= self._from_json(cell(n))
        for n, field in self._fields:
            if text := cell(n):
                try:
                    values[field.key] = self._parse_field[field.key](text)
                except FieldInvalid as invalid:
                    reasons.append(str(invalid))
        return values

    def _from_json(self, text: str) -> dict[str, FieldValue]:
        """Take from a cell of attributes what is a field here; the rest is not ours to judge."""
        try:
            found = json.loads(text) if text else {}
        except (ValueError, RecursionError):
            return {}
        values: dict[str, FieldValue] = {}
        for key, value in found.items() if isinstance(found, dict) else ():
            parts = value if isinstance(value, list) else [value]
            if key in self._schema and all(isinstance(p, str | int | float) for p in parts):
                words = ",".join(map(_written, parts))
                try:
                    values[key] = self._parse_field[key](words)
                except FieldInvalid:
                    continue
        return values

    def _respect(self, cell: Callable[[int], str], address: EmailAddress) -> None:
        """Raise OptedOut or RowInvalid for somebody who may not be mailed where they come from."""
        said = [cell(n).casefold() for n in self._statuses]
        for n, word, expected in self._signs:
            if (cell(n).casefold() not in _NO) is expected:
                said.append("unsubscribed" if word == "subscribed" else word)
        for status in (*said, self._status):
            if reason := OPTED_OUT.get(status):
                raise OptedOut(address, reason, f"is {status[:40]} where they come from")
            if status in NEVER_AGREED:
                raise RowInvalid(f"is {status[:40]} where they come from: has not agreed")

    def _evidence(self, cell: Callable[[int], str]) -> str:
        for n in self._agreed:
            if _MOMENT.fullmatch(moment := cell(n)):
                return f"agreed {moment}"
        return ""


def joined(first: str, last: str) -> str:
    """Join a first and a last name; Chinese, Japanese and Korean put the family first, unspaced."""
    if first and last and _is_han(first) and _is_han(last):
        return last + first
    return f"{first} {last}".strip()


def _as_it_was(cell: str) -> str:
    """Take off the mark that our own files put before what a spreadsheet would run."""
    return cell[1:] if cell.startswith("'") and neutral(cell[1:]) == cell else cell


def _written(part: str | float) -> str:
    """Write a value of JSON's as `fields.parse` reads it, to the last digit."""
    if isinstance(part, bool):
        return "true" if part else "false"
    return fields.written(part) if isinstance(part, str | float) else str(part)


def _is_han(text: str) -> bool:
    names = (unicodedata.name(character, "") for character in text)
    return all(name.startswith(("CJK UNIFIED", "HANGUL", "CJK COMPAT")) for name in names)


def _only(found: Sequence[int]) -> int:
    return found[0] if found else -1


def _remembering(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    return lru_cache(_REMEMBERED)(parse)


def _field_parser(field: CustomField) -> Callable[[str], FieldValue]:
    def parse(text: str) -> FieldValue:
        return fields.parse(field, text)

    return parse


def _tried(what: str, parse: Callable[[str], _T], text: str, reasons: list[str]) -> _T | None:
    try:
        return parse(text)
    except (LanguageInvalid, TimezoneInvalid, RowInvalid) as invalid:
        reasons.append(f"{what}: {invalid}")
        return None


def _split(cell: str, names: Mapping[str, str]) -> Iterator[str] | list[str]:
    """Split a cell into what segments are called: at commas and the like, else at spaces."""
    parts = [part.strip().casefold() for part in cell.translate(_SEPARATORS).split("\n")]
    return [name for part in parts for name in ([part] if part in names else part.split())]


def _names(segments: Sequence[Segment]) -> dict[str, str]:
    """Lead from everything a segment may be called, in lower case, to its key."""
    called = {name.casefold(): s.key for s in segments for name in (s.name, *s.names.values())}
    return called | {segment.key: segment.key for segment in segments}
