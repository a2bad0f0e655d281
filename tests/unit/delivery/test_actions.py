"""What a lost worker left behind is settled by itself, its journal or time; never by a guess."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from mailer.campaigns.campaign import CampaignId, CampaignOver, State
from mailer.delivery import actions, batch, journal, ledger, queries
from mailer.delivery.actions import Settled
from mailer.delivery.adoption import Reading
from mailer.delivery.batch import Lease
from mailer.delivery.journal import Kind, Mode, Witness
from mailer.delivery.ledger import Result
from mailer.delivery.models import BatchRow, ResolutionRow
from mailer.delivery.relay import Reply
from mailer.delivery.verdict import Patience
from mailer.kit.database import Database
from tests.fakes import books
from tests.fakes.books import NOON

SEGMENTS = ("ai", "luxury")


def lost(session: Session, started: int = 4) -> Lease:
    """A batch whose worker died after starting a chunk of so many people."""
    held = batch.lease(session, "dead", seconds=60)
    assert held is not None
    assert batch.start_chunk(session, held, 1, started, flushed=0, seconds=60)
    return held


def witness(held: Lease, subscriber: int, kind: Kind, reply: Reply | None = None) -> Witness:
    return Witness(kind, held.campaign, held.number, held.epoch, 1, subscriber, 7, NOON, reply)


def reading(witnesses: Iterable[Witness], *, boot_id: str = "boot") -> Reading:
    told = journal.Testimony(
        path=Path("dead.journal"),
        worker="dead",
        host="here",
        pid=1,
        boot_id="boot",
        mode=Mode.WRITE,
        opened_at=NOON,
        last={(w.campaign, w.batch, w.epoch, w.subscriber): w for w in witnesses},
        damaged=False,
    )
    return Reading(told, boot_id, Patience(), NOON)


def outcomes(session: Session, campaign: CampaignId) -> dict[int, str]:
    return {line.subscriber: line.outcome for line in queries.ledger_lines(session, campaign)}


def test_a_journal_settles_each_person_by_its_last_word(database: Database) -> None:
    campaign = books.sending(database, 6)
    with database.transaction() as session:
        held = lost(session)
        told = [
            witness(held, 1, Kind.REPLY, Reply(250, "2.0.0", "ok")),
            witness(held, 2, Kind.DOT),
            witness(held, 3, Kind.INTENT),  # and nothing of 4
        ]

        settled = actions.settle_by_journal(session, reading(told))

        found = outcomes(session, campaign)
        assert settled == Settled(results=2, uncertain=1, batches=1)
        assert [found[n] for n in (1, 2, 3, 4)] == ["accepted", "uncertain", "open", "open"]
        freed = session.get_one(BatchRow, (campaign, 1), populate_existing=True)
        assert (freed.worker, freed.deaths, freed.epoch) == (None, 1, held.epoch + 1)
        again = batch.lease(session, "heir", seconds=60)
        assert again is not None
        people = batch.people(session, again, SEGMENTS, 0, 6, now=books.NOON).people
        assert [p.subscriber for p in people] == [3, 4, 5, 6]


def test_a_journal_may_be_read_twice(database: Database) -> None:
    campaign = books.sending(database, 3)
    with database.transaction() as session:
        held = lost(session, 3)
        told = reading([witness(held, 1, Kind.REPLY, Reply(250)), witness(held, 2, Kind.DOT)])
        actions.settle_by_journal(session, told)
        before = outcomes(session, campaign)

        assert actions.settle_by_journal(session, told) == Settled()
        assert outcomes(session, campaign) == before


def test_a_journal_of_another_boot_proves_nothing_by_silence(database: Database) -> None:
    campaign = books.sending(database, 3)
    with database.transaction() as session:
        held = lost(session, 2)
        told = reading([witness(held, 1, Kind.REPLY, Reply(250))], boot_id="another")

        actions.settle_by_journal(session, told)

        assert outcomes(session, campaign) == {1: "accepted", 2: "uncertain", 3: "open"}


def test_a_deferral_in_a_journal_goes_to_a_later_batch(database: Database) -> None:
    campaign = books.sending(database, 2)
    with database.transaction() as session:
        held = lost(session, 2)
        told = reading([witness(held, 1, Kind.REPLY, Reply(451, "4.7.1", "later"))])

        actions.settle_by_journal(session, told)

        later = session.get_one(BatchRow, (campaign, 2))
        assert (later.attempt, later.size) == (2, 1)
        assert later.not_before >= NOON + timedelta(minutes=30)


def test_time_judges_a_lost_chunk_uncertain_by_name(database: Database) -> None:
    campaign = books.sending(database, 5)
    with database.transaction() as session:
        lost(session, 2)
        assert actions.judge(session, now=NOON) == Settled(), "not yet"
        session.execute(update(BatchRow).values(lease_until=NOON))

        assert actions.judge(session, now=NOON) == Settled(2, 2, 1)

        named = queries.uncertain(session, campaign)
        assert [line.subscriber for line in named] == [1, 2]
        assert "dead" in named[0].evidence
        assert batch.due(session) == (campaign,)


def test_time_does_not_judge_a_lease_with_nothing_on_the_wire(database: Database) -> None:
    books.sending(database, 5)
    with database.transaction() as session:
        batch.lease(session, "dead", seconds=-9999)

        assert actions.judge(session, now=NOON) == Settled()


def test_what_is_learnt_late_stands_beside_the_uncertain_row(database: Database) -> None:
    campaign = books.sending(database, 3)
    with database.transaction() as session:
        held = lost(session, 3)
        session.execute(update(BatchRow).values(lease_until=NOON))
        actions.judge(session, now=NOON)
        told = reading(
            [
                witness(held, 1, Kind.REPLY, Reply(250, "2.0.0", "ok")),
                witness(held, 2, Kind.REPLY, Reply(550, "5.1.1", "no such user")),
                witness(held, 3, Kind.DOT),
            ]
        )

        settled = actions.settle_by_journal(session, told)
        actions.settle_by_journal(session, told)

        rows = session.scalars(select(ResolutionRow).order_by(ResolutionRow.subscriber_id)).all()
        assert settled.results == 2
        assert [(r.subscriber_id, r.outcome) for r in rows] == [(1, "accepted"), (2, "refused")]
        progress = queries.progress(session, campaign)
        assert (progress.accepted, progress.refused, progress.uncertain) == (1, 1, 1)
        assert outcomes(session, campaign)[1] == "uncertain", "the first result stays"


def test_a_contradiction_is_logged_and_never_stored(database: Database) -> None:
    campaign = books.sending(database, 1)
    with capture_logs() as logged, database.transaction() as session:
        held = lost(session, 1)
        ledger.store(session, held, [Result(1, "accepted", NOON, 250)])

        late = [Result(1, "refused", NOON, 550)]
        assert actions.record_late(session, held, late, actor="dead", now=NOON) == 0

        assert outcomes(session, campaign) == {1: "accepted"}
    assert "breach" in str(logged)


def test_news_of_a_lost_lease_are_late_ones(database: Database) -> None:
    campaign = books.sending(database, 2)
    manner = actions.Manner("", 1000, again=False, now=NOON)
    with database.transaction() as session:
        held = lost(session, 2)
        session.execute(update(BatchRow).values(lease_until=NOON))
        actions.judge(session, now=NOON)
        rows = [ledger.accepted(held, 1, 1, Reply(250, "", "ok"), "", NOON)]
        told = ledger.News(held, 0, done=False, rows=rows, entries=[], later=None)

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
        actions.heartbeat(session, "one", stopped=True)

        (worker,) = queries.workers(session)

    assert (worker.id, worker.pid, worker.batches) == ("one", 7, 0)
    assert worker.stopped_at == worker.heartbeat_at
    assert replace(worker) == worker
