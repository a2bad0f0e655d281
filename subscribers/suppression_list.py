"""Reading a list of addresses that must not be mailed: one a line, or CSV with a column for them.

Lists of this kind come from other services and from hand: a row that holds no address is reported
by its line and costs nothing but itself.
"""

import csv
from collections.abc import Iterable, Iterator
from typing import Final, TextIO

from mailer.kit.errors import Invalid
from subscribers.address import AddressInvalid, EmailAddress

COLUMNS: Final = frozenset({"email", "e-mail", "email address", "e-mail address", "address"})
_MARKS: Final = ",;\t"
MAX_LINE: Final = 65_536  # characters


class ListInvalid(Invalid):
    """The list names its columns, and none of them is called email."""


def read(lines: Iterable[str]) -> Iterator[tuple[int, EmailAddress | AddressInvalid]]:
    """Read one address after the other with its line, from 1; empty lines are passed over.

    The first row is a heading where it holds no @. Memory is that of the longest line given.
    Raises ListInvalid.
    """
    mark, column = "", 0
    for number, line in enumerate(lines, 1):
        text = line.strip().strip("\ufeff")
        if not text:
            continue
        if not mark:  # the first row decides
            mark = max(_MARKS, key=text.count)
            if "@" not in text:
                column = _named(text, mark)
                continue
        yield number, _address(text, mark, column)


def lines(stream: TextIO) -> Iterator[str]:
    """The lines of a file, each cut where it is too long to be one; memory stays flat."""
    while line := stream.readline(MAX_LINE + 1):
        rest = line
        while rest and not rest.endswith("\n"):
            rest = stream.readline(MAX_LINE)
        yield line


def _named(heading: str, mark: str) -> int:
    """The place of the column of addresses."""
    for place, name in enumerate(_cells(heading, mark)):
        if name.strip().lower() in COLUMNS:
            return place
    raise ListInvalid


def _address(text: str, mark: str, column: int) -> EmailAddress | AddressInvalid:
    if len(text) > MAX_LINE:
        return AddressInvalid(f"The line has more than {MAX_LINE:,} characters.")
    cells = _cells(text, mark)
    try:
        return EmailAddress.parse(cells[column] if column < len(cells) else "")
    except AddressInvalid as refused:
        return refused


def _cells(text: str, mark: str) -> list[str]:
    try:
        return next(csv.reader([text.replace("\0", "")], delimiter=mark))
    except csv.Error:
        return []
