"""Celery for both stacks: knocks out, and a worker that answers them.

The database is the queue; a knock only says "look now". A lost, doubled or late one changes
latency and nothing else, so tasks carry ids only, no ETA, no result backend.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import celery.worker.state
from celery import Celery, bootsteps
from celery.signals import (
    celeryd_init,
    worker_process_init,
    worker_process_shutdown,
    worker_shutdown,
    worker_shutting_down,
)
from celery.utils.threads import bound_open_broker_sockets
from celery.worker import WorkController
from kombu import Exchange, Queue
from kombu.exceptions import LimitExceeded, OperationalError
from kombu.pools import ProducerPool

from mailer.kit.errors import Unavailable

QUEUES = ("transactional", "bulk", "import", "events", "maintenance")
_KNOCKING = 40  # threads of a process that may knock at once
_KNOCK_TIMEOUT = 2  # seconds; a request never waits longer for a broker that is away
_GOODBYE = 1  # seconds for the broker to answer each word of a worker that leaves
_STOPPING = signal.SIGUSR2  # to a worker's children; Celery takes it for nothing
_FAREWELL = 0.1  # seconds that a broker which did not answer is given to answer the close


def build(url: str, jobs: Mapping[str, tuple[str, Callable[..., object]]]) -> Celery:
    """A Celery app with one task per job: name -> (queue, action)."""
    app = Celery("dibao", broker=url, set_as_current=True)
    amqp, redis = url.startswith("amqp"), url.startswith("redis")
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=False,  # the database is the truth; a task lost here is swept up there
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=redis,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_soft_shutdown_timeout=25,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker sends without one, for days if need be
        task_default_queue="maintenance",
        task_default_exchange_type="topic" if amqp else "direct",
        task_queues=[_queue(name, amqp=amqp) for name in QUEUES],
        # by queue, never by routing_key: celery #9685
        task_routes={name: {"queue": queue} for name, (queue, _) in jobs.items()},
        broker_transport_options=_transport(url),
        accept_content=["json"],
        task_serializer="json",
        enable_utc=True,
    )
    app.set_default()  # without it a task of an embedded worker asks amqp://localhost
    for name, (_, action) in jobs.items():
        app.task(name=name, shared=False)(action)  # else it becomes a task of every later app
    return app


def knock(app: Celery, job: str, **ids: int) -> bool:
    """Ask any worker to look now; False where the broker is away (the sweep will find the work)."""
    try:
        with _producer(app) as producer, _impatient(producer):
            app.send_task(job, kwargs=ids, retry=False, ignore_result=True, producer=producer)
    except (OperationalError, LimitExceeded, OSError, TimeoutError):
        return False
    return True


def close(app: Celery) -> None:
    """Close the connections that this process knocks with; the next knock opens others."""
    pool = vars(app).get("dibao_knocking", {}).pop(os.getpid(), None)
    if pool is not None:
        pool.force_close_all()
        pool.connections.force_close_all()
    app.close()


def check(app: Celery) -> None:
    """Raise Unavailable where the broker does not answer within two seconds."""
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=_KNOCK_TIMEOUT)
    except (OperationalError, OSError) as away:
        raise Unavailable(f"The broker does not answer: {away}") from away


def on_worker_ready(act: Callable[[], object]) -> None:
    """Call `act` in a worker's main process once its children run.

    Not on Celery's own `worker_ready`, which waits for the broker: with none, nobody would sweep.
    """

    class Ready(bootsteps.StartStopStep):  # type: ignore[misc]  # celery ships no types
        requires = ("celery.worker.components:Pool",)

        def start(self, parent: Any) -> None:  # noqa: ARG002  # Celery's hook
            act()

    celeryd_init.connect(lambda instance, **_: instance.app.steps["worker"].add(Ready), weak=False)


def on_child_ready(act: Callable[[], object]) -> None:
    """Call `act` in each child of a worker when it starts, before it has heard anything."""
    worker_process_init.connect(lambda **_: act(), weak=False)


def on_worker_stopping(act: Callable[[], object]) -> None:
    """Call `act` as soon as a worker is told to stop: in its main process and in its children.

    Celery itself lets the jobs that run come to their end, without a word to them. `act` runs in
    a signal handler and so must not wait for anything.
    """
    workers: list[Any] = []

    def ready(instance: Any, **_: object) -> None:
        workers.append(instance)

    def stopping(**_: object) -> None:
        act()
        for worker in workers:
            _tell_children(worker)
            if worker.consumer is not None and worker.consumer.connection is not None:
                # else its goodbye waits for ever for a RabbitMQ that went silent
                bound_open_broker_sockets(worker.consumer.connection, _GOODBYE)

    celeryd_init.connect(ready, weak=False)
    worker_process_init.connect(lambda **_: signal.signal(_STOPPING, lambda *_: act()), weak=False)
    worker_shutting_down.connect(stopping, weak=False)


def on_worker_shutdown(act: Callable[[], object]) -> None:
    """Call `act` when a worker, main process or child, ends in order."""
    worker_shutdown.connect(lambda **_: act(), weak=False)
    worker_process_shutdown.connect(lambda **_: act(), weak=False)


def heard(app: Celery) -> tuple[str, ...]:
    """The queues whose knocks the worker hears that this process is, or is a child of."""
    chosen = app.amqp.queues.consume_from
    return tuple(name for name in QUEUES if name in chosen)


def _tell_children(worker: Any) -> None:
    pool = getattr(getattr(worker, "pool", None), "_pool", None)  # a thread pool has none
    for child in getattr(pool, "_pool", ()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, _STOPPING)


def _producer(app: Celery) -> Any:
    """What writes knocks, from a pool of this process.

    Workers may listen to Redis for half a minute without a word; a page waits for it two seconds,
    also where it is there and does not answer.
    """
    pools = vars(app).setdefault("dibao_knocking", {})
    pool = pools.get(os.getpid())  # a forked child makes its own
    if pool is None:
        redis = str(app.conf.broker_url).startswith("redis")
        options = {"socket_timeout": _KNOCK_TIMEOUT} if redis else {}
        connection = app.connection_for_write(transport_options=options)
        pool = pools[os.getpid()] = ProducerPool(connection.Pool(_KNOCKING), limit=_KNOCKING)
    return pool.acquire(block=True, timeout=_KNOCK_TIMEOUT)


@contextlib.contextmanager
def _impatient(producer: Any) -> Iterator[None]:
    """Wait two seconds for a RabbitMQ that is there and does not answer; py-amqp waits for ever."""
    connection = producer.connection
    if connection.transport_cls != "amqp":
        yield
        return
    connection.ensure_connection(max_retries=1, timeout=_KNOCK_TIMEOUT)
    bound_open_broker_sockets(connection, _KNOCK_TIMEOUT)
    try:
        yield
    except BaseException:
        bound_open_broker_sockets(connection, _FAREWELL)
        raise


class EmbeddedWorker:
    """A worker in a thread of this process, for `memory://`. One per process."""

    def __init__(self, app: Celery, *, threads: int = 4) -> None:
        self._app = app
        self._ready = threading.Event()
        ready = self._ready

        class Controller(WorkController):  # type: ignore[misc]  # celery ships no types
            def on_consumer_ready(self, consumer: Any) -> None:  # noqa: ARG002  # Celery's hook
                ready.set()

        self._controller = Controller(
            app=app,
            pool="threads",
            concurrency=threads,
            queues=list(QUEUES),
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=True,
        )
        self._thread = threading.Thread(target=self._controller.start, name="worker", daemon=True)

    def start(self) -> None:
        """Start and wait until knocks are heard. Raises Unavailable after ten seconds."""
        celery.worker.state.should_stop = None
        self._thread.start()
        if not self._ready.wait(10):
            raise Unavailable("The embedded worker did not start")

    def stop(self, timeout: float = 30) -> None:
        """Stop warmly: running tasks end, waiting knocks are dropped (the sweep re-seeds)."""
        celery.worker.state.should_stop = 0
        until = time.monotonic() + timeout
        while self._thread.is_alive() and time.monotonic() < until:
            with contextlib.suppress(Exception):  # only wakes the loop from its two-second sleep
                self._app.control.broadcast("ping")
            self._thread.join(0.05)
        celery.worker.state.should_stop = None


def _queue(name: str, *, amqp: bool) -> Queue:
    """A queue with an exchange of its own: sharing one, each knock would land in all of them."""
    exchange = Exchange(name, type="topic" if amqp else "direct")
    arguments = {"x-queue-type": "quorum"} if amqp else None
    return Queue(name, exchange, routing_key=name, queue_arguments=arguments)


def _transport(url: str) -> dict[str, Any]:
    if url.startswith("memory"):
        return {"polling_interval": 0.05}
    # of a knock only: kombu's own default tries for six seconds where nobody listens
    patience = {"max_retries": 1, "interval_start": 0.1}
    if url.startswith("amqp"):
        return {"confirm_publish": True, **patience}
    return {
        **patience,
        "visibility_timeout": 600,
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "global_keyprefix": "dibao:",
        "socket_connect_timeout": _KNOCK_TIMEOUT,
        "socket_timeout": 30,
    }
