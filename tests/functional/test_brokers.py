"""A broker only knocks: whatever it loses, repeats or delays costs seconds and no letter.

Two worker processes and PostgreSQL, with Redis, with RabbitMQ, and with no broker at all. The
sink's record is the truth.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
from kombu import Connection

from mailer.campaigns.campaign import CampaignId
from tests import servers
from tests.fakes.smtp import ScriptedSink
from tests.functional.campaigns import Office, office, running, wait
from tests.functional.house import full
from tests.servers import Rabbit, free_port

PEOPLE = 120
LINGER = 0.05  # seconds the sink takes for a letter, so that there is a middle


class Broker(ABC):
    """What a broker of the tests can be made to do."""

    url: str

    @abstractmethod
    def empty(self) -> None:
        """Throw away every knock that waits."""

    @abstractmethod
    def waiting(self) -> int:
        """How many knocks to send wait."""

    @abstractmethod
    def restart(self) -> None:
        """Die, be away for a moment, and come back with or without what it held."""


class Redis(Broker):
    def __init__(self) -> None:
        self._port, self._stack = free_port(), ExitStack()
        self._start()

    def _start(self) -> None:
        self.url = self._stack.enter_context(servers.redis_server(self._port))

    def empty(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def waiting(self) -> int:
        with redis.Redis.from_url(self.url) as client:
            return int(client.llen("dibao:bulk"))

    def restart(self) -> None:
        self._stack.close()
        self._start()

    def close(self) -> None:
        self._stack.close()


class RabbitMQ(Broker):
    def __init__(self, node: Rabbit, url: str) -> None:
        self.url, self._node = url, node

    def empty(self) -> None:
        with Connection(self.url) as connection:
            connection.default_channel.queue_purge("bulk")

    def waiting(self) -> int:
        with Connection(self.url) as connection:
            found = connection.default_channel.queue_declare("bulk", passive=True)
        return int(found.message_count)

    def restart(self) -> None:
        self._node.restart()


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    if request.param == "rabbitmq":
        node = request.getfixturevalue("rabbitmq_node")
        servers.empty_queues(node.url)
        yield RabbitMQ(node, node.url)
        return
    request.getfixturevalue("redis_url")  # skips where there is no Redis
    own = Redis()
    yield own
    own.close()


@contextmanager
def two_workers(folder: Path, database: str, broker: str) -> Iterator[Office]:
    with ScriptedSink(linger=LINGER) as sink:
        more = {"DIBAO_SMTP_URL": f"smtp://127.0.0.1:{sink.port}", "DIBAO_CONNECTIONS": "2"}
        house = full(folder, port=free_port(), database=database, broker=broker, **more)
        with office(house, sink, people=PEOPLE) as here, running([house.worker(), house.worker()]):
            yield here


@contextmanager
def repeating(here: Office, broker: Broker, campaign: CampaignId) -> Iterator[None]:
    """While inside, knocks come a hundred times, senseless ones too, and are thrown away."""
    over = threading.Event()

    def abuse() -> None:
        for turn in range(10**6):
            for _ in range(100):
                here.app.knock("campaign.send", campaign=campaign)
            here.app.knock("campaign.prepare", campaign=campaign)
            here.app.knock("campaign.send", campaign=10**6)  # there never was such a campaign
            here.app.knock("campaign.send", nonsense=1)
            here.app.celery.send_task("no.such.job", queue="bulk")
            if turn % 2 == 0:
                broker.empty()
            if over.wait(0.5):
                return

    thread = threading.Thread(target=abuse)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_whatever_becomes_of_knocks_nobody_is_lost_or_mailed_twice(
    tmp_path: Path, postgres_url: str, broker: Broker
) -> None:
    with two_workers(tmp_path, postgres_url, broker.url) as here:
        first = here.launch()
        here.went_out(first)

        second = here.launch()
        with repeating(here, broker, second):
            here.went_out(second)
        wait(lambda: broker.waiting() == 0, "hundreds of knocks heard, each in vain")
        assert here.sink.received == [], "old knocks send nothing"

        third = here.launch()
        here.reached(PEOPLE // 4)
        broker.restart()
        here.went_out(third)

        here.app.knock("campaign.send", campaign=third)  # over a connection that is gone
        here.app.knock("campaign.send", campaign=third)
        wait(lambda: broker.waiting() == 0, "workers hear the broker again")


def test_without_any_broker_a_campaign_goes_out_whole(tmp_path: Path, postgres_url: str) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    with two_workers(tmp_path, postgres_url, nobody) as here:
        here.went_out(here.launch())
