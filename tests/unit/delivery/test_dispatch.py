"""A worker sends to everybody once, and gives back whomever it did not get to."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import CampaignId, State
from mailer.campaigns.models import CampaignRow, EditionRow
from mailer.delivery import actions, batch, brakes, breakers, chunk, queries, resolving, workers
from mailer.delivery.journal import Journal
from mailer.delivery.models import AttemptRow, BatchRow, DeliveryRow
from mailer.delivery.pacing import Pacer
from mailer.delivery.plan import BrakePlan, Plan
from mailer.delivery.queries import Progress
from mailer.delivery.relay import Ending, Message, Reply, Silence
from mailer.delivery.tools import Terms
from mailer.delivery.verdict import Patience
from mailer.kit import clock
from mailer.kit.database import Database
from mailer.kit.errors import Unavailable
from subscribers import queries as subscribers
from subscribers.models import SubscriberRow, SuppressionRow
from subscribers.subscriber import SubscriberId
from tests.fakes import books
from tests.fakes.books import NOON
from tests.fakes.relay import ScriptedRelay

SMALL = Terms(chunk_size=5, batch_size=10)
AT_ONCE = Plan.model_construct(  # a canary is judged as soon as it is through
    relays=Plan.single("", 1).relays,
    brakes=BrakePlan.model_construct(canary_wait=timedelta(0)),
)


def state(database: Database, campaign: CampaignId) -> tuple[State, Progress]:
    with database.reading() as session:
        assert queries.verify(session, campaign).breaches == ()
        found = campaign_queries.campaign(session, campaign)
        return found.state, queries.progress(session, campaign, by_edition=True)


def recipients(relay: ScriptedRelay) -> list[int]:
    return sorted(message.subscriber for message in relay.sent)


def open_batches(database: Database) -> list[BatchRow]:
    with database.reading() as session:
        found = select(BatchRow).where(BatchRow.state == "open").order_by(BatchRow.number)
        return list(session.scalars(found))


def test_everybody_gets_one_letter_and_the_campaign_closes_by_its_sum(database: Database) -> None:
    campaign = books.sending(database, 23, batch_size=10)
    relay = ScriptedRelay(at_once=4)

    worked = books.dispatcher(database, relay, terms=SMALL).work(campaign)

    assert recipients(relay) == list(range(1, 24))
    assert (worked.settled, worked.more_due) == (23, False)
    finished, progress = state(database, campaign)
    assert finished is State.FINISHED
    assert (progress.accepted, progress.open) == (23, 0)
    assert [(e.audience, e.settled) for e in progress.by_edition] == [(23, 23)]
    assert open_batches(database) == []


def test_a_letter_is_the_readers_own(database: Database) -> None:
    campaign = books.sending(database, 2)
    relay = ScriptedRelay()

    books.dispatcher(database, relay).work(campaign)

    first, second = relay.sent
    assert first.recipient == "reader1@example.org"
    assert first.return_path.startswith("b+")
    assert first.return_path.endswith("@gazette.example")
    token = first.return_path[2:26].encode()
    assert b"Subject: Fans for Reader\r\n" in first.data
    assert b"https://gazette.example/c/=\r\n" + token + b"=\r\n/1\r\n" in first.data
    assert b"<https://gazette.example/u/" + token + b">" in first.data
    assert token not in second.data
    assert b"reader2" not in first.data


def test_every_ending_has_its_place_in_the_ledger(database: Database) -> None:
    campaign = books.sending(database, 6)
    relay = ScriptedRelay(
        {
            "reader1@example.org": Reply(550, "5.1.1", "no such user", "rcpt"),
            "reader2@example.org": Reply(550, "5.7.1", "go away"),
            "reader3@example.org": Silence(),
            "reader4@example.org": Reply(451, "4.7.1", "greylisted"),
        }
    )

    worked = books.dispatcher(database, relay).work(campaign)

    sending, progress = state(database, campaign)
    assert (sending, worked.settled, worked.deferred) == (State.SENDING, 5, 1)
    assert progress.sums == {
        "accepted": 2,
        "refused": 2,
        "skipped": 0,
        "expired": 0,
        "uncertain": 1,
        "open": 1,
    }
    assert progress.deferred == 1
    with database.reading() as session:
        rows = {r.subscriber_id: r for r in session.scalars(select(DeliveryRow))}
        named = queries.uncertain(session, campaign)
        waiting = queries.explain(session, campaign, 4)
    assert (rows[1].reason, rows[1].code, rows[1].enhanced) == ("address", 550, "5.1.1")
    assert rows[2].reason == "policy"
    assert [line.subscriber for line in named] == [3]
    assert "final dot" in named[0].evidence
    assert waiting is not None
    assert (waiting.line.outcome, waiting.attempts[0].code) == ("open", 451)
    assert waiting.next_try is not None


def test_only_a_dead_address_is_suppressed(database: Database) -> None:
    campaign = books.sending(database, 3)
    relay = ScriptedRelay(
        {
            "reader1@example.org": Reply(550, "5.1.1", "no such user", "rcpt"),
            "reader2@example.org": Reply(550, "5.7.1", "go away"),
        }
    )

    books.dispatcher(database, relay).work(campaign)

    with database.reading() as session:
        assert session.scalars(select(SuppressionRow.reason)).all() == ["bounced"]
        assert subscribers.subscriber(session, SubscriberId(1)).state == "bounced"
        assert subscribers.subscriber(session, SubscriberId(2)).state == "confirmed"


def test_the_deferred_are_tried_again_later_together(database: Database) -> None:
    campaign = books.sending(database, 12, batch_size=12)
    greylisted: dict[str, Ending | None] = {
        f"reader{n}@example.org": Reply(451, "4.7.1", "later") for n in (2, 4, 9)
    }
    relay = ScriptedRelay(greylisted)
    one = books.dispatcher(database, relay, terms=SMALL)
    one.work(campaign)

    (later,) = open_batches(database)
    assert (later.size, later.attempt) == (3, 2)
    assert later.not_before > later.not_before.now(tz=later.not_before.tzinfo)
    assert one.work(campaign).settled == 0  # not yet
    relay.endings.clear()
    with database.transaction() as session:
        session.execute(update(BatchRow).values(not_before=NOON).where(BatchRow.state == "open"))
    one.work(campaign)

    finished, progress = state(database, campaign)
    assert (finished, progress.accepted) == (State.FINISHED, 12)
    assert len(recipients(relay)) == 15
    with database.reading() as session:
        told = queries.explain(session, campaign, 9)
    assert told is not None
    assert (told.line.outcome, told.line.attempts) == ("accepted", 2)


def test_patience_ends(database: Database) -> None:
    campaign = books.sending(database, 1)
    relay = ScriptedRelay({"reader1@example.org": Reply(451)})
    patience = Patience(waits=(timedelta(hours=1),), limit=timedelta(minutes=5))

    books.dispatcher(database, relay, terms=Terms(patience=patience)).work(campaign)

    finished, progress = state(database, campaign)
    assert (finished, progress.expired) == (State.FINISHED, 1)


def test_who_may_not_be_mailed_any_more_is_skipped_with_the_reason(database: Database) -> None:
    campaign = books.sending(database, 3)
    with database.transaction() as session:
        session.get_one(SubscriberRow, 1).state = "unsubscribed"
        session.get_one(SubscriberRow, 2).state = "erased"
    relay = ScriptedRelay()

    books.dispatcher(database, relay).work(campaign)

    assert recipients(relay) == [3]
    with database.reading() as session:
        lines = {line.subscriber: line for line in queries.ledger_lines(session, campaign)}
    assert (lines[1].outcome, lines[1].reason) == ("skipped", "unsubscribed")
    assert (lines[2].outcome, lines[2].reason) == ("skipped", "erased")


def test_when_the_relay_is_down_nobody_is_failed_and_the_batch_rests(database: Database) -> None:
    campaign = books.sending(database, 20, batch_size=10)
    relay = ScriptedRelay(down_after=7, at_once=3)
    one = books.dispatcher(database, relay, terms=SMALL)

    worked = one.work(campaign)

    assert (worked.settled, worked.relay_down) == (7, "The script says so")
    assert not worked.more_due
    assert one.work(campaign).settled == 0  # rests
    _, progress = state(database, campaign)
    assert (progress.accepted, progress.open, progress.uncertain) == (7, 13, 0)
    first, _ = open_batches(database)
    assert (first.worker, first.reason) == (None, "The script says so")
    with database.transaction() as session:
        session.execute(update(BatchRow).values(not_before=NOON).where(BatchRow.state == "open"))

    books.dispatcher(database, again := ScriptedRelay(), worker="two", terms=SMALL).work(campaign)

    assert sorted(recipients(relay) + recipients(again)) == list(range(1, 21))
    assert state(database, campaign)[0] is State.FINISHED


def test_a_message_without_an_ending_goes_back(database: Database) -> None:
    campaign = books.sending(database, 4)
    relay = ScriptedRelay({"reader2@example.org": None})
    one = books.dispatcher(database, relay)

    one.work(campaign)
    relay.endings.clear()
    one.work(campaign)

    assert recipients(relay) == [1, 2, 3, 4]
    assert state(database, campaign)[0] is State.FINISHED


def test_a_letter_that_cannot_be_composed_harms_nobody_else(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = books.sending(database, 3)
    relay = ScriptedRelay()
    one = books.dispatcher(database, relay)
    monkeypatch.setattr("mailer.delivery.compose.reader", _fails_for_reader_two)

    one.work(campaign)

    assert recipients(relay) == [1, 3]
    finished, progress = state(database, campaign)
    assert (finished, progress.skipped) == (State.FINISHED, 1)


def test_a_damaged_edition_holds_up_no_other_campaign(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 20)
        damaged, healthy = (books.campaign(session, number=n) for n in (1, 2))
        for number in (damaged, healthy):
            books.launched(session, number, batch_size=5)
        session.execute(
            update(EditionRow).where(EditionRow.campaign_id == damaged).values(artifact='{"a":')
        )
    relay = ScriptedRelay()
    one = books.dispatcher(database, relay, terms=SMALL)

    one.work(damaged)

    assert recipients(relay) == list(range(1, 21))
    assert state(database, healthy)[0] is State.FINISHED
    assert state(database, damaged)[0] is State.SENDING
    assert {row.reason for row in open_batches(database)} == {"its edition cannot be composed"}


def _fails_for_reader_two(token: str, *, name: str, address: str) -> dict[str, str]:
    if "reader2" in address:
        raise RuntimeError("a field nobody foresaw")
    return {"token": token, "name": name, "first_name": name, "email": address}


class Interrupted(ScriptedRelay):
    """Does something after so many endings, and waits until the worker has seen it."""

    def __init__(self, after: int, act: Callable[[], None]) -> None:
        super().__init__()
        self.after, self.act = after, act
        self.told = threading.Event()

    def send(
        self, messages: Iterable[Message], *, in_time: Callable[[], bool] | None = None
    ) -> Iterator[tuple[Message, Ending]]:
        for count, pair in enumerate(super().send(messages, in_time=in_time), 1):
            yield pair
            if count == self.after:
                self.act()
                assert self.told.wait(10)

    def stop(self) -> None:
        super().stop()
        self.told.set()

    def drop(self, unwanted: Callable[[Message], bool]) -> None:
        super().drop(unwanted)
        self.told.set()


def test_a_pause_stops_within_seconds_and_a_resume_goes_on(database: Database) -> None:
    campaign = books.sending(database, 20)

    def pause() -> None:
        with database.transaction() as session:
            campaigns.pause(session, campaign)

    relay = Interrupted(8, pause)
    one = books.dispatcher(database, relay, terms=SMALL)
    assert one.work(campaign).settled == 8
    assert state(database, campaign)[0] is State.PAUSED
    assert one.work(campaign).settled == 0
    with database.transaction() as session:
        campaigns.resume(session, campaign)

    books.dispatcher(database, again := ScriptedRelay(), worker="two").work(campaign)

    assert sorted(recipients(relay) + recipients(again)) == list(range(1, 21))
    assert state(database, campaign)[0] is State.FINISHED


def test_a_cancel_skips_whoever_was_not_sent_to(database: Database) -> None:
    campaign = books.sending(database, 30, batch_size=10)

    def cancel() -> None:
        with database.transaction() as session:
            actions.cancel(session, campaign, now=NOON)

    relay = Interrupted(13, cancel)

    books.dispatcher(database, relay, terms=SMALL).work(campaign)

    cancelled, progress = state(database, campaign)
    assert cancelled is State.CANCELLED
    assert (progress.accepted, progress.skipped, progress.open) == (13, 17, 0)
    assert open_batches(database) == []


def test_a_stopped_worker_gives_back_what_it_has(database: Database) -> None:
    campaign = books.sending(database, 20)
    relay = Interrupted(6, lambda: one.stop())  # noqa: PLW0108  # one is made with it
    one = books.dispatcher(database, relay, terms=SMALL)

    assert one.work(campaign).settled == 6
    assert one.work(campaign).settled == 0  # for good
    one.close()

    (left,) = open_batches(database)
    assert left.worker is None
    assert relay.closed == 1
    with database.reading() as session:
        (worker,) = workers.workers(session, every=True)
    assert worker.stopped_at is not None


def test_campaigns_take_turns(database: Database) -> None:
    first = books.sending(database, 20, batch_size=10)
    with database.transaction() as session:
        second = books.campaign(session, number=2)
        books.launched(session, second, batch_size=10)
    relay = ScriptedRelay()

    books.dispatcher(database, relay, terms=SMALL).work(second)

    assert [relay.sent[n].campaign for n in (0, 10, 20, 30)] == [second, first, second, first]
    assert state(database, first)[0] is state(database, second)[0] is State.FINISHED


def test_nothing_new_is_started_when_time_is_up(database: Database) -> None:
    campaign = books.sending(database, 20)
    relay = ScriptedRelay()

    worked = books.dispatcher(database, relay, terms=Terms(run=-1)).work(campaign)

    assert (worked.settled, worked.more_due, relay.sent) == (0, True, [])


def test_the_sweep_closes_what_is_done_and_says_what_is_due(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 1, segments=())
        nobodys = books.campaign(session)
        books.launched(session, nobodys)
        books.people(session, 1, first=5)
        due = books.campaign(session, number=2)
        books.launched(session, due)
    one = books.dispatcher(database, ScriptedRelay())

    assert one.sweep() == (due,)
    assert state(database, nobodys)[0] is State.FINISHED


def test_the_deferred_of_a_cancelled_campaign_are_skipped(database: Database) -> None:
    campaign = books.sending(database, 3)
    relay = ScriptedRelay({"reader2@example.org": Reply(451)})
    books.dispatcher(database, relay).work(campaign)

    with database.transaction() as session:
        actions.cancel(session, campaign, now=NOON)

    _, progress = state(database, campaign)
    assert (progress.accepted, progress.skipped, progress.open) == (2, 1, 0)
    with database.reading() as session:
        assert session.scalars(select(AttemptRow.batch)).all() == [2]


class Away(Database):
    """A database that is away now and then: before a transaction, or right after its commit."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.before: set[int] = set()  # numbers of transactions that do not begin
        self.after: set[int] = set()  # that are committed, and nobody hears of it
        self.count = 0

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        self.count += 1
        number = self.count
        if number in self.before:
            raise Unavailable
        with super().transaction() as session:
            yield session
        if number in self.after:
            raise Unavailable


