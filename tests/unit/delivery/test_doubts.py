"""Uncertain letters are listed by name, each with when it can have left and who may still send."""

from datetime import timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId
from mailer.delivery import batch, chunk, doubts, ledger, resolving, workers
from mailer.delivery.doubts import LIVES
from mailer.delivery.ledger import Deferral, Result
from mailer.delivery.models import WorkerRow
from mailer.kit.database import Database, database_now
from tests.fakes import books
from tests.fakes.books import NOON

ADA, BEN, CLEO = 1, 2, 3
HOUR = timedelta(hours=1)


def uncertain(database: Database) -> CampaignId:
    campaign = books.sending(database, 3)
    with database.transaction() as session:
        registered(session)
        held = batch.lease(session, "one", seconds=60)
        assert held is not None
        chunk.start(session, held, 1, held.size, flushed=0, seconds=60)
        why = "the connection broke after the final dot"
        ledger.record(
            session,
            held,
            [
                Result(ADA, "uncertain", NOON + HOUR, chunk=1, evidence=why),
                Deferral(BEN, NOON + HOUR, NOON + HOUR, NOON, 451, "4.7.1", "later"),
                Result(CLEO, "accepted", NOON, chunk=1),
            ],
            relay="mx1",
        )
        batch.account(session, held, flushed=1, done=True)
        later = batch.lease(session, "two", seconds=60)
        assert later is not None
        chunk.start(session, later, 1, later.size, flushed=0, seconds=60)
        ledger.record(session, later, [Result(BEN, "uncertain", NOON + 2 * HOUR, chunk=1)])
        batch.account(session, later, flushed=1, done=True)
        ledger.close(session, campaign, now=NOON)
    return campaign


def registered(session: Session) -> None:
    """Two workers, by hand: what the register does is another test's."""
    for name in ("one", "two"):
        session.add(
            WorkerRow(
                id=name,
                host=f"host of {name}",
                boot_id="",
                pid=1,
                journal="",
                version="",
                started_at=NOON + timedelta(minutes=5),
                heartbeat_at=NOON + HOUR,
            )
        )


def test_each_is_named_with_its_place_and_its_span(database: Database) -> None:
    campaign = uncertain(database)
    with database.reading() as session:
        ada, ben = doubts.doubts(session, campaign)

    assert (ada.subscriber, ada.batch, ada.chunk, ada.worker) == (ADA, 1, 1, "one")
    assert (ada.host, ada.relay, ada.resolution, ada.waits) == ("host of one", "mx1", "", False)
    assert ada.since == NOON + timedelta(minutes=5), "its worker was not there before"
    assert ada.until == NOON + HOUR + LIVES
    assert (ben.worker, ben.since) == ("two", NOON + HOUR), "the deferral came before"


def test_what_is_known_is_no_doubt_and_what_is_sent_again_says_so(database: Database) -> None:
    campaign = uncertain(database)
    with database.transaction() as session:
        resolving.came_back(session, [(campaign, ADA, "open")], now=NOON)
        words = {"evidence": "seen", "actor": "ada"}
        resolving.resolve(session, campaign, BEN, "resend", now=NOON + 3 * HOUR, **words)
        (ben,) = doubts.doubts(session, campaign)

        assert (ben.subscriber, ben.resolution, ben.waits) == (BEN, "resend", True)
        assert ben.until == NOON + 3 * HOUR + LIVES
        assert doubts.doubts(session, campaign, [ADA, CLEO]) == ()
        assert doubts.some(session) == ((campaign, ADA), (campaign, BEN))


def test_a_worker_may_live_until_it_has_been_silent_for_long(database: Database) -> None:
    campaign = uncertain(database)
    with database.transaction() as session:
        workers.alive(session, "one", ())
        assert [one.alive for one in doubts.doubts(session, campaign)] == [True, False]
        assert doubts.may_live(session, "one")
        assert not doubts.may_live(session, "two")
        assert not doubts.may_live(session, "nobody")
        session.execute(update(WorkerRow).values(stopped_at=NOON))
        assert not doubts.may_live(session, "one"), "it left in order"


def test_a_longer_lease_keeps_a_letter_and_its_worker_alive_for_longer(database: Database) -> None:
    """Or the silence of a mail log would prove too early that a letter never left."""
    campaign = uncertain(database)
    with database.transaction() as session:
        now = database_now(session)
        beat = update(WorkerRow).where(WorkerRow.id == "one")
        session.execute(beat.values(heartbeat_at=now - LIVES - HOUR))
        (ada, _) = doubts.doubts(session, campaign, lives=LIVES + 2 * HOUR)

        assert (ada.until, ada.alive) == (NOON + HOUR + LIVES + 2 * HOUR, True)
        assert not doubts.may_live(session, "one")
        assert doubts.may_live(session, "one", lives=LIVES + 2 * HOUR)


def test_witnesses_of_the_same_batches_come_first(database: Database) -> None:
    campaign = uncertain(database)
    with database.reading() as session:
        assert doubts.accepted(session, campaign, [2], most=9) == ((CLEO, "mx1", NOON),)
        assert doubts.accepted(session, campaign, [1], most=0) == ()
        assert doubts.sender_of(session, campaign) == "news@gazette.example"
