"""Some thousand rows, read and not yet stored: people, opt-outs, duplicates and refusals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Final

from subscribers.address import Canon, address_key
from subscribers.intake.duplicates import Seen
from subscribers.intake.merge import REASONS, Outcome
from subscribers.intake.person import Incoming, OptedOut, Reader, RowInvalid
from subscribers.intake.row import Refusal, Row
from subscribers.intake.run import Counts
from subscribers.suppression import Reason

SIZE: Final = 5000  # rows per transaction
_COUNTED: Mapping[Outcome, str] = {
    Outcome.ADDED: "added",
    Outcome.UPDATED: "updated",
    Outcome.UNCHANGED: "unchanged",
    Outcome.SKIPPED: "skipped",
}


@dataclass(frozen=True, slots=True)
class Batch:
    """What some thousand rows say."""

    line: int  # of the last one
    rows: int
    people: Sequence[tuple[Row, str, Incoming]]  # with the key of the address
    opted_out: Mapping[str, Reason]  # by the key of the address
    duplicates: int
    refusals: tuple[Refusal, ...]

    def refused(self, outcomes: Sequence[Outcome]) -> tuple[Refusal, ...]:
        """Everything that is refused of it, given what became of its people, by line."""
        dealt = zip(self.people, outcomes, strict=True)
        stored = [
            Refusal(row.line, REASONS[outcome], row.cells)
            for (row, _, _), outcome in dealt
            if outcome in REASONS
        ]
        return tuple(sorted([*self.refusals, *stored], key=lambda refusal: refusal.line))

    def summed(self, before: Counts, outcomes: Sequence[Outcome]) -> Counts:
        """The sums with it."""
        more = {name: outcomes.count(outcome) for outcome, name in _COUNTED.items()}
        more["rows"] = self.rows
        more["duplicates"] = self.duplicates
        more["opted_out"] = len(self.opted_out)
        more["refused"] = len(self.refusals) + sum(outcome in REASONS for outcome in outcomes)
        sums = {name: getattr(before, name) + number for name, number in more.items()}
        return replace(before, line=max(before.line, self.line), **sums)


class Batches:
    """The rows of a file, some thousand at a time; addresses met further up are left out."""

    def __init__(
        self,
        rows: Iterator[Row | Refusal],
        reader: Reader,
        seen: Seen,
        *,
        key: bytes | Canon,
        keep_opt_outs: bool = False,
    ) -> None:
        self._rows = rows
        self._reader = reader
        self._seen = seen
        self._key = key
        self._keep_opt_outs = keep_opt_outs

    def until(self, line: int) -> Iterator[Batch]:
        """Read as far as a line, that one too."""
        left: list[Row | Refusal] = []

        def earlier() -> Iterator[Row | Refusal]:
            for row in self._rows:
                if row.line > line:
                    left.append(row)
                    return
                yield row

        yield from self._each(earlier())
        self._rows = chain(left, self._rows)

    def rest(self) -> Iterator[Batch]:
        """Read to the end."""
        yield from self._each(self._rows)

    def _each(self, rows: Iterator[Row | Refusal]) -> Iterator[Batch]:
        while batch := list(islice(rows, SIZE)):
            yield self._read(batch)

    def _read(self, rows: Sequence[Row | Refusal]) -> Batch:
        people: list[tuple[Row, str, Incoming]] = []
        opted_out: list[tuple[str, Reason]] = []
        refusals: list[Refusal] = []
        for row in rows:
            if isinstance(row, Refusal):
                refusals.append(row)
                continue
            try:
                incoming = self._reader.read(row)
                people.append((row, address_key(self._key, incoming.person.address), incoming))
            except RowInvalid as invalid:
                refusals.append(Refusal(row.line, str(invalid), row.cells))
            except OptedOut as out:
                if self._keep_opt_outs:
                    opted_out.append((address_key(self._key, out.address), out.reason))
                else:
                    refusals.append(Refusal(row.line, str(out), row.cells))
        new = self._new([key for _, key, _ in people])
        fresh_out = self._new([key for key, _ in opted_out])
        return Batch(
            line=rows[-1].line,
            rows=len(rows),
            people=[each for each, fresh in zip(people, new, strict=True) if fresh],
            opted_out=dict(each for each, fresh in zip(opted_out, fresh_out, strict=True) if fresh),
            duplicates=new.count(False) + fresh_out.count(False),
            refusals=tuple(refusals),
        )

    def _new(self, keys: Sequence[str]) -> list[bool]:
        return [not before for before in self._seen.before(keys)]
