"""Imports each file of the hostile corpus and prints what became of it, and the peak of memory.

Run by test_hostile.py in a process of its own: python hostile.py DATABASE_URL
"""

import io
import json
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailer.kit.database import Database
from subscribers.intake.plan import Plan
from subscribers.intake.row import FileInvalid
from subscribers.intake.taking import take
from tests.unit.subscribers.intake.books import cell, ods, packed, row

NOW = datetime(2026, 3, 1, tzinfo=UTC)
GOOD = b"last@example.org,Last\n"
HEAD = b"email,name\n"
MB = 1 << 20


class Endless(io.RawIOBase):
    """A file with so many equal octets in its middle that nobody should hold it."""

    def __init__(self, head: bytes, middle: bytes, times: int, tail: bytes) -> None:
        super().__init__()
        self._head, self._tail, self._place = head, tail, 0
        self._middle = middle * (MB // len(middle))
        self._times = times * len(middle)
        self._size = len(head) + self._times + len(tail)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {0: 0, 1: self._place, 2: self._size}[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        place, there = self._place, len(buffer)
        middle_ends = len(self._head) + self._times
        if place < len(self._head):
            piece = self._head[place : place + there]
        elif place < middle_ends:
            at = (place - len(self._head)) % len(self._middle)
            piece = self._middle[at : at + min(there, middle_ends - place)]
        else:
            piece = self._tail[place - middle_ends :][:there]
        buffer[: len(piece)] = piece
        self._place += len(piece)
        return len(piece)


def corpus() -> Iterator[tuple[str, Any]]:
    """The files by name."""
    yield "line of 1 GB", io.BufferedReader(Endless(HEAD, b"x", 1 << 30, b"\n" + GOOD))
    yield "cell of 10 MB", io.BytesIO(HEAD + b'a@example.org,"' + b"x" * 10 * MB + b'"\n' + GOOD)
    long = b'a@example.org,"' + b"a line\n" * (10 * MB // 70) + b'"\n'
    yield "cell of 1 MB over lines", io.BytesIO(HEAD + long + GOOD)
    yield "first row of 256 MB", io.BufferedReader(Endless(b"email,", b"x,", 1 << 27, b"\n" + GOOD))
    yield "NUL", io.BytesIO(HEAD + b"a@example.org,A\0da\n" + GOOD)
    yield "zeros", io.BytesIO(b"\0" * MB)
    text = "email,name\nwang@example.org,王\nlast@example.org,Last\n"
    yield "UTF-16", io.BytesIO(text.encode("utf-16"))
    yield "unclosed quote", io.BytesIO(HEAD + b'a@example.org,"A\n' + GOOD)
    yield "unclosed quotes", io.BytesIO(HEAD + b'a@example.org,"A\n' * 3001 + GOOD)
    yield "quotes anywhere", io.BytesIO(HEAD + b'"a""@"b,c"\n"d\n' * 3000 + GOOD)
    formulas = b"=cmd|' /C calc'!A0,=1+1\nb@example.org,=HYPERLINK(1)\n"
    yield "formulas", io.BytesIO(HEAD + formulas + GOOD)
    yield "twin headings", io.BytesIO(b"email,name,Email\n" + GOOD)
    many = ",".join(f"c{n}" for n in range(10_000)).encode()
    yield "10,000 columns", io.BytesIO(b"email," + many + b"\n" + GOOD)
    yield "10,000 cells", io.BytesIO(HEAD + b"a@example.org" + b",x" * 10_000 + b"\n" + GOOD)
    noise = random.Random(1).randbytes(MB)  # noqa: S311  # the same each time
    yield "noise", io.BytesIO(HEAD + noise + b"\n" + GOOD)
    zeros = b"0" * 60 * MB
    sheet = "xl/worksheets/sheet1.xml"
    yield "bomb", io.BytesIO(packed({"xl/workbook.xml": "<a/>", sheet: zeros}))
    several = {f"xl/{n}.xml": zeros for n in range(4)}
    yield "several bombs", io.BytesIO(packed({"xl/workbook.xml": "<a/>", **several}))
    repeated = row(cell("x" * 1000, 16_000), repeated=1_000_000)
    yield "repeated cells", io.BytesIO(ods(row(cell("email")) + repeated))


def peak() -> int:
    """The most memory this process ever held, in MB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def main(url: str) -> None:
    database = Database(url)
    plan = Plan("Agreed.", "hostile.csv", ("ai",))
    results: dict[str, dict[str, Any]] = {"": {"peak": peak()}}
    for name, stream in corpus():
        reasons: dict[str, int] = {}
        added = 0
        try:
            for progress in take(database, stream, plan, key=b"k" * 32, now=NOW):
                for refusal in progress.refusals:
                    reasons[refusal.reason] = reasons.get(refusal.reason, 0) + 1
                added = progress.counts.added + progress.counts.unchanged
        except FileInvalid as invalid:
            reasons[str(invalid)] = 1
        results[name] = {"there": added, "reasons": reasons, "peak": peak()}
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1])
