"""A relay that does as it is told, for tests that need no wire."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from mailer.delivery.relay import Ending, Message, Reply, Trouble, Unsent

DOWN = Unsent(Trouble("spoke", "The script says so"))
STOPPED = Unsent(Trouble("stopped", "It was not wanted any more"))


class ScriptedRelay:
    """Accepts everyone but those the script says otherwise of."""

    def __init__(
        self,
        endings: Mapping[str, Ending | None] | None = None,
        *,
        down_after: int | None = None,
        down: Mapping[str, Trouble] | None = None,
        at_once: int = 1,
    ) -> None:
        """`endings` by recipient; None: never handed over. Down after so many, where given.

        `down` are ways that take no mail, and why. `at_once` messages are pulled before the first
        of them ends, as a real relay would.
        """
        self.endings = dict(endings or {})
        self.down_after = down_after
        self.down = dict(down or {})
        self.at_once = at_once
        self.sent: list[Message] = []  # those that were handed over
        self.slow: list[str] = []  # ways that were told to start slowly
        self.closed = 0
        self._stopped = False
        self._unwanted: list[Callable[[Message], bool]] = []

    def send(
        self, messages: Iterable[Message], *, in_time: Callable[[], bool] | None = None
    ) -> Iterator[tuple[Message, Ending]]:
        """As the script says, in the order of the messages."""
        self._stopped = False
        self._unwanted.clear()
        waiting: list[Message] = []
        for message in messages:
            waiting.append(message)
            if len(waiting) >= self.at_once:
                yield from self._end(waiting, in_time)
            if self._stopped:
                return
        yield from self._end(waiting, in_time)

    def room(self, way: str = "") -> int:
        """There always is."""
        return 1 if way not in self.down else 1000

    def wait(self, seconds: float) -> None:
        """There is room already."""

    def slow_start(self, way: str = "") -> None:
        """Note it."""
        self.slow.append(way)

    def drop(self, unwanted: Callable[[Message], bool]) -> None:
        """End these as not wanted from now on."""
        self._unwanted.append(unwanted)

    def stop(self) -> None:
        """Take no further message."""
        self._stopped = True

    def close(self) -> None:
        """Count how often it was closed."""
        self.closed += 1

    def _end(
        self, waiting: list[Message], in_time: Callable[[], bool] | None
    ) -> Iterator[tuple[Message, Ending]]:
        while waiting and not self._stopped:
            message = waiting.pop(0)
            if any(unwanted(message) for unwanted in self._unwanted):
                yield message, STOPPED
                continue
            if message.way in self.down:
                yield message, Unsent(self.down[message.way])
                continue
            if self.down_after is not None and len(self.sent) >= self.down_after:
                yield message, DOWN
                continue
            if in_time is not None and not in_time():
                self._stopped = True
                return
            ending = self.endings.get(message.recipient, Reply(250, "2.0.0", "ok"))
            if ending is not None:
                self.sent.append(message)
                yield message, ending
