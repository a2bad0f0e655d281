"""What a journal says, read back: the last record of each message, however long the file.

A file is a header and records of a fixed size per kind, each closed by its CRC-32. It is read in
blocks, once to see that it is whole and where each batch stands in it, and then as asked: in memory
is never more than the people of a few batches.
"""

import os
import struct
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from pathlib import Path
from zlib import crc32

from mailer.delivery.relay import Reply, Stage
from mailer.kit.errors import Invalid

MAGIC = b"DIBAOJ1\n"
HEADER = struct.Struct("<8sBQI64s64s64s")  # magic, mode, µs since 1970, pid, worker, host, boot
PLACE = struct.Struct("<BHIIIIQQ")  # kind, connection, campaign … chunk, subscriber, µs since open
ANSWER = struct.Struct("<BHIIIIQQHB12s200s")  # the same, then code, stage, enhanced, text
CRC = struct.Struct("<I")
STAGES: tuple[Stage, ...] = ("mail", "rcpt", "data", "dot")

_MOST = (1 << 31) - 1  # what a column of the database holds
_LATEST = 4_000_000_000_000_000  # µs since 1970: a file is not begun after 2096 …
_LONGEST = 4_000_000_000_000_000  # µs … nor kept for more than a century
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe is not waited for
_BLOCK = 1 << 18  # bytes read at a time
_KEPT = 4  # batches in memory
_BATCH = struct.Struct("<III")  # campaign, batch, epoch, as they stand in a record
_BATCH_AT = 3  # their offset in it


class Kind(IntEnum):
    """What a record says of a message."""

    INTENT = 1  # its envelope is about to leave
    DOT = 2  # its final dot is about to leave: from here on it may have been accepted
    REPLY = 3  # the relay answered


_SIZES = {Kind.INTENT: PLACE.size, Kind.DOT: PLACE.size, Kind.REPLY: ANSWER.size}


class Mode(StrEnum):
    """How much a record survives."""

    WRITE = "write"  # the death of the process: the page cache does not die with it
    FSYNC = "fsync"  # power loss too


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


Place = tuple[int, int, int]  # campaign, batch, epoch
Key = tuple[int, int, int, int]  # the same, and the subscriber


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
    last: Mapping[Key, Witness]
    damaged: bool  # a bad checksum before the end: what follows it is unknown

    def knows_unsent(self, boot_id: str) -> bool:
        """Whether a message without DOT was surely not sent, asked on a host booted as `boot_id`.

        So it is unless records may be missing: lost with the page cache, or behind damage.
        """
        kept = self.mode is Mode.FSYNC or (bool(boot_id) and self.boot_id == boot_id)
        return kept and not self.damaged


