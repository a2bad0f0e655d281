"""A TCP proxy that misbehaves on request, between a worker and what it talks to.

It runs in a thread of its own; orders may come from any thread. What it can do to the connections
it carries: delay, cut, reset, swallow without a word, close one half. For PostgreSQL it can cut
right after a COMMIT has been carried out and before the answer comes through: nobody on our side
knows then whether it was.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Self

from tests.fakes.smtp import reset

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"  # as libpq sends it


class Proxy:
    """A context manager; `port` is where it listens."""

    def __init__(self, port: int, *, host: str = "127.0.0.1") -> None:
        """`port` is where what comes goes to."""
        self.port = 0
        self.delay = 0.0  # seconds before anything is passed on
        self.swallows = False  # passes nothing on, and closes nothing
        self.refuses = False  # closes whoever comes
        self.commits = 0  # that went by
        self.cut_at: Callable[[int], bool] = lambda _commits: False
        """Asked at each COMMIT, with its number from 1: whether to cut behind it."""
        self.cuts = 0
        self._target = host, port
        self._lines: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> Self:
        started = threading.Event()

        async def start() -> None:
            self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
            self.port = self._server.sockets[0].getsockname()[1]
            started.set()

        def run() -> None:
            self._loop.run_until_complete(start())
            self._loop.run_forever()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        async def stop() -> None:
            self._server.close()
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self, *, hard: bool = False) -> None:
        """End every connection there is; `hard` by an RST."""
        self._order(lambda line: self.end(line, hard=hard))

    def half_close(self) -> None:
        """Say on every connection that nothing more comes."""
        self._order(lambda line: line.write_eof() if line.can_write_eof() else None)

    def _order(self, act: Callable[[asyncio.StreamWriter], object]) -> None:
        def run() -> None:
            for line in list(self._lines):
                act(line)

        self._loop.call_soon_threadsafe(run)

    @staticmethod
    def end(line: asyncio.StreamWriter, *, hard: bool = True) -> None:
        """End one connection."""
        if hard:
            reset(line)
            line.transport.abort()
        else:
            line.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._lines |= {writer, back}
        wire = _Wire(self, writer, back)
        ways = (wire.pass_on(reader, back, out=True), wire.pass_on(there, writer, out=False))
        try:
            await asyncio.gather(*ways)
        except asyncio.CancelledError:  # the proxy ends
            pass
        finally:
            self._lines -= {writer, back}
            for line in (writer, back):
                line.transport.abort()


class _Wire:
    """One connection through the proxy."""

    def __init__(
        self, proxy: Proxy, front: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        self.proxy, self.front, self.back = proxy, front, back
        self.to_cut = False  # its COMMIT is on the way; the answer is not to come through

    async def pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, out: bool
    ) -> None:
        try:
            while data := await reader.read(65536):
                while self.proxy.swallows:  # noqa: ASYNC110  # another thread sets it
                    await asyncio.sleep(0.05)
                if self.proxy.delay:
                    await asyncio.sleep(self.proxy.delay)
                if out and COMMIT in data:
                    self.proxy.commits += 1
                    self.to_cut = self.proxy.cut_at(self.proxy.commits)
                elif not out and self.to_cut:  # carried out: this is the answer
                    self.proxy.cuts += 1
                    Proxy.end(self.front)
                    return
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except (OSError, RuntimeError):
            writer.transport.abort()
