"""Leases are rights for a time, fenced by an epoch; chunks are on record before they are sent."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mailer.campaigns import actions as campaigns
from mailer.campaigns.models import CampaignRow
from mailer.delivery import batch, chunk
from mailer.delivery.batch import Lease
from mailer.delivery.models import BatchRow
from mailer.kit.database import Database, database_now
from subscribers.models import FollowRow, SubscriberRow
from tests.fakes import books
from tests.fakes.books import NOON

SEGMENTS = ("ai", "luxury")


def leased(session: Session, worker: str = "one", *, seconds: float = 60) -> Lease:
    found = batch.lease(session, worker, seconds=seconds)
    assert found is not None
    return found


def row(session: Session) -> BatchRow:
    return session.scalars(select(BatchRow)).one()


def test_a_batch_is_leased_by_one_worker_at_a_time(database: Database) -> None:
    campaign = books.sending(database, 3)

    with database.transaction() as session:
        held = leased(session)
    with database.transaction() as session:
        assert batch.lease(session, "two", seconds=60) is None
        assert batch.due(session) == ()

    assert (held.key, held.epoch, held.size, held.attempt) == ((campaign, 1), 1, 3, 1)
    assert (held.worker, held.lane, held.stop_epoch) == ("one", "other", 0)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"state": "done"}, "it is done"),
        ({"not_before": NOON + timedelta(days=9999)}, "its time has not come"),
        (
            {"lease_until": NOON, "worker": "dead", "chunks_started": 2, "chunks_flushed": 1},
            "it is in doubt",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_batch_is_not_leased_when(
    database: Database, change: dict[str, object], why: str
) -> None:
    books.sending(database, 3)
    with database.transaction() as session:
        session.execute(update(BatchRow).values(**change))

    with database.transaction() as session:
        assert batch.lease(session, "one", seconds=60) is None, why
        assert batch.due(session) == ()


def test_a_paused_campaign_has_nothing_to_lease(database: Database) -> None:
    campaign = books.sending(database, 3)
    with database.transaction() as session:
        campaigns.pause(session, campaign)

        assert batch.lease(session, "one", seconds=60) is None


def test_a_lease_that_ran_out_with_nothing_started_is_free(database: Database) -> None:
    books.sending(database, 3)
    with database.transaction() as session:
        first = leased(session, "dead", seconds=-1)
        second = leased(session, "two")
        found = row(session)

        assert (first.epoch, second.epoch, found.deaths) == (1, 2, 1)
        assert not chunk.start(session, first, 1, 3, flushed=0, seconds=60)
        assert not batch.account(session, first, flushed=0, done=True)
        assert not batch.release(session, first)
        assert chunk.start(session, second, 1, 3, flushed=0, seconds=60)


def test_a_started_chunk_is_on_record_and_prolongs_the_lease(database: Database) -> None:
    books.sending(database, 3)
    with database.transaction() as session:
        held = leased(session, seconds=5)

        assert chunk.start(session, held, 1, 2, flushed=0, seconds=60)
        assert chunk.start(session, held, 1, 2, flushed=0, seconds=60), "saying it again"

        found = row(session)
        assert (found.chunks_started, found.chunks_flushed, found.started_to) == (1, 0, 2)
        assert found.lease_until is not None
        assert found.lease_until > held.until


@pytest.mark.parametrize("move", ["pause", "pause and resume"])
def test_no_chunk_is_started_for_a_campaign_that_was_stopped(database: Database, move: str) -> None:
    campaign = books.sending(database, 3)
    with database.transaction() as session:
        held = leased(session)
        campaigns.pause(session, campaign)
        if move == "pause and resume":
            campaigns.resume(session, campaign)

        assert not chunk.start(session, held, 1, 2, flushed=0, seconds=60)
        assert batch.account(session, held, flushed=0, done=False), "the lease is still ours"


def test_a_chunk_holds_the_people_mailable_now(database: Database) -> None:
    books.sending(database, 6)
    with database.transaction() as session:
        session.get_one(SubscriberRow, 2).state = "unsubscribed"
        session.delete(session.scalars(select(FollowRow).filter_by(subscriber_id=3)).one())
        held = leased(session)

        first = chunk.people(session, held, SEGMENTS, 0, 4, now=NOON)
        rest = chunk.people(session, held, SEGMENTS, 4, 6, now=NOON)

    assert [p.subscriber for p in first.people] == [1, 4]
    assert first.people[0] == batch.Person(1, "reader1@example.org", "Reader 1", None)
    assert first.unmailable == ((2, "unsubscribed"), (3, "unfollowed"))
    assert [p.subscriber for p in rest.people] == [5, 6]


def test_a_batch_given_back_can_be_leased_again_after_a_rest(database: Database) -> None:
    books.sending(database, 3)
    with database.transaction() as session:
        held = leased(session)
        chunk.start(session, held, 1, 3, flushed=0, seconds=60)
        assert batch.release(session, held, wait=3600, reason="the relay is down")
        assert batch.lease(session, "two", seconds=60) is None
        session.execute(update(BatchRow).values(not_before=NOON))

        again = leased(session, "two")
        found = row(session)

    assert again.epoch > held.epoch
    assert (found.deaths, found.chunks_started, found.reason) == (0, 0, "")


def test_a_worker_prolongs_all_it_has_and_hears_what_it_lost(database: Database) -> None:
    campaign = books.sending(database, 4, batch_size=2)
    with database.transaction() as session:
        first, second = leased(session), leased(session)
        batch.account(session, first, flushed=0, done=True)
        session.expire_all()

        still = batch.extend(session, [first, second], seconds=3600)

        assert still == {(campaign, 2, second.epoch)}
        until = session.get_one(BatchRow, (campaign, 2)).lease_until
        assert isinstance(until, datetime)
        assert until > database_now(session) + timedelta(minutes=50)


def test_campaigns_take_turns(database: Database) -> None:
    first = books.sending(database, 4, batch_size=1)
    with database.transaction() as session:
        second = books.campaign(session, number=2)
        books.launched(session, second, batch_size=1)

        assert leased(session).campaign == first
        preferred = batch.lease(session, "one", seconds=60, prefer=second)
        avoided = batch.lease(session, "one", seconds=60, avoid=first)

    assert preferred is not None
    assert avoided is not None
    assert preferred.campaign == avoided.campaign == second


def test_the_most_engaged_come_first(database: Database) -> None:
    campaign = books.sending(database, 3, batch_size=1)
    with database.transaction() as session:
        for number, wave in ((1, 2), (2, 0), (3, 1)):
            mine = update(BatchRow).where(BatchRow.number == number)
            session.execute(mine.values(wave=wave))

        order = [leased(session).number for _ in range(3)]

    assert (campaign, order) == (1, [2, 3, 1])


def test_what_is_shut_or_in_hand_is_left_out(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 1, domain="gmail.com")
        books.people(session, 1, first=2)
        campaign = books.campaign(session)
        books.launched(session, campaign)

        assert batch.lanes(session) == ("gmail", "other")
        assert batch.due(session, shut_lanes=("gmail", "other")) == ()
        assert batch.due(session, shut_campaigns=(campaign,)) == ()
        both = batch.lease(
            session, "one", seconds=60, shut_lanes=("gmail",), lanes_taken=("other",)
        )
        assert both is None
        found = batch.lease(session, "one", seconds=60, lanes_taken=("other",))
        assert found is not None
        assert found.lane == "gmail"


def test_a_batch_that_workers_died_of_is_taken_alone(database: Database) -> None:
    books.sending(database, 1)
    with database.transaction() as session:
        session.execute(update(BatchRow).values(deaths=2))

        assert batch.lease(session, "one", seconds=60, most_deaths=1) is None
        assert leased(session).deaths == 2


def test_a_batch_can_rest_until_a_moment(database: Database) -> None:
    books.sending(database, 1)
    morning = NOON + timedelta(days=9999)
    with database.transaction() as session:
        batch.release(session, leased(session), not_before=morning, reason="outside its hours")

        assert batch.lease(session, "one", seconds=60) is None
        assert (row(session).not_before, row(session).reason) == (morning, "outside its hours")


def test_a_lease_knows_whose_clock_and_hours_it_is_for(database: Database) -> None:
    books.sending(database, 1)
    with database.transaction() as session:
        session.execute(update(BatchRow).values(zone="Europe/Vienna", relay="postfix"))
        session.execute(update(CampaignRow).values(send_window="08:00-20:00"))

        held = leased(session)

    assert (held.zone, held.send_window) == ("Europe/Vienna", "08:00-20:00")
    assert (held.canary, held.resend) == (False, False)
