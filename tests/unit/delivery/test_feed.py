"""Messages are pulled ahead of need, a bounded way, and what they need is done before the wire."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from mailer.delivery.envelope import Outgoing
from mailer.delivery.feed import Feed
from mailer.delivery.relay import Message


def letter(number: int, data: bytes = b"A: b\r\n\r\nx\r\n", chunk: int = 1) -> Message:
    return Message(7, number, 1, 1, chunk, "ada@example.org", "b@example.com", data)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def drained(feed: Feed) -> list[Outgoing]:
    taken = []
    while not (feed.done and not len(feed)):
        if (outgoing := feed.take()) is not None:
            taken.append(outgoing)
    return taken


@pytest.mark.parametrize("ahead", [1, 2, 7, 200])
def test_all_come_in_order(ahead: int) -> None:
    feed = Feed((letter(number) for number in range(1, 500)), ahead, lambda: None)

    assert [outgoing.message.subscriber for outgoing in drained(feed)] == list(range(1, 500))
    feed.close()


def test_no_more_than_allowed_wait() -> None:
    pulled = []

    def counted() -> Iterator[Message]:
        for number in range(1, 1000):
            pulled.append(number)
            yield letter(number)

    feed = Feed(counted(), 10, lambda: None)
    until(lambda: len(feed) == 10)
    time.sleep(0.02)
    assert len(pulled) == 10
    for _ in range(5):
        feed.take()
    until(lambda: len(feed) == 10)
    assert len(pulled) == 15
    feed.close()


def test_who_waits_is_woken_and_others_are_not() -> None:
    gate = threading.Event()
    woken = threading.Semaphore(0)

    def slow() -> Iterator[Message]:
        gate.wait(10)
        yield from (letter(number) for number in range(1, 50))
        gate.clear()
        gate.wait(10)

    feed = Feed(slow(), 100, woken.release)
    assert feed.take() is None
    gate.set()
    assert woken.acquire(timeout=10)
    until(lambda: len(feed) == 49)
    assert not woken.acquire(blocking=False)
    gate.set()
    assert woken.acquire(timeout=10)  # the end is told too
    feed.close()


def test_closing_closes_the_iterable_in_its_own_thread() -> None:
    closed_by: list[str] = []

    def endless() -> Iterator[Message]:
        try:
            while True:
                yield letter(1)
        finally:
            closed_by.append(threading.current_thread().name)

    feed = Feed(endless(), 10, lambda: None)
    feed.close()

    assert closed_by in ([], ["feed"])
    assert feed.error is None


def test_an_error_waits_for_whoever_drains() -> None:
    def broken() -> Iterator[Message]:
        yield letter(1)
        raise ZeroDivisionError

    feed = Feed(broken(), 10, lambda: None)

    assert len(drained(feed)) == 1
    assert isinstance(feed.error, ZeroDivisionError)
    feed.close()


def test_leading_dots_are_stuffed_where_the_chunk_has_any() -> None:
    messages = [
        letter(1),
        letter(2, b"A: b\r\n\r\n.x\r\n..\r\n", chunk=2),
        letter(3, b"A: b\r\n\r\n.y\r\n", chunk=2),
        letter(4, b".odd: b\r\n\r\nz\r\n", chunk=3),
        letter(5, chunk=4),
    ]
    feed = Feed(messages, 10, lambda: None)

    assert [outgoing.data for outgoing in drained(feed)] == [
        messages[0].data,
        b"A: b\r\n\r\n..x\r\n...\r\n",
        b"A: b\r\n\r\n..y\r\n",
        b"..odd: b\r\n\r\nz\r\n",
        messages[4].data,
    ]
    feed.close()


def test_a_message_without_its_last_crlf_is_a_bug() -> None:
    feed = Feed([letter(1, b"A: b\r\n\r\nx")], 10, lambda: None)

    assert not drained(feed)
    assert isinstance(feed.error, ValueError)
    feed.close()
