"""Faults of the database; each row of the fault table by its number."""

import os
import random
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from unittest.mock import patch
from urllib.parse import urlsplit, urlunsplit

import pytest
from sqlalchemy import select, update

from mailer.delivery import audience, batch, chunk, settling
from mailer.delivery.models import BrakeRow, WorkerRow
from mailer.kit.database import Database
from subscribers import actions as subscribers
from subscribers.models import SubscriberRow
from tests.conftest import lacking
from tests.fakes import books
from tests.faults import sender
from tests.faults.clusters import Cluster, cluster, small_disk
from tests.faults.proxy import Proxy
from tests.faults.scene import Scene, reader
from tests.faults.sink import Manners
from tests.servers import Missing, free_port

Scenes = Callable[..., Scene]


@pytest.fixture
def postgres() -> Iterator[Cluster]:
    """A cluster of this test's own."""
    try:
        with cluster() as made:
            yield made
    except Missing as missing:
        lacking(str(missing), untested="a PostgreSQL that fails")


def at_port(url: str, port: int) -> str:
    """The same database through another door."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}"))


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_postgresql_crashes_again_and_again(postgres: Cluster, tmp_path: Path) -> None:
    """Fault 21: nothing new starts; it goes on by itself once the database is back."""
    database = Database(postgres.url)
    dice = random.Random(21)  # noqa: S311  # the same each time
    with Scene(database, tmp_path, people=400, batch=100, manners=Manners(linger=0.02)) as one:
        one.worker(lease=20.0)
        for letters in (30, 120, 210):
            one.sent(letters)
            time.sleep(dice.random() * 0.1)
            postgres.stop("immediate")
            time.sleep(0.3)
            postgres.start()
        one.over(seconds=120)

        assert one.check(uncertain=0).sent == one.people
    database.close()


@pytest.mark.parametrize("point", ["chunk_after_commit", "flush_after_commit"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_nobody_knows_whether_a_commit_came_through(scene: Scenes, point: str, nth: int) -> None:
    """Faults 22 and 23: it did, and the worker is told that the database is away."""
    one = scene()
    one.worker(f"{point}:raise@{nth}")
    one.over()

    assert one.check(uncertain=0).sent == one.people


@pytest.mark.parametrize("point", ["chunk_before_commit", "flush_before_commit"])
def test_a_commit_did_not_come_through(scene: Scenes, point: str) -> None:
    """Faults 22 and 23: it did not."""
    one = scene()
    one.worker(f"{point}:raise@2")
    one.over()

    assert one.check(uncertain=0).sent == one.people


@pytest.mark.parametrize("nth", [3, 5, 8])
def test_the_connection_is_cut_behind_a_commit(
    postgres_database: Database, tmp_path: Path, nth: int
) -> None:
    """Faults 22 and 23, on the wire: PostgreSQL carries it out, and its answer is lost."""
    parts = urlsplit(postgres_database.url)
    with (
        Scene(postgres_database, tmp_path, manners=Manners(linger=0.01)) as one,
        Proxy(parts.port or 5432) as proxy,
    ):
        proxy.cut_at = lambda commits: commits in {nth, nth + 2, nth + 5}
        one.worker(url=at_port(postgres_database.url, proxy.port), lease=20.0)
        one.over()

        assert proxy.cuts > 0
        assert one.check(uncertain=0).sent == one.people


@pytest.mark.parametrize("hard", [False, True])
def test_the_way_to_the_database_breaks(
    postgres_database: Database, tmp_path: Path, hard: bool
) -> None:
    """Fault 21, between the two: it connects again."""
    parts = urlsplit(postgres_database.url)
    with (
        Scene(postgres_database, tmp_path, manners=Manners(linger=0.01)) as one,
        Proxy(parts.port or 5432) as proxy,
    ):
        one.worker(url=at_port(postgres_database.url, proxy.port), lease=20.0)
        for letters in (10, 25, 40):
            one.sent(letters)
            proxy.refuses = True
            proxy.cut(hard=hard)
            time.sleep(0.3)
            proxy.refuses = False
        one.over()

        assert one.check(uncertain=0).sent == one.people


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_standby_takes_over_that_missed_the_last_commits(
    postgres: Cluster, tmp_path: Path
) -> None:
    """Fault 24: a new timeline is a hold; the journals tell what the new primary has not heard."""
    database = Database(postgres.url)
    with Scene(database, tmp_path, people=300, batch=50, manners=Manners(linger=0.01)) as one:
        second = postgres.standby(free_port())
        second.start(hot_standby="on")
        worker = one.worker(lease=20.0)
        one.sent(60)
        second.stop("fast")  # it hears of nothing any more
        one.sent(160)
        postgres.stop("immediate")
        worker.kill()
        worker.join()
        second.start(hot_standby="on", primary_conninfo="")
        second.promote()
        try:
            one.database = Database(second.url)
            before = one.sink.count
            one.worker(url=second.url)
            time.sleep(2)
            held(one, before)
        finally:
            one.database.close()
            second.stop()
    database.close()


def held(one: Scene, before: int) -> None:
    """A hold is on, and nothing has left."""
    with one.database.reading() as session:
        brakes = session.scalars(select(BrakeRow).where(BrakeRow.off_at.is_(None))).all()
        assert [(brake.scope, brake.name) for brake in brakes] == [("all", "")]
    assert one.sink.count == before


def test_a_copy_of_the_database_is_started_elsewhere(
    sqlite_database: Database, tmp_path: Path
) -> None:
    """Fault 27: a clone holds; not a letter leaves it."""
    with Scene(sqlite_database, tmp_path, manners=Manners(linger=0.02)) as one:
        worker = one.worker()
        one.sent(20)
        worker.kill()
        worker.join()
        file = tmp_path / "clone.db"
        copy = sqlite3.connect(file)
        with sqlite3.connect(urlsplit(sqlite_database.url).path[1:] or "") as there:
            there.backup(copy)
        copy.close()
        time.sleep(0.5)  # what was on the wire when it was killed is at the sink by now
        before = one.sink.count
        original, one.database = one.database, Database(f"sqlite:///{file}")
        with one.database.transaction() as session:  # the copy is some hours old
            session.execute(update(WorkerRow).values(heartbeat_at=books.NOON))
        one.worker(url=one.database.url, journals=tmp_path / "clone" / "journal")
        time.sleep(2.5)
        held(one, before)
        one.end()
        one.database.close()
        one.database = original
        one.finish()

        one.check(uncertain=sender.CONNECTIONS)


def test_the_disk_of_sqlite_is_full(tmp_path: Path, _sqlite_template: Path) -> None:  # noqa: PT019
    """Fault 28: nothing new starts, and it resumes alone after there is space."""
    try:
        disk = small_disk(6)
        with disk as folder:
            file = folder / "dibao.db"
            shutil.copyfile(_sqlite_template, file)
            database = Database(f"sqlite:///{file}")
            with Scene(database, tmp_path, people=300, manners=Manners(linger=0.01)) as one:
                one.worker(lease=20.0)
                one.sent(30)
                ballast = folder / "ballast"
                with ballast.open("wb") as filling:
                    while _grown(filling):
                        pass
                time.sleep(1.5)
                ballast.unlink()
                one.over()

                assert one.check(uncertain=0).sent == one.people
            database.close()
    except Missing as missing:
        lacking(str(missing), untested="a full disk under SQLite")


def _grown(filling: BinaryIO) -> bool:
    try:
        filling.write(b"\0" * 65536)
        filling.flush()
    except OSError:
        return False
    return True


def test_others_write_to_sqlite_all_the_time(sqlite_scene: Scenes) -> None:
    """Fault 31: one writer at a time, and everybody comes to their turn."""
    one = sqlite_scene(people=100)
    over = threading.Event()

    def write() -> None:
        crowd = Database(one.database.url)
        while not over.is_set():
            with crowd.transaction() as session:
                row = session.get(SubscriberRow, 1)
                assert row is not None
                row.name = "Reader One"
                session.flush()
                time.sleep(0.01)
        crowd.close()

    others = [threading.Thread(target=write) for _ in range(3)]
    for other in others:
        other.start()
    try:
        one.worker(lease=20.0)
        one.over()
    finally:
        over.set()
        for other in others:
            other.join()

    assert one.check(uncertain=0).sent == one.people


@pytest.mark.parametrize("action", ["kill9", "raise", "stop"])
@pytest.mark.parametrize("point", ["freeze_filled", "freeze_before_commit", "freeze_after_commit"])
def test_the_freeze_is_interrupted(
    point: str, action: str, database: Database, tmp_path: Path
) -> None:
    """Faults 44 and 45: whole or not at all, and found by the sweep without a hint."""
    with database.transaction() as session:
        books.people(session, 50)
        books.campaign(session)
    with Unfrozen(database, tmp_path) as one:
        one.worker(f"{point}:{action}")
        pid = one.struck()
        if action == "kill9":
            one.workers[0].join(10)
            one.worker()
        elif action == "stop":
            time.sleep(0.3)
            os.kill(pid, signal.SIGCONT)
        one.over()

        assert one.check(uncertain=0).sent == 50


class Unfrozen(Scene):
    """A scene whose campaign the workers have to freeze themselves."""

    def __init__(self, database: Database, folder: Path) -> None:
        with patch.object(books, "sending", lambda *_args, **_kwargs: 1):
            super().__init__(database, folder, people=50)


def test_who_leaves_after_the_freeze_gets_nothing(scene: Scenes) -> None:
    """Fault 46: the chunk that starts next reads it."""
    one = scene(people=100, batch=100, manners=Manners(linger=0.03))
    one.worker(connections=1)
    one.sent(5)
    with one.database.transaction() as session:
        for number in range(80, 101):
            key = session.scalar(
                select(SubscriberRow.address_key).where(SubscriberRow.id == number)
            )
            subscribers.suppress(session, str(key), "operator", now=books.NOON)
    one.over()

    found = one.check(uncertain=0, skipped=21)
    assert found.outcomes == {"accepted": 79, "skipped": 21}
    assert not {reader(n) for n in range(80, 101)} & {x.recipient for x in one.sink.letters()}


def test_a_freeze_that_does_not_add_up_is_thrown_away(database: Database) -> None:
    """Fault 44: people counted and not stored, or the other way round."""
    with database.transaction() as session:
        books.people(session, 5)
        campaign = books.campaign(session)
    filled = audience.fill

    def one_too_many(*args: Any) -> int:
        return filled(*args) + 1

    with (
        patch.object(audience, "fill", one_too_many),
        pytest.raises(ValueError, match="6 candidates are not"),
        database.transaction() as session,
    ):
        audience.freeze(session, campaign, books.editions(session, campaign), now=books.NOON)
    with database.transaction() as session:
        assert books.stored(session, campaign).frozen_at is None
        assert books.launched(session, campaign).audience == 5


def test_a_lease_that_was_taken_away_is_good_for_nothing(database: Database) -> None:
    """Faults 24 and 27: whoever held it before the hold changes nothing any more."""
    books.sending(database, 20, batch_size=20)
    with database.transaction() as session:
        held_before = batch.lease(session, "one", seconds=60)
        assert held_before is not None
        assert chunk.start(session, held_before, 1, 10, flushed=0, seconds=60)
    with database.transaction() as session:
        settling.void_leases(session)
    with database.transaction() as session:
        assert not chunk.start(session, held_before, 2, 20, flushed=1, seconds=60)
        assert not batch.account(session, held_before, flushed=1, done=False)
        assert not batch.extend(session, [held_before], seconds=60)
        assert not batch.release(session, held_before)
