"""The fence of a chunk: whose lease it is, what is stopped, who may still be mailed."""

from collections.abc import Iterable

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mailer.campaigns import actions as campaigns
from mailer.campaigns.campaign import CampaignId
from mailer.campaigns.models import CampaignRow
from mailer.delivery import batch, brakes, chunk, ledger, resolving, settling
from mailer.delivery.batch import Lease
from mailer.delivery.breakers import Trip
from mailer.delivery.ledger import Result
from mailer.delivery.models import BatchRow, ResolutionRow
from mailer.kit.database import Database
from subscribers.models import SubscriberRow
from tests.fakes import books
from tests.fakes.books import NOON

SEGMENTS = ("ai", "luxury")


def leased(session: Session) -> Lease:
    found = batch.lease(session, "one", seconds=60)
    assert found is not None
    return found


def starts(session: Session, held: Lease, *, probes: Iterable[int] = ()) -> bool:
    return chunk.start(
        session, held, 1, 2, flushed=0, seconds=60, relay="postfix", probes=tuple(probes)
    )


def canary(session: Session, campaign: CampaignId, size: int) -> None:
    mine = update(CampaignRow).where(CampaignRow.id == campaign)
    session.execute(mine.values(canary_size=size))


def begun(session: Session) -> int:
    session.expire_all()
    return session.scalars(select(CampaignRow.canary_started)).one()


@pytest.mark.parametrize(
    ("scope", "name", "stops"),
    [
        ("all", "", True),
        ("lane", "other", True),
        ("relay", "postfix", True),
        ("lane", "gmail", False),
        ("relay", "reserve", False),
    ],
)
def test_no_chunk_begins_under_a_brake(
    database: Database, scope: str, name: str, stops: bool
) -> None:
    """S3 and I12: the fence asks for brakes in the statement that starts a chunk."""
    books.sending(database, 3)
    with database.transaction() as session:
        held = leased(session)
        on = brakes.put_on(session, Trip(scope, name, "hand", "to try"), actor="ada", now=NOON)
        assert on is not None

        assert starts(session, held) is not stops
        assert batch.account(session, held, flushed=0, done=False), "the lease is ours still"
        brakes.take_off(session, on, by="ada", now=NOON)
        assert starts(session, held)


def test_a_brake_is_open_to_its_probe(database: Database) -> None:
    books.sending(database, 3)
    with database.transaction() as session:
        held = leased(session)
        trip = Trip("lane", "other", "blocked", "refused", probe_after=1)
        on = brakes.put_on(session, trip, actor="ada", now=NOON)
        assert on is not None

        assert not starts(session, held, probes=[on.id + 1])
        assert starts(session, held, probes=[on.id])


def test_what_is_on_record_can_be_asked_after_a_lost_answer(database: Database) -> None:
    books.sending(database, 3)
    with database.transaction() as session:
        held = leased(session)
        assert chunk.reached(session, held, 1) is None
        starts(session, held)

        assert chunk.reached(session, held, 1) == 2
        assert chunk.reached(session, held, 2) is None
        settling.void_leases(session)
        assert chunk.reached(session, held, 1) is None


def test_a_canary_lets_only_so_many_begin(database: Database) -> None:
    campaign = books.sending(database, 6, batch_size=3)
    with database.transaction() as session:
        canary(session, campaign, 4)
        held = leased(session)
        assert held.canary
        assert chunk.canary_room(session, held) == 4
        chunk.count_canary(session, held, 3)
        assert batch.due(session) == (campaign,)
        second = leased(session)

        assert chunk.canary_room(session, second) == 1
        chunk.count_canary(session, second, 1)
        assert chunk.canary_room(session, second) == 0
        batch.release(session, second)

        session.execute(update(CampaignRow).values(canary_passed_at=NOON))
        assert chunk.canary_room(session, held) is None
        assert not leased(session).canary


def test_whoever_comes_back_unsent_leaves_a_place_in_the_canary(database: Database) -> None:
    campaign = books.sending(database, 6, batch_size=3)
    with database.transaction() as session:
        canary(session, campaign, 3)
        held = leased(session)
        starts(session, held)
        chunk.count_canary(session, held, 3)
        assert batch.lease(session, "two", seconds=60) is None, "the canary is full"
        ledger.store(session, held, [Result(1, "accepted", NOON, chunk=1)])
        batch.release(session, held)

        assert begun(session) == 1
        assert batch.due(session) == (campaign,)


def test_who_unsubscribes_in_a_started_chunk_is_found(database: Database) -> None:
    """Fault 46: also inside a started chunk."""
    books.sending(database, 4)
    with database.transaction() as session:
        session.get_one(SubscriberRow, 2).state = "unsubscribed"
        session.get_one(SubscriberRow, 3).state = "erased"
        session.flush()

        found = chunk.unmailable(session, [1, 2, 3, 77], SEGMENTS, now=NOON)

    assert found == {2: "unsubscribed", 3: "erased", 77: "erased"}


def test_a_batch_that_sends_again_has_those_who_wait_for_it(database: Database) -> None:
    campaign = books.sending(database, 4)
    with database.transaction() as session:
        held = leased(session)
        starts(session, held)
        doubtful = [Result(n, "uncertain", NOON, chunk=1) for n in (1, 2, 3)]
        known = [Result(4, "accepted", NOON, 250, chunk=1)]
        ledger.store(session, held, [*doubtful, *known])
        batch.account(session, held, flushed=1, done=True)
        assert ledger.close(session, campaign, now=NOON)
        resolving.resend(session, campaign, [1, 2, 3], evidence="log", actor="ada", now=NOON)

        again = leased(session)
        found = chunk.people(session, again, SEGMENTS, 0, again.size, now=NOON).people

        assert (again.resend, again.attempt, again.size) == (True, 2, 3)
        assert [(p.subscriber, p.first_tried) for p in found] == [(n, NOON) for n in (1, 2, 3)]
        assert chunk.start(session, again, 1, 3, flushed=0, seconds=60), "though it is finished"
        ledger.record(session, again, [Result(2, "accepted", NOON, 250, chunk=1)])
        assert sorted(chunk.started_without_result(session, again)) == [1, 3]
        resolving.learn(session, campaign, {1: "opened"}, "accepted", actor="tracking", now=NOON)
        assert sorted(chunk.started_without_result(session, again)) == [3]
    with database.reading() as session:
        rows = session.scalars(select(ResolutionRow.outcome)).all()
        assert sorted(rows) == ["accepted", "accepted", "resend", "resend", "resend"]


def test_nothing_is_sent_again_for_a_cancelled_campaign(database: Database) -> None:
    campaign = books.sending(database, 2)
    with database.transaction() as session:
        held = leased(session)
        starts(session, held)
        ledger.store(session, held, [Result(1, "uncertain", NOON, chunk=1)])
        batch.release(session, held)
        resolving.resend(session, campaign, [1], evidence="log", actor="ada", now=NOON)
        campaigns.cancel(session, campaign, now=NOON)

        assert batch.lease(session, "one", seconds=60) is None
        assert session.scalars(select(BatchRow.number).where(BatchRow.resend)).one() == 2