def read(path: Path) -> Testimony:
    """What a journal says now; changes nothing, and may be asked of a live one.

    A torn last record counts as absent: whatever it was to witness waited for it. Raises
    JournalUnreadable for a file that is no journal.
    """
    descriptor = os.open(path, _READ)
    try:
        return _testimony(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def sealed(record: bytes) -> bool:
    """Whether the checksum at its end is right."""
    return bool(CRC.unpack_from(record, len(record) - CRC.size)[0] == crc32(record[: -CRC.size]))


def _testimony(path: Path, descriptor: int) -> Testimony:
    head = os.pread(descriptor, HEADER.size + CRC.size, 0)
    if len(head) < HEADER.size + CRC.size or not sealed(head):
        raise JournalUnreadable(f"{path.name} is no journal, or its header is damaged")
    magic, mode, stamp, pid, worker, host, boot_id = HEADER.unpack_from(head)
    if magic != MAGIC:
        raise JournalUnreadable(f"{path.name} is no journal of this version")
    names = _text(worker), _text(host)
    # files are named after them
    if not names[0] or any("/" in name or not name.isprintable() for name in names):
        raise JournalUnreadable(f"{path.name} names a worker or a host that cannot be")
    if stamp > _LATEST:
        raise JournalUnreadable(f"{path.name} was begun in no time of ours")
    opened = datetime.fromtimestamp(stamp / 1e6, tz=UTC)
    spans, damaged = _surveyed(descriptor, len(head))
    return Testimony(
        path,
        *names,
        pid,
        _text(boot_id),
        Mode.FSYNC if mode else Mode.WRITE,
        opened,
        _Last(descriptor, spans, opened),
        damaged,
    )


class _Last(Mapping[Key, Witness]):
    """The last record of each message, read from the file when asked for, batch by batch."""

    def __init__(
        self, descriptor: int, spans: dict[Place, tuple[int, int]], opened: datetime
    ) -> None:
        """`spans` says between which offsets the records of each batch stand."""
        self._descriptor, self._spans, self._opened = descriptor, spans, opened
        self._known: OrderedDict[Place, dict[int, Witness]] = OrderedDict()
        weakref.finalize(self, os.close, descriptor)

    def __getitem__(self, key: Key) -> Witness:
        campaign, batch, epoch, subscriber = key
        return self._of((campaign, batch, epoch))[subscriber]

    def __iter__(self) -> Iterator[Key]:
        for place in self._spans:
            for subscriber in self._of(place):
                yield (*place, subscriber)

    def __len__(self) -> int:
        return sum(len(self._of(place)) for place in self._spans)

    def _of(self, place: Place) -> dict[int, Witness]:
        """The last of each subscriber of one batch."""
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = self._read(place)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return known

    def _read(self, place: Place) -> dict[int, Witness]:
        found: dict[int, Witness] = {}
        start, end = self._spans.get(place, (0, 0))
        wanted = _BATCH.pack(*place)
        for _, record in _records(self._descriptor, start, end):
            if record.startswith(wanted, _BATCH_AT):
                witness = _witness(record, self._opened)
                before = found.get(witness.subscriber)
                if before is None or witness.kind >= before.kind:
                    found[witness.subscriber] = witness
        return found


def _surveyed(descriptor: int, start: int) -> tuple[dict[Place, tuple[int, int]], bool]:
    """Where the records of each batch stand, and whether there is damage before the end."""
    spans: dict[bytes, tuple[int, int]] = {}
    end, size = start, os.fstat(descriptor).st_size
    for offset, record in _records(descriptor, start, size):
        end = offset + len(record)
        if not sealed(record) or not _is_sound(record):
            return _places(spans), end < size or sealed(record)
        batch = record[_BATCH_AT : _BATCH_AT + _BATCH.size]
        first = spans.get(batch, (offset, 0))[0]
        spans[batch] = first, end
    return _places(spans), _is_odd(descriptor, end, size)


def _is_sound(record: bytes) -> bool:
    """Whether it says what a worker of ours can have written, and the database can hold."""
    _, _, campaign, batch, epoch, chunk, subscriber, elapsed = PLACE.unpack_from(record)
    if max(campaign, batch, epoch, chunk, subscriber) > _MOST or elapsed > _LONGEST:
        return False
    if record[0] != Kind.REPLY:
        return True
    *_, code, stage, _, _ = ANSWER.unpack_from(record)
    return code // 100 in {2, 4, 5} and stage < len(STAGES)


def _places(spans: dict[bytes, tuple[int, int]]) -> dict[Place, tuple[int, int]]:
    return {_BATCH.unpack(batch): span for batch, span in spans.items()}


def _is_odd(descriptor: int, end: int, size: int) -> bool:
    """Whether what follows the last whole record is neither a torn one nor zeros.

    Zeros are space the file system gave before the power went.
    """
    rest = os.pread(descriptor, ANSWER.size + CRC.size, end)
    if not rest or rest[0] in _SIZES:
        return False
    while end < size:
        block = os.pread(descriptor, min(_BLOCK, size - end), end)
        if not block or block.strip(b"\0"):
            return bool(block)
        end += len(block)
    return False


def _records(descriptor: int, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each whole record between two offsets, up to what is none."""
    rest = b""
    while start < end:
        data = rest + os.pread(descriptor, min(_BLOCK, end - start - len(rest)), start + len(rest))
        at = 0
        while at < len(data):
            size = _SIZES.get(data[at], -1) + CRC.size  # type: ignore[call-overload]
            if size < CRC.size:
                return
            if at + size > len(data):
                break
            yield start + at, data[at : at + size]
            at += size
        if not at:
            return
        start, rest = start + at, data[at:]


def _witness(record: bytes, opened: datetime) -> Witness:
    reply = None
    place = PLACE.unpack_from(record)
    kind, connection, campaign, batch, epoch, chunk, subscriber, elapsed = place
    if kind == Kind.REPLY:
        *_, code, stage, enhanced, text = ANSWER.unpack_from(record)
        reply = Reply(code, _text(enhanced), _text(text), STAGES[stage])
    at = opened + timedelta(microseconds=elapsed)
    return Witness(Kind(kind), campaign, batch, epoch, chunk, subscriber, connection, at, reply)


def _text(padded: bytes) -> str:
    return padded.rstrip(b"\0").decode(errors="ignore")
