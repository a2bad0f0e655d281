"""A leased batch in a worker's hands: what is on the wire, what is known and not yet written."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from mailer.delivery import ledger
from mailer.delivery.batch import Chunk, Lease, Person
from mailer.delivery.compose import Composer
from mailer.delivery.ledger import Entry, Later, News, Result, Row
from mailer.delivery.relay import Reply
from mailer.delivery.verdict import Patience

STOPPED = "stopped"
"""Why a batch came back whose campaign, or whose lease, is ours no more."""

Key = tuple[int, int, int]  # campaign, batch, epoch


@dataclass(frozen=True, slots=True)
class Rest:
    """Why a batch is given back before its end, and for how long nobody shall have it."""

    reason: str
    wait: float = 0.0  # seconds
    not_before: datetime | None = None  # or until this moment


@dataclass(slots=True, eq=False)
class Held:
    """A leased batch in this worker's hands.

    Whoever stands in a started chunk is `waiting`, until an ending says otherwise: one has a result
    then, or is `unsent`.
    """

    lease: Lease
    composer: Composer
    patience: Patience
    chunk: int = 0  # the last one started
    to: int = 0  # the position it reaches
    flushed: int = 0  # chunks whose people all have a row
    waiting: dict[int, set[int]] = field(default_factory=dict)  # chunk -> people without an ending
    unsent: dict[int, set[int]] = field(default_factory=dict)  # chunk -> people surely not sent to
    sent_by: dict[int, str] = field(default_factory=dict)  # chunk -> relay
    ways: dict[int, str] = field(default_factory=dict)  # chunk -> way of the relay
    looked: dict[int, float] = field(default_factory=dict)  # chunk -> when its people were read
    reserved: dict[int, datetime] = field(default_factory=dict)  # chunk -> when of the warm-up
    unmailable: dict[int, str] = field(default_factory=dict)  # since their chunk began: why
    first_tried: dict[int, datetime] = field(default_factory=dict)
    accepted: list[tuple[int, int, Reply, datetime]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)  # that could not be written before
    entries: list[Entry] = field(default_factory=list)
    later: tuple[Later, ...] = ()
    unknown: int = 0  # the chunk of which nobody heard whether it is on record
    rest: Rest | None = None  # it takes no further chunk, and is given back
    # Of the thread that hands out messages:
    pending: deque[Person] = field(default_factory=deque)  # of the last chunk, not handed out
    relay: str = ""  # that the last chunk goes to
    way: str = ""
    granted: int = 0  # how many more of it may be handed out at once
    ready_at: float = 0.0  # not before this moment may more of it be handed out
    stuck_since: float = 0.0  # its way has no room since; 0 where it has

    @property
    def key(self) -> Key:
        """What names the lease."""
        return (*self.lease.key, self.lease.epoch)

    @property
    def exhausted(self) -> bool:
        """Whether its last chunk has been started."""
        return self.to >= self.lease.size

    @property
    def idle(self) -> bool:
        """Whether nobody of it is on the wire, or on the way there."""
        return not any(self.waiting.values())

    def begin(self, chunk: int, to: int, people: Chunk, at: datetime) -> None:
        """Its next chunk is on record; those not to be mailed any more are settled at once."""
        self.chunk, self.to = chunk, to
        self.waiting[chunk] = {person.subscriber for person in people.people}
        self.sent_by[chunk], self.ways[chunk] = self.relay, self.way
        self.first_tried |= {p.subscriber: p.first_tried for p in people.people if p.first_tried}
        self.entries += [
            Result(subscriber, "skipped", at, reason=why, chunk=chunk)
            for subscriber, why in people.unmailable
        ]

    def settle(self, chunk: int, found: Entry) -> None:
        """Somebody's ending is known."""
        self.waiting[chunk].discard(found.subscriber)
        self.entries.append(found)

    def leave(self, chunk: int, subscriber: int, at: datetime) -> None:
        """Somebody was surely not sent to, and stays open; or may not be mailed any more."""
        why = self.unmailable.get(subscriber)
        if why is not None:
            self.settle(chunk, Result(subscriber, "skipped", at, reason=why, chunk=chunk))
            return
        self.waiting[chunk].discard(subscriber)
        self.unsent.setdefault(chunk, set()).add(subscriber)

    def leave_all(self, at: datetime) -> None:
        """The relay has let go of everybody who has no ending."""
        for chunk, people in self.waiting.items():
            for subscriber in tuple(people):
                self.leave(chunk, subscriber, at)

    def take(self) -> News:
        """Hand over what is not written yet."""
        flushed = self.flushed
        while flushed < self.chunk and not self.waiting[flushed + 1]:
            if flushed + 1 in self.unsent:
                break
            flushed += 1
        done = self.exhausted and flushed == self.chunk
        sent_by = self.sent_by
        rows = self.rows + [
            ledger.accepted(self.lease, subscriber, chunk, reply, sent_by[chunk], at)
            for subscriber, chunk, reply, at in self.accepted
        ]
        news = News(self.lease, flushed, done, rows, self.entries, self.later, sent_by)
        self.rows, self.accepted, self.entries = [], [], []
        return news

    def put_back(self, news: News) -> None:
        """Nobody could write it."""
        self.rows[:0], self.entries[:0] = news.rows, news.entries

    def written(self, news: News) -> None:
        """It is in the books."""
        for chunk in range(self.flushed + 1, news.flushed + 1):
            for kept in (self.waiting, self.ways, self.looked):
                kept.pop(chunk, None)
        self.flushed, self.later = news.flushed, news.later
