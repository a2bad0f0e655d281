"""A ledger as a file that a third party can check: CSV whose rows are chained by SHA-256.

    # dibao-ledger 1
    # campaign 7 "Fans in the gym", finished, 2026-11-23T09:00:00+00:00
    # sums candidates=3 excluded=1 audience=2 accepted=2 refused=0 skipped=0 expired=0 ...
    subscriber,edition,...,resolution,hash
    1,4,...,,5d1c...
    # end rows=3 head=93ab...

Lines end in LF. The first link is the hash of every line before the first row, each with its LF;
a row's is the hash of the link before it in hexadecimal, LF, and the row as written up to its last
comma. The closing line says how many rows there were and repeats the last link. So no row can be
changed, removed, added or moved without every later link changing; that nobody has written the
whole file anew shows only where its head was noted elsewhere. `docs/ledger.md` has a script.

Pure: lines in, lines out.
"""

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

FORMAT: Final = "dibao-ledger 1"
_END = re.compile(r"# end rows=(?P<rows>\d+) head=(?P<head>[0-9a-f]{64})")
_SUMS = re.compile(r"# sums (?P<sums>[a-z]+=\d+(?: [a-z]+=\d+)*)")
_BREAKS = str.maketrans("\r\n", "  ")  # a row is one line, whatever a relay said


@dataclass(frozen=True, slots=True)
class Fault:
    """The first place where a file does not hold."""

    line: int  # from 1
    what: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file turned out to be."""

    rows: int
    head: str  # the last link; "" where there is none
    fault: Fault | None = None
    about: tuple[str, ...] = ()  # its first lines, without the "# "
    sums: dict[str, int] = field(default_factory=dict)  # as it states them


class Writer:
    """Makes the lines of a ledger, each with its line end."""

    def __init__(self, about: Sequence[str], columns: Sequence[str]) -> None:
        """`about`: lines that say what this is; one that begins with "sums" is checked."""
        head = [f"# {line.translate(_BREAKS)}\n" for line in (FORMAT, *about)]
        self.opening = "".join(head) + _row([*columns, "hash"])
        self._link, self._rows = _sha(self.opening), 0

    @property
    def rows(self) -> int:
        """How many were made."""
        return self._rows

    @property
    def head(self) -> str:
        """The last link."""
        return self._link

    def row(self, values: Sequence[object]) -> str:
        """The next row."""
        plain = _row(["" if v is None else str(v).translate(_BREAKS) for v in values])[:-1]
        self._link, self._rows = _sha(f"{self._link}\n{plain}"), self._rows + 1
        return f"{plain},{self._link}\n"

    def closing(self) -> str:
        """The last line."""
        return f"# end rows={self._rows} head={self._link}\n"


def check(lines: Iterable[str], *, tally: Sequence[str] = ()) -> Checked:
    """Go along the chain and name the first line that breaks it; `lines` keep their ends.

    An excerpt, as one of its first lines calls it, has a chain of its own and the whole's sums.

    `tally` names the columns whose first known word, from the last to the first, is the outcome of
    a row: then the rows are counted against the sums the file states.
    """
    checker = _Checker(tuple(tally))
    for number, line in enumerate(lines, 1):
        if fault := checker.take(line):
            return checker.result(Fault(number, fault))
    return checker.result(checker.unfinished())


class _Checker:
    def __init__(self, tally: tuple[str, ...]) -> None:
        self._about: list[str] = []
        self._opening = hashlib.sha256()
        self._columns: list[str] = []
        self._link, self._rows, self._lines = "", 0, 0
        self._closed = False
        self._tally, self._counted = tally, Counter[str]()
        self._sums: dict[str, int] = {}

    def take(self, line: str) -> str:
        """Why the line breaks the chain; "" where it holds."""
        self._lines += 1
        if self._closed:
            return "something follows the closing line"
        if not line.endswith("\n") or line.endswith("\r\n"):
            return "the line does not end in LF: cut off, or written anew by another program"
        text = line[:-1]
        if not self._columns:
            return self._open(line, text)
        if text.startswith("# "):
            return self._close(text)
        plain, comma, link = text.rpartition(",")
        if not comma or link != _sha(f"{self._link}\n{plain}"):
            return (
                "the row is not the one that was written here: changed, added or moved, or one "
                "before it is missing"
            )
        self._link, self._rows = link, self._rows + 1
        self._count(plain)
        return ""

    def unfinished(self) -> Fault | None:
        """What is wrong when there are no more lines."""
        if not self._closed:
            return Fault(self._lines + 1, "the closing line is missing: the file was cut off")
        if any(line.startswith("excerpt") for line in self._about):
            return None  # its sums are the whole ledger's
        stated = {outcome: self._sums.get(outcome, 0) for outcome in self._counted}
        if self._tally and self._sums and stated != self._counted:
            return Fault(3, f"the sums say otherwise than the rows: {dict(self._counted)}")
        return None

    def result(self, fault: Fault | None) -> Checked:
        """What is known so far."""
        return Checked(self._rows, self._link, fault, tuple(self._about), self._sums)

    def _open(self, line: str, text: str) -> str:
        if self._lines == 1 and text != f"# {FORMAT}":
            return f"the file does not begin with `# {FORMAT}`"
        self._opening.update(line.encode())
        if text.startswith("# "):
            self._about.append(text[2:])
            if found := _SUMS.fullmatch(text):
                pairs = (pair.split("=") for pair in found["sums"].split(" "))
                self._sums = {name: int(number) for name, number in pairs}
        else:
            self._columns = text.split(",")
            self._link = self._opening.hexdigest()
        return ""

    def _close(self, text: str) -> str:
        end = _END.fullmatch(text)
        if end is None:
            return "this is neither a row nor the closing line"
        if int(end["rows"]) != self._rows or end["head"] != self._link:
            return f"the closing line speaks of {end['rows']} rows, and here are {self._rows}"
        self._closed = True
        return ""

    def _count(self, plain: str) -> None:
        if not self._tally:
            return
        values = dict(zip(self._columns, next(csv.reader([plain])), strict=False))
        words = (values.get(column, "") for column in reversed(self._tally))
        self._counted[next((word for word in words if word in self._sums), "")] += 1


def _row(values: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
