"""The worker's local witness: what was intended, what left, what was answered.

One append-only file at a time per worker process. A message's DOT is in the kernel before the first
byte of its final CRLF.CRLF leaves, and before any of its body where that is at most 64 KB: body and
dot leave in one write. Its REPLY is there before the result goes anywhere else; so after a crash
only messages between the two are uncertain. The file is locked for the life of the process: a
free lock is the proof of death. It holds ids only, no addresses (reply texts come with them cut).

`testimony.py` knows the records and reads them back.
"""

import contextlib
import fcntl
import os
import shutil
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zlib import crc32

import structlog

from mailer.delivery.relay import Message, Reply
from mailer.delivery.testimony import (
    ANSWER,
    CRC,
    HEADER,
    MAGIC,
    PLACE,
    STAGES,
    JournalUnreadable,
    Kind,
    Mode,
    Testimony,
    read,
)
from mailer.kit.clock import now
from mailer.kit.errors import Conflict, Misconfigured, Unavailable

__all__ = [
    "FULL",
    "KEEP",
    "RETIRED",
    "SUFFIX",
    "Journal",
    "JournalAlive",
    "JournalFull",
    "JournalUnreadable",
    "Kind",
    "Mode",
    "adopt",
    "boot",
    "copy_in",
    "forget",
    "orphans",
    "read",
]

SUFFIX = ".journal"
RETIRED = "retired"  # folder beside the live ones; kept for `KEEP`
KEEP = timedelta(days=7)  # the longest database restore we plan for

FULL = 64 << 20
"""Bytes of a file after which the next one is begun: 200,000 messages, a second to read."""

_log = structlog.get_logger()
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe is not waited for
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class JournalFull(Unavailable):
    """The journal takes no more records (is the disk full?); without one no dot is written."""


class JournalAlive(Conflict):
    """The process that keeps this journal is still running; it tells its results itself."""


class Journal:
    """An open journal; its process is alive as long as it is."""

    def __init__(self, directory: Path, worker: str, mode: Mode, boot_id: str) -> None:
        """See `open`."""
        self.mode = mode
        self.path: Path
        self._descriptor: int
        self._end: int
        self._opened: int
        self._worker, self._boot_id = worker, boot_id
        self._number = 1
        self._writing = threading.Lock()
        self._begin(directory / f"{worker}{SUFFIX}")
        _OPEN.add(self)

    @classmethod
    def open(
        cls, directory: Path, worker: str, *, mode: Mode = Mode.WRITE, boot_id: str | None = None
    ) -> "Journal":
        """Create this process's journal and lock it until `close` or death.

        `worker` is unique per process, at most 64 bytes. Raises Misconfigured where the directory
        cannot be written and ValueError where the worker has a journal already.
        """
        if (directory / f"{worker}{SUFFIX}").exists():
            raise ValueError(f"worker {worker} has a journal already")
        return cls(directory, worker, mode, boot() if boot_id is None else boot_id)

    def intent(self, message: Message, connection: int) -> bytes:
        """The record of a message whose envelope leaves next; `append` writes it."""
        return self._place(Kind.INTENT, message, connection)

    def dot(self, message: Message, connection: int) -> bytes:
        """The record of a message whose final dot leaves next; `append` writes it."""
        return self._place(Kind.DOT, message, connection)

    def reply(self, message: Message, connection: int, reply: Reply) -> bytes:
        """The record of the relay's answer; `append` writes it."""
        record = ANSWER.pack(
            Kind.REPLY,
            connection,
            message.campaign,
            message.batch,
            message.epoch,
            message.chunk,
            message.subscriber,
            (time.monotonic_ns() - self._opened) // 1000,
            reply.code,
            STAGES.index(reply.stage),
            reply.enhanced.encode("ascii", "replace"),
            reply.text.encode()[:200],
        )
        return record + CRC.pack(crc32(record))

    def append(self, records: bytes) -> None:
        """Write records, in one piece. When this returns they survive what the mode promises.

        Raises JournalFull, and then none of them counts: whoever wanted to write a dot must not.
        """
        with self._writing:
            try:
                if os.write(self._descriptor, records) != len(records):
                    raise OSError("the disk took only a part")  # noqa: TRY301
                if self.mode is Mode.FSYNC:
                    os.fdatasync(self._descriptor)
            except OSError as refused:
                with contextlib.suppress(OSError):  # a torn record would hide all that follow
                    os.ftruncate(self._descriptor, self._end)
                raise JournalFull(f"The journal takes no more records: {refused}") from refused
            self._end += len(records)

    @property
    def size(self) -> int:
        """Bytes written so far; some 330 per message."""
        return self._end

    def renew(self) -> bool:
        """Begin the next file where this one is full, and put this one away; whether it did.

        To be called while every result in it is committed and its worker holds no lease: then a
        crash between two of these steps leaves nothing that would have to be read in two files.
        """
        with self._writing:
            if self._end < FULL:
                return False
            path, descriptor = self.path, self._descriptor
            self._number += 1
            try:
                self._begin(path.parent / f"{self._worker}.{self._number}{SUFFIX}")
            except Misconfigured as refused:
                _log.warning("the journal goes on in a file that is full", why=str(refused))
                return False
            _put_away(path)  # while it is locked: nobody is to take it for an orphan
            os.close(descriptor)
        return True

    def retire(self) -> None:
        """Put the file away and close it: every result in it is committed."""
        _put_away(self.path)
        self.close()

    def close(self) -> None:
        """Let go of the file; from now on this journal is an orphan, to be adopted."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        _OPEN.discard(self)

    def _begin(self, path: Path) -> None:
        """Make a file with a header and lock it; what it is to be known by it becomes last."""
        unborn = path.parent / f".{path.stem}.new"  # not yet to be taken for an orphan
        header = _header(self._worker, self.mode, self._boot_id)
        descriptor = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(unborn, flags, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.write(descriptor, header) != len(header):
                raise OSError("the disk took only a part")  # noqa: TRY301
            os.fsync(descriptor)
            unborn.rename(path)
            _sync_directory(path.parent)
        except OSError as refused:
            if descriptor >= 0:  # or each new try would leave one more behind
                os.close(descriptor)
                unborn.unlink(missing_ok=True)
            why = f"No journal can be kept in {path.parent}: {refused}"
            raise Misconfigured(why) from refused
        self.path = path
        self._descriptor, self._end = descriptor, len(header)
        self._opened = time.monotonic_ns()

    def _place(self, kind: Kind, message: Message, connection: int) -> bytes:
        record = PLACE.pack(
            kind,
            connection,
            message.campaign,
            message.batch,
            message.epoch,
            message.chunk,
            message.subscriber,
            (time.monotonic_ns() - self._opened) // 1000,
        )
        return record + CRC.pack(crc32(record))


def boot() -> str:
    """What tells this boot of the host from any other; empty where the system does not say."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def orphans(directory: Path) -> tuple[Path, ...]:
    """Journals whose process is dead, oldest first. Someone else may be adopting them already."""
    if not directory.is_dir():
        return ()
    dead = []
    for path in directory.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError), _locked(path) as ours:
            if ours:
                dead.append((path.stat().st_mtime_ns, path))
    return tuple(path for _, path in sorted(dead))


