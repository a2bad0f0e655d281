"""The outgoing half of a connection: writes, knows when a long body has left, and breaks off."""

import asyncio
from collections.abc import Callable

from mailer.delivery.handshake import Setback

_LOOK = 0.005  # seconds between two looks at a long body that is leaving


class Pipe(asyncio.Protocol):
    """What a connection writes to."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._since = self._clock()  # the last headway
        self._draining = 0  # bytes of a long body in our buffer
        self._setback: Setback | None = None

    def abort(self, setback: Setback | None = None) -> None:
        """Break the connection off; whoever has no ending yet is given back, or is silence."""
        self._setback = self._setback or setback
        self.closed = True
        if self.transport is not None:
            self.transport.abort()

    def _write(self, data: bytes) -> None:
        if self.transport is not None and not self.closed:
            self._since = self._clock()
            self.transport.write(data)

    def _send_ahead(self, body: bytes, then: Callable[[], None]) -> None:
        """Send a long body, and do `then` once it has left our buffer."""
        self._write(body)
        self._draining = len(body)
        self._drain(then)

    def _drain(self, then: Callable[[], None]) -> None:
        """Look whether it has: behind TLS no loop says so reliably. What shrinks is headway."""
        if self.transport is None or self.closed:
            return
        rest = self.transport.get_write_buffer_size()
        if rest < self._draining:
            self._draining, self._since = rest, self._clock()
        if rest:
            self._loop.call_later(_LOOK, self._drain, then)
        else:
            then()
