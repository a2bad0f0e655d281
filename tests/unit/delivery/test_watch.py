"""Whoever stops something is obeyed within a second, and everything else goes on."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import update

from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import CampaignId, State
from mailer.delivery import actions, batch, brakes, queries, settling
from mailer.delivery.breakers import Trip
from mailer.delivery.dispatch import Dispatcher
from mailer.delivery.engine import SmtpRelay, relay_from_url
from mailer.delivery.models import BatchRow
from mailer.delivery.pacing import Pacer
from mailer.delivery.plan import LanePlan, Plan, RelayPlan
from mailer.delivery.tools import Terms
from mailer.kit import clock
from mailer.kit.database import Database
from subscribers.models import SubscriberRow
from tests.fakes import books
from tests.fakes.books import NOON
from tests.fakes.smtp import ScriptedSink

CONNECTIONS = 4
SLOW = 0.05  # seconds that the sink thinks over a message: 80 a second on 4 connections


@contextmanager
def working(
    database: Database, sink: ScriptedSink, *, directory: Path | None = None, chunk: int = 50
) -> Iterator[Dispatcher]:
    relay = relay_from_url(f"smtp://127.0.0.1:{sink.port}", connections=CONNECTIONS, ahead=10)
    terms = Terms(chunk_size=chunk, run=20)
    one = books.dispatcher(database, relay, directory=directory, terms=terms)
    try:
        yield one
    finally:
        one.close()


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Work in another thread; wait for its end."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    thread.join(30)
    assert not thread.is_alive()


def until(count: int, got: Callable[[], int]) -> None:
    end = time.monotonic() + 20
    while got() < count and time.monotonic() < end:
        time.sleep(0.005)


def late(sink: ScriptedSink, domain: str = "", *, grace: float) -> int:
    """How many messages come more than so many seconds from now."""

    def got() -> int:
        return sum(to.endswith(domain) for to in sink.recipients)

    time.sleep(grace)
    then = got()
    time.sleep(0.7)
    return got() - then


def state(database: Database, campaign: CampaignId) -> tuple[State, queries.Progress]:
    with database.reading() as session:
        assert queries.verify(session, campaign).breaches == ()
        found = campaign_queries.campaign(session, campaign).state
        return found, queries.progress(session, campaign)


def test_a_pause_acts_within_a_second_and_nobody_is_lost(database: Database) -> None:
    """Fault 47, S12: then at most the one message of each connection whose dot is out."""
    campaign = books.sending(database, 400)
    with ScriptedSink(linger=SLOW) as sink, working(database, sink, chunk=200) as one:
        with meanwhile(lambda: one.work(campaign)):
            until(20, lambda: len(sink.received))
            with database.transaction() as session:
                campaigns.pause(session, campaign)
            assert late(sink, grace=1.2) <= CONNECTIONS
        stopped, progress = state(database, campaign)
        assert (stopped, progress.uncertain) == (State.PAUSED, 0)
        assert progress.accepted == len(sink.received) < 250
        with database.transaction() as session:
            campaigns.resume(session, campaign)
        sink.linger = 0
        while one.work(campaign).more_due:
            pass

    assert sorted(sink.recipients) == sorted(f"reader{n}@example.org" for n in range(1, 401))
    assert state(database, campaign)[0] is State.FINISHED


def test_pausing_one_campaign_lets_another_go_on(sqlite_database: Database) -> None:
    database = sqlite_database
    with database.transaction() as session:
        books.people(session, 150, domain="gmail.com", segments=("ai",))
        books.people(session, 150, first=151, segments=("luxury",))
        first = books.campaign(session, segments=("ai",))
        books.launched(session, first)
        second = books.campaign(session, segments=("luxury",), number=2)
        books.launched(session, second)
    with ScriptedSink(linger=SLOW) as sink:
        relays = (
            RelayPlan.model_construct(
                name="one", url=f"smtp://127.0.0.1:{sink.port}", connections=8
            ),
        )
        lanes = {"gmail": LanePlan.model_construct(connections=4)}
        pacer = Pacer(Plan.model_construct(relays=relays, lanes=lanes))
        relay = SmtpRelay(pacer.way_of, ahead=10, most=pacer.most)
        one = books.dispatcher(database, relay, pacer=pacer, terms=Terms(chunk_size=100, run=20))
        with meanwhile(lambda: one.work(first)):
            until(20, lambda: Counter(to[-9:] for to in sink.recipients)["gmail.com"])
            with database.transaction() as session:
                campaigns.pause(session, first)
            assert late(sink, "gmail.com", grace=1.2) <= CONNECTIONS
        one.close()

    assert state(database, second)[0] is State.FINISHED
    stopped, progress = state(database, first)
    assert (stopped, progress.uncertain) == (State.PAUSED, 0)
    assert 0 < progress.open < 150
    with database.reading() as session:
        assert batch.due(session) == ()


def test_a_cancel_settles_the_rest_of_the_chunk(sqlite_database: Database) -> None:
    campaign = books.sending(sqlite_database, 200)
    with (
        ScriptedSink(linger=SLOW) as sink,
        working(sqlite_database, sink) as one,
        meanwhile(lambda: one.work(campaign)),
    ):
        until(20, lambda: len(sink.received))
        with sqlite_database.transaction() as session:
            actions.cancel(session, campaign, now=NOON)

    cancelled, progress = state(sqlite_database, campaign)
    assert (cancelled, progress.open, progress.uncertain) == (State.CANCELLED, 0, 0)
    assert progress.accepted == len(sink.received)
    assert progress.accepted + progress.skipped == 200


@pytest.mark.parametrize("way", ["file", "brake"])
def test_a_hold_stops_everything_within_a_second(
    database: Database, tmp_path: Path, way: str
) -> None:
    campaign = books.sending(database, 300)
    with (
        ScriptedSink(linger=SLOW) as sink,
        working(database, sink, directory=tmp_path) as one,
    ):
        with meanwhile(lambda: one.work(campaign)):
            until(20, lambda: len(sink.received))
            if way == "file":
                (tmp_path / "HOLD").write_text("wrong picture\n")
            else:
                with database.transaction() as session:
                    trip = Trip(*brakes.HOLD, "hand", "wrong picture")
                    brakes.put_on(session, trip, actor="ada", now=clock.now())
            assert late(sink, grace=1.2) <= CONNECTIONS
        held = one.work(campaign)
        assert (held.settled, held.held, one.sweep()) == (0, "wrong picture", ())

    sending, progress = state(database, campaign)
    assert (sending, progress.uncertain) == (State.SENDING, 0)
    assert progress.accepted == len(sink.received)


def test_a_lane_under_a_brake_comes_back_and_the_others_go_on(sqlite_database: Database) -> None:
    database = sqlite_database
    with database.transaction() as session:
        books.people(session, 60, domain="gmail.com")
        books.people(session, 60, first=61)
        campaign = books.campaign(session)
        books.launched(session, campaign)
    with ScriptedSink(linger=SLOW) as sink, working(database, sink) as one:
        with meanwhile(lambda: one.work(campaign)):
            until(10, lambda: len(sink.received))
            with database.transaction() as session:
                trip = Trip("lane", "gmail", "hand", "complaints")
                brakes.put_on(session, trip, actor="ada", now=clock.now())
        while one.work(campaign).more_due:
            pass

    counts = Counter(to.partition("@")[2] for to in sink.recipients)
    assert counts["example.org"] == 60
    assert 10 <= counts["gmail.com"] < 60
    _, progress = state(database, campaign)
    assert (progress.accepted, progress.uncertain) == (len(sink.received), 0)


def test_an_unsubscribe_acts_within_five_seconds_inside_a_chunk(
    sqlite_database: Database,
) -> None:
    """Fault 46, and the bound for slow lanes."""
    campaign = books.sending(sqlite_database, 30)
    with (
        ScriptedSink(linger=1.0) as sink,
        working(sqlite_database, sink) as one,
        meanwhile(lambda: one.work(campaign)),
    ):
        until(1, lambda: len(sink.received))
        with sqlite_database.transaction() as session:
            leaves = update(SubscriberRow).where(SubscriberRow.id == 30)
            session.execute(leaves.values(state="unsubscribed"))

    assert "reader30@example.org" not in sink.recipients
    _, progress = state(sqlite_database, campaign)
    assert (progress.accepted, progress.skipped) == (29, 1)


def test_a_process_that_slept_through_its_lease_sends_nothing_more(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults 12 and 58: judged meanwhile; it wakes, writes no dot, tells what it knows."""
    database = sqlite_database
    campaign = books.sending(database, 40)
    asleep = threading.Event()
    awake = threading.Event()

    def dot(stage: str, _: str) -> None:
        if stage == "dot" and len(sink.received) == 10 and not asleep.is_set():
            asleep.set()
            awake.wait(10)

    with ScriptedSink(script=dot) as sink, working(database, sink) as one:
        with meanwhile(lambda: one.work(campaign)):
            asleep.wait(10)
            real = time.clock_gettime
            monkeypatch.setattr(time, "clock_gettime", lambda c: real(c) + 800)
            with database.transaction() as session:
                session.execute(update(BatchRow).values(lease_until=NOON))
                settling.judge(session, now=clock.now())
            awake.set()
        monkeypatch.undo()
        got = len(sink.received)
        assert got <= 10 + CONNECTIONS
        _, progress = state(database, campaign)
        assert progress.accepted == got, "what it learnt late stands in the books"
        while one.work(campaign).more_due:
            pass

    assert sorted(sink.recipients) == sorted(f"reader{n}@example.org" for n in range(1, 41))
    _, progress = state(database, campaign)
    assert (progress.accepted, progress.uncertain, progress.open) == (40, 0, 0)
