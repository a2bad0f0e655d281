"""Refused rows as a CSV file that can be mended and imported again, and opened without danger."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from subscribers.intake.row import Refusal
from subscribers.outtake.neutral import neutral


class RefusedRows:
    """Refused rows, written to a file or nowhere."""

    def __init__(self, path: Path | None) -> None:
        # the mark tells spreadsheets that it is UTF-8
        self._file = path.open("w", encoding="utf-8-sig", newline="") if path else None
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file:
            self._file.close()

    def write(self, headings: Sequence[str], refusals: Iterable[Refusal]) -> None:
        """Add rows; the file's own columns follow the line and the reason."""
        if not self._file:
            return
        writer = csv.writer(self._file)
        if not self._begun:
            writer.writerow(("line", "reason", *map(neutral, headings)))
            self._begun = True
        for refusal in refusals:
            cells = (cell[:4000] for cell in refusal.cells)
            writer.writerow((refusal.line, neutral(refusal.reason), *map(neutral, cells)))
