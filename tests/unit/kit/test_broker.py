"""A knock is heard, or it is not; nobody waits for it, and nothing is lost with it."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import redis
from celery import Celery

from mailer.kit import broker
from mailer.kit.errors import Unavailable
from tests import servers
from tests.servers import free_port


class Heard:
    """Notes what a job was called with."""

    def __init__(self) -> None:
        self.campaigns: list[int] = []
        self._event = threading.Event()

    def note(self, campaign: int) -> None:
        self.campaigns.append(campaign)
        self._event.set()

    def within(self, seconds: float) -> bool:
        return self._event.wait(seconds)


def failing(campaign: int) -> None:
    raise ValueError(campaign)


def built(url: str, heard: Heard) -> Celery:
    def send(campaign: int) -> None:
        heard.note(campaign)

    return broker.build(url, {"campaign.send": ("bulk", send), "campaign.fail": ("bulk", failing)})


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def worked(heard: Heard) -> Iterator[Celery]:
    app = built("memory://", heard)
    worker = broker.EmbeddedWorker(app, threads=2)
    worker.start()
    yield app
    worker.stop()


def test_an_embedded_worker_hears_a_knock(worked: Celery, heard: Heard) -> None:
    assert broker.knock(worked, "campaign.send", campaign=7)
    assert heard.within(10)
    assert heard.campaigns == [7]


def test_a_job_that_fails_takes_no_worker_with_it(worked: Celery, heard: Heard) -> None:
    broker.knock(worked, "campaign.fail", campaign=1)
    broker.knock(worked, "campaign.send", campaign=2)

    assert heard.within(10)


def test_an_embedded_worker_stops_at_once_and_can_be_followed_by_another(heard: Heard) -> None:
    for _ in range(2):
        worker = broker.EmbeddedWorker(built("memory://", heard), threads=2)
        worker.start()
        begun = time.monotonic()
        worker.stop()
        assert time.monotonic() - begun < 5


def test_a_broker_that_is_away_costs_a_knock_and_little_time(heard: Heard) -> None:
    app = built(f"redis://127.0.0.1:{free_port()}/0", heard)
    begun = time.monotonic()

    assert not broker.knock(app, "campaign.send", campaign=7)
    with pytest.raises(Unavailable, match="does not answer"):
        broker.check(app)
    assert time.monotonic() - begun < 10


def test_a_redis_that_is_there_and_says_nothing_costs_little_time(heard: Heard) -> None:
    with servers.redis_server() as url, redis.Redis.from_url(url) as client:
        app = built(url, heard)
        assert broker.knock(app, "campaign.send", campaign=7)
        number = int(client.info("server")["process_id"])
        os.kill(number, signal.SIGSTOP)
        begun = time.monotonic()
        try:
            assert not broker.knock(app, "campaign.send", campaign=8)
        finally:
            os.kill(number, signal.SIGCONT)

        assert time.monotonic() - begun < 6
        assert broker.knock(app, "campaign.send", campaign=9)


def test_a_rabbitmq_that_is_there_and_says_nothing_costs_little_time(
    rabbitmq_node: servers.Rabbit, rabbitmq_url: str, heard: Heard
) -> None:
    app = built(rabbitmq_url, heard)
    assert broker.knock(app, "campaign.send", campaign=7)
    with rabbitmq_node.silent():
        for _ in range(2):  # on a connection that is open, and on a new one
            begun = time.monotonic()
            assert not broker.knock(app, "campaign.send", campaign=8)
            assert time.monotonic() - begun < 6

    assert broker.knock(app, "campaign.send", campaign=9)
    broker.close(app)


def test_rabbitmq_takes_a_knock_for_the_queue_of_its_job(rabbitmq_url: str, heard: Heard) -> None:
    app = built(rabbitmq_url, heard)

    broker.check(app)
    assert broker.knock(app, "campaign.send", campaign=7)
    with app.connection_for_read() as connection:
        queues = {queue.name: queue for queue in app.conf.task_queues}
        waiting = {
            name: queue(connection.default_channel).queue_declare()[1]  # name, knocks, listeners
            for name, queue in queues.items()
        }
        message = queues["bulk"](connection.default_channel).get()
        message.ack()
    assert waiting == dict.fromkeys(broker.QUEUES, 0) | {"bulk": 1}, "in one queue only"
    assert message.headers["task"] == "campaign.send"
    assert message.payload[1] == {"campaign": 7}, "ids, nothing else"
    broker.close(app)


def test_a_worker_hears_the_queues_it_was_told_to(heard: Heard) -> None:
    app = built("memory://", heard)
    assert broker.heard(app) == broker.QUEUES

    app.amqp.queues.select(["events", "bulk"])
    assert broker.heard(app) == ("bulk", "events")


def test_redis_takes_a_knock_for_the_queue_of_its_job(redis_url: str, heard: Heard) -> None:
    app = built(redis_url, heard)

    broker.check(app)
    assert broker.knock(app, "campaign.send", campaign=7)
    with app.connection_for_read() as connection:
        message = connection.SimpleQueue("bulk").get(timeout=5)
        message.ack()
    assert message.headers["task"] == "campaign.send"
    assert message.payload[1] == {"campaign": 7}, "ids, nothing else"
    broker.close(app)


@pytest.mark.parametrize("url", ["memory://", "redis://127.0.0.1/0", "amqp://127.0.0.1//"])
def test_no_knock_is_kept_for_later_or_answered(url: str, heard: Heard) -> None:
    app = built(url, heard)

    assert app.conf.task_ignore_result
    assert app.conf.accept_content == ["json"]
    assert {queue.name for queue in app.conf.task_queues} == set(broker.QUEUES)
    assert app.conf.task_routes["campaign.send"] == {"queue": "bulk"}
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.broker_connection_max_retries is None, "no worker dies with its broker"


def test_rabbitmq_gets_queues_that_survive_it(heard: Heard) -> None:
    app = built("amqp://127.0.0.1//", heard)

    kinds = {queue.queue_arguments["x-queue-type"] for queue in app.conf.task_queues}
    assert kinds == {"quorum"}
    assert app.conf.broker_transport_options["confirm_publish"]


def test_a_knock_lies_in_one_queue_only(redis_url: str, heard: Heard) -> None:
    app = built(redis_url, heard)

    assert broker.knock(app, "campaign.send", campaign=7)

    with redis.Redis.from_url(redis_url) as client:
        lists = [key for key in client.scan_iter() if client.type(key) == b"list"]
        assert [(key, client.llen(key)) for key in lists] == [(b"dibao:bulk", 1)]
