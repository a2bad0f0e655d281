"""Results go in once; a campaign closes by its sum."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import State
from mailer.delivery import batch, chunk, ledger, queries
from mailer.delivery.batch import Lease
from mailer.delivery.ledger import Deferral, Entry, Result
from mailer.delivery.models import AttemptRow, BatchRow, DeliveryRow, ResolutionRow
from mailer.delivery.relay import Ending, Reply, Silence
from mailer.delivery.verdict import Patience
from mailer.kit.database import Database
from tests.fakes import books
from tests.fakes.books import NOON

LATER = NOON + timedelta(days=9999)


def leased(session: Session) -> Lease:
    held = batch.lease(session, "one", seconds=60)
    assert held is not None
    chunk.start(session, held, 1, held.size, flushed=0, seconds=60)
    return held


def deferral(subscriber: int, *, not_before: timedelta = timedelta(minutes=30)) -> Deferral:
    moment = LATER + not_before
    return Deferral(subscriber, LATER, LATER, moment, 451, "4.7.1", "later")


def decided(ending: Ending) -> Entry:
    return ledger.entry(
        ending,
        subscriber=1,
        chunk=2,
        attempt=1,
        first_tried=None,
        at=NOON,
        patience=Patience(),
    )


def test_an_ending_becomes_an_entry() -> None:
    accepted = decided(Reply(250, "2.0.0", "ok"))
    refused = decided(Reply(550, "5.1.1", "no such user", "rcpt"))
    silent = decided(Silence())

    assert accepted == Result(1, "accepted", NOON, 250, "2.0.0", "ok", chunk=2)
    assert isinstance(refused, Result)
    assert (refused.outcome, refused.reason, refused.suppresses) == ("refused", "address", True)
    assert isinstance(silent, Result)
    assert (silent.outcome, silent.suppresses) == ("uncertain", False)
    assert isinstance(decided(Reply(451)), Deferral)


def test_a_row_and_its_result_say_the_same(database: Database) -> None:
    books.sending(database, 1)
    with database.transaction() as session:
        held = leased(session)
        reply = Reply(250, "2.0.0", "ok")
        row = ledger.accepted(held, 1, 1, reply, "relay", NOON)

        assert ledger.result_of(row) == Result(1, "accepted", NOON, 250, "2.0.0", "ok", chunk=1)


def test_the_second_result_of_a_person_is_refused(database: Database) -> None:
    books.sending(database, 1)
    with database.transaction() as session:
        held = leased(session)
        ledger.store(session, held, [Result(1, "accepted", NOON)])

    with pytest.raises(Exception, match=r"(?i)unique"), database.transaction() as session:
        ledger.store(session, held, [Result(1, "refused", NOON)])


def test_a_commit_of_unknown_outcome_may_be_repeated(database: Database) -> None:
    books.sending(database, 4)
    with database.transaction() as session:
        held = leased(session)
        entries: list[Entry] = [Result(1, "accepted", NOON), deferral(2)]
        rows = [ledger.accepted(held, 3, 1, Reply(250), "", NOON)]
        ledger.record(session, held, entries, rows=rows)

        ledger.record(session, held, [*entries, Result(4, "expired", NOON)], rows=rows, again=True)

        people = session.scalars(select(DeliveryRow.subscriber_id)).all()
        assert sorted(people) == [1, 3, 4]
        assert len(session.scalars(select(AttemptRow)).all()) == 1
        assert len(session.scalars(select(BatchRow)).all()) == 2


def test_the_deferred_of_a_batch_share_a_later_one(database: Database) -> None:
    books.sending(database, 6)
    with database.transaction() as session:
        held = leased(session)

        later = ledger.record(session, held, [deferral(1), deferral(2)])
        same = ledger.record(session, held, [deferral(3)], later=later)

        assert same == later
        found = session.get_one(BatchRow, (held.campaign, 2), populate_existing=True)
        assert (found.size, found.attempt, found.edition_id, found.lane) == (
            3,
            2,
            held.edition,
            held.lane,
        )
        places = select(AttemptRow.subscriber_id, AttemptRow.position).order_by(AttemptRow.position)
        assert [tuple(row) for row in session.execute(places)] == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"epoch": 1}, "somebody has leased it"),
        ({"not_before": NOON}, "its time is near"),
        ({"state": "done"}, "it is done"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_later_batch_takes_nobody_in_once(
    database: Database, change: dict[str, object], why: str
) -> None:
    books.sending(database, 3)
    with database.transaction() as session:
        held = leased(session)
        later = ledger.record(session, held, [deferral(1)])
        session.execute(update(BatchRow).where(BatchRow.number == 2).values(**change))

        found = ledger.record(session, held, [deferral(2)], later=later)

        assert [one.number for one in found] == [2, 3], why
        (placed,) = session.scalars(select(AttemptRow.batch).where(AttemptRow.subscriber_id == 2))
        assert placed == 3


def test_a_later_batch_is_neither_overfull_nor_too_early(database: Database) -> None:
    books.sending(database, 5)
    with database.transaction() as session:
        held = leased(session)
        later = ledger.record(session, held, [deferral(1), deferral(2)])

        full = ledger.record(session, held, [deferral(3)], later=later, batch_size=2)
        slow = deferral(4, not_before=timedelta(days=1))
        patient = ledger.record(session, held, [slow], later=later)

        assert [one.number for one in full] == [2, 3]
        assert [one.number for one in patient] == [2, 4]
        assert patient[-1].not_before >= slow.not_before


def test_nobody_waits_long_for_anothers_sake(database: Database) -> None:
    books.sending(database, 4)
    with database.transaction() as session:
        held = leased(session)
        greylisted = [deferral(n, not_before=timedelta(minutes=6)) for n in (1, 3)]
        patient = deferral(2, not_before=timedelta(hours=4))

        first = ledger.record(session, held, [greylisted[0], patient])
        again = ledger.record(session, held, [greylisted[1]], later=first)

        assert again == first
        soon, late = first
        assert soon.not_before < greylisted[0].not_before + timedelta(minutes=3)
        assert late.not_before >= patient.not_before
        places = select(AttemptRow.subscriber_id, AttemptRow.batch).order_by(AttemptRow.batch)
        assert {tuple(row) for row in session.execute(places)} == {
            (1, soon.number),
            (3, soon.number),
            (2, late.number),
        }


def test_a_campaign_closes_by_its_sum(database: Database) -> None:
    campaign = books.sending(database, 2)
    with database.transaction() as session:
        held = leased(session)
        ledger.store(session, held, [Result(1, "accepted", NOON, chunk=1)])
        assert not ledger.close(session, campaign, now=NOON), "a batch is open"
        batch.account(session, held, flushed=1, done=True)
        assert not ledger.close(session, campaign, now=NOON), "somebody is missing"

        ledger.store(session, held, [Result(2, "uncertain", NOON, chunk=1)])
        assert ledger.close(session, campaign, now=NOON)

        found = books.stored(session, campaign)
        assert (found.state, found.uncertain_count, found.finished_at) == (State.FINISHED, 1, NOON)
        assert not ledger.close(session, campaign, now=NOON), "closed already"


def test_what_was_learnt_of_uncertain_letters_is_counted(database: Database) -> None:
    campaign = books.sending(database, 3)
    with database.transaction() as session:
        held = leased(session)
        ledger.store(session, held, [Result(n, "uncertain", NOON) for n in (1, 2, 3)])
        learnt = {"campaign_id": campaign, "evidence": "", "actor": "", "at": NOON}
        session.execute(
            insert(ResolutionRow),
            [
                learnt | {"subscriber_id": 1, "number": 1, "outcome": "abandoned"},
                learnt | {"subscriber_id": 2, "number": 1, "outcome": "abandoned"},
                learnt | {"subscriber_id": 2, "number": 2, "outcome": "accepted"},
            ],
        )

        found = ledger.counts(session, campaign)
        lines = {n.subscriber: n.resolution for n in queries.uncertain(session, campaign)}

    assert (found["accepted"], found["uncertain"], found["refused"]) == (1, 2, 0)
    assert lines == {1: "abandoned", 3: ""}