@contextlib.contextmanager
def adopt(path: Path) -> Iterator[Testimony | None]:
    """Read an orphan while nobody else can; put it away unless the block raises.

    None where its process lives after all, or another worker was faster. A file that is no
    journal raises JournalUnreadable and stays.
    """
    with _locked(path) as ours:
        if not ours:
            yield None
            return
        yield read(path)
        _put_away(path)


def copy_in(source: Path, directory: Path) -> Path | None:
    """Take a journal from another host in, to be adopted as an orphan; None where it is here.

    So that taking it twice does no harm, and taking it whole after a part of it was taken helps.
    Raises JournalUnreadable for a file that is none, JournalAlive for one whose process lives here.
    """
    told = read(source)
    with _locked(source) as ours:
        if not ours:
            raise JournalAlive
    stamp = int(told.opened_at.timestamp() * 1e6)
    path = directory / f"{told.worker}.{told.host}.{stamp:x}{SUFFIX}"
    for before in (path, directory / RETIRED / path.name):
        if before.exists() and before.stat().st_size >= source.stat().st_size:
            return None
    directory.mkdir(parents=True, exist_ok=True)
    unborn = directory / f".{path.stem}.new"
    shutil.copyfile(source, unborn)
    unborn.chmod(0o600)
    unborn.rename(path)
    _sync_directory(directory)
    return path


def forget(directory: Path, *, now: datetime) -> int:
    """Delete journals retired longer than `KEEP` ago; how many."""
    old = (now - KEEP).timestamp()
    gone = [p for p in (directory / RETIRED).glob(f"*{SUFFIX}") if p.stat().st_mtime < old]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def _header(worker: str, mode: Mode, boot_id: str) -> bytes:
    if not worker or "/" in worker or len(worker.encode()) > 64:
        raise ValueError(f"no name for a worker: {worker!r}")
    header = HEADER.pack(
        MAGIC,
        mode is Mode.FSYNC,
        int(now().timestamp() * 1e6),
        os.getpid(),
        worker.encode(),
        socket.gethostname().encode()[:64],
        boot_id.encode(),
    )
    return header + CRC.pack(crc32(header))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Whether the lock of the file at `path` is ours, for the length of the block.

    It is not where another worker has put the file away meanwhile.
    """
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there = path.stat().st_ino == os.fstat(descriptor).st_ino
    except (BlockingIOError, FileNotFoundError):
        there = False
    try:
        yield there
    finally:
        os.close(descriptor)


def _put_away(path: Path) -> None:
    shelf = path.parent / RETIRED
    shelf.mkdir(exist_ok=True)
    os.utime(path)
    path.rename(shelf / path.name)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_OPEN: "weakref.WeakSet[Journal]" = weakref.WeakSet()


def _let_go_in_child() -> None:
    """A forked child must not keep its parent's lock alive; closing its copy frees nothing."""
    for journal in list(_OPEN):
        journal.close()


os.register_at_fork(after_in_child=_let_go_in_child)
