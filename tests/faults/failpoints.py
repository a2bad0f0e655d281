"""Named places where a worker can be struck, put into its process from outside.

`FP=<name>:<action>@<nth>`: at the n-th time the place is reached, the process is killed (kill9),
stopped (stop), sleeps (sleep), meets what can go wrong there without it dying (raise), or finds
the disk full for a second (enospc). Once per run of the harness: a marker file remembers, so that
a process which is started anew is left alone.

The code under test knows nothing of this: functions are wrapped by name. POINTS is the one place
that names them; a name that is no longer there makes `install` fail.
"""

import functools
import importlib
import json
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mailer.delivery import journal, testimony
from mailer.delivery.journal import Journal, JournalFull
from mailer.delivery.testimony import Kind
from mailer.kit.database import Database
from mailer.kit.errors import Unavailable

ACTIONS = ("kill9", "stop", "sleep", "raise", "enospc")
PAUSE = 2.5  # seconds of a sleep: longer than the lease of a test
FULL_FOR = 1.0  # seconds a disk stays full

_LONG = 65536  # bytes; a body beyond that leaves before its dot is witnessed
_DOT = b"\r\n.\r\n"


class PointGone(LookupError):
    """A failpoint names a function that is not there any more: mend the table in failpoints.py."""


@dataclass(frozen=True, slots=True)
class Call:
    """Right before or after a function runs."""

    target: str  # module:name
    when: Literal["before", "after"]
    error: type[Exception] = RuntimeError


@dataclass(frozen=True, slots=True)
class Commit:
    """Right before or after the commit of a transaction in which a function said yes."""

    target: str
    when: Literal["before", "after"]
    unless: str = ""  # nor did this one, in the same transaction


@dataclass(frozen=True, slots=True)
class Append:
    """Right before or after an append to the journal that holds a record of a kind."""

    kind: Kind
    when: Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Wire:
    """In the middle of what a connection writes: the bytes before have left, the rest has not."""

    cut: Callable[[bytes], int]  # where; -1 for not in this write


Place = Call | Commit | Append | Wire


@dataclass(frozen=True, slots=True)
class Point:
    """A failpoint."""

    place: Place
    often: Literal["once", "chunk", "letter"] = "letter"  # how often a campaign comes by
    early: bool = False  # the first time, no dot can have left
    needs: str = ""  # what a run has to set up for it; see cells.py


def _before(words: bytes) -> Wire:
    return Wire(lambda data: data.find(words))


def _in_body(data: bytes) -> int:
    end = data.find(_DOT)
    return end // 2 if end > 0 else -1


def _in_long_body(data: bytes) -> int:
    return len(data) // 2 if len(data) > _LONG and _DOT not in data else -1


def _in_dot(data: bytes) -> int:
    end = data.find(_DOT)
    return end + 3 if end > 0 else -1


def _behind_dot(data: bytes) -> int:
    return len(data) if _DOT in data else -1


_LEASE = "mailer.delivery.batch:lease"
_START = "mailer.delivery.chunk:start"
_ENTER = "mailer.delivery.actions:enter"
_RELEASE = "mailer.delivery.batch:release"
_EXTEND = "mailer.delivery.batch:extend"
_REGISTER = "mailer.delivery.actions:register"
_JOURNAL = "mailer.delivery.settling:settle_by_journal"
_JUDGE = "mailer.delivery.settling:judge"
_DEFER = "mailer.delivery.ledger:_put_off"
_CLOSE = "mailer.delivery.ledger:close"
_FILL = "mailer.delivery.audience:fill"
_FROZEN = "mailer.campaigns.actions:start"
_SWEEP = "mailer.delivery.dispatch:Dispatcher.sweep"
_PEOPLE = "mailer.delivery.chunk:people"
_COMPOSE = "mailer.delivery.compose:Composer.compose"
_RETIRE = "mailer.delivery.journal:Journal.retire"
_CONNECTED = "mailer.delivery.smtp:Connection.connection_made"
_ON_DOT = "mailer.delivery.smtp:Connection._on_dot"
_WRITE = "mailer.delivery.smtp:Connection._write"
_CLOCK = "mailer.kit.clock:time"
_APPEND = "mailer.delivery.journal:Journal.append"

