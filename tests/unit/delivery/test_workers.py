"""Who works is seen by their signs of life."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from mailer.delivery import workers
from mailer.delivery.models import WorkerRow
from mailer.delivery.workers import State
from mailer.kit.database import Database, database_now


@pytest.fixture
def staff(database: Database) -> Database:
    """Ada works and hears two queues, Ben gave no sign for a minute, Cleo left, Dan long ago."""
    with database.transaction() as session:
        now = database_now(session)
        ages = {"ada": 1, "ben": 60, "cleo": 120, "dan": 90_000}
        for pid, (name, age) in enumerate(ages.items(), start=1):
            seen = now - timedelta(seconds=age)
            session.add(
                WorkerRow(
                    id=name,
                    host="north",
                    boot_id="boot",
                    pid=pid,
                    journal=f"{name}.journal",
                    version="1",
                    started_at=now - timedelta(days=2) + timedelta(seconds=pid),
                    heartbeat_at=seen,
                    stopped_at=seen if name in {"cleo", "dan"} else None,
                    queues="bulk events",
                )
            )
    return database


def test_each_is_listed_with_how_they_are(staff: Database) -> None:
    with staff.reading() as session:
        found = workers.workers(session)
        every = workers.workers(session, every=True)

    assert [(one.id, one.state) for one in found] == [
        ("ada", State.IDLE),
        ("ben", State.SILENT),
        ("cleo", State.STOPPED),
    ]
    assert [one.id for one in every] == ["ada", "ben", "cleo", "dan"]
    assert [one.is_alive for one in found] == [True, False, False]
    assert found[0].queues == ("bulk", "events")


def test_a_sign_of_life_says_what_is_heard_and_ends_a_silence(staff: Database) -> None:
    with staff.transaction() as session:
        workers.alive(session, "ben", ("import",))
    with staff.reading() as session:
        ben = workers.workers(session)[1]

    assert (ben.state, ben.queues) == (State.IDLE, ("import",))


@pytest.mark.parametrize(
    ("queue", "journals", "heard"),
    [
        ("events", {"ada.journal", "dan.journal"}, True),
        ("event", {"ada.journal"}, False),
        ("import", {"ada.journal"}, False),
        ("events", {"ben.journal", "cleo.journal"}, False),  # silent, and left
        ("events", {"elsewhere.journal"}, False),
        ("events", set(), False),
    ],
)
def test_a_queue_is_heard_by_those_alive_whose_journal_lies_here(
    staff: Database, queue: str, journals: set[str], *, heard: bool
) -> None:
    with staff.reading() as session:
        assert workers.hears(session, queue, journals) is heard


def test_a_worker_with_batches_in_hand_is_listed_however_long_it_is_silent(
    staff: Database,
) -> None:
    with staff.transaction() as session:
        long_ago = database_now(session) - timedelta(days=1)
        session.execute(
            update(WorkerRow).where(WorkerRow.id == "ben").values(heartbeat_at=long_ago)
        )
    with staff.reading() as session:
        assert [one.id for one in workers.workers(session)] == ["ada", "cleo"]
