"""Real processes under faults, driven through the commands: the sink's record is the truth.

PostgreSQL and Redis with two Celery workers, and SQLite with everything in one process.
"""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import redis

from mailer.app import App, compose
from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import CampaignId, State
from mailer.content import actions as content
from mailer.content import document
from mailer.delivery import queries as delivery
from mailer.kit import settings
from subscribers import bulk
from subscribers.address import EmailAddress
from subscribers.subscriber import NewPerson
from tests.fakes.smtp import ScriptedSink
from tests.functional.house import ROOT, House, embedded, full
from tests.servers import free_port

ISSUE = "2026-47-couriers-and-carts"
PEOPLE = 240
CAMPAIGN = CampaignId(1)
CONNECTIONS = 2
LINGER = 0.05  # seconds the sink takes for a letter, so that there is a middle to strike at
PATIENCE = 60


def prepared(house: House) -> App:
    """The installation with a drafted campaign, number 1, looked into from this process."""
    app = compose(settings.read(house.environment))
    app.upgrade()
    text = (ROOT / f"mailer/demo/issues/{ISSUE}.md").read_text(encoding="utf-8")
    addresses = [EmailAddress.parse(f"reader{n}@example.org") for n in range(PEOPLE)]
    people = [NewPerson(address, segments=("ai",)) for address in addresses]
    now = app.now()
    with app.database.transaction() as session:
        bulk.add_confirmed(
            session, people, now=now, key=app.address_key, source="a test", wording="Yes."
        )
        issue = content.save(session, document.read(text), now=now)
        content.approve(session, issue, now=now)
        campaigns.create(session, issue, segments=("ai",), sender=app.sender, now=now)
    return app


def terms(sink: ScriptedSink) -> dict[str, str]:
    return {
        "DIBAO_SMTP_URL": f"smtp://127.0.0.1:{sink.port}",
        "DIBAO_CONNECTIONS": str(CONNECTIONS),
        "DIBAO_LEASE": "10",
        "DIBAO_WEB_PORT": str(free_port()),
    }


@contextmanager
def running(processes: list[Popen[bytes]]) -> Iterator[None]:
    """They are our own, and gone afterwards."""
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(PATIENCE)


def reached(sink: ScriptedSink, letters: int) -> None:
    until = time.monotonic() + PATIENCE
    while len(sink.received) < letters:
        assert time.monotonic() < until, f"only {len(sink.received)} of {letters}"
        time.sleep(0.005)


def children(parent: int) -> list[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
    return [int(child) for child in listed.split()]


def check(house: House, app: App, sink: ScriptedSink, *, doubtful: int) -> None:
    """Nobody is lost, nobody is mailed twice, and at most so many letters are uncertain."""
    until = time.monotonic() + PATIENCE
    while True:
        with app.database.reading() as session:
            state = campaign_queries.campaign(session, CAMPAIGN).state
            sums = delivery.progress(session, CAMPAIGN)
        if state is State.FINISHED:
            break
        assert time.monotonic() < until, f"still {state}: {sums}"
        time.sleep(0.1)
    app.database.close()
    got = Counter(sink.recipients)

    assert house.json("campaign", "verify", "1")["holds"]
    assert [address for address, times in got.items() if times > 1] == [], "mailed twice"
    assert sums.accepted + sums.uncertain == PEOPLE
    assert sums.uncertain <= doubtful
    assert sums.accepted <= len(got)


def test_workers_lose_nobody_however_they_and_their_broker_end(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    with ScriptedSink(linger=LINGER) as sink:
        more = terms(sink)
        house = full(tmp_path, port=free_port(), database=postgres_url, broker=redis_url, **more)
        app = prepared(house)
        workers = [house.worker(), house.worker()]
        with running(workers):
            house.json("campaign", "send", "1", "--no-wait")
            reached(sink, 20)
            with redis.Redis.from_url(redis_url) as broker:
                broker.flushdb()
            os.kill(children(workers[0].pid)[0], signal.SIGKILL)
            reached(sink, 70)
            os.kill(children(workers[1].pid)[0], signal.SIGTERM)
            reached(sink, 120)
            workers[0].kill()
            workers[0].wait()
            workers[0] = house.worker()
            reached(sink, 160)
            workers[1].terminate()

            check(house, app, sink, doubtful=4 * CONNECTIONS)


def test_a_signal_to_all_processes_of_a_worker_leaves_nothing_uncertain(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    with ScriptedSink(linger=LINGER) as sink:
        more = terms(sink)
        house = full(tmp_path, port=free_port(), database=postgres_url, broker=redis_url, **more)
        app = prepared(house)
        workers = [house.worker(group=True)]
        with running(workers):
            house.json("campaign", "send", "1", "--no-wait")
            reached(sink, 40)
            os.killpg(workers[0].pid, signal.SIGTERM)  # as systemd does
            workers[0].wait(PATIENCE)
            workers[0] = house.worker()

            check(house, app, sink, doubtful=0)


def test_workers_send_without_a_broker(tmp_path: Path, postgres_url: str) -> None:
    with ScriptedSink() as sink:
        nobody = f"redis://127.0.0.1:{free_port()}/0"
        more = terms(sink)
        house = full(tmp_path, port=free_port(), database=postgres_url, broker=nobody, **more)
        app = prepared(house)
        with running([house.worker()]):
            house.json("campaign", "send", "1", "--no-wait")

            check(house, app, sink, doubtful=0)


def test_one_process_killed_in_the_middle_is_followed_by_the_next(tmp_path: Path) -> None:
    with ScriptedSink(linger=LINGER) as sink:
        house = embedded(tmp_path, port=free_port(), **terms(sink))
        app = prepared(house)
        command = (sys.executable, "-m", "mailer.cli")
        for letters in (30, 120):
            first = house.start(*command, "web", "--no-inbox")
            if letters == 30:
                house.json("campaign", "send", "1", "--no-wait")
            reached(sink, letters)
            first.kill()
            first.wait()
        with running([house.start(*command, "web", "--no-inbox")]):
            check(house, app, sink, doubtful=3 * CONNECTIONS)
