"""What a file of people consists of: rows with their lines, and what is wrong with some of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mailer.kit.errors import Invalid

MAX_COLUMNS: Final = 200


class FileInvalid(Invalid):
    """The file cannot be read as a table of people."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as the file has it."""

    line: int  # where it begins, from 1
    cells: Sequence[str]  # spaces around them are dropped; never more than there are headings


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was not taken."""

    line: int  # where it begins, from 1
    reason: str  # never repeats an address
    cells: Sequence[str] = ()  # the row, or as much of a broken line as can be shown


@dataclass(frozen=True, slots=True)
class Form:
    """What kind of file it was found to be."""

    kind: str  # CSV, XLSX, ODS
    encoding: str = ""  # of a CSV, as people call it
    delimiter: str = ""  # of a CSV
    notes: tuple[str, ...] = ()  # what was guessed, or left aside, in sentences


class Table(Protocol):
    """A file of any kind, opened: its headings at once, its rows as they are asked for."""

    form: Form
    headings: tuple[str, ...]

    def rows(self) -> Iterator[Row | Refusal]:
        """Read one row after the other, once; a bad one comes as a Refusal."""

    def done(self) -> float:
        """Say which part of the file has been read, from 0 to 1."""


def checked(headings: Sequence[str], line: int) -> tuple[str, ...]:
    """Take the first row as headings. Raises FileInvalid for more than 200."""
    while headings and not headings[-1]:
        headings = headings[:-1]
    if len(headings) > MAX_COLUMNS:
        raise FileInvalid(f"Line {line}: {len(headings):,} columns; at most {MAX_COLUMNS}.")
    return tuple(heading[:100] for heading in headings)


def misfit(cells: Sequence[str], headings: int) -> str:
    """Say what is wrong with a row that has cells beyond the last heading; empty ones are none."""
    return f"{len(cells)} cells under {headings} headings" if any(cells[headings:]) else ""
