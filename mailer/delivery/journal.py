"""The worker's local witness: what was intended, what left, what was answered.

One append-only file per worker process. A message's DOT is in the kernel before the first byte of
its final CRLF.CRLF leaves, and its REPLY before the result goes anywhere else; so after a crash
only messages between the two are uncertain. The file is locked for the life of the process: a
free lock is the proof of death. It holds ids only, no addresses (reply texts come with them cut).

A file is a header and records of a fixed size per kind, each closed by its CRC-32.
"""

import contextlib
import fcntl
import os
import socket
import struct
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from pathlib import Path
from zlib import crc32

from mailer.delivery.relay import Message, Reply, Stage
from mailer.kit.clock import now
from mailer.kit.errors import Invalid, Misconfigured, Unavailable

SUFFIX = ".journal"
RETIRED = "retired"  # folder beside the live ones; kept for `KEEP`
KEEP = timedelta(days=7)  # the longest database restore we plan for

_MAGIC = b"DIBAOJ1\n"
_HEADER = struct.Struct("<8sBQI64s64s64s")  # magic, mode, µs since 1970, pid, worker, host, boot
_PLACE = struct.Struct("<BHIIIIQQ")  # kind, connection, campaign … chunk, subscriber, µs since open
_ANSWER = struct.Struct("<BHIIIIQQHB12s200s")  # the same, then code, stage, enhanced, text
_CRC = struct.Struct("<I")
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_STAGES: tuple[Stage, ...] = ("mail", "rcpt", "data", "dot")


class Kind(IntEnum):
    """What a record says of a message."""

    INTENT = 1  # its envelope is about to leave
    DOT = 2  # its final dot is about to leave: from here on it may have been accepted
    REPLY = 3  # the relay answered


class Mode(StrEnum):
    """How much a record survives."""

    WRITE = "write"  # the death of the process: the page cache does not die with it
    FSYNC = "fsync"  # power loss too


class JournalFull(Unavailable):
    """The journal takes no more records (is the disk full?); without one no dot is written."""


class JournalUnreadable(Invalid):
    """The file is no journal of ours, or its header is damaged."""


@dataclass(frozen=True, slots=True)
class Witness:
    """The last that a journal says of one message."""

    kind: Kind
    campaign: int
    batch: int
    epoch: int
    chunk: int
    subscriber: int
    connection: int  # number within the process
    at: datetime
    reply: Reply | None = None  # with REPLY


Key = tuple[int, int, int, int]  # campaign, batch, epoch, subscriber


@dataclass(frozen=True, slots=True)
class Testimony:
    """Everything one journal says."""

    path: Path
    worker: str
    host: str
    pid: int
    boot_id: str
    mode: Mode
    opened_at: datetime
    last: dict[Key, Witness]
    damaged: bool  # a bad checksum before the end: what follows it is unknown

    def knows_unsent(self, boot_id: str) -> bool:
        """Whether a message without DOT was surely not sent, asked on a host booted as `boot_id`.

        So it is unless records may be missing: lost with the page cache, or behind damage.
        """
        kept = self.mode is Mode.FSYNC or (bool(boot_id) and self.boot_id == boot_id)
        return kept and not self.damaged


