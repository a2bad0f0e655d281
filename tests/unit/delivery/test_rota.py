"""Lane beside lane, relay beside relay: who is slow or stopped holds nobody up."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import CampaignId, State
from mailer.campaigns.models import CampaignRow
from mailer.delivery import brakes, queries
from mailer.delivery.breakers import Trip
from mailer.delivery.dispatch import Dispatcher
from mailer.delivery.engine import SmtpRelay
from mailer.delivery.models import BatchRow, BrakeRow, DeliveryRow
from mailer.delivery.pacing import Pacer
from mailer.delivery.plan import LanePlan, Plan, RelayPlan
from mailer.delivery.tools import Terms
from mailer.kit import clock
from mailer.kit.database import Database
from subscribers.models import SubscriberRow
from tests.fakes import books
from tests.fakes.smtp import ScriptedSink

SMALL = Terms(chunk_size=10, batch_size=20, run=8)


def plan(*sinks: ScriptedSink, lanes: dict[str, LanePlan] | None = None, **first: Any) -> Plan:
    """A relay for each sink, named one, two …; `first` is about the first."""
    relays = tuple(
        RelayPlan.model_construct(
            name=name,
            url=f"smtp://127.0.0.1:{sink.port}",
            connections=4,
            **(first if not n else {}),
        )
        for n, (name, sink) in enumerate(zip(("one", "two", "three"), sinks, strict=False))
    )
    return Plan.model_construct(relays=relays, lanes=lanes or {})


@contextmanager
def working(
    database: Database,
    how: Plan,
    *,
    worker: str = "one",
    terms: Terms = SMALL,
    directory: Path | None = None,
) -> Iterator[Dispatcher]:
    """A worker over the real wire."""
    pacer = Pacer(how)
    relay = SmtpRelay(pacer.way_of, ahead=10, most=pacer.most)
    one = books.dispatcher(
        database, relay, worker=worker, pacer=pacer, directory=directory, terms=terms
    )
    try:
        yield one
    finally:
        one.close()


@contextmanager
def sinks(*each: ScriptedSink) -> Iterator[tuple[ScriptedSink, ...]]:
    with ExitStack() as stack:
        yield tuple(stack.enter_context(sink) for sink in each)


def two_lanes(database: Database, *, gmail: int, other: int) -> CampaignId:
    with database.transaction() as session:
        books.people(session, gmail, domain="gmail.com")
        books.people(session, other, first=gmail + 1)
        campaign = books.campaign(session)
        books.launched(session, campaign, batch_size=20)
    return campaign


def ends(database: Database, campaign: CampaignId) -> tuple[State, queries.Progress]:
    with database.reading() as session:
        assert queries.verify(session, campaign).breaches == ()
        state = campaign_queries.campaign(session, campaign).state
        return state, queries.progress(session, campaign)


def domains(sink: ScriptedSink) -> Counter[str]:
    return Counter(recipient.partition("@")[2] for recipient in sink.recipients)


def test_a_slow_lane_holds_nobody_up(database: Database) -> None:
    campaign = two_lanes(database, gmail=30, other=60)
    with sinks(ScriptedSink()) as (sink,):
        how = plan(sink, lanes={"gmail": LanePlan.model_construct(rate=10.0)})
        begun = time.monotonic()
        with working(database, how, terms=Terms(chunk_size=10, run=20)) as one:
            worked = one.work(campaign)
        took = time.monotonic() - begun

    assert worked.settled == 90
    assert ends(database, campaign)[0] is State.FINISHED
    last = [place for place, to in enumerate(sink.recipients) if to.endswith("example.org")][-1]
    assert last < 80, "the others were through while this lane had more to come"
    assert 2.5 < took < 12


def test_a_lane_that_has_to_wait_for_long_is_given_back(sqlite_database: Database) -> None:
    campaign = two_lanes(sqlite_database, gmail=5, other=10)
    with sinks(ScriptedSink()) as (sink,):
        how = plan(sink, lanes={"gmail": LanePlan.model_construct(rate=1 / 60)})
        with working(sqlite_database, how, terms=Terms(run=3)) as one:
            worked = one.work(campaign)
            assert one.work(campaign).settled == 0, "its minute is not over"

    assert (worked.settled, worked.more_due) == (11, False)
    assert domains(sink) == {"gmail.com": 1, "example.org": 10}
    with sqlite_database.reading() as session:
        row = session.scalars(select(BatchRow).where(BatchRow.state == "open")).one()
    assert (row.worker, row.chunks_started) == (None, 0)
    assert "rate" in row.reason
    assert ends(sqlite_database, campaign)[1].open == 4


def test_relays_share_by_weight(sqlite_database: Database) -> None:
    campaign = books.sending(sqlite_database, 80, batch_size=40)
    with sinks(ScriptedSink(), ScriptedSink()) as (first, second):
        how = plan(first, second, weight=3)
        with working(sqlite_database, how) as one:
            one.work(campaign)

    assert (len(first.received), len(second.received)) == (60, 20)
    with sqlite_database.reading() as session:
        by = Counter(session.scalars(select(DeliveryRow.relay)))
    assert by == {"one": 60, "two": 20}


def test_a_relay_that_refuses_our_login_fails_nobody(database: Database) -> None:
    """Fault 39: the breaker opens, the started chunk goes back, the campaign waits."""
    campaign = books.sending(database, 30)
    refuses = ScriptedSink(
        offers=("PIPELINING", "AUTH PLAIN"),
        script=lambda stage, _: "535 5.7.8 no" if stage == "auth" else None,
    )
    with sinks(refuses) as (sink,):
        how = plan(sink)
        relay = how.relays[0].model_copy(update={"url": f"smtp://ada:wrong@127.0.0.1:{sink.port}"})
        with working(database, Plan.model_construct(relays=(relay,))) as one:
            worked = one.work(campaign)
            assert one.sweep() == (), "nothing is due while the relay is shut"

    state, progress = ends(database, campaign)
    assert (state, progress.open, worked.settled) == (State.SENDING, 30, 0)
    assert worked.relay_down
    with database.reading() as session:
        on = brakes.seen(session).on
        row = session.scalars(select(BatchRow)).one()
    assert [(b.scope, b.name, b.cause) for b in on] == [("relay", "one", "auth")]
    assert (row.worker, row.chunks_started) == (None, 0)
    assert "wrong" not in row.reason + on[0].reason


def test_another_relay_takes_over_from_one_that_is_down(sqlite_database: Database) -> None:
    campaign = books.sending(sqlite_database, 40, batch_size=20)
    with sinks(ScriptedSink(), ScriptedSink()) as (first, second):
        how = plan(first, second)
    with sinks(ScriptedSink(port=second.port)) as (left,), working(sqlite_database, how) as one:
        while one.work(campaign).more_due:
            pass

    assert len(left.received) == 40
    assert ends(sqlite_database, campaign)[0] is State.FINISHED


def test_a_probe_that_goes_through_takes_the_brake_off(sqlite_database: Database) -> None:
    campaign = books.sending(sqlite_database, 20)
    with sqlite_database.transaction() as session:
        trip = Trip("lane", "other", "blocked", "refused", probe_after=0)
        brakes.put_on(session, trip, actor="ada", now=clock.now() - timedelta(seconds=1))
    with sinks(ScriptedSink()) as (sink,), working(sqlite_database, plan(sink)) as one:
        assert one.sweep() == (campaign,)
        one.work(campaign)

    assert ends(sqlite_database, campaign)[0] is State.FINISHED
    with sqlite_database.reading() as session:
        row = session.scalars(select(BrakeRow)).one()
    assert row.off_by == "a letter was accepted"


def test_the_probe_is_of_the_process_that_sends_not_of_the_one_that_sweeps(
    sqlite_database: Database,
) -> None:
    campaign = books.sending(sqlite_database, 20)
    with sqlite_database.transaction() as session:
        trip = Trip("relay", "one", "connect", "down", probe_after=0)
        brakes.put_on(session, trip, actor="ada", now=clock.now() - timedelta(seconds=1))
    with (
        sinks(ScriptedSink()) as (sink,),
        working(sqlite_database, plan(sink), worker="main") as main,
        working(sqlite_database, plan(sink), worker="child") as child,
    ):
        for _ in range(2):  # a worker's main process sweeps; its children send
            for number in main.sweep():
                child.work(number)

    assert ends(sqlite_database, campaign)[0] is State.FINISHED
    with sqlite_database.reading() as session:
        assert session.scalars(select(BrakeRow)).one().off_by == "a letter was accepted"


def test_a_probe_that_fails_makes_the_rest_longer(sqlite_database: Database) -> None:
    campaign = books.sending(sqlite_database, 20)
    with sqlite_database.transaction() as session:
        trip = Trip("lane", "other", "blocked", "refused", probe_after=0)
        brakes.put_on(session, trip, actor="ada", now=clock.now() - timedelta(seconds=1))
    no = ScriptedSink(script=lambda stage, _: "550 5.7.1 blocked" if stage == "dot" else None)
    with sinks(no) as (sink,), working(sqlite_database, plan(sink)) as one:
        one.sweep()
        one.work(campaign)

    with sqlite_database.reading() as session:
        row = session.scalars(select(BrakeRow)).one()
    assert (row.off_at, row.trips, row.probing) == (None, 2, False)
    assert row.probe_at is not None
    assert row.probe_at > clock.now() + timedelta(minutes=2)
    assert sum(command == "DATA" for command in sink.commands) == 1
    assert ends(sqlite_database, campaign)[1].refused == 0, "nobody is failed for our fault"


def test_a_window_that_is_closed_lets_nobody_through(sqlite_database: Database) -> None:
    campaign = books.sending(sqlite_database, 5)
    hour = (clock.now() + timedelta(hours=3)).hour
    with sqlite_database.transaction() as session:
        window = f"{hour:02}:00-{hour:02}:30"
        session.execute(update(CampaignRow).values(send_window=window))
    with sinks(ScriptedSink()) as (sink,), working(sqlite_database, plan(sink)) as one:
        worked = one.work(campaign)

    assert (worked.settled, worked.more_due, sink.received) == (0, False, [])
    with sqlite_database.reading() as session:
        row = session.scalars(select(BatchRow)).one()
    assert row.reason == "outside its hours"
    assert row.not_before > clock.now() + timedelta(hours=1)


def test_a_warm_up_sends_its_days_share_and_no_more(database: Database) -> None:
    campaign = books.sending(database, 30)
    with database.transaction() as session:
        session.get_one(SubscriberRow, 3).state = "unsubscribed"
    with sinks(ScriptedSink()) as (sink,):
        how = plan(sink, warm_up=(12, 50))
        with working(database, how) as one:
            one.work(campaign)
            assert one.work(campaign).settled == 0
            assert one.sweep() == ()

    assert len(sink.received) == 12, "a place nobody needed is another's"
    _, progress = ends(database, campaign)
    assert (progress.accepted, progress.skipped, progress.open) == (12, 1, 17)


def test_what_a_warm_up_does_not_take_another_relay_does(database: Database) -> None:
    campaign = books.sending(database, 30)
    with ExitStack() as stack:
        new, old = stack.enter_context(sinks(ScriptedSink(), ScriptedSink()))
        how = plan(new, old, warm_up=(12, 50))
        one = stack.enter_context(working(database, how))
        while one.work(campaign).more_due:
            pass

    assert (len(new.received), len(old.received)) == (12, 18)
    assert ends(database, campaign)[0] is State.FINISHED


def test_the_first_letters_of_a_campaign_go_alone(database: Database) -> None:
    campaign = books.sending(database, 40, batch_size=15)
    with database.transaction() as session:
        session.execute(update(CampaignRow).values(canary_size=7))
    with sinks(ScriptedSink()) as (sink,), working(database, plan(sink)) as one:
        one.work(campaign)
        assert len(sink.received) == 7
        assert one.sweep() == ()
        with database.transaction() as session:
            session.execute(update(CampaignRow).values(canary_passed_at=clock.now()))
        one.work(campaign)

    assert len(sink.received) == 40
    assert ends(database, campaign)[0] is State.FINISHED


def test_a_batch_that_kills_workers_goes_one_by_one(sqlite_database: Database) -> None:
    """Fault 48: so that the next death names somebody."""
    campaign = books.sending(sqlite_database, 8)
    with sqlite_database.transaction() as session:
        session.execute(update(BatchRow).values(deaths=2))
    with sinks(ScriptedSink()) as (sink,), working(sqlite_database, plan(sink)) as one:
        one.work(campaign)

    assert sink.recipients == [f"reader{n}@example.org" for n in range(1, 9)]
    assert sink.most_at_once == 1
    with sqlite_database.reading() as session:
        chunks = session.scalars(select(DeliveryRow.chunk).order_by(DeliveryRow.chunk)).all()
    assert chunks == list(range(1, 9))
