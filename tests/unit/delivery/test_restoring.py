"""What a database forgot is entered again from the journals, and nobody is mailed twice."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import CampaignId, State
from mailer.campaigns.models import CampaignRow
from mailer.delivery import brakes, instance
from mailer.delivery.batch import VOID
from mailer.delivery.brakes import RESTORE
from mailer.delivery.compose import Composers, Letterhead
from mailer.delivery.dispatch import Dispatcher
from mailer.delivery.engine import relay_from_url
from mailer.delivery.instance import Guard
from mailer.delivery.journal import Journal
from mailer.delivery.models import BatchRow, DeliveryRow, InstanceGuardRow
from mailer.delivery.relay import Message, Reply
from mailer.delivery.restoring import Replayed, replay
from mailer.delivery.tools import Terms
from mailer.kit import clock
from mailer.kit.database import Database
from mailer.kit.signing import Keyring
from tests.fakes.books import campaign, sending
from tests.fakes.smtp import ScriptedSink

TAKEN = Reply(250, "2.0.0", "queued")


def message(campaign: int, subscriber: int, batch: int) -> Message:
    return Message(campaign, subscriber, batch, 1, 1, "r@example.org", "b@example.org", b"")


def journal(directory: Path, worker: str, *told: tuple[Message, Reply | str]) -> Journal:
    """A journal that saw these messages end with a reply, a dot or nothing but the intent."""
    kept = Journal.open(directory, worker)
    for letter, last in told:
        kept.append(kept.intent(letter, 1))
        if last != "intent":
            kept.append(kept.dot(letter, 1))
        if isinstance(last, Reply):
            kept.append(kept.reply(letter, 1, last))
    return kept


def outcomes(database: Database, campaign: CampaignId) -> dict[int, str]:
    with database.reading() as session:
        rows = select(DeliveryRow.subscriber_id, DeliveryRow.outcome)
        mine = rows.where(DeliveryRow.campaign_id == campaign)
        return {row[0]: row[1] for row in session.execute(mine)}


def replayed(database: Database, directory: Path) -> Replayed:
    return replay(database, directory, now=clock.now())


def letters(
    number: CampaignId, told: dict[int, Reply | str], *, batch: int = 1
) -> list[tuple[Message, Reply | str]]:
    return [(message(number, n, batch), last) for n, last in told.items()]


def test_answers_and_dots_the_database_forgot_are_entered(
    database: Database, tmp_path: Path
) -> None:
    number = sending(database, 6)
    told: dict[int, Reply | str] = {
        1: TAKEN,
        2: Reply(550, "5.1.1", "no such user", "rcpt"),
        3: "dot",
        4: "intent",
        5: Reply(451, "4.3.0", "later", "dot"),
    }
    journal(tmp_path, "dead", *letters(number, told)).close()

    found = replayed(database, tmp_path)
    assert (found.journals, found.results, found.unreadable, found.unknown) == (1, 3, (), {})
    entered = outcomes(database, number)
    assert entered == {1: "accepted", 2: "refused", 3: "uncertain"}  # 4, 5 and 6 are still open
    assert replayed(database, tmp_path).results == 0
    assert outcomes(database, number) == entered


@pytest.mark.parametrize("how", ["live", "dead", "retired"])
def test_every_journal_of_the_host_is_read(database: Database, tmp_path: Path, how: str) -> None:
    number = sending(database, 2)
    kept = journal(tmp_path, "w", *letters(number, {1: TAKEN}))
    match how:
        case "dead":
            kept.close()
        case "retired":
            kept.retire()
    replayed(database, tmp_path)
    kept.close()

    assert outcomes(database, number) == {1: "accepted"}


def test_people_of_a_batch_the_database_forgot_are_found_in_the_audience(
    database: Database, tmp_path: Path
) -> None:
    number = sending(database, 4, batch_size=2)
    journal(tmp_path, "w", *letters(number, {1: TAKEN, 4: TAKEN}, batch=99)).retire()
    replayed(database, tmp_path)

    with database.reading() as session:
        rows = session.execute(select(DeliveryRow.subscriber_id, DeliveryRow.batch)).all()
    assert sorted(tuple(row) for row in rows) == [(1, 1), (4, 2)]


def test_letters_of_a_campaign_without_an_audience_are_counted(
    database: Database, tmp_path: Path
) -> None:
    with database.transaction() as session:
        drafted = campaign(session)
    journal(tmp_path, "w", *letters(drafted, {1: TAKEN, 2: "dot", 3: "intent"})).retire()

    assert replayed(database, tmp_path).unknown == {drafted: 2}
    assert outcomes(database, drafted) == {}


def test_a_result_that_is_there_stays(database: Database, tmp_path: Path) -> None:
    number = sending(database, 2)
    with database.transaction() as session:
        known = {"campaign_id": number, "subscriber_id": 1, "outcome": "accepted"}
        session.execute(insert(DeliveryRow), [{**known, "at": clock.now()}])
    journal(tmp_path, "w", *letters(number, {1: "dot"})).retire()

    assert replayed(database, tmp_path).results == 0
    assert outcomes(database, number) == {1: "accepted"}


def test_a_batch_that_a_dead_worker_held_is_free_again(database: Database, tmp_path: Path) -> None:
    number = sending(database, 3)
    with database.transaction() as session:
        leased = {
            "worker": "w",
            "epoch": 1 + VOID,  # void since
            "lease_until": clock.now(),
            "chunks_started": 1,
            "started_to": 3,
        }
        session.execute(update(BatchRow).values(**leased))
    journal(tmp_path, "w", *letters(number, {1: TAKEN, 2: "intent"})).retire()
    replayed(database, tmp_path)

    with database.reading() as session:
        assert session.scalar(select(BatchRow.worker)) is None
    assert outcomes(database, number) == {1: "accepted"}


def test_a_file_that_is_no_journal_is_named(database: Database, tmp_path: Path) -> None:
    (tmp_path / "x.journal").write_bytes(b"no journal")

    assert replayed(database, tmp_path).unreadable == ("x.journal",)
    assert replayed(database, tmp_path / "nowhere") == Replayed()


def test_the_guard_replays_once_and_misses_what_was_due(database: Database, tmp_path: Path) -> None:
    number = sending(database, 2)
    now = clock.now()
    with database.transaction() as session:
        due = campaign(session, number=2)
        later = campaign(session, number=3)
        for each, at in ((due, now - timedelta(minutes=5)), (later, now + timedelta(hours=5))):
            mine = update(CampaignRow).where(CampaignRow.id == each)
            session.execute(mine.values(state=State.DRAFT))
            session.execute(mine.values(state=State.SCHEDULED, scheduled_for=at))
    guard = Guard(database, tmp_path, durable=False)
    for _ in range(3):
        guard.check(now)
    journal(tmp_path / instance.JOURNALS, "w", *letters(number, {1: TAKEN})).retire()
    with database.transaction() as session:
        session.execute(update(InstanceGuardRow).values(counter=0))
    assert guard.check(now) is not None

    assert outcomes(database, number) == {1: "accepted"}
    with database.reading() as session:
        assert campaign_queries.campaign(session, due).state is State.MISSED
        assert campaign_queries.campaign(session, later).state is State.SCHEDULED


def worker(database: Database, data: Path, name: str, port: int) -> Dispatcher:
    """One with a guard and a journal, as an installation has."""
    kept = Journal.open(data / instance.JOURNALS, name)
    letterhead = Letterhead(Keyring.of("only for tests"), "https://gazette.example")
    return Dispatcher(
        database,
        relay_from_url(f"smtp://127.0.0.1:{port}", connections=2, journal=kept),
        kept,
        composers=Composers(database, letterhead),
        worker=name,
        guard=Guard(database, data, worker=name, durable=False).check,
        directory=data,
        terms=Terms(chunk_size=5),
    )


def test_a_database_set_back_behind_its_worker_mails_nobody_twice(
    sqlite_database: Database, tmp_path: Path
) -> None:
    database, data = sqlite_database, tmp_path / "data"
    file, backup = Path(str(database.engine.url.database)), tmp_path / "backup.db"
    number = sending(database, 40, batch_size=20)
    with ScriptedSink() as sink:
        first = worker(database, data, "first", sink.port)
        first.register()
        database.close()
        shutil.copyfile(file, backup)
        first.work()
        first.sweep()
        first.close()
        assert len(set(sink.recipients)) == len(sink.recipients) == 40
        database.close()
        shutil.copyfile(backup, file)
        assert outcomes(database, number) == {}

        second = worker(database, data, "second", sink.port)
        second.work()
        with database.reading() as session:
            hold = brakes.seen(session).hold
        assert hold is not None
        assert hold.cause == RESTORE
        assert outcomes(database, number) == dict.fromkeys(range(1, 41), "accepted")
        assert second.sweep() == ()
        Guard(database, data).accept(by="Ada", now=clock.now())
        second.sweep()
        second.work()
        second.close()

    assert len(sink.recipients) == 40
    with database.reading() as session:
        assert campaign_queries.campaign(session, number).state is State.FINISHED