POINTS: dict[str, Point] = {
    "register_before_commit": Point(Commit(_REGISTER, "before"), "once", early=True),
    "register_after_commit": Point(Commit(_REGISTER, "after"), "once", early=True),
    "lease_before_commit": Point(Commit(_LEASE, "before"), "once", early=True),
    "lease_after_commit": Point(Commit(_LEASE, "after"), "once", early=True),
    "chunk_read": Point(Call(_PEOPLE, "before", Unavailable), "chunk", early=True),
    "chunk_before_commit": Point(Commit(_START, "before"), "chunk", early=True),
    "chunk_after_commit": Point(Commit(_START, "after"), "chunk", early=True),
    "compose": Point(Call(_COMPOSE, "before"), early=True),
    "connect": Point(Call(_CONNECTED, "before"), "once", early=True),
    "ehlo": Point(_before(b"EHLO "), "once", early=True),
    "auth": Point(_before(b"AUTH "), "once", early=True),
    "journal_intent_before": Point(Append(Kind.INTENT, "before"), early=True),
    "journal_intent": Point(Append(Kind.INTENT, "after"), early=True),
    "mail": Point(_before(b"MAIL FROM:<"), early=True),
    "rcpt": Point(_before(b"RCPT TO:<"), early=True),
    "data_cmd": Point(_before(b"DATA\r\n"), early=True),
    "journal_dot_before": Point(Append(Kind.DOT, "before"), early=True),
    "journal_dot": Point(Append(Kind.DOT, "after")),
    "body_half": Point(Wire(_in_body)),
    "long_body_half": Point(Wire(_in_long_body), needs="long body"),
    "dot_half": Point(Wire(_in_dot)),
    "after_dot": Point(Wire(_behind_dot)),
    "reply_read": Point(Call(_ON_DOT, "before")),
    "journal_reply_before": Point(Append(Kind.REPLY, "before")),
    "journal_reply": Point(Append(Kind.REPLY, "after")),
    "flush_before_commit": Point(Commit(_ENTER, "before", unless=_START), "chunk"),
    "flush_after_commit": Point(Commit(_ENTER, "after", unless=_START), "chunk"),
    "defer_before_commit": Point(Commit(_DEFER, "before"), "once"),
    "defer_after_commit": Point(Commit(_DEFER, "after"), "once"),
    "release_before_commit": Point(Commit(_RELEASE, "before"), "once", needs="told to end"),
    "release_after_commit": Point(Commit(_RELEASE, "after"), "once", needs="told to end"),
    "rset": Point(_before(b"RSET\r\n"), "once"),
    "quit": Point(_before(b"QUIT\r\n"), "once"),
    "heartbeat_before_commit": Point(Commit(_EXTEND, "before"), "once", needs="slow"),
    "heartbeat_after_commit": Point(Commit(_EXTEND, "after"), "once", needs="slow"),
    "sweep": Point(Call(_SWEEP, "before", Unavailable), "once", early=True),
    "adopt_before_commit": Point(Commit(_JOURNAL, "before"), "once", needs="dead"),
    "adopt_after_commit": Point(Commit(_JOURNAL, "after"), "once", needs="dead"),
    "judge_before_commit": Point(Commit(_JUDGE, "before"), "once", needs="dead without journal"),
    "judge_after_commit": Point(Commit(_JUDGE, "after"), "once", needs="dead without journal"),
    "freeze_filled": Point(Call(_FILL, "after"), "once", early=True, needs="unfrozen"),
    "freeze_before_commit": Point(Commit(_FROZEN, "before"), "once", early=True, needs="unfrozen"),
    "freeze_after_commit": Point(Commit(_FROZEN, "after"), "once", early=True, needs="unfrozen"),
    "finish_before_commit": Point(Commit(_CLOSE, "before"), "once"),
    "finish_after_commit": Point(Commit(_CLOSE, "after"), "once"),
    "retire": Point(Call(_RETIRE, "before"), "once"),
}


