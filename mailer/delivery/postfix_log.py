"""What a local Postfix says it did with our letters: read from its mail log and its queue.

Three programs tell of a letter. `cleanup` names its Message-ID while the letter is still coming in:
that alone proves nothing, the sender may break off. `qmgr` names the queue file once it is whole,
and from there on Postfix has taken responsibility; so do a `status=` of any delivery agent and
`removed`. A queue id may be used again for another letter, so a name is good until the next
Message-ID under it. A letter that passes a filter comes in twice, under two queue ids.

Takes what syslog writes (`Nov  3 07:05:01` or RFC 3339) and what postlogd writes, rotated and
gzipped files, and the output of `postqueue -j`. Keeps nothing but what is asked for: no address.
"""

import gzip
import json
import re
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final

from mailer.kit.errors import Invalid, NotFound

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LINE = re.compile(
    r"(?P<stamp>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"
    r"|\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z|[+-]\d\d:?\d\d)?)"
    r" (?P<host>\S+) (?P<rest>.*)"
)
_PROGRAM = re.compile(r"(?P<program>[^\s\[:]+)(?:\[\d+\])?: (?P<said>.*)")
_QUEUED = re.compile(r"(?P<queue>[0-9A-F]{6,20}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,20}): ")
_NAMED = re.compile(r"(?:resent-)?message-id=(?P<id><[^>\s]+>)")
_STATUS = re.compile(r"\bstatus=(?P<status>[a-z-]+)")
_ACTIVE = re.compile(r"from=<[^>]*>, size=\d+, nrcpt=\d+ \(queue active\)")
_GAPS = ("rate-limiting", "Suppressed ", "suppressed ", "messages lost", " lost due to")
_Key = tuple[str, str, str]  # host, instance of Postfix, queue id

_BACK: Final = timedelta(minutes=2)
"""How far a log may step back: programs write beside each other, and clocks are set."""


class LogNotFound(NotFound):
    """There is no such mail log."""


class LogUnreadable(Invalid):
    """The mail log cannot be read to its end."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the log says of one Message-ID."""

    queue: str  # id
    taken: bool  # the whole letter was in the queue
    status: str = ""  # the last: sent, bounced, deferred, expired …
    rejected: bool = False  # by cleanup or a milter, before it was whole

    @property
    def evidence(self) -> str:
        """In words, without an address."""
        return f"Postfix queue {self.queue}: " + (self.status or "queued")


@dataclass(slots=True)
class Log:
    """What all files together say."""

    first: datetime | None = None  # line
    last: datetime | None = None
    lines: int = 0
    strange: int = 0  # lines that are no log's, so something may be missing
    gaps: list[str] = field(default_factory=list)  # each in words
    seen: dict[str, Seen] = field(default_factory=dict)  # by Message-ID, < and > included

    def covers(self, start: datetime, end: datetime) -> str:
        """Why nothing follows from a letter's absence between these; "" where it does."""
        if self.first is None or self.last is None:
            return "the log is empty"
        if self.first > start:
            return f"the log begins at {self.first.isoformat()}, after the letter can have left"
        if self.last < end:
            return f"the log ends at {self.last.isoformat()}, before {end.isoformat()}"
        return "; ".join(self.gaps)


def read(
    files: Iterable[Path],
    wanted: Collection[str],
    *,
    now: datetime,
    zone: tzinfo | None = None,
    since: datetime | None = None,
) -> Log:
    """What the files, oldest first, say of the wanted Message-IDs.

    `zone` is that of stamps without one (the system's by default), and their year the last one in
    which they were not in the future. Lines before `since` count as absent. Raises LogNotFound or
    LogUnreadable.
    """
    reader, torn = _Reader(frozenset(wanted), zone, since), False
    for path in files:
        reader.log.strange += torn
        reader.latest = min(now, _written(path)) + timedelta(days=1)
        try:
            for line in _lines(path):
                torn = not line.endswith("\n")  # somebody is writing it, if the file is the last
                if not torn:
                    reader.take(line.rstrip("\r\n"))
        except (OSError, EOFError, zlib.error) as broken:
            raise LogUnreadable(f"{path.name} cannot be read to its end: {broken}") from broken
    if reader.log.strange:
        reader.log.gaps.append(f"{reader.log.strange} lines are damaged")
    return reader.log


