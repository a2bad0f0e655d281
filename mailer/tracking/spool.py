"""A hit is appended to a file, answered, and loaded in bulk later: no reader waits for a table.

One JSON line per hit, in a file per process, opened to append. What `append` has returned from is
in the kernel's hands: a killed process loses nothing, a host that loses its power may lose the
last seconds. A file belongs to whoever has it locked, so any process of the host may load what any
other wrote, and no writer waits; a hit has a unique id, so loading a file twice adds nothing.

No IP address is written: `network_of` makes a keyed hash of the network that changes every day.
"""

import fcntl
import hmac
import ipaddress
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog

from mailer.tracking.agents import LIMIT

SEGMENT = 250_000
"""Bytes after which a file is closed and the next one begun: a thousand hits, one transaction of
well under a second, so that on SQLite nobody waits for it long."""

_LARGEST = 2**31  # of a database's integer
_TAKEN = "taken-"  # such a file has no writer any more
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Hit:
    """One request for a pixel or a tracked link, as it came."""

    kind: str  # "open" or "click"
    campaign: int
    subscriber: int
    at: datetime
    link: int = 0  # number in the reader's edition; 0 for an open
    agent: str = ""  # User-Agent, as text until it has been classified
    network: str = ""  # see `network_of`; "" where it is not known
    head: bool = False  # asked by HEAD
    prefetch: bool = False  # a browser or gateway said that nobody is looking yet
    id: str = field(default_factory=lambda: uuid.uuid4().hex)  # unique, once and for all


@dataclass(frozen=True, slots=True)
class Part:
    """Hits ready to be loaded; `done` once they are committed."""

    path: Path
    hits: tuple[Hit, ...]
    damaged: int  # lines that are no hit: a full disk cut them off

    def done(self) -> None:
        """Forget these hits. Without it they come again, and their ids keep them from counting."""
        self.path.unlink(missing_ok=True)


class Spool:
    """The hits on this host's disk. Safe for threads and for any number of processes."""

    def __init__(self, directory: Path, *, segment: int = SEGMENT) -> None:
        self._directory = directory
        self._segment = segment
        self._lock = threading.Lock()
        self._file: int | None = None  # descriptor
        self._path = Path()
        self._pid = 0

    def append(self, hit: Hit) -> None:
        """Keep a hit; it survives the death of this process from the moment this returns.

        Raises OSError where the disk takes nothing: the caller answers the reader all the same.
        """
        line = _line(hit)
        with self._lock:
            file = self._locked()
            try:
                whole = os.write(file, line) == len(line)
                full = os.fstat(file).st_size >= self._segment
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)
            if full or not whole:
                self._close()

    def ready(self) -> Iterator[Part]:
        """All hits on this disk, part by part, oldest first; no part to two loaders at a time.

        Takes files over from their writers, who go on in new ones.
        """
        for path in sorted(self._directory.glob("*.jsonl"), key=_age):
            with suppress(FileNotFoundError):  # another loader was quicker
                file = os.open(path, os.O_RDONLY)
                try:
                    if (part := _taken(path, file)) is not None:
                        yield part
                finally:
                    os.close(file)

    def waiting(self) -> int:
        """Bytes not loaded yet."""
        total = 0
        for path in self._directory.glob("*.jsonl"):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def files(self) -> frozenset[str]:
        """The names of the files with hits that are not loaded yet, each as its writer named it."""
        names = set[str]()
        for path in self._directory.glob("*.jsonl"):
            with suppress(FileNotFoundError):
                if path.stat().st_size:
                    names.add(path.name.removeprefix(_TAKEN))
        return frozenset(names)

    def _locked(self) -> int:
        """The descriptor of this process's file, locked, and still under its name.

        Never waits: where a loader is at the file, it is the loader's, and a new one is begun.
        """
        while True:
            file = self._open()
            with suppress(BlockingIOError, FileNotFoundError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._path.stat().st_ino == os.fstat(file).st_ino:
                    return file
            self._close()

    def _open(self) -> int:
        if self._file is None or self._pid != os.getpid():  # a forked child begins its own
            self._directory.mkdir(parents=True, exist_ok=True)
            self._pid = os.getpid()
            self._path = self._directory / f"{self._pid}-{uuid.uuid4().hex}.jsonl"
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = None


def peek(directory: Path) -> Iterator[Hit]:
    """All hits on this disk, for looking only: nothing is taken over, and some may be loaded."""
    for path in sorted(directory.glob("*.jsonl")):
        with suppress(FileNotFoundError):
            found = (_hit(line) for line in path.read_bytes().splitlines())
            yield from (hit for hit in found if hit is not None)


def network_of(key: bytes, address: str, day: datetime) -> str:
    """A name for the network (/24, or /48 of IPv6) that holds for one day.

    Empty for no address, and for one that is not public: that is our own proxy. Keyed and cut, so
    that nobody without the key can go back to a network, and not stored beyond the minutes in
    which it tells one scanner of many mailboxes from many readers.
    """
    with suppress(ValueError):
        ip = ipaddress.ip_address(address)
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        if not ip.is_global:
            return ""
        length = 24 if ip.version == 4 else 48
        network = ipaddress.ip_network((ip, length), strict=False)
        text = f"dibao network {day.astimezone(UTC):%Y-%m-%d} {network}"
        return hmac.digest(key, text.encode(), "sha256").hex()[:16]
    return ""


def _line(hit: Hit) -> bytes:
    fields = asdict(hit) | {"at": hit.at.isoformat(), "agent": hit.agent[:LIMIT]}
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _age(path: Path) -> float:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0


def _taken(path: Path, file: int) -> Part | None:
    """The file as a part, withdrawn from its writer; None where another loader has it."""
    if not _lock_soon(file) or path.stat().st_ino != os.fstat(file).st_ino:
        return None
    if not path.name.startswith(_TAKEN):
        path = path.rename(path.with_name(_TAKEN + path.name))
    with os.fdopen(os.dup(file), "rb") as lines:
        read = [_hit(line) for line in lines]
    hits = tuple(hit for hit in read if hit is not None)
    if damaged := len(read) - len(hits):
        _log.warning("spool holds lines that are no hits", lines=damaged)
    return Part(path, hits, damaged)


def _lock_soon(file: int) -> bool:
    """Lock a file; False where somebody holds it longer than a writer does: a loader."""
    for _ in range(50):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.001)
    return False


def _hit(line: bytes) -> Hit | None:
    try:
        fields = json.loads(line)
        hit = Hit(**(fields | {"at": datetime.fromisoformat(fields["at"])}))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return hit if _is_sound(hit) else None


def _is_sound(hit: Hit) -> bool:
    """Whether every field is what it should be: one that is not would stop the loading of all."""
    texts, numbers = (hit.id, hit.kind, hit.network), (hit.campaign, hit.subscriber, hit.link)
    return (
        isinstance(hit.agent, str)
        and all(isinstance(text, str) and text.isprintable() for text in texts)
        and all(type(number) is int and 0 <= number < _LARGEST for number in numbers)
        and all(isinstance(flag, bool) for flag in (hit.head, hit.prefetch))
        and hit.at.tzinfo is not None
    )