class Journal:
    """An open journal; its process is alive as long as it is."""

    def __init__(self, path: Path, descriptor: int, mode: Mode) -> None:
        self.path = path
        self.mode = mode
        self._descriptor = descriptor
        self._end = os.fstat(descriptor).st_size
        self._opened = time.monotonic_ns()
        self._writing = threading.Lock()
        _OPEN.add(self)

    @classmethod
    def open(
        cls, directory: Path, worker: str, *, mode: Mode = Mode.WRITE, boot_id: str | None = None
    ) -> "Journal":
        """Create this process's journal and lock it until `close` or death.

        `worker` is unique per process, at most 64 bytes. Raises Misconfigured where the directory
        cannot be written and ValueError where the worker has a journal already.
        """
        path = directory / f"{worker}{SUFFIX}"
        unborn = directory / f".{worker}.new"  # not yet to be taken for an orphan
        header = _header(worker, mode, boot() if boot_id is None else boot_id)
        descriptor = -1
        try:
            directory.mkdir(parents=True, exist_ok=True)
            if path.exists():
                raise ValueError(f"worker {worker} has a journal already")
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(unborn, flags, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.write(descriptor, header) != len(header):
                raise OSError("the disk took only a part")  # noqa: TRY301
            os.fsync(descriptor)
            unborn.rename(path)
            _sync_directory(directory)
        except OSError as refused:
            if descriptor >= 0:  # or each new try would leave one more behind
                os.close(descriptor)
                unborn.unlink(missing_ok=True)
            raise Misconfigured(f"No journal can be kept in {directory}: {refused}") from refused
        return cls(path, descriptor, mode)

    def intent(self, message: Message, connection: int) -> bytes:
        """The record of a message whose envelope leaves next; `append` writes it."""
        return self._place(Kind.INTENT, message, connection)

    def dot(self, message: Message, connection: int) -> bytes:
        """The record of a message whose final dot leaves next; `append` writes it."""
        return self._place(Kind.DOT, message, connection)

    def reply(self, message: Message, connection: int, reply: Reply) -> bytes:
        """The record of the relay's answer; `append` writes it."""
        record = _ANSWER.pack(
            Kind.REPLY,
            connection,
            message.campaign,
            message.batch,
            message.epoch,
            message.chunk,
            message.subscriber,
            (time.monotonic_ns() - self._opened) // 1000,
            reply.code,
            _STAGES.index(reply.stage),
            reply.enhanced.encode("ascii", "replace"),
            reply.text.encode()[:200],
        )
        return record + _CRC.pack(crc32(record))

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

    def retire(self) -> None:
        """Close, and put the file away: every result in it is committed."""
        self.close()
        _put_away(self.path)

    def close(self) -> None:
        """Let go of the file; from now on this journal is an orphan, to be adopted."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        _OPEN.discard(self)

    def _place(self, kind: Kind, message: Message, connection: int) -> bytes:
        record = _PLACE.pack(
            kind,
            connection,
            message.campaign,
            message.batch,
            message.epoch,
            message.chunk,
            message.subscriber,
            (time.monotonic_ns() - self._opened) // 1000,
        )
        return record + _CRC.pack(crc32(record))


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


def read(path: Path) -> Testimony:
    """What a journal says; changes nothing, and may be asked of a live one.

    A torn last record counts as absent: whatever it was to witness waited for it. Raises
    JournalUnreadable for a file that is no journal.
    """
    data = path.read_bytes()
    head = data[: _HEADER.size]
    if len(data) < _HEADER.size + _CRC.size or not _sealed(data, 0, _HEADER.size):
        raise JournalUnreadable(f"{path.name} is no journal, or its header is damaged")
    magic, mode, stamp, pid, worker, host, boot_id = _HEADER.unpack(head)
    if magic != _MAGIC:
        raise JournalUnreadable(f"{path.name} is no journal of this version")
    opened = datetime.fromtimestamp(stamp / 1e6, tz=UTC)
    last, damaged = _replay(data, _HEADER.size + _CRC.size, opened)
    return Testimony(
        path,
        _text(worker),
        _text(host),
        pid,
        _text(boot_id),
        Mode.FSYNC if mode else Mode.WRITE,
        opened,
        last,
        damaged,
    )


def forget(directory: Path, *, now: datetime) -> int:
    """Delete journals retired longer than `KEEP` ago; how many."""
    old = (now - KEEP).timestamp()
    gone = [p for p in (directory / RETIRED).glob(f"*{SUFFIX}") if p.stat().st_mtime < old]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def _replay(data: bytes, offset: int, opened: datetime) -> tuple[dict[Key, Witness], bool]:
    last: dict[Key, Witness] = {}
    sizes = {1: _PLACE.size, 2: _PLACE.size, 3: _ANSWER.size}
    while offset < len(data):
        size = sizes.get(data[offset])
        if size is None:  # zeros at the end: space the file system gave, and the power went
            return last, bool(data[offset:].strip(b"\0"))
        if offset + size + _CRC.size > len(data):
            return last, False  # torn: the process or the power went while it was written
        if not _sealed(data, offset, size):
            return last, offset + size + _CRC.size < len(data)
        witness = _witness(data, offset, opened)
        key = (witness.campaign, witness.batch, witness.epoch, witness.subscriber)
        before = last.get(key)
        if before is None or witness.kind >= before.kind:
            last[key] = witness
        offset += size + _CRC.size
    return last, False


def _witness(data: bytes, offset: int, opened: datetime) -> Witness:
    reply = None
    place = _PLACE.unpack_from(data, offset)
    kind, connection, campaign, batch, epoch, chunk, subscriber, elapsed = place
    if kind == Kind.REPLY:
        *_, code, stage, enhanced, text = _ANSWER.unpack_from(data, offset)
        reply = Reply(code, _text(enhanced), _text(text), _STAGES[stage])
    at = opened + timedelta(microseconds=elapsed)
    return Witness(Kind(kind), campaign, batch, epoch, chunk, subscriber, connection, at, reply)


def _sealed(data: bytes, offset: int, size: int) -> bool:
    end = offset + size
    return bool(_CRC.unpack_from(data, end)[0] == crc32(data[offset:end]))


def _header(worker: str, mode: Mode, boot_id: str) -> bytes:
    if not worker or "/" in worker or len(worker.encode()) > 64:
        raise ValueError(f"no name for a worker: {worker!r}")
    header = _HEADER.pack(
        _MAGIC,
        mode is Mode.FSYNC,
        int(now().timestamp() * 1e6),
        os.getpid(),
        worker.encode(),
        socket.gethostname().encode()[:64],
        boot_id.encode(),
    )
    return header + _CRC.pack(crc32(header))


def _text(padded: bytes) -> str:
    return padded.rstrip(b"\0").decode(errors="ignore")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Whether the lock of the file at `path` is ours, for the length of the block.

    It is not where another worker has put the file away meanwhile.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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