@dataclass(frozen=True, slots=True)
class Armed:
    """A failpoint with what it does and when: `after_dot:kill9@3`."""

    name: str
    action: str
    nth: int = 1

    @classmethod
    def parse(cls, text: str) -> "Armed":
        """Raises ValueError where there is no such failpoint or action."""
        name, _, rest = text.partition(":")
        action, _, nth = rest.partition("@")
        if name not in POINTS or action not in ACTIONS:
            raise ValueError(f"no failpoint {text!r}; there are {', '.join(POINTS)}")
        return cls(name, action, int(nth or 1))

    def __str__(self) -> str:
        return f"{self.name}:{self.action}@{self.nth}"

    @property
    def point(self) -> Point:
        """The place it is at."""
        return POINTS[self.name]


class Trigger:
    """Counts how often a place is reached, and strikes once."""

    def __init__(self, armed: Armed, marker: Path) -> None:
        self.armed, self.marker = armed, marker
        self._reached = 0
        self._lock = threading.Lock()

    def is_due(self) -> bool:
        """Whether this is the time; then the marker is written, for whoever waits for it."""
        with self._lock:
            self._reached += 1
            if self._reached != self.armed.nth:
                return False
        try:
            file = os.open(self.marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return False
        os.write(file, json.dumps({"pid": os.getpid(), "at": time.time()}).encode())
        os.fsync(file)
        os.close(file)
        return True

    def strike(self, error: Callable[[], None]) -> None:
        """Do it; `error` is what can go wrong here."""
        match self.armed.action:
            case "kill9":
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)  # it takes a moment
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "sleep":
                time.sleep(PAUSE)
            case "enospc":
                _fill_the_disk()
            case _:
                error()


def struck(marker: Path) -> int | None:
    """The process that was struck; None where none was, so far."""
    try:
        return int(json.loads(marker.read_text(encoding="ascii"))["pid"])
    except (OSError, ValueError):
        return None


def resolve(target: str) -> tuple[Any, str, Callable[..., Any]]:
    """Who owns a function, under which name, and the function. Raises PointGone."""
    module, _, path = target.partition(":")
    try:
        owner: Any = importlib.import_module(module)
        *holders, name = path.split(".")
        for holder in holders:
            owner = getattr(owner, holder)
        return owner, name, getattr(owner, name)
    except (ImportError, AttributeError) as gone:
        raise PointGone(f"{target}: {gone}") from gone


def targets(place: Place) -> tuple[str, ...]:
    """The functions a place is tied to."""
    match place:
        case Call():
            return (place.target,)
        case Commit():
            return (place.target, place.unless) if place.unless else (place.target,)
        case Append():
            return (_APPEND,)
    return (_WRITE,)


def install(armed: Armed, marker: Path) -> None:
    """Put a failpoint into this process. Raises PointGone."""
    trigger = Trigger(armed, marker)
    place = armed.point.place
    for target in targets(place):
        resolve(target)
    match place:
        case Call():
            _on_call(place, trigger)
        case Commit():
            _on_commit(place, trigger)
        case Append():
            _on_append(place, trigger)
        case Wire():
            _on_write(place, trigger)


def poison(subscriber: int) -> None:
    """Have one person's letter kill whoever makes it, each time."""

    def make(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Any, held: Any, chunk: int, person: Any, *more: Any) -> Any:
            if person.subscriber == subscriber:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(self, held, chunk, person, *more)

        return wrapped

    if subscriber:
        _wrap(_COMPOSE, make)


def set_clock(ahead: float) -> None:
    """Have this process's wall clock go wrong by so many seconds."""
    if ahead:
        owner, name, function = resolve(_CLOCK)
        setattr(owner, name, lambda: function() + ahead)


