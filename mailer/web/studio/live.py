"""A campaign's page as it changes: server-sent events with the parts that are new.

The parts are the very HTML the page was made of, so that a page with script, one without and a
reload show the same. A stream ends when the site stops or after half an hour; browsers come back.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping

from starlette.concurrency import run_in_threadpool

from mailer.kit.errors import DibaoError

MOVING = 1.0
"""Seconds between two looks while letters leave."""

RESTING = 5.0
"""Seconds between two looks afterwards, while readers come."""

LIFETIME = 1800.0
"""Seconds a stream lives at most."""

STREAMS = 64
"""Streams at once; further ones are asked to come back."""

_AGAIN = "retry: 3000\n\n"  # milliseconds a browser waits before it comes back

Look = Callable[[], tuple[Mapping[str, str], bool]]
"""The parts by name, and whether the campaign is moving."""


async def stream(look: Look, closing: asyncio.Event) -> AsyncIterator[str]:
    """Events with the parts that changed, the first with all of them."""
    yield _AGAIN
    sent: dict[str, str] = {}
    until = time.monotonic() + LIFETIME
    while not closing.is_set() and time.monotonic() < until:
        try:
            parts, moving = await run_in_threadpool(look)
        except DibaoError:
            return  # the database is away, or the campaign is gone: the browser asks again
        changed = {name: html for name, html in parts.items() if sent.get(name) != html}
        yield f"event: parts\ndata: {json.dumps(changed)}\n\n" if changed else ": still here\n\n"
        sent.update(changed)
        await _pause(closing, MOVING if moving else RESTING)


async def _pause(closing: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(closing.wait(), seconds)
    except TimeoutError:
        return
