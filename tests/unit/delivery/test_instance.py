"""A database that was set back or copied holds everything; an ordinary restart holds nothing."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import select, update

from mailer.delivery import actions, brakes, instance
from mailer.delivery.batch import VOID
from mailer.delivery.brakes import RESTORE, Brake
from mailer.delivery.instance import FILE, ForeignDirectory, Guard, Server
from mailer.delivery.journal import Journal
from mailer.delivery.models import BatchRow, DeliveryRow, InstanceGuardRow, WorkerRow
from mailer.delivery.relay import Message, Reply
from mailer.kit import clock
from mailer.kit.database import Database
from tests.fakes import books
from tests.fakes.books import sending
from tests.fakes.relay import ScriptedRelay


def guard(database: Database, directory: Path, *, worker: str = "w1") -> Guard:
    return Guard(database, directory, worker=worker, durable=False)


def check(database: Database, directory: Path, *, worker: str = "w1") -> str | None:
    return guard(database, directory, worker=worker).check(clock.now())


def hold(database: Database) -> Brake | None:
    with database.reading() as session:
        return brakes.seen(session).hold


def row(database: Database) -> InstanceGuardRow:
    with database.reading() as session:
        return session.scalars(select(InstanceGuardRow)).one()


def change(database: Database, **values: object) -> None:
    with database.transaction() as session:
        session.execute(update(InstanceGuardRow).values(**values))


def worker(database: Database, name: str, *, heartbeat_ago: float = 0) -> None:
    with database.transaction() as session:
        actions.register(
            session, name, host="h", boot_id="b", pid=1, journal="", version="1", queues=""
        )
        at = clock.now() - timedelta(seconds=heartbeat_ago)
        mine = update(WorkerRow).where(WorkerRow.id == name)
        session.execute(mine.values(heartbeat_at=at))


def kept(directory: Path) -> dict[str, object]:
    found = json.loads((directory / FILE).read_text())
    assert isinstance(found, dict)
    return found


def as_server(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr(instance, "server", lambda _: server)


def test_a_first_start_makes_the_installation(database: Database, tmp_path: Path) -> None:
    assert check(database, tmp_path) is None
    assert kept(tmp_path)["instance"] == row(database).instance
    assert hold(database) is None


def test_restarts_and_sweeps_count_signs_of_life(database: Database, tmp_path: Path) -> None:
    for _ in range(4):
        assert check(database, tmp_path) is None

    assert row(database).counter == kept(tmp_path)["counter"] == 3
    assert hold(database) is None


def test_many_processes_of_a_host_start_at_once(database: Database, tmp_path: Path) -> None:
    together = Barrier(6)

    def start(number: int) -> str | None:
        own = guard(database, tmp_path, worker=f"w{number}")
        together.wait()
        return own.check(clock.now())

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(start, range(6))) == [None] * 6
    assert hold(database) is None


def test_a_database_that_was_set_back_holds_everything(database: Database, tmp_path: Path) -> None:
    sending(database, 3)
    for _ in range(3):
        check(database, tmp_path)
    change(database, counter=1)
    reason = check(database, tmp_path)
    held = hold(database)

    assert reason is not None
    assert "older than what this host saw of it" in reason
    assert "dibao go --after-restore" in reason
    assert held is not None
    assert (held.cause, held.reason, held.actor, held.probe_at) == (RESTORE, reason, "w1", None)
    with database.reading() as session:
        assert session.scalar(select(BatchRow.epoch)) == VOID


def test_the_leases_are_void_once_only(database: Database, tmp_path: Path) -> None:
    sending(database, 3)
    for _ in range(3):
        check(database, tmp_path)
    change(database, counter=0)
    check(database, tmp_path)
    check(database, tmp_path, worker="w2")

    with database.reading() as session:
        assert session.scalar(select(BatchRow.epoch)) == VOID
    with database.reading() as session:
        assert len(brakes.history(session)) == 1


def test_who_accepts_the_restore_lifts_the_hold_on_every_host(
    database: Database, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    check(database, here)
    worker(database, "w1")
    newcomer = guard(database, there, worker="w2")
    newcomer.check(clock.now())
    check(database, here)
    assert newcomer.check(clock.now()) is None
    change(database, counter=0)
    assert check(database, here) is not None

    assert guard(database, here).accept(by="Ada", now=clock.now())
    assert hold(database) is None
    assert check(database, here) is None
    assert newcomer.check(clock.now()) is None
    assert not guard(database, here).accept(by="Ada", now=clock.now())


def test_a_hold_that_is_released_without_acceptance_comes_back(
    database: Database, tmp_path: Path
) -> None:
    for _ in range(3):
        check(database, tmp_path)
    change(database, counter=0)
    check(database, tmp_path)
    held = hold(database)
    assert held is not None
    with database.transaction() as session:
        brakes.take_off(session, held, by="Ben", now=clock.now())

    assert check(database, tmp_path) is not None
    assert hold(database) is not None


def test_another_installations_data_directory_is_an_alarm(
    database: Database, tmp_path: Path
) -> None:
    check(database, tmp_path)
    change(database, instance="another")
    reason = check(database, tmp_path)

    assert reason is not None
    assert "another installation" in reason


def test_journals_of_another_installation_are_left_alone(
    database: Database, tmp_path: Path
) -> None:
    campaign = sending(database, 3)
    check(database, tmp_path)
    (tmp_path / FILE).write_text('{"instance": "other", "counter": 9, "synchronous": false}')
    dead, own = (Journal.open(tmp_path / "journal", name) for name in ("dead", "own"))
    letter = Message(campaign, 1, 1, 1, 1, "", "reader1@example.org", b"")
    dead.append(dead.dot(letter, 1) + dead.reply(letter, 1, Reply(250, "2.0.0", "ok")))
    dead.close()
    one = books.dispatcher(
        database,
        ScriptedRelay(),
        worker="own",
        journal=own,
        guard=guard(database, tmp_path).check,
        directory=tmp_path,
    )

    assert "another installation" in one.work(campaign).held
    with database.reading() as session:
        assert session.scalars(select(DeliveryRow)).all() == []
    assert dead.path.exists()
    with pytest.raises(ForeignDirectory):
        guard(database, tmp_path).accept(by="Ada", now=clock.now())


def test_a_damaged_file_is_an_alarm(database: Database, tmp_path: Path) -> None:
    check(database, tmp_path)
    (tmp_path / FILE).write_text("{")

    assert check(database, tmp_path) is not None


def test_a_copy_started_elsewhere_is_an_alarm(database: Database, tmp_path: Path) -> None:
    check(database, tmp_path / "original")
    worker(database, "w1", heartbeat_ago=61)
    reason = check(database, tmp_path / "copy", worker="w2")

    assert reason is not None
    assert "nobody else does now" in reason
    assert hold(database) is not None


def test_a_new_host_waits_for_the_others_sign_of_life_and_belongs(
    database: Database, tmp_path: Path
) -> None:
    check(database, tmp_path / "old")
    worker(database, "w1")
    newcomer = guard(database, tmp_path / "new", worker="w2")
    waits = newcomer.check(clock.now())

    assert waits is not None
    assert "waits for a sign of life" in waits
    assert not (tmp_path / "new" / FILE).exists()
    assert check(database, tmp_path / "old") is None
    assert newcomer.check(clock.now()) is None
    assert hold(database) is None
    assert kept(tmp_path / "new")["instance"] == row(database).instance


def test_a_fresh_copy_brings_heartbeats_that_do_not_go_on(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(database, tmp_path / "original")
    worker(database, "w1")
    newcomer = guard(database, tmp_path / "copy", worker="w2")
    assert newcomer.check(clock.now()) is not None
    assert hold(database) is None
    monkeypatch.setattr(instance, "ALIVE", 0.0)

    assert newcomer.check(clock.now()) is not None
    assert hold(database) is not None


def test_two_new_hosts_do_not_take_each_other_for_the_original(
    database: Database, tmp_path: Path
) -> None:
    check(database, tmp_path / "original")
    worker(database, "w1")
    one = guard(database, tmp_path / "one", worker="w2")
    two = guard(database, tmp_path / "two", worker="w3")

    assert None not in [own.check(clock.now()) for own in (one, two, one, two)]


def test_an_empty_database_takes_an_old_data_directory(database: Database, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"instance": "old", "counter": 9, "synchronous": false}')

    assert check(database, tmp_path) is None
    assert kept(tmp_path)["instance"] == row(database).instance


def test_a_database_from_before_the_guard_is_no_alarm(database: Database, tmp_path: Path) -> None:
    sending(database, 3)

    assert check(database, tmp_path) is None


def test_a_restored_one_from_before_the_guard_is(database: Database, tmp_path: Path) -> None:
    sending(database, 3)
    (tmp_path / FILE).write_text('{"instance": "old", "counter": 9, "synchronous": false}')
    reason = check(database, tmp_path)

    assert reason is not None
    assert "knows nothing of it" in reason
    assert guard(database, tmp_path).accept(by="Ada", now=clock.now())
    assert check(database, tmp_path) is None


@pytest.mark.parametrize(
    ("cluster", "synchronous", "words"),
    [
        ("7:00000001", False, None),
        ("", False, None),  # it would not say
        ("7:00000002", False, "Another server took over"),
        ("7:00000002", True, None),  # a failover that lost nothing
        ("8:00000001", True, "copied or restored"),
    ],
)
def test_another_server_is_an_alarm_unless_it_had_every_commit(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cluster: str,
    synchronous: bool,
    words: str | None,
) -> None:
    before = Server(cluster="7:00000001", synchronous=synchronous)
    as_server(monkeypatch, before)
    check(database, tmp_path)
    as_server(monkeypatch, Server(cluster=cluster, synchronous=synchronous))
    reason = check(database, tmp_path)

    assert (reason is None) is (words is None)
    assert words is None or words in (reason or "")


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (Server(standby=True), "standby"),
        (Server(durable=False), "fsync=off"),
    ],
)
def test_a_server_that_cannot_be_trusted_sends_nothing_and_holds_nobody(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
    words: str,
) -> None:
    as_server(monkeypatch, server)
    reason = Guard(database, tmp_path).check(clock.now())

    assert reason is not None
    assert words in reason
    assert hold(database) is None


def test_a_host_that_cannot_remember_sends_nothing(database: Database, tmp_path: Path) -> None:
    check(database, tmp_path)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    reason = check(database, tmp_path)

    assert reason is not None
    assert "cannot be written" in reason
    assert hold(database) is None


def test_a_server_that_may_lose_commits_is_warned_of(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_server(monkeypatch, Server(durable=False, at_once=False))

    assert check(database, tmp_path) is None


def clocks(database: Database, directory: Path, *, apart: float) -> str | None:
    return guard(database, directory).check(clock.now() + timedelta(seconds=apart))


def test_clocks_far_apart_send_nothing(postgres_database: Database, tmp_path: Path) -> None:
    assert clocks(postgres_database, tmp_path, apart=3) is None
    for apart in (-40, 40):
        assert "clock" in (clocks(postgres_database, tmp_path, apart=apart) or "")
    assert hold(postgres_database) is None


def test_sqlite_goes_by_the_same_clock(sqlite_database: Database, tmp_path: Path) -> None:
    assert clocks(sqlite_database, tmp_path, apart=60) is None


def test_postgresql_says_who_it_is(postgres_database: Database) -> None:
    with postgres_database.reading() as session:
        system, _, timeline = instance.server(session).cluster.partition(":")

    assert system.isdecimal()
    assert timeline == "00000001"
