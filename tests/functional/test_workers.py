"""Workers come and go while a campaign is sent: in order, one after the other, or at once."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mailer.delivery import workers
from mailer.delivery.workers import Worker
from subscribers.intake import runs
from subscribers.intake.run import Run, State
from tests.fakes.smtp import ScriptedSink
from tests.functional.campaigns import Office, office, running, wait
from tests.functional.house import full, write_people
from tests.servers import free_port

CONNECTIONS = 5


@contextmanager
def sending(
    folder: Path, stack: tuple[str, str], *, people: int, linger: float, **more: str
) -> Iterator[Office]:
    with ScriptedSink(linger=linger) as sink:
        file = folder / "delivery.toml"
        file.write_text("[brakes]\ncanary = 0\n")  # nobody waits for the first hundred
        terms = {
            "DIBAO_DELIVERY_FILE": str(file),
            "DIBAO_SMTP_URL": f"smtp://127.0.0.1:{sink.port}",
            "DIBAO_CONNECTIONS": str(CONNECTIONS),
            "DIBAO_BATCH_SIZE": "100",
        }
        house = full(folder, port=free_port(), database=stack[0], broker=stack[1], **terms | more)
        with office(house, sink, people=people) as here:
            yield here


@pytest.fixture
def stack(postgres_url: str, redis_url: str) -> tuple[str, str]:
    return postgres_url, redis_url


def known(here: Office) -> tuple[Worker, ...]:
    with here.app.database.reading() as session:
        return workers.workers(session)


def leased(here: Office) -> int:
    return sum(worker.batches for worker in known(here))


def test_workers_replaced_one_by_one_in_the_middle_leave_no_trace(
    tmp_path: Path, stack: tuple[str, str]
) -> None:
    with sending(tmp_path, stack, people=2000, linger=0.1) as here:
        both = [here.house.worker(children=2) for _ in range(2)]
        with running(both):
            wait(lambda: len(known(here)) == 6, "two main processes, two children each")
            campaign = here.launch()
            for n in range(2):
                here.reached(300 + 500 * n)
                before = len(here.sink.received)
                both[n].terminate()
                assert both[n].wait(30) == 0
                stopped = [one for one in known(here) if one.state is workers.State.STOPPED]
                assert len(stopped) == 3 * (n + 1)
                assert [one.batches for one in stopped] == [0] * len(stopped), "leases given back"
                assert len(here.sink.received) < before + 1000, "it did not wait for the end"
                both[n] = here.house.worker(children=2)
            here.went_out(campaign)


def test_a_worker_told_to_stop_finishes_its_letters_and_begins_no_other(
    tmp_path: Path, stack: tuple[str, str]
) -> None:
    with sending(tmp_path, stack, people=40, linger=1.5) as here:
        alone = [here.house.worker()]
        with running(alone):
            campaign = here.launch()
            here.reached(2 * CONNECTIONS)
            begun = time.monotonic()
            alone[0].terminate()
            alone[0].terminate()  # told twice, it does not hurry
            assert alone[0].wait(30) == 0
            assert time.monotonic() - begun < 10
            assert len(here.sink.received) <= 4 * CONNECTIONS
            assert leased(here) == 0
            alone[0] = here.house.worker()
            here.went_out(campaign)


@pytest.mark.slow
def test_a_worker_killed_while_it_stops_leaves_a_letter_uncertain_for_each_connection_at_most(
    tmp_path: Path, stack: tuple[str, str]
) -> None:
    with sending(tmp_path, stack, people=30, linger=4) as here:
        alone = [here.house.worker(group=True)]
        with running(alone):
            campaign = here.launch()
            here.reached(CONNECTIONS)
            time.sleep(0.5)  # the next letters are past their dot
            alone[0].terminate()
            time.sleep(1)
            os.killpg(alone[0].pid, signal.SIGKILL)
            alone[0].wait()
            here.sink.linger = 0
            alone[0] = here.house.worker()
            wait(lambda: str(here.state(campaign)) == "finished", "finished")
        verified: Any = here.house.json("campaign", "verify", str(campaign))
        assert verified["holds"]
        got = here.sink.recipients
        assert len(got) == len(set(got)), "nobody twice"
        uncertain = here.people - len(set(got))
        assert 0 <= uncertain <= CONNECTIONS


def test_who_works_is_listed_and_who_fell_silent_is_told_from_who_left(
    tmp_path: Path, stack: tuple[str, str]
) -> None:
    with sending(tmp_path, stack, people=1, linger=0) as here:
        own = ("worker", "--concurrency", "1", "--queues", "import,bulk")
        with running([here.house.start(sys.executable, "-m", "mailer.cli", *own)]):
            wait(lambda: len(known(here)) == 2, "a main process and its child")
            here.house.dibao("worker", "check")
            main, child = here.house.json("worker", "list")
            assert (main["state"], child["state"]) == ("idle", "idle")
            assert main["queues"] == child["queues"] == ["bulk", "import"]
        assert [one.state for one in known(here)] == [workers.State.STOPPED] * 2


def test_an_import_left_to_a_worker_survives_the_worker(
    tmp_path: Path, stack: tuple[str, str]
) -> None:
    with sending(tmp_path, stack, people=1, linger=0) as here:
        rows = ((f"new{n}@example.net", f"New {n}", "ai") for n in range(30_000))
        file = write_people(tmp_path / "people.csv", rows)
        words = ("subscriber", "import", str(file), "--basis", "A fair.", "--background")
        begun = here.house.json(*words)
        assert (begun["import"], begun["rows"]) == (1, 0)
        file.unlink()  # a copy waits

        def run() -> Run:
            with here.app.database.reading() as session:
                return runs.get(session, 1)

        first = here.house.worker(group=True)
        wait(lambda: run().counts.rows > 0, "the import is under way")
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        assert run().state is State.RUNNING
        with running([here.house.worker()]):
            wait(lambda: run().state is State.FINISHED, "another worker goes on")
        assert run().counts.added == 30_000
        assert list((tmp_path / "var/waiting").iterdir()) == []
