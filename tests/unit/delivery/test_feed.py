"""Messages are pulled ahead of need, a bounded way, and what they need is done before the wire."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from mailer.delivery.envelope import Outgoing
from mailer.delivery.feed import Feed, Line
from mailer.delivery.relay import Message


def letter(
    number: int, data: bytes = b"A: b\r\n\r\nx\r\n", chunk: int = 1, way: str = ""
) -> Message:
    return Message(7, number, 1, 1, chunk, "ada@example.org", "b@example.com", data, way)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


class Fed:
    """A feed with its lines."""

    def __init__(
        self,
        messages: Iterable[Message],
        ahead: int,
        wake: Callable[[], object] = lambda: None,
    ) -> None:
        self.lines: dict[str, Line] = {}
        self.ahead = ahead
        self.feed = Feed(messages, self.line, wake)

    def line(self, way: str) -> Line:
        return self.lines.setdefault(way, Line(self.ahead))

    def waiting(self, way: str = "") -> int:
        return len(self.line(way).waiting)

    def take(self, way: str = "") -> Outgoing | None:
        return self.feed.take(self.line(way))

    def drained(self) -> list[Outgoing]:
        taken = []
        while not (self.feed.done and not self.waiting()):
            if (outgoing := self.take()) is not None:
                taken.append(outgoing)
        return taken


@pytest.mark.parametrize("ahead", [1, 2, 7, 200])
def test_all_come_in_order(ahead: int) -> None:
    fed = Fed((letter(number) for number in range(1, 500)), ahead)

    assert [outgoing.message.subscriber for outgoing in fed.drained()] == list(range(1, 500))
    fed.feed.close()


def test_no_more_than_allowed_wait_and_one_is_held() -> None:
    pulled = []

    def counted() -> Iterator[Message]:
        for number in range(1, 1000):
            pulled.append(number)
            yield letter(number)

    fed = Fed(counted(), 10)
    until(lambda: fed.waiting() == 10)
    time.sleep(0.02)
    assert len(pulled) == 11
    for _ in range(5):
        fed.take()
    until(lambda: fed.waiting() == 10)
    time.sleep(0.02)
    assert len(pulled) == 16
    fed.feed.close()


def test_each_way_has_a_line_of_its_own() -> None:
    ways = ["", "gmail", "", "gmail", "gmail"]
    fed = Fed([letter(n, way=way) for n, way in enumerate(ways, 1)], 10)
    until(lambda: fed.feed.done)

    assert fed.take("other") is None
    assert [fed.waiting(way) for way in ("", "gmail")] == [2, 3]
    first = fed.take("gmail")
    assert first is not None
    assert first.message.subscriber == 2
    fed.feed.close()


def test_a_full_line_stops_nobody_who_asks_for_room() -> None:
    """Only what finds its own line full waits for it."""

    def polite() -> Iterator[Message]:
        for number in range(1, 4):
            yield letter(number, way="slow")
        yield from (letter(number, way="quick") for number in range(4, 7))

    fed = Fed(polite(), 3)
    until(lambda: fed.feed.done)

    assert fed.line("slow").room == fed.line("quick").room == 0
    fed.feed.close()


def test_who_waits_for_room_gets_it_when_half_a_line_is_taken() -> None:
    waited, there = threading.Event(), threading.Event()

    def waiting() -> Iterator[Message]:
        there.wait(10)
        yield from (letter(number) for number in range(1, 5))
        fed.feed.wait(10, [fed.line("")])
        waited.set()

    fed = Fed((), 4)
    fed.feed.close()
    fed.feed = Feed(waiting(), fed.line, lambda: None)
    there.set()
    until(lambda: fed.waiting() == 4)
    fed.take()
    assert not waited.wait(0.05)
    fed.take()
    assert waited.wait(5)
    fed.feed.close()


def test_who_waits_for_room_is_let_go_for_good_when_all_is_over() -> None:
    there = threading.Event()

    def waiting() -> Iterator[Message]:
        there.wait(10)
        yield from (letter(number) for number in range(1, 5))
        fed.feed.wait(60, [fed.line("")])

    fed = Fed((), 4)
    fed.feed.close()
    fed.feed = Feed(waiting(), fed.line, lambda: None)
    there.set()
    until(lambda: fed.waiting() == 4)
    fed.feed.close()

    assert fed.feed.done


def test_who_waits_is_woken_and_others_are_not() -> None:
    gate = threading.Event()
    woken = threading.Semaphore(0)

    def slow() -> Iterator[Message]:
        gate.wait(10)
        yield from (letter(number) for number in range(1, 50))
        gate.clear()
        gate.wait(10)

    fed = Fed(slow(), 100, woken.release)
    assert fed.take() is None
    gate.set()
    assert woken.acquire(timeout=10)
    until(lambda: fed.waiting() == 49)
    assert not woken.acquire(blocking=False)
    gate.set()
    assert woken.acquire(timeout=10)  # the end is told too
    fed.feed.close()


def test_closing_closes_the_iterable_in_its_own_thread() -> None:
    closed_by: list[str] = []

    def endless() -> Iterator[Message]:
        try:
            while True:
                yield letter(1)
        finally:
            closed_by.append(threading.current_thread().name)

    fed = Fed(endless(), 10)
    fed.feed.close()

    assert closed_by in ([], ["feed"])
    assert fed.feed.error is None


def test_an_error_waits_for_whoever_drains() -> None:
    def broken() -> Iterator[Message]:
        yield letter(1)
        raise ZeroDivisionError

    fed = Fed(broken(), 10)

    assert len(fed.drained()) == 1
    assert isinstance(fed.feed.error, ZeroDivisionError)
    fed.feed.close()


DOTTED = [
    letter(1),
    letter(2, b"A: b\r\n\r\n.x\r\n..\r\n", chunk=2),
    letter(3, b"A: b\r\n\r\n.y\r\n", chunk=2),
    letter(4, b".odd: b\r\n\r\nz\r\n", chunk=3),
    letter(5, chunk=4),
]
STUFFED = [
    DOTTED[0].data,
    b"A: b\r\n\r\n..x\r\n...\r\n",
    b"A: b\r\n\r\n..y\r\n",
    b"..odd: b\r\n\r\nz\r\n",
    DOTTED[4].data,
]


def test_leading_dots_are_stuffed_where_the_chunk_has_any() -> None:
    fed = Fed(DOTTED, 10)

    assert [outgoing.data for outgoing in fed.drained()] == STUFFED
    fed.feed.close()


def test_a_message_without_its_last_crlf_is_a_bug() -> None:
    fed = Fed([letter(1, b"A: b\r\n\r\nx")], 10)

    assert not fed.drained()
    assert isinstance(fed.feed.error, ValueError)
    fed.feed.close()
