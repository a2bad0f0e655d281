"""What a lost worker left behind is settled by itself, its journal or time; never by a guess."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from mailer.campaigns.campaign import CampaignId
from mailer.delivery import batch, chunk, ledger, queries, settling, testimony
from mailer.delivery.adoption import Reading
from mailer.delivery.batch import Lease
from mailer.delivery.ledger import Result
from mailer.delivery.models import BatchRow, ResolutionRow
from mailer.delivery.relay import Reply
from mailer.delivery.settling import Settled
from mailer.delivery.testimony import Kind, Mode, Witness
from mailer.delivery.verdict import Patience
from mailer.kit.database import Database
from tests.fakes import books
from tests.fakes.books import NOON

SEGMENTS = ("ai", "luxury")


def lost(session: Session, started: int = 4) -> Lease:
    """A batch whose worker died after starting a chunk of so many people."""
    held = batch.lease(session, "dead", seconds=60)
    assert held is not None
    assert chunk.start(session, held, 1, started, flushed=0, seconds=60)
    return held


def witness(held: Lease, subscriber: int, kind: Kind, reply: Reply | None = None) -> Witness:
    return Witness(kind, held.campaign, held.number, held.epoch, 1, subscriber, 7, NOON, reply)


def reading(witnesses: Iterable[Witness], *, boot_id: str = "boot") -> Reading:
    told = testimony.Testimony(
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

        settled = settling.settle_by_journal(session, reading(told))

        found = outcomes(session, campaign)
        assert settled == Settled(results=2, uncertain=1, batches=1)
        assert [found[n] for n in (1, 2, 3, 4)] == ["accepted", "uncertain", "open", "open"]
        freed = session.get_one(BatchRow, (campaign, 1), populate_existing=True)
        assert (freed.worker, freed.deaths, freed.epoch) == (None, 1, held.epoch + 1)
        again = batch.lease(session, "heir", seconds=60)
        assert again is not None
        people = chunk.people(session, again, SEGMENTS, 0, 6, now=books.NOON).people
        assert [p.subscriber for p in people] == [3, 4, 5, 6]


def test_a_journal_may_be_read_twice(database: Database) -> None:
    campaign = books.sending(database, 3)
    with database.transaction() as session:
        held = lost(session, 3)
        told = reading([witness(held, 1, Kind.REPLY, Reply(250)), witness(held, 2, Kind.DOT)])
        settling.settle_by_journal(session, told)
        before = outcomes(session, campaign)

        assert settling.settle_by_journal(session, told) == Settled()
        assert outcomes(session, campaign) == before


def test_a_journal_of_another_boot_proves_nothing_by_silence(database: Database) -> None:
    campaign = books.sending(database, 3)
    with database.transaction() as session:
        held = lost(session, 2)
        told = reading([witness(held, 1, Kind.REPLY, Reply(250))], boot_id="another")

        settling.settle_by_journal(session, told)

        assert outcomes(session, campaign) == {1: "accepted", 2: "uncertain", 3: "open"}


def test_a_deferral_in_a_journal_goes_to_a_later_batch(database: Database) -> None:
    campaign = books.sending(database, 2)
    with database.transaction() as session:
        held = lost(session, 2)
        told = reading([witness(held, 1, Kind.REPLY, Reply(451, "4.3.2", "later"))])

        settling.settle_by_journal(session, told)

        later = session.get_one(BatchRow, (campaign, 2))
        assert (later.attempt, later.size) == (2, 1)
        assert later.not_before >= NOON + timedelta(minutes=30)


def test_time_judges_a_lost_chunk_uncertain_by_name(database: Database) -> None:
    campaign = books.sending(database, 5)
    with database.transaction() as session:
        lost(session, 2)
        assert settling.judge(session, now=NOON) == Settled(), "not yet"
        session.execute(update(BatchRow).values(lease_until=NOON))

        assert settling.judge(session, now=NOON) == Settled(2, 2, 1)

        named = queries.uncertain(session, campaign)
        assert [line.subscriber for line in named] == [1, 2]
        assert "dead" in named[0].evidence
        assert batch.due(session) == (campaign,)


def test_time_does_not_judge_a_lease_with_nothing_on_the_wire(database: Database) -> None:
    books.sending(database, 5)
    with database.transaction() as session:
        batch.lease(session, "dead", seconds=-9999)

        assert settling.judge(session, now=NOON) == Settled()


def test_what_is_learnt_late_stands_beside_the_uncertain_row(database: Database) -> None:
    campaign = books.sending(database, 3)
    with database.transaction() as session:
        held = lost(session, 3)
        session.execute(update(BatchRow).values(lease_until=NOON))
        settling.judge(session, now=NOON)
        told = reading(
            [
                witness(held, 1, Kind.REPLY, Reply(250, "2.0.0", "ok")),
                witness(held, 2, Kind.REPLY, Reply(550, "5.1.1", "no such user")),
                witness(held, 3, Kind.DOT),
            ]
        )

        settled = settling.settle_by_journal(session, told)
        settling.settle_by_journal(session, told)

        rows = session.scalars(select(ResolutionRow).order_by(ResolutionRow.subscriber_id)).all()
        assert settled.results == 2
        assert [(r.subscriber_id, r.outcome) for r in rows] == [(1, "accepted"), (2, "refused")]
        progress = queries.progress(session, campaign)
        assert (progress.accepted, progress.refused, progress.uncertain) == (1, 1, 1)
        assert outcomes(session, campaign)[1] == "uncertain", "the first result stays"


def test_a_dead_address_is_suppressed_however_late_its_refusal_comes(database: Database) -> None:
    campaign = books.sending(database, 2)
    with database.transaction() as session:
        held = lost(session, 2)
        ledger.store(session, held, [Result(1, "uncertain", NOON)])
        refused = Result(1, "refused", NOON, 550, "5.1.1", reason="address", suppresses=True)
        late = [refused, replace(refused, subscriber=2)]

        assert settling.record_late(session, held, late, actor="dead", now=NOON) == 2

        unmailable = chunk.unmailable(session, [1, 2], SEGMENTS, now=books.NOON)
        assert sorted(unmailable) == [1, 2]
        assert outcomes(session, campaign)[2] == "refused"


def test_a_contradiction_is_logged_and_never_stored(database: Database) -> None:
    campaign = books.sending(database, 1)
    with capture_logs() as logged, database.transaction() as session:
        held = lost(session, 1)
        ledger.store(session, held, [Result(1, "accepted", NOON, 250)])

        late = [Result(1, "refused", NOON, 550)]
        assert settling.record_late(session, held, late, actor="dead", now=NOON) == 0

        assert outcomes(session, campaign) == {1: "accepted"}
    assert "breach" in str(logged)


def dies(session: Session, times: int) -> None:
    session.execute(update(BatchRow).values(deaths=times))


def test_who_a_third_worker_dies_of_alone_is_skipped_as_poison(database: Database) -> None:
    """Fault 48: at most three deaths, and the record names the culprit; others go on."""
    campaign = books.sending(database, 3)
    with database.transaction() as session:
        dies(session, 2)
        held = lost(session, 1)
        assert held.deaths == 2

        settling.settle_by_journal(session, reading([witness(held, 1, Kind.INTENT)]))

        assert outcomes(session, campaign) == {1: "skipped", 2: "open", 3: "open"}
        line = queries.explain(session, campaign, 1)
        assert line is not None
        assert line.line.reason == "poison"
        assert queries.verify(session, campaign).holds


@pytest.mark.parametrize(
    ("deaths", "started", "told", "expected"),
    [
        (1, 1, Kind.INTENT, "open"),  # it may have been anybody
        (2, 2, Kind.INTENT, "open"),  # and here it was one of two
        (2, 1, Kind.DOT, "uncertain"),  # the letter may have left
    ],
)
def test_nobody_is_poison_on_less_proof(
    database: Database, deaths: int, started: int, told: Kind, expected: str
) -> None:
    campaign = books.sending(database, 3)
    with database.transaction() as session:
        dies(session, deaths)
        held = lost(session, started)

        settling.settle_by_journal(session, reading([witness(held, 1, told)]))

        assert outcomes(session, campaign)[1] == expected


def test_a_journal_that_is_not_whole_proves_no_poison(database: Database) -> None:
    campaign = books.sending(database, 2)
    with database.transaction() as session:
        dies(session, 2)
        lost(session, 1)

        settling.settle_by_journal(session, reading([], boot_id="another"))

        assert outcomes(session, campaign)[1] == "uncertain"


def test_a_death_with_nobody_in_doubt_blames_no_batch(database: Database) -> None:
    books.sending(database, 2)
    with database.transaction() as session:
        assert batch.lease(session, "dead", seconds=60) is not None

        settling.settle_by_journal(session, reading([]))

        row = session.scalars(select(BatchRow)).one()
        assert (row.deaths, row.worker) == (0, None)


def test_who_was_judged_and_surely_not_sent_to_is_sent_to_again(database: Database) -> None:
    """Faults 12 and 58: a stopped process wakes, late, and names who it did not send to."""
    campaign = books.sending(database, 4)
    with database.transaction() as session:
        held = lost(session, 3)
        session.execute(update(BatchRow).values(lease_until=NOON))
        settling.judge(session, now=NOON)

        late = [Result(1, "accepted", NOON, 250)]
        assert settling.record_late(session, held, late, actor="dead", now=NOON) == 1
        for _ in range(2):
            settling.record_unsent(session, held, [1, 2], actor="dead", now=NOON)

        rows = session.scalars(select(ResolutionRow).order_by(ResolutionRow.subscriber_id)).all()
        assert [(r.subscriber_id, r.outcome) for r in rows] == [(1, "accepted"), (2, "resend")]
        assert rows[1].batch is not None
        again = session.get_one(BatchRow, (campaign, rows[1].batch))
        assert (again.resend, again.size, again.attempt) == (True, 1, 2)


def test_who_became_uncertain_under_another_lease_is_not_sent_to_again(database: Database) -> None:
    books.sending(database, 2)
    with database.transaction() as session:
        first = lost(session, 2)
        batch.release(session, first)
        second = lost(session, 2)
        ledger.store(session, second, [Result(1, "uncertain", NOON, chunk=1)])

        assert settling.record_unsent(session, first, [1], actor="dead", now=NOON) == 0


def test_what_one_worker_did_not_send_proves_nothing_of_another(database: Database) -> None:
    """A database that was set back gives the epochs of before once more, to somebody else."""
    books.sending(database, 2)
    with database.transaction() as session:
        held = lost(session, 2)
        ledger.store(session, held, [Result(1, "uncertain", NOON, chunk=1)])
        before = replace(held, worker="of the time before")

        assert settling.record_unsent(session, before, [1], actor="dead", now=NOON) == 0
        assert settling.record_unsent(session, held, [1], actor="dead", now=NOON) == 1


def test_a_thousand_leases_later_an_unsent_letter_proves_nothing(database: Database) -> None:
    """A relay that is away for hours costs a lease every few seconds, each with the same people."""
    campaign = books.sending(database, 2)
    with database.transaction() as session:
        first = lost(session, 2)
        batch.release(session, first)
        session.execute(update(BatchRow).values(epoch=first.epoch + 999))
        again = lost(session, 2)
        assert (again.worker, again.epoch) == (first.worker, first.epoch + 1000)

        told = [witness(first, 1, Kind.INTENT), witness(again, 1, Kind.DOT)]
        settling.settle_by_journal(session, reading(told))

        assert outcomes(session, campaign)[1] == "uncertain"
        assert session.scalars(select(ResolutionRow)).all() == []


def test_a_journal_that_comes_after_the_judgement_resolves_by_proof(database: Database) -> None:
    """Fault 62: a journal imported late, and twice."""
    books.sending(database, 3)
    with database.transaction() as session:
        held = lost(session, 3)
        session.execute(update(BatchRow).values(lease_until=NOON))
        settling.judge(session, now=NOON)
        told = reading(
            [
                witness(held, 1, Kind.REPLY, Reply(250, "2.0.0", "ok")),
                witness(held, 2, Kind.DOT),
                witness(held, 3, Kind.INTENT),
            ]
        )

        settling.settle_by_journal(session, told)
        settling.settle_by_journal(session, told)

        rows = session.scalars(select(ResolutionRow).order_by(ResolutionRow.subscriber_id)).all()
        assert [(r.subscriber_id, r.outcome) for r in rows] == [(1, "accepted"), (3, "resend")]


def test_void_leases_are_nobodys_and_are_settled_by_their_journal(database: Database) -> None:
    """S14: no old epoch can match again; what was started is in doubt until a journal speaks."""
    campaign = books.sending(database, 4)
    with database.transaction() as session:
        held = lost(session, 3)

        settling.void_leases(session)

        assert not chunk.start(session, held, 2, 4, flushed=1, seconds=60)
        assert not batch.account(session, held, flushed=1, done=False)
        assert batch.lease(session, "heir", seconds=60) is None
        told = [
            witness(held, 1, Kind.REPLY, Reply(250)),
            witness(held, 2, Kind.DOT),
            witness(held, 4, Kind.REPLY, Reply(250)),  # its chunk's start was lost
        ]
        settling.settle_by_journal(session, reading(told))
        settling.settle_by_journal(session, reading(told))

        found = outcomes(session, campaign)
        assert found == {1: "accepted", 2: "uncertain", 3: "open", 4: "accepted"}
        assert batch.lease(session, "heir", seconds=60) is not None
