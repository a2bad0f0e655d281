"""Messages pulled ahead of need, in a thread of their own, into a line for each way.

A commit between two chunks then costs the wire nothing; what waits is bounded, line by line.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable

from mailer.delivery.envelope import Outgoing
from mailer.delivery.relay import Message


class Line:
    """What waits for one way, at most `most`; one thread puts in, another takes out."""

    __slots__ = ("hungry", "low", "most", "waiting")

    def __init__(self, most: int) -> None:
        self.most, self.low = most, most // 2
        self.waiting: deque[Outgoing] = deque()
        self.hungry = True  # somebody found nothing here

    @property
    def room(self) -> int:
        """How many more find a place."""
        return self.most - len(self.waiting)


class Feed:
    """Pulls messages into lines; holds one whose line is full, and then pulls no further."""

    def __init__(
        self,
        messages: Iterable[Message],
        line_of: Callable[[str], Line],
        wake: Callable[[], object],
    ) -> None:
        """Start pulling; `wake` is called, from that thread, when someone who asked waits."""
        self.error: BaseException | None = None
        self.done = False
        self._messages = iter(messages)
        self._line_of = line_of
        self._wake = wake
        self._room = threading.Event()
        self._closed = False
        self._stuffing = Stuffing()
        self._thread = threading.Thread(target=self._pull, name="feed", daemon=True)
        self._thread.start()

    def take(self, line: Line) -> Outgoing | None:
        """The next message if one is there; else the feed wakes the loop when one comes."""
        waiting = line.waiting
        if not waiting:
            line.hungry = True
            if not waiting:  # asked again: it may have come between the two lines above
                return None
        outgoing = waiting.popleft()
        if len(waiting) == line.low:
            self._room.set()
        return outgoing

    def loosen(self) -> None:
        """Let whoever waits for room look again."""
        self._room.set()

    def wait(self, seconds: float, lines: Iterable[Line]) -> None:
        """See `Relay.wait`; `lines` are all there are."""
        self._room.clear()
        if not self._closed and not any(len(line.waiting) <= line.low for line in lines):
            self._room.wait(seconds)

    def close(self) -> None:
        """Pull no more; returns once the iterable is closed and its thread gone."""
        self._closed = True
        self._room.set()
        self._thread.join()

    def _pull(self) -> None:
        line: Line | None = None
        way = ""
        try:
            for item in self._messages:
                if line is None or item.way != way:
                    way, line = item.way, self._line_of(item.way)
                ready = self._stuffing.outgoing(item)
                if len(line.waiting) >= line.most:
                    self._wait_for(line)
                if self._closed:
                    break
                line.waiting.append(ready)
                if line.hungry:
                    line.hungry = False
                    self._wake()
        except BaseException as error:  # noqa: BLE001  # handed to the caller's thread, all of it
            self.error = error
        finally:
            with contextlib.suppress(Exception):  # a generator's clean-up; its error was told above
                getattr(self._messages, "close", lambda: None)()
            self.done = True
            self._wake()

    def _wait_for(self, line: Line) -> None:
        while True:
            self._room.clear()
            if len(line.waiting) <= line.low or self._closed:
                return
            self._room.wait()


class Stuffing:
    """Makes what goes on the wire of messages: with a dot before each dot that starts a line.

    Bodies are built so that no line does, and a search through 40 KB takes longer than all else on
    the wire: so the head is looked at in every message, the body in the first of each chunk.
    """

    __slots__ = ("_needed", "_place")

    def __init__(self) -> None:
        self._place = (0, 0, 0)
        self._needed = False

    def outgoing(self, message: Message) -> Outgoing:
        """The message as it goes on the wire. Raises ValueError for one that lacks its last CRLF.

        RFC 5321 4.5.2.
        """
        data, place = message.data, (message.campaign, message.batch, message.chunk)
        if not data.endswith(b"\r\n"):
            raise ValueError("a message has to end with CRLF")
        if place != self._place:
            self._place, self._needed = place, b"\n." in data
        needed = self._needed or data.startswith(b".") or _dots(data, data.find(b"\r\n\r\n"))
        return Outgoing(message, _stuffed(data) if needed else data)


def _dots(data: bytes, end: int) -> bool:
    return data.find(b"\n.", 0, end) >= 0


def _stuffed(data: bytes) -> bytes:
    stuffed = data.replace(b"\n.", b"\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed
