"""What a dead worker's journal means for the people it was sending to.

Pure: `actions.settle_by_journal` asks the tables who stood in a started chunk without a result,
asks here what is known of each, and stores that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mailer.delivery.batch import Lease
from mailer.delivery.journal import Kind, Testimony, Witness
from mailer.delivery.ledger import Entry, Result, entry
from mailer.delivery.relay import Silence
from mailer.delivery.verdict import Patience

Place = tuple[int, int, int]  # campaign, batch, epoch


@dataclass(frozen=True, slots=True)
class Reading:
    """A journal, and what its reader has to know to make something of it."""

    told: Testimony
    boot_id: str  # of this host now
    patience: Patience
    now: datetime

    def entries(self, held: Lease, people: Mapping[int, datetime | None]) -> list[Entry]:
        """What became of `people`, each with their first try before this one, in a lost lease.

        A reply counts as if it had been recorded. A dot without a reply is uncertain. Whoever has
        neither was surely not sent to and is left out, where the journal is known to be whole;
        else they are uncertain too.
        """
        whole = self.told.knows_unsent(self.boot_id)
        found: list[Entry] = []
        for subscriber, first_tried in people.items():
            witness = self.told.last.get((*held.key, held.epoch, subscriber))
            if witness is not None and witness.kind is not Kind.INTENT:
                found.append(self._entry(witness, held.attempt, first_tried))
            elif not whole:
                evidence = f"the journal of worker {self.told.worker} is not whole"
                found.append(Result(subscriber, "uncertain", self.now, evidence=evidence))
        return found

    def replies(self, settled: frozenset[Place]) -> dict[Place, list[Entry]]:
        """Replies about batches that were settled without this journal, by batch."""
        found: dict[Place, list[Entry]] = {}
        for witness in self.told.last.values():
            place = (witness.campaign, witness.batch, witness.epoch)
            if witness.reply is not None and place not in settled:
                found.setdefault(place, []).append(self._entry(witness, 1, None))
        return found

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