@pytest.mark.parametrize("number", range(3, 9))
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_database_that_was_away_costs_time_and_nothing_else(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch, moment: str, number: int
) -> None:
    monkeypatch.setattr("mailer.delivery.rota._AGAIN", 0.01)
    campaign = books.sending(sqlite_database, 12, batch_size=6)
    flaky = Away(sqlite_database.url)
    getattr(flaky, moment).add(number)
    relay = ScriptedRelay({"reader2@example.org": Reply(550, "5.7.1")}, at_once=4)
    one = books.dispatcher(flaky, relay, terms=Terms(chunk_size=2, lease=5))

    for _ in range(3):
        with suppress(Unavailable):
            one.work(campaign)
    one.close()
    flaky.close()

    finished, progress = state(sqlite_database, campaign)
    if moment == "before" or finished is State.FINISHED:
        assert recipients(relay) == list(range(1, 13))
        assert (finished, progress.accepted, progress.refused) == (State.FINISHED, 11, 1)
    else:  # a lease nobody heard of: it runs out, with nothing on the wire
        assert len(set(recipients(relay))) == len(relay.sent) == progress.settled
        (left,) = open_batches(sqlite_database)
        assert (left.worker, left.chunks_started) == ("one", 0)


def test_results_that_cannot_be_written_wait_until_they_can(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailer.delivery.rota._AGAIN", 0.01)
    campaign = books.sending(sqlite_database, 4)
    flaky = Away(sqlite_database.url)
    flaky.before = set(range(4, 60))  # after registering, the lease and the first chunk
    relay = ScriptedRelay()
    one = books.dispatcher(flaky, relay)

    with pytest.raises(Unavailable):
        one.work(campaign)
    assert state(sqlite_database, campaign)[1].open == 4
    flaky.before = set()
    one.sweep()

    assert recipients(relay) == [1, 2, 3, 4]
    finished, progress = state(sqlite_database, campaign)
    assert (finished, progress.accepted) == (State.FINISHED, 4)


def test_a_worker_that_the_guard_refuses_sends_nothing_and_still_settles(
    database: Database, tmp_path: Path
) -> None:
    """S14: under a hold journals are adopted, results are judged, and nothing leaves."""
    campaign = books.sending(database, 4)
    refusal = ["the database was restored"]
    relay = ScriptedRelay()
    journal = Journal.open(tmp_path, "one")
    one = books.dispatcher(database, relay, journal=journal, guard=lambda _: refusal[0])
    dead = Journal.open(tmp_path, "dead")
    with database.transaction() as session:
        held = batch.lease(session, "dead", seconds=60)
        assert held is not None
        assert chunk.start(session, held, 1, 2, flushed=0, seconds=60)
    letter = Message(campaign, 1, held.number, held.epoch, 1, "a@b.example", "", b"")
    dead.append(dead.dot(letter, 1) + dead.reply(letter, 1, Reply(250)))
    dead.close()

    assert one.sweep() == ()
    worked = one.work(campaign)

    assert (worked.held, worked.settled, relay.sent) == ("the database was restored", 0, [])
    assert state(database, campaign)[1].accepted == 1, "the dead worker's letter"
    refusal[0] = ""
    one.work(campaign)
    one.close()
    assert recipients(relay) == [2, 3, 4]
    assert state(database, campaign)[0] is State.FINISHED


def test_a_worker_whose_start_broke_off_half_way_starts_again(database: Database) -> None:
    campaign = books.sending(database, 5)
    away = iter((True, False))

    def guard(_: datetime) -> None:
        if next(away, False):
            raise Unavailable("the database went away")

    one = books.dispatcher(database, ScriptedRelay(), guard=guard)
    with pytest.raises(Unavailable):
        one.work(campaign)

    assert one.work(campaign).settled == 5


def test_a_worker_is_noted_with_the_queues_it_hears(database: Database) -> None:
    one = books.dispatcher(database, ScriptedRelay(), queues=("bulk", "maintenance"))

    one.sweep()

    with database.reading() as session:
        (worker,) = workers.workers(session)
    assert worker.queues == ("bulk", "maintenance")


def test_a_canary_is_judged_in_the_sweep_and_the_rest_follows(database: Database) -> None:
    campaign = books.sending(database, 30, batch_size=10)
    with database.transaction() as session:
        session.execute(update(CampaignRow).values(canary_size=12))
    relay = ScriptedRelay()
    pacer = Pacer(AT_ONCE)
    one = books.dispatcher(database, relay, pacer=pacer)
    one.work(campaign)
    assert len(relay.sent) == 12

    assert one.sweep() == (campaign,)
    one.work(campaign)

    assert state(database, campaign)[0] is State.FINISHED


def test_a_bad_canary_pauses_its_campaign(database: Database) -> None:
    campaign = books.sending(database, 30)
    with database.transaction() as session:
        session.execute(update(CampaignRow).values(canary_size=10))
    gone = Reply(550, "5.1.1", "no such user", "rcpt")
    relay = ScriptedRelay({f"reader{n}@example.org": gone for n in range(1, 31)})
    pacer = Pacer(AT_ONCE)
    one = books.dispatcher(database, relay, pacer=pacer)
    one.work(campaign)

    one.sweep()

    assert len(relay.sent) == 10
    assert state(database, campaign)[0] is State.PAUSED


def test_too_many_dead_addresses_pause_a_campaign_by_themselves(database: Database) -> None:
    campaign = books.sending(database, 200)
    gone = Reply(550, "5.1.1", "no such user", "rcpt")
    relay = ScriptedRelay({f"reader{n}@example.org": gone for n in range(1, 201)}, at_once=5)

    books.dispatcher(database, relay, terms=SMALL).work(campaign)

    paused, progress = state(database, campaign)
    assert paused is State.PAUSED
    assert progress.open > 100
    with database.reading() as session:
        (on,) = brakes.seen(session).on
    assert (on.scope, on.cause) == ("campaign", "bounces")


def test_who_a_provider_refuses_for_our_sake_is_put_off_once_its_lane_is_shut(
    database: Database,
) -> None:
    with database.transaction() as session:
        books.people(session, 60, domain="gmail.com")
        campaign = books.campaign(session)
        books.launched(session, campaign)
    blocked = Reply(550, "5.7.1", "blocked")
    relay = ScriptedRelay({f"reader{n}@gmail.com": blocked for n in range(1, 61)}, at_once=30)

    books.dispatcher(database, relay, terms=Terms(chunk_size=60)).work(campaign)

    _, progress = state(database, campaign)
    assert progress.refused == breakers.BLOCKS - 1
    assert progress.open == 60 - progress.refused
    assert relay.slow
    with database.reading() as session:
        (on,) = brakes.seen(session).on
    assert (on.scope, on.name, on.cause) == ("lane", "gmail", "blocked")


def test_an_uncertain_letter_is_sent_again_on_request_only(database: Database) -> None:
    campaign = books.sending(database, 5)
    relay = ScriptedRelay({"reader2@example.org": Silence(), "reader4@example.org": Silence()})
    one = books.dispatcher(database, relay)
    one.work(campaign)
    assert state(database, campaign)[0] is State.FINISHED
    assert one.work(campaign).settled == 0
    with database.transaction() as session:
        moment = clock.now()  # its patience is counted from here
        resolving.resend(session, campaign, [2, 4], evidence="log", actor="ada", now=moment)
    relay.endings = {"reader4@example.org": Reply(451, "4.3.2", "later")}

    assert one.sweep() == (campaign,)
    one.work(campaign)

    finished, progress = state(database, campaign)
    assert (finished, progress.accepted, progress.uncertain) == (State.FINISHED, 4, 1)
    (later,) = open_batches(database)
    assert (later.resend, later.size, later.attempt) == (True, 1, 3)


def test_a_resend_of_a_finished_campaign_is_not_taken_for_a_stopped_one(
    sqlite_database: Database,
) -> None:
    campaign = books.sending(sqlite_database, 3)
    relay = ScriptedRelay({f"reader{n}@example.org": Silence() for n in (1, 2, 3)})
    one = books.dispatcher(sqlite_database, relay)
    one.work(campaign)
    with sqlite_database.transaction() as session:
        resolving.resend(session, campaign, [1, 2, 3], evidence="log", actor="ada", now=NOON)
        held = batch.lease(session, "other", seconds=60)
        assert held is not None
        assert batch.withdrawn(session, [held]) == []
        session.execute(update(CampaignRow).values(stop_epoch=9))
        assert batch.withdrawn(session, [held]) == [held]
