"""Messages pulled ahead of need, in a thread of their own.

A commit between two chunks then costs the wire nothing; what it pulls is bounded.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable

from mailer.delivery.envelope import Outgoing
from mailer.delivery.relay import Message


class Feed:
    """Pulls messages in a thread of its own, at most `ahead` of what was taken."""

    def __init__(self, messages: Iterable[Message], ahead: int, wake: Callable[[], object]) -> None:
        """Start pulling; `wake` is called, from that thread, when someone who asked waits."""
        self.error: BaseException | None = None
        self.done = False
        self._messages = iter(messages)
        self._ahead, self._low = ahead, ahead // 2
        self._wake = wake
        self._queue: deque[Outgoing] = deque()
        self._room = threading.Event()
        self._closed = False
        self._hungry = True
        self._thread = threading.Thread(target=self._pull, name="feed", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._queue)

    def take(self) -> Outgoing | None:
        """The next message if one is there; else the feed wakes the loop when one comes."""
        if not self._queue:
            self._hungry = True
            if not self._queue:  # asked again: it may have come between the two lines above
                return None
        outgoing = self._queue.popleft()
        if len(self._queue) == self._low:
            self._room.set()
        return outgoing

    def close(self) -> None:
        """Pull no more; returns once the iterable is closed and its thread gone."""
        self._closed = True
        self._room.set()
        self._thread.join()

    def _pull(self) -> None:
        queue, stuffing, place = self._queue, False, (0, 0, 0)
        try:
            for message in self._messages:
                here = (message.campaign, message.batch, message.chunk)
                stuffing = _needs_stuffing(message.data, whole=here != place) or (
                    stuffing and here == place
                )
                place = here
                queue.append(
                    Outgoing(message, _stuffed(message.data) if stuffing else message.data)
                )
                if self._hungry:
                    self._hungry = False
                    self._wake()
                if len(queue) >= self._ahead:
                    self._room.clear()
                    if len(queue) > self._low and not self._closed:
                        self._room.wait()
                if self._closed:
                    break
        except BaseException as error:  # noqa: BLE001  # handed to the caller's thread, all of it
            self.error = error
        finally:
            with contextlib.suppress(Exception):  # a generator's clean-up; its error was told above
                getattr(self._messages, "close", lambda: None)()
            self.done = True
            self._wake()


def _needs_stuffing(data: bytes, *, whole: bool) -> bool:
    """Whether a line starts with a dot (RFC 5321 4.5.2).

    Bodies are built so that none does, and a search through 40 KB takes longer than all else on
    the wire: so the head is looked at in every message, the body in the first of each chunk.
    """
    if not data.endswith(b"\r\n"):
        raise ValueError("a message has to end with CRLF")
    seen = data if whole else data[: data.find(b"\r\n\r\n") + 2]
    return seen.startswith(b".") or b"\n." in seen


def _stuffed(data: bytes) -> bytes:
    stuffed = data.replace(b"\n.", b"\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed
