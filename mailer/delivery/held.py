"""A leased batch in a worker's hands: what is on the wire, what is known and not yet written."""

from dataclasses import dataclass, field
from datetime import datetime

from mailer.delivery.batch import Chunk, Lease
from mailer.delivery.compose import Composer
from mailer.delivery.ledger import Entry, Later, News, Result, Row


@dataclass(slots=True, eq=False)
class Held:
    """A leased batch in this worker's hands."""

    lease: Lease
    composer: Composer
    chunk: int = 0  # the last one started
    to: int = 0  # the position it reaches
    flushed: int = 0  # chunks whose people all have a row
    left: dict[int, int] = field(default_factory=dict)  # chunk -> people without a result
    first_tried: dict[int, datetime] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    later: Later | None = None
    lost: bool = False

    @property
    def exhausted(self) -> bool:
        """Whether its last chunk has been started."""
        return self.to >= self.lease.size

    def begin(self, chunk: int, to: int, people: Chunk, at: datetime) -> None:
        """Its next chunk is on record; those not to be mailed any more are settled at once."""
        self.chunk, self.to, self.left[chunk] = chunk, to, len(people.people)
        self.first_tried |= {p.subscriber: p.first_tried for p in people.people if p.first_tried}
        self.entries += [
            Result(subscriber, "skipped", at, reason=why, chunk=chunk)
            for subscriber, why in people.unmailable
        ]

    def take(self) -> News:
        """Hand over what is not written yet."""
        flushed = self.flushed
        while flushed < self.chunk and not self.left[flushed + 1]:
            flushed += 1
        done = self.exhausted and flushed == self.chunk
        news = News(self.lease, flushed, done, self.rows, self.entries, self.later)
        self.rows, self.entries = [], []
        return news

    def put_back(self, news: News) -> None:
        """Nobody could write it."""
        self.rows[:0], self.entries[:0] = news.rows, news.entries