def _wrap(target: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    owner, name, function = resolve(target)
    setattr(owner, name, functools.wraps(function)(make(function)))


def _on_call(place: Call, trigger: Trigger) -> None:
    def make(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if place.when == "before" and trigger.is_due():
                if place.target == _ON_DOT and trigger.armed.action == "raise":
                    args[0].abort()  # the answer is lost with its connection
                    return None
                breaks = place.target == _CONNECTED
                trigger.strike(args[1].abort if breaks else lambda: _raise(place.error))
            found = function(*args, **kwargs)
            if place.when == "after" and trigger.is_due():
                trigger.strike(lambda: _raise(place.error))
            return found

        return wrapped

    _wrap(place.target, make)


def _raise(error: type[Exception]) -> None:
    raise error("a failpoint says so")


_WORK = threading.local()


def _on_commit(place: Commit, trigger: Trigger) -> None:
    for target in targets(place):
        _wrap(target, functools.partial(_noting, target))
    original = Database.transaction

    @contextmanager
    def transaction(self: Database) -> Iterator[Any]:
        outer: set[Any] = getattr(_WORK, "said", set())
        _WORK.said = set()
        try:
            with _committed(place, trigger, original(self)) as session:
                yield session
        finally:
            _WORK.said = outer

    Database.transaction = transaction  # type: ignore[method-assign]


@contextmanager
def _committed(place: Commit, trigger: Trigger, work: AbstractContextManager[Any]) -> Iterator[Any]:
    with work as session:
        yield session
        if place.when == "before" and _applies(place) and trigger.is_due():
            trigger.strike(lambda: _raise(Unavailable))
    if place.when == "after" and _applies(place) and trigger.is_due():
        trigger.strike(lambda: _raise(Unavailable))


def _applies(place: Commit) -> bool:
    said: set[str] = _WORK.said
    return place.target in said and place.unless not in said


def _noting(target: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found = function(*args, **kwargs)
        nothing = target in {_LEASE, _START, _CLOSE, _RELEASE, _EXTEND} and not found
        empty = target in {_JUDGE, _JOURNAL} and not found.results and not found.batches
        if hasattr(_WORK, "said") and not nothing and not empty:
            _WORK.said.add(target)
        return found

    return wrapped


_RECORD_SIZES = {
    kind: testimony.ANSWER.size if kind == Kind.REPLY else testimony.PLACE.size for kind in Kind
}


def kinds(records: bytes) -> Iterator[Kind]:
    """The kinds of the records in one append."""
    place = 0
    while place < len(records):
        kind = Kind(records[place])
        yield kind
        place += _RECORD_SIZES[kind] + testimony.CRC.size


def _on_append(place: Append, trigger: Trigger) -> None:
    def make(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Journal, records: bytes) -> None:
            concerned = place.kind in kinds(records)
            if place.when == "before" and concerned and trigger.is_due():
                trigger.strike(lambda: _raise(JournalFull))
            function(self, records)
            if place.when == "after" and concerned and trigger.is_due():
                trigger.strike(lambda: _raise(JournalFull))

        return wrapped

    _wrap(_APPEND, make)


def _on_write(place: Wire, trigger: Trigger) -> None:
    def make(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Any, data: bytes) -> None:
            cut = place.cut(data)
            transport = self.transport
            queued = transport is None or self.closed or transport.get_write_buffer_size()
            if cut < 0 or queued or not trigger.is_due():
                function(self, data)
                return
            _push(transport.get_extra_info("socket").fileno(), data[:cut])
            trigger.strike(self.abort)
            if not self.closed and cut < len(data):
                function(self, data[cut:])

        return wrapped

    _wrap(_WRITE, make)


def _push(descriptor: int, data: bytes) -> None:
    """Into the kernel, past whatever a transport would keep in memory."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            time.sleep(0.001)


def _fill_the_disk() -> None:
    """No file of this process grows any more, for a second; what it says goes nowhere."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    said = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_largest() + 40, limits[1]))

    def make_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        for stream in (1, 2):
            os.dup2(said, stream)

    timer = threading.Timer(FULL_FOR, make_room)
    timer.daemon = True
    timer.start()


def _largest() -> int:
    """Bytes of the journal of this process: half a record more, and it is full."""
    return max((j.size for j in journal._OPEN), default=0)  # noqa: SLF001
