"""What a dead worker's journal means for the people it was sending to.

Pure: `settling.settle_by_journal` asks the tables who stood in a started chunk without a result,
asks here what is known of each, and stores that.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from mailer.delivery.batch import VOID, Lease
from mailer.delivery.ledger import Entry, Result, entry
from mailer.delivery.relay import Silence
from mailer.delivery.testimony import Kind, Place, Testimony, Witness
from mailer.delivery.verdict import Patience


@dataclass(slots=True)
class Left:
    """What a journal says of a batch that was settled without it."""

    entries: list[Entry] = field(default_factory=list)
    unsent: list[int] = field(default_factory=list)  # subscribers surely not handed over


@dataclass(frozen=True, slots=True)
class Reading:
    """A journal, and what its reader has to know to make something of it."""

    told: Testimony
    boot_id: str  # of this host now
    patience: Patience
    now: datetime

    @property
    def whole(self) -> bool:
        """Whether who has no dot in it was surely not sent to."""
        return self.told.knows_unsent(self.boot_id)

    def entries(self, held: Lease, people: Mapping[int, datetime | None]) -> list[Entry]:
        """What became of `people`, each with their first try before this one, in a lost lease.

        A reply counts as if it had been recorded. A dot without a reply is uncertain. Whoever has
        neither was surely not sent to and is left out, where the journal is known to be whole;
        else they are uncertain too.
        """
        whole = self.whole
        found: list[Entry] = []
        for subscriber, first_tried in people.items():
            witness = self._last(held, subscriber)
            if witness is not None and witness.kind is not Kind.INTENT:
                found.append(self._entry(witness, held.attempt, first_tried))
            elif not whole:
                evidence = f"the journal of worker {self.told.worker} is not whole"
                found.append(Result(subscriber, "uncertain", self.now, evidence=evidence))
        return found

    def poisoned(self, held: Lease, people: Mapping[int, datetime | None]) -> list[Entry]:
        """Whom the worker died of, in a lease that was worked in chunks of one: at most one.

        Somebody alone in their chunk whose letter surely did not leave. Where a dot left without a
        reply, or the journal is not whole, nobody can say so.
        """
        unsent = [s for s in people if not self._left_us(self._last(held, s))]
        if not self.whole or len(unsent) != 1:
            return []
        evidence = f"worker {self.told.worker} died of it, after {held.deaths} others of its batch"
        return [Result(unsent[0], "skipped", self.now, reason="poison", evidence=evidence)]

    def elsewhere(self, settled: frozenset[Place]) -> Iterator[tuple[Place, Left]]:
        """What it says of batches that were settled without it, one after the other."""
        whole = self.whole
        for place, group in groupby(self.told.last.values(), key=_place):
            if place in settled:
                continue
            left = Left()
            for witness in group:
                if self._left_us(witness):
                    left.entries.append(self._entry(witness, 1, None))
                elif whole:
                    left.unsent.append(witness.subscriber)
            yield place, left

    def _last(self, held: Lease, subscriber: int) -> Witness | None:
        """The last record under this lease, or under the one it was before all were void."""
        for epoch in range(held.epoch, 0, -VOID):
            witness = self.told.last.get((*held.key, epoch, subscriber))
            if witness is not None:
                return witness
        return None

    @staticmethod
    def _left_us(witness: Witness | None) -> bool:
        return witness is not None and witness.kind is not Kind.INTENT

    def _entry(self, witness: Witness, attempt: int, first_tried: datetime | None) -> Entry:
        last = "dot without a reply" if witness.reply is None else "reply"
        return entry(
            witness.reply or Silence(),
            subscriber=witness.subscriber,
            chunk=witness.chunk,
            attempt=attempt,
            first_tried=first_tried,
            at=witness.at,
            patience=self.patience,
            evidence=f"journal: {last}, connection {witness.connection}",
        )


def _place(witness: Witness) -> Place:
    return witness.campaign, witness.batch, witness.epoch
