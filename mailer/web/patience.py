"""A connection whose request does not come whole in time is closed.

Without it a few hundred connections that send a byte a minute would hold every file descriptor of
the process, and no reader's link would work. uvicorn waits for ever once a request has begun.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 30.0
"""Seconds for a whole request, its body too; ours are some hundred bytes."""


class Patient(H11Protocol):
    """uvicorn's protocol, with an end to its patience."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Go on waiting from the beginning of the request, until all of it is there."""
        super().data_received(data)
        cycle: Any = self.cycle  # None before the first request
        if cycle is None or cycle.more_body or cycle.response_complete:
            self._watch()
        else:
            self._rest()

    def _watch(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(PATIENCE, self._give_up)

    def _rest(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        self.transport.close()
