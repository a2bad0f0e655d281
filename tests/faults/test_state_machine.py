"""Workers in every order of events, against the real books: nobody is lost, nobody gets two.

Hypothesis decides who leases, starts, sends, answers, stops, dies, adopts and judges, which
commits fail and of which nobody knows whether they did. Real are the books and the journals; the
wire is a model that knows the truth. FAULT_STEPS=200000 makes the long run of it.
"""

import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from mailer.campaigns import actions as campaign_actions
from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import State
from mailer.delivery import actions, batch, chunk, journal, ledger, queries, settling
from mailer.delivery.actions import Manner
from mailer.delivery.adoption import Reading
from mailer.delivery.batch import Person
from mailer.delivery.held import STOPPED, Held, Rest
from mailer.delivery.journal import Journal
from mailer.delivery.ledger import News
from mailer.delivery.models import BatchRow
from mailer.delivery.relay import Ending, Message, Reply, Silence
from mailer.delivery.verdict import Patience
from mailer.kit.database import Database
from subscribers import actions as subscribers
from subscribers.models import SubscriberRow
from tests.fakes import books
from tests.faults.world import CAMPAIGN, populate

if TYPE_CHECKING:
    from mailer.delivery.compose import Composer

PEOPLE, BATCH, CHUNK, CONNECTIONS = 12, 6, 3, 2
STEPS = int(os.environ.get("FAULT_STEPS", "0"))
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=300)
ANSWERS: dict[str, Reply] = {
    "yes": Reply(250, "2.0.0", "ok"),
    "later": Reply(450, "4.2.1", "not now"),
    "no": Reply(550, "5.1.1", "nobody"),
}
FATES = ("through", "through", "through", "fails", "unknown")


class Broken(Exception):
    """The database went away."""


@dataclass
class Flight:
    """A letter between its envelope and what the worker learns of it."""

    message: Message
    stage: str = "intent"  # intent, dot, answered, read
    answer: str = ""  # of the relay, which took it where that is yes
    lost: bool = False  # the answer never comes


@dataclass
class Worker:
    """A worker as far as the books see it."""

    name: str
    journal: Journal
    held: Held | None = None
    queue: list[Person] = field(default_factory=list)
    flying: list[Flight] = field(default_factory=list)
    late: bool = False  # past its own deadline
    halted: bool = False  # it has seen a stop
    again: bool = False  # the outcome of its last commit is unknown
    asleep: bool = False  # SIGSTOP
    void: bool = False  # its lease was taken away, with all others

    @property
    def awake(self) -> bool:
        return not self.asleep


@cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="dibao-machine-", dir=_fast()))
    database = Database(f"sqlite:///{folder / 'template.db'}")
    populate(database, PEOPLE)
    with database.transaction() as session:
        books.launched(session, CAMPAIGN, batch_size=BATCH)
    database.close()
    return folder / "template.db"


def _fast() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # no disk to wait for


