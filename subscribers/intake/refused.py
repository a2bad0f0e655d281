"""Refused rows as a CSV file that can be mended and imported again, and opened without danger."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from mailer.kit.errors import Unavailable
from subscribers.intake.row import Refusal
from subscribers.outtake.neutral import neutral


class RefusedRows:
    """Refused rows, written to a file or nowhere."""

    def __init__(self, path: Path | None) -> None:
        """Open the file; what it held stays until rows are written.

        Raises Unavailable where it cannot be written.
        """
        self._begun = False
        with _disk():  # the mark tells spreadsheets that it is UTF-8
            self._file = path.open("a", encoding="utf-8-sig", newline="") if path else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file:
            with _disk():
                self._file.close()

    def write(self, headings: Sequence[str], refusals: Iterable[Refusal]) -> None:
        """Add rows; the file's own columns follow the line and the reason. Raises Unavailable."""
        if not self._file:
            return
        writer = csv.writer(self._file)
        with _disk():
            if not self._begun:
                if self._file.seekable():
                    self._file.seek(0)
                    self._file.truncate()
                writer.writerow(("line", "reason", *map(neutral, headings)))
                self._begun = True
            for refusal in refusals:
                cells = (cell[:4000] for cell in refusal.cells)
                writer.writerow((refusal.line, neutral(refusal.reason), *map(neutral, cells)))


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as full:
        said = f"The file of refused rows cannot be written: {full.strerror or full}"
        raise Unavailable(said) from full
