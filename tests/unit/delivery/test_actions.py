"""A campaign is cancelled whole; what a worker learnt is entered, in time or late."""

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId, CampaignOver, State
from mailer.delivery import actions, batch, chunk, ledger, queries, settling, workers
from mailer.delivery.batch import Lease
from mailer.delivery.ledger import Result
from mailer.delivery.models import BatchRow
from mailer.delivery.relay import Reply
from mailer.kit.database import Database
from tests.fakes import books
from tests.fakes.books import NOON


def lost(session: Session, started: int = 4) -> Lease:
    """A batch whose worker died after starting a chunk of so many people."""
    held = batch.lease(session, "dead", seconds=60)
    assert held is not None
    assert chunk.start(session, held, 1, started, flushed=0, seconds=60)
    return held


def outcomes(session: Session, campaign: CampaignId) -> dict[int, str]:
    return {line.subscriber: line.outcome for line in queries.ledger_lines(session, campaign)}


def test_news_of_a_lost_lease_are_late_ones(database: Database) -> None:
    campaign = books.sending(database, 2)
    manner = actions.Manner(1000, again=False, now=NOON)
    with database.transaction() as session:
        held = lost(session, 2)
        session.execute(update(BatchRow).values(lease_until=NOON))
        settling.judge(session, now=NOON)
        rows = [ledger.accepted(held, 1, 1, Reply(250, "", "ok"), "", NOON)]
        told = ledger.News(held, 0, done=False, rows=rows, entries=[], later=())

        assert actions.enter(session, [told], manner) == [False]

        assert queries.progress(session, campaign).accepted == 1


def test_a_cancelled_campaign_skips_all_but_those_on_the_wire(database: Database) -> None:
    campaign = books.sending(database, 6, batch_size=3)
    with database.transaction() as session:
        held = lost(session, 2)  # batch 1: two of three on the wire
        actions.cancel(session, campaign, now=NOON, reason="wrong picture")
        found = outcomes(session, campaign)
        assert [found[n] for n in range(1, 7)] == ["open"] * 3 + ["skipped"] * 3

        ledger.store(session, held, [Result(n, "accepted", NOON, chunk=1) for n in (1, 2)])
        batch.account(session, held, flushed=1, done=False)
        assert actions.skip_cancelled(session, campaign, now=NOON) == 1

        assert outcomes(session, campaign)[3] == "skipped"
        assert queries.verify(session, campaign).holds
        assert queries.explain(session, campaign, 3).line.reason == "cancelled"  # type: ignore[union-attr]
    with pytest.raises(CampaignOver), database.transaction() as session:
        actions.cancel(session, campaign, now=NOON)


def test_only_a_cancelled_campaign_is_skipped(database: Database) -> None:
    campaign = books.sending(database, 2)

    with database.transaction() as session:
        assert actions.skip_cancelled(session, campaign, now=NOON) == 0


def test_a_campaign_that_is_cancelled_before_its_freeze_skips_nobody(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 2)
        campaign = books.campaign(session)
        actions.cancel(session, campaign, now=NOON)

        assert queries.verify(session, campaign).holds
        assert State.CANCELLED in {c.state for c in [books.stored(session, campaign)]}


def test_a_worker_is_noted_with_its_signs_of_life(database: Database) -> None:
    with database.transaction() as session:
        actions.register(
            session, "one", host="here", boot_id="b", pid=7, journal="one.journal", version="1"
        )
        workers.left(session, "one")

        (worker,) = workers.workers(session, every=True)

    assert (worker.id, worker.pid, worker.batches) == ("one", 7, 0)
    assert worker.stopped_at == worker.heartbeat_at