class Sending(RuleBasedStateMachine):
    """One campaign, up to three workers at a time, and the truth."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="dibao-machine-", dir=_fast()))
        shutil.copyfile(_template(), self.folder / "books.db")
        self.database = Database(f"sqlite:///{self.folder / 'books.db'}")
        self.journals = self.folder / "journals"
        self.workers: list[Worker] = []
        self.raw = sqlite3.connect(self.folder / "books.db")
        self.born = self.steps = 0
        self.wire: Counter[int] = Counter()  # letters the relay took, by subscriber
        self.doubtful: set[int] = set()  # whose letter may be uncertain in the end
        self.barred: set[int] = set()  # suppressed

    # What happens

    @initialize()
    def begin(self) -> None:
        self.hire()

    @precondition(lambda self: len(self.workers) < 3)
    @rule()
    def hire(self) -> None:
        self.born += 1
        name = f"worker-{self.born}"
        self.workers.append(Worker(name, Journal.open(self.journals, name)))

    @rule(who=st.integers(0, 2), fate=st.sampled_from(FATES))
    def lease(self, who: int, fate: str) -> None:
        worker = self.one(who)
        if worker is None or worker.held is not None or worker.halted:
            return
        try:
            with self.committing(fate) as session:
                found = batch.lease(session, worker.name, seconds=3600)
        except Broken:
            return  # a lease nobody knows of runs out
        if found is not None:
            composer = cast("Composer", None)
            worker.held = Held(found, composer, Patience((timedelta(minutes=30),)))
            worker.late = worker.void = False

    @rule(who=st.integers(0, 2), fate=st.sampled_from(FATES))
    def start(self, who: int, fate: str) -> None:
        worker = self.one(who)
        if worker is None or worker.held is None or worker.queue or worker.halted or worker.late:
            return
        held = worker.held
        if held.exhausted or held.rest:
            return
        number, to = held.chunk + 1, min(held.to + CHUNK, held.lease.size)
        news = held.take()
        people: batch.Chunk | None = None
        try:
            with self.committing(fate) as session:
                started = chunk.start(
                    *(session, held.lease, number, to), flushed=news.flushed, seconds=3600
                )
                self.enter(session, worker, news, fenced=started)
                if started:
                    segments = campaigns.campaign(session, CAMPAIGN).segments
                    people = chunk.people(session, held.lease, segments, held.to, to, now=NOW)
        except Broken:
            held.put_back(news)
            worker.again = True
            return
        worker.again = False
        held.written(news)
        if people is None:
            held.rest = Rest(STOPPED)
            return
        assert not worker.void, "a lease that was taken away starts no chunk"
        held.begin(number, to, people, NOW)
        worker.queue = list(people.people)
        assert not self.barred & {p.subscriber for p in people.people}, "suppressed before (I6)"

    @rule(
        who=st.integers(0, 2),
        which=st.integers(0, CONNECTIONS - 1),
        answer=st.sampled_from(("yes", "yes", "yes", "later", "no")),
        lost=st.sampled_from((False, False, False, True)),
    )
    def advance(self, who: int, which: int, answer: str, lost: bool) -> None:
        """A connection takes its letter one step further, or the next letter."""
        worker = self.one(who)
        if worker is None or worker.held is None:
            return
        if which >= len(worker.flying):
            self.intend(worker)
            return
        flight = worker.flying[which]
        match flight.stage:
            case "intent":
                self.dot(worker, flight)
            case "dot":
                self.took(flight, answer, lost=lost)
            case "answered":
                self.read(worker, flight)
            case _:
                self.hand_in(worker, flight)

    @rule(who=st.integers(0, 2), answer=st.sampled_from(("yes", "later", "no")))
    def arrive(self, who: int, answer: str) -> None:
        """What is on its way comes to the relay, though the worker may sleep."""
        for flight in self.workers[who].flying if who < len(self.workers) else ():
            if flight.stage == "dot":
                self.took(flight, answer, lost=False)

    @rule(who=st.integers(0, 2), fate=st.sampled_from(FATES))
    def flush(self, who: int, fate: str) -> None:
        worker = self.one(who)
        if worker is not None and worker.held is not None:
            self.write(worker, fate)

    @rule(who=st.integers(0, 2))
    def give_back(self, who: int) -> None:
        """The end of a run: what is not sent is given back, once nothing is on the wire."""
        worker = self.one(who)
        if worker is None or worker.held is None or worker.flying:
            return
        self.settle(worker)

    @rule(who=st.integers(0, 2))
    def look_for_a_stop(self, who: int) -> None:
        worker = self.one(who)
        if worker is None or worker.held is None:
            return
        with self.database.reading() as session:
            seen = campaigns.stop_epoch(session, CAMPAIGN)
        if seen != worker.held.lease.stop_epoch:
            worker.halted = True

    @rule(who=st.integers(0, 2))
    def fall_asleep(self, who: int) -> None:
        if who < len(self.workers):
            self.workers[who].asleep = True

    @rule(who=st.integers(0, 2))
    def wake(self, who: int) -> None:
        if who < len(self.workers):
            self.workers[who].asleep = False

    @rule(who=st.integers(0, 2), journal_too=st.sampled_from((False, False, False, True)))
    def die(self, who: int, journal_too: bool) -> None:
        if who >= len(self.workers):
            return
        worker = self.workers.pop(who)
        open_dots = [f for f in worker.flying if f.stage in {"dot", "answered"}]
        self.doubtful |= {f.message.subscriber for f in open_dots}
        for flight in open_dots:
            if flight.stage == "dot":  # it was on its way
                self.took(flight, "yes", lost=True)
        worker.journal.close()
        if journal_too:
            worker.journal.path.unlink()
            self.doubtful |= self.started_by(worker.name)

    @rule()
    def adopt(self) -> None:
        for path in journal.orphans(self.journals):
            with journal.adopt(path) as told:
                assert told is not None
                reading = Reading(told, journal.boot(), Patience(), NOW)
                with self.database.transaction() as session:
                    settling.settle_by_journal(session, reading)

    @rule(who=st.integers(0, 2))
    def leases_end(self, who: int) -> None:
        """By the database's clock; by its own, a worker was past its deadline before."""
        if who >= len(self.workers):
            return
        worker = self.workers[who]
        worker.late = worker.held is not None
        self.expire(worker.name)

    @rule()
    def all_is_late(self) -> None:
        """Deferred people are due, and leases of the dead and unknown end."""
        alive = {worker.name for worker in self.workers if worker.held is not None}
        with self.database.transaction() as session:
            waiting = update(BatchRow).where(BatchRow.state == "open")
            session.execute(waiting.values(not_before=LONG_AGO))
            named = select(BatchRow.worker).where(BatchRow.worker.is_not(None))
            names = set(session.scalars(named))
        for name in names - alive:
            self.expire(name or "")

    @rule()
    def judge(self) -> None:
        with self.database.transaction() as session:
            settling.judge(session, now=NOW)

    @rule(really=st.sampled_from((False,) * 4 + (True,)))
    def void_leases(self, really: bool) -> None:
        """As where a database turns out to be restored (S14); nobody's lease counts any more."""
        if really:
            with self.database.transaction() as session:
                settling.void_leases(session)
            for worker in self.workers:
                worker.void = worker.held is not None

    @rule(person=st.integers(1, PEOPLE))
    def suppress(self, person: int) -> None:
        with self.database.transaction() as session:
            key = session.scalar(
                select(SubscriberRow.address_key).where(SubscriberRow.id == person)
            )
            subscribers.suppress(session, str(key), "operator", now=NOW)
        self.barred.add(person)

    @rule()
    def pause(self) -> None:
        if self.state is State.SENDING:
            with self.database.transaction() as session:
                campaign_actions.pause(session, CAMPAIGN)

    @rule()
    def resume(self) -> None:
        if self.state is State.PAUSED:
            with self.database.transaction() as session:
                campaign_actions.resume(session, CAMPAIGN)

    @rule(really=st.sampled_from((False,) * 9 + (True,)))
    def cancel(self, really: bool) -> None:
        if really and self.state in {State.SENDING, State.PAUSED}:
            with self.database.transaction() as session:
                actions.cancel(session, CAMPAIGN, now=NOW)

    @rule()
    def close(self) -> None:
        with self.database.transaction() as session:
            if not ledger.close(session, CAMPAIGN, now=NOW):
                actions.skip_cancelled(session, CAMPAIGN, now=NOW)

    # What has to hold, always

    @invariant()
    def nobody_got_two(self) -> None:
        assert not [who for who, letters in self.wire.items() if letters > 1]

    @invariant()
    def accepted_means_the_relay_took_it(self) -> None:
        looked = "SELECT subscriber_id FROM {} WHERE outcome = 'accepted'"
        for table in ("delivery", "resolution"):
            rows = self.raw.execute(looked.format(table)).fetchall()
            assert {row[0] for row in rows} <= set(self.wire)

    @invariant()
    def the_books_add_up(self) -> None:
        self.steps += 1
        if self.steps % 10 == 0:  # it takes longer than all the rest
            with self.database.reading() as session:
                assert queries.verify(session, CAMPAIGN).breaches == ()  # I1, I2, I8

    def teardown(self) -> None:
        """Let everything come to its end; then everybody is accounted for."""
        try:
            self.come_to_an_end()
            self.count()
        finally:
            for worker in self.workers:
                worker.journal.close()
            self.raw.close()
            self.database.close()
            shutil.rmtree(self.folder)

    # How it comes about

    @property
    def state(self) -> State:
        with self.database.reading() as session:
            return campaigns.campaign(session, CAMPAIGN).state

    def one(self, who: int) -> Worker | None:
        found = self.workers[who] if who < len(self.workers) else None
        return found if found is not None and found.awake else None

    def intend(self, worker: Worker) -> None:
        held = worker.held
        if held is None or not worker.queue or worker.halted:
            return
        person, lease = worker.queue.pop(0), held.lease
        message = Message(
            *(lease.campaign, person.subscriber, lease.number, lease.epoch, held.chunk),
            *(person.address, "", b""),
        )
        worker.journal.append(worker.journal.intent(message, 1))
        worker.flying.append(Flight(message))

    def dot(self, worker: Worker, flight: Flight) -> None:
        if not worker.late:  # else the connection is kept waiting, until it is broken off
            worker.journal.append(worker.journal.dot(flight.message, 1))
            flight.stage = "dot"

    def read(self, worker: Worker, flight: Flight) -> None:
        if flight.lost:
            self.doubtful.add(flight.message.subscriber)
        else:
            reply = ANSWERS[flight.answer]
            worker.journal.append(worker.journal.reply(flight.message, 1, reply))
        flight.stage = "read"

    def hand_in(self, worker: Worker, flight: Flight) -> None:
        worker.flying.remove(flight)
        self.learn(worker, flight.message, Silence() if flight.lost else ANSWERS[flight.answer])

    @contextmanager
    def committing(self, fate: str) -> Iterator[Session]:
        with self.database.transaction() as session:
            yield session
            if fate == "fails":
                raise Broken
        if fate == "unknown":
            raise Broken

    def enter(self, session: Session, worker: Worker, news: News, *, fenced: bool) -> list[bool]:
        manner = Manner(batch_size=BATCH, again=worker.again, now=NOW)
        return actions.enter(session, [news], manner, fenced=news.lease if fenced else None)

    def write(self, worker: Worker, fate: str) -> None:
        assert worker.held is not None
        held, news = worker.held, worker.held.take()
        try:
            with self.committing(fate) as session:
                mine = self.enter(session, worker, news, fenced=False)
        except Broken:
            held.put_back(news)
            worker.again = True
            return
        worker.again = False
        held.written(news)
        if not mine[0]:
            held.rest = held.rest or Rest(STOPPED)
        elif news.done:
            worker.held = None

    def settle(self, worker: Worker) -> None:
        assert worker.held is not None
        held = worker.held
        held.leave_all(NOW)
        worker.queue.clear()
        news = held.take()
        unsent = [who for people in held.unsent.values() for who in people]
        with self.database.transaction() as session:
            self.enter(session, worker, news, fenced=False)
            if not batch.release(session, held.lease):
                settling.record_unsent(session, held.lease, unsent, actor=worker.name, now=NOW)
        worker.held, worker.halted, worker.late, worker.again = None, False, False, False

    def learn(self, worker: Worker, message: Message, ending: Ending) -> None:
        held = worker.held
        assert held is not None
        if isinstance(ending, Reply) and ending.code == 250:
            held.waiting[message.chunk].discard(message.subscriber)
            held.accepted.append((message.subscriber, message.chunk, ending, NOW))
            return
        found = ledger.entry(
            ending,
            subscriber=message.subscriber,
            chunk=message.chunk,
            attempt=held.lease.attempt,
            first_tried=held.first_tried.get(message.subscriber),
            at=NOW,
            patience=held.patience,
        )
        held.settle(message.chunk, found)

    def took(self, flight: Flight, answer: str, *, lost: bool) -> None:
        flight.stage, flight.answer, flight.lost = "answered", answer, lost
        if answer == "yes":
            self.wire[flight.message.subscriber] += 1
        if lost:
            self.doubtful.add(flight.message.subscriber)

    def expire(self, name: str) -> None:
        with self.database.transaction() as session:
            late = update(BatchRow).where(BatchRow.worker == name, BatchRow.state == "open")
            session.execute(late.values(lease_until=LONG_AGO))

    def started_by(self, name: str) -> set[int]:
        with self.database.reading() as session:
            rows = session.scalars(
                select(BatchRow).where(BatchRow.worker == name, BatchRow.state == "open")
            )
            found: set[int] = set()
            for row in rows:
                lease = settling._lease(row, worker=name, epoch=row.epoch)  # noqa: SLF001
                found |= chunk.started_without_result(session, lease).keys()
            return found

    def outcomes(self) -> list[tuple[int, str]]:
        with self.database.reading() as session:
            return [
                (line.subscriber, line.resolution or line.outcome)
                for line in queries.ledger_lines(session, CAMPAIGN)
                if line.outcome != "excluded"
            ]

    def come_to_an_end(self) -> None:
        """Everybody wakes and ends in order; then one honest worker does the rest."""
        for worker in self.workers:
            worker.asleep = False
            for flight in list(worker.flying):
                self.end_flight(worker, flight)
            if worker.held is not None:
                self.settle(worker)
        self.adopt()
        self.all_is_late()
        self.judge()
        if self.state is State.PAUSED:
            self.resume()
        self.hire_last()

    def end_flight(self, worker: Worker, flight: Flight) -> None:
        if flight.stage == "intent":  # broken off before its dot
            worker.flying.remove(flight)
            return
        if flight.stage == "dot":
            self.took(flight, "yes", lost=False)
        if flight.stage == "answered":
            self.read(worker, flight)
        self.hand_in(worker, flight)

    def hire_last(self) -> None:
        for worker in self.workers:
            worker.journal.close()
        self.workers.clear()
        self.hire()
        last = self.workers[0]
        for _ in range(100):
            self.all_is_late()
            self.lease(0, "through")
            if last.held is None:
                break
            while last.held is not None and not last.held.exhausted and not last.held.rest:
                self.start(0, "through")
                self.send_all(last)
            if last.held is not None:
                self.settle(last)
        self.close()

    def send_all(self, worker: Worker) -> None:
        while worker.queue:
            self.intend(worker)
            (flight,) = worker.flying
            self.dot(worker, flight)
            self.took(flight, "yes", lost=False)
            self.read(worker, flight)
            self.hand_in(worker, flight)

    def count(self) -> None:
        with self.database.reading() as session:
            found = queries.verify(session, CAMPAIGN)
            state = campaigns.campaign(session, CAMPAIGN).state
        assert found.breaches == ()
        assert state in {State.FINISHED, State.CANCELLED}, f"{state}: {self.left_open()}"
        standing = dict(self.outcomes())
        assert len(standing) == PEOPLE
        doubtful = {who for who, outcome in standing.items() if outcome == "uncertain"}
        assert doubtful <= self.doubtful, f"uncertain without cause: {doubtful - self.doubtful}"
        for who, outcome in standing.items():
            letters = self.wire[who]
            assert letters <= 1, f"{who} got {letters}"
            assert outcome != "open", f"nobody accounts for {who}"
            told = f"{who}: {outcome}, and got it"
            assert letters == 0 or outcome in {"accepted", "uncertain"}, told
            assert letters == 1 or outcome != "accepted", f"{who}: accepted, and got none"

    def left_open(self) -> list[Any]:
        with self.database.reading() as session:
            return list(session.execute(text("SELECT * FROM batch WHERE state = 'open'")))


TestSending = Sending.TestCase
TestSending.settings = settings(
    max_examples=max(20, STEPS // 100),
    stateful_step_count=100 if STEPS else 50,
    suppress_health_check=list(HealthCheck),
)