def rotated(path: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """A log with its older files, oldest first, and what is missing between them.

    `mail.log`, `mail.log.1`, `mail.log.2.gz` …, or `mail.log-20261120`, `mail.log-20261119.gz` ….
    A folder is none. Raises LogNotFound.
    """
    if not path.is_file():
        raise LogNotFound(f"There is no mail log {path}")
    counted: dict[int, Path] = {}
    dated: dict[str, Path] = {}
    for other in path.parent.glob(f"{path.name}[.-]*"):
        rest = other.name[len(path.name) :].removesuffix(".gz")
        if re.fullmatch(r"\.\d+", rest):
            counted[int(rest[1:])] = other
        elif re.fullmatch(r"-\d{8}(?:[-_]?\d+)?", rest):
            dated[rest] = other
    missing = [n for n in range(1, max(counted, default=0)) if n not in counted]
    gaps = tuple(f"{path.name}.{n} is missing" for n in missing)
    older = [dated[key] for key in sorted(dated)] + [counted[n] for n in sorted(counted)[::-1]]
    return (*older, path), gaps


def queued(lines: Iterable[str]) -> frozenset[str]:
    """Queue ids in the output of `postqueue -j`: one JSON object a line. Raises LogUnreadable."""
    found = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.add(str(json.loads(line)["queue_id"]))
        except (ValueError, KeyError, TypeError, RecursionError) as broken:
            raise LogUnreadable(f"line {number} is none of `postqueue -j`") from broken
    return frozenset(found)


class _Reader:
    """Goes through the lines once, in their order."""

    def __init__(self, wanted: frozenset[str], zone: tzinfo | None, since: datetime | None) -> None:
        self.log = Log()
        self.latest = datetime.max.replace(tzinfo=UTC)  # no stamp of the file is later
        self._wanted, self._zone, self._since = wanted, zone, since
        self._named: dict[_Key, str] = {}  # Message-ID of those wanted that have this queue id now
        self._stamp, self._moment = "", datetime.max.replace(tzinfo=UTC)

    def take(self, line: str) -> None:
        found = _LINE.fullmatch(line)
        moment = self._at(found["stamp"]) if found else None
        log = self.log
        if found is None or moment is None:
            log.strange += bool(line.strip())
            return
        if self._since is not None and moment < self._since:
            return
        if log.last is not None and moment < log.last - _BACK:
            log.gaps.append(f"the log steps back at {moment.isoformat()}")
        log.first = log.first or moment
        log.last = max(moment, log.last or moment)
        log.lines += 1
        told = _PROGRAM.fullmatch(found["rest"])
        if told is None:  # a mark, or "last message repeated"
            return
        instance, _, program = told["program"].partition("/")
        if "postfix" in instance:
            self._postfix((found["host"], instance), program.rpartition("/")[2], told["said"])
        elif any(word in told["said"] for word in _GAPS):
            log.gaps.append(f"lines were dropped at {moment.isoformat()}")

    def _postfix(self, where: tuple[str, str], program: str, said: str) -> None:
        match = _QUEUED.match(said)
        if match is None:
            return
        key, rest = (*where, match["queue"]), said[match.end() :]
        if program == "cleanup" and (named := _NAMED.match(rest)):
            self._name(key, named["id"])
        if key not in self._named:
            return
        status = _STATUS.search(rest)
        if status is not None:
            self._note(key, taken=True, status=status["status"])
        elif program == "qmgr" and (_ACTIVE.match(rest) or rest == "removed"):
            self._note(key, taken=True)
        elif program == "cleanup" and "discard: " in rest:  # taken, and thrown away
            self._note(key, taken=True, status="discarded")
        elif program == "cleanup" and "reject: " in rest:
            self._note(key, rejected=True)

    def _name(self, key: _Key, name: str) -> None:
        """A letter comes in under a queue id; whichever had it before has it no longer."""
        before = self._named.pop(key, None)
        if before is not None and not self.log.seen[before].taken:
            self.log.seen[before] = Seen("", taken=False)
        if name in self._wanted:
            self._named[key] = name
            self._note(key)

    def _note(
        self, key: _Key, *, taken: bool = False, status: str = "", rejected: bool = False
    ) -> None:
        """A letter taken under one queue id stays taken, whatever becomes of another copy."""
        name = self._named[key]
        before = self.log.seen.get(name)
        if before is not None and before.taken:
            if not taken:
                return
            status = status or before.status
        self.log.seen[name] = Seen(key[2], taken, status, rejected)

    def _at(self, stamp: str) -> datetime | None:
        if stamp != self._stamp:
            try:
                moment = _moment(stamp, self._zone, self.latest)
            except ValueError:
                return None
            self._stamp, self._moment = stamp, moment
        return self._moment


def _moment(stamp: str, zone: tzinfo | None, latest: datetime) -> datetime:
    """A stamp as a moment. Raises ValueError for no date."""
    if stamp[0].isdigit():
        moment = datetime.fromisoformat(stamp)
        return _in_utc(moment, zone)
    month = _MONTHS.index(stamp[:3]) + 1
    hour, minute, second = map(int, stamp[7:].split(":"))
    for year in range(latest.year, latest.year - 9, -1):  # a 29 February: up to eight years back
        try:
            naive = datetime(year, month, int(stamp[4:6]), hour, minute, second)  # noqa: DTZ001
        except ValueError:
            continue
        if (moment := _in_utc(naive, zone)) <= latest:
            return moment
    raise ValueError(f"no date: {stamp}")


def _in_utc(moment: datetime, zone: tzinfo | None) -> datetime:
    if moment.tzinfo is None and zone is not None:
        moment = moment.replace(tzinfo=zone)
    return moment.astimezone(UTC)  # without one, by the system's


def _written(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    except OSError as gone:
        raise LogNotFound(f"There is no mail log {path}") from gone


def _lines(path: Path) -> Iterator[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", errors="replace", newline="\n") as file:
        yield from file
