"""Whether this database is the one this host has worked with: restored, copied, or as we left it.

A database that was set back, or copied, would send again what it no longer knows it sent. So it
counts its signs of life, and each host keeps the last count in a file outside of it, in the data
directory beside the journals. Where the two do not fit, everything is held until a person has
looked. An ordinary restart fits; so does a new host while others of the installation are alive.

What comes back as a whole (a snapshot of a machine, the data directory with the database in it)
fits too: there only the rule for late schedules helps, and the operator.
"""

import json
import time
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Text, column, select, table, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import State
from mailer.delivery import brakes, hold, restoring, settling
from mailer.delivery.breakers import Trip
from mailer.delivery.models import BatchRow, InstanceGuardRow, WorkerRow
from mailer.kit.database import Database, Moment, database_now
from mailer.kit.errors import Conflict

FILE = "instance.json"
"""In the data directory: what this host last knew of the database."""

JOURNALS = "journal"
"""The folder in the data directory where journals are kept."""

ALIVE = 60.0  # seconds since a heartbeat
SKEW = 30.0  # seconds between our clock and the database's at which nothing is sent
SKEW_WARNED = 2.0

_LEAP = 10_000_000
"""Added to the count by whoever accepts a restore: more than any host's file can be ahead."""

_ROW = 1
_DAMAGED = "damaged"  # no name of an installation
_campaign = table(
    "campaign", column("state", Text), column("reason", Text), column("scheduled_for", Moment())
)
_LIFT = "Read docs/brakes.md, RB8; then: dibao go --after-restore"
_log = structlog.get_logger()


class ForeignDirectory(Conflict):
    """The data directory is another installation's: set DIBAO_DATA_DIR right, or empty it."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What a host remembers of the database."""

    instance: str
    counter: int
    synchronous: bool = False  # each commit was on a standby too: a failover loses none


@dataclass(frozen=True, slots=True)
class Server:
    """The database server behind the connection."""

    cluster: str = ""  # PostgreSQL: its system identifier and timeline
    standby: bool = False
    durable: bool = True  # fsync
    at_once: bool = True  # synchronous_commit
    synchronous: bool = False


class Guard:
    """The guard of one process. Ask before the first batch, and with each sweep."""

    def __init__(
        self, database: Database, directory: Path, *, worker: str = "", durable: bool = True
    ) -> None:
        """`directory`: the data directory. `durable`: refuse a server that may lose commits."""
        self._database, self._path = database, directory / FILE
        self._worker, self._durable = worker, durable
        self._met: tuple[int, float] | None = None  # the count when we came new, and when
        self._warned: set[str] = set()
        self._set_back = self._replayed = False

    def check(self, now: datetime) -> str | None:
        """Why nothing may be sent from here now, in a sentence, or None.

        Where the database is not the one this host knows, everything is held (the brake `all`) and
        every lease is void; that is found out once, and lifted by a person (`accept`). What this
        host's journals know is entered then. Raises Unavailable where the database does not answer.
        """
        try:
            reason = self._judged(now)
        except OSError as refused:  # a full disk: what is not remembered could be sent again
            return f"{self._path} cannot be written: {refused.strerror or refused}"
        if self._set_back and not self._replayed and not self._is_foreign():
            restoring.replay(self._database, self._path.parent / JOURNALS, now=now)
            self._replayed = True
        return reason

    def _judged(self, now: datetime) -> str | None:
        kept = _read(self._path)  # before the row: it is written after it
        with self._database.transaction() as session:
            here = server(session)
            refusal = self._unfit(here) or self._skewed(session, now)
            if refusal:
                return refusal
            row = session.get(InstanceGuardRow, _ROW)
            if row is None and (kept is None or not _has_sent(session)):
                if self._born(session, here, now):
                    return None
                row = session.get(InstanceGuardRow, _ROW)
            if kept is None and row is not None:
                kept = self._kept_meanwhile()
            alarm = _mismatch(row, kept, here)
            if not alarm and kept is None and row is not None:
                alarm, waits = self._newcomer(session, row)
                if waits:
                    return waits
            if alarm:
                return self._hold(session, alarm, now)
            sign = _alive(session, here, now)
        self._keep(sign)
        self._set_back = self._replayed = False
        return None

    def accept(self, *, by: str, now: datetime) -> bool:
        """Take the database as it is for the right one and lift the hold; whether it was held.

        For a person who has read what the hold says. Other hosts of the installation accept it too.
        Raises ForeignDirectory where the data directory is another installation's.
        """
        with self._database.transaction() as session:
            if is_foreign(session, self._path.parent):
                raise ForeignDirectory
            here = server(session)
            if session.get(InstanceGuardRow, _ROW) is None:
                _insert(session, here, now)
            leap = {"counter": InstanceGuardRow.counter + _LEAP, "cluster": here.cluster}
            session.execute(update(InstanceGuardRow).values(**leap))
            sign = _alive(session, here, now)
            on = brakes.seen(session).hold
            lifted = on is not None and brakes.take_off(session, on, by=by, now=now)
        self._keep(sign)
        return lifted

    def _is_foreign(self) -> bool:
        with self._database.reading() as session:
            return is_foreign(session, self._path.parent)

    def _hold(self, session: Session, alarm: str, now: datetime) -> str:
        """Stop everything; what workers hold is theirs no more."""
        reason = f"{alarm} {_LIFT}"
        before = brakes.seen(session).hold
        trip = Trip(*brakes.HOLD, brakes.RESTORE, reason)
        brakes.put_on(session, trip, actor=self._worker or "the restore guard", now=now)
        if before is None or before.cause != brakes.RESTORE:
            settling.void_leases(session)
            _miss(session, now)
        self._set_back = True
        return reason

    def _born(self, session: Session, here: Server, now: datetime) -> bool:
        """Begin an installation, unless another process does at this moment.

        The file comes first: who sees the row finds the file there.
        """
        sign = _insert(session, here, now)
        if sign is None:
            return False
        self._keep(sign)
        return True

    def _kept_meanwhile(self) -> Sign | None:
        """What another process of this host has written since: it may be ahead of our row."""
        kept = _read(self._path)
        return None if kept is None else replace(kept, counter=0)

    def _newcomer(self, session: Session, row: InstanceGuardRow) -> tuple[str, str]:
        """Judge a host without a file: an alarm, or what it waits for, or neither: it belongs here.

        A copy brings the heartbeats of the original along, for a minute; so what counts is that
        the others' go on.
        """
        since = database_now(session) - timedelta(seconds=ALIVE)
        others = select(WorkerRow.id).where(
            WorkerRow.id != self._worker,
            WorkerRow.stopped_at.is_(None),
            WorkerRow.heartbeat_at > since,
        )
        alarm = (
            "This host has never worked with this database, and nobody else does now: is it a "
            "restored or copied one?"
        )
        if session.scalar(others.limit(1)) is None:
            return alarm, ""
        if self._met is None:
            self._met = (row.counter, time.monotonic())
        counted, since_when = self._met
        if row.counter > counted:
            return "", ""
        if time.monotonic() - since_when > ALIVE:
            return alarm, ""
        return "", "This host is new to this database; it waits for a sign of life of another one"

    def _unfit(self, here: Server) -> str:
        if here.standby:
            return "The database is a standby; a worker belongs to the primary"
        if not here.durable:
            why = "PostgreSQL runs with fsync=off: a crash could lose what was sent"
            if self._durable:
                return f"{why}. Set fsync=on"
            self._warn(why)
        if not here.at_once:
            self._warn("PostgreSQL runs with synchronous_commit=off: its crash loses commits")
        return ""

    def _skewed(self, session: Session, now: datetime) -> str:
        if self._database.is_sqlite:  # the same clock; and it may have waited for a writer
            return ""
        skew = abs((database_now(session) - now).total_seconds())
        if skew > SKEW:
            return f"This host's clock and the database's are {skew:,.0f} seconds apart"
        if skew > SKEW_WARNED:
            self._warn("this host's clock and the database's are apart")
        return ""

    def _keep(self, sign: Sign) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        hold.replace(self._path, json.dumps(asdict(sign)) + "\n")

    def _warn(self, why: str) -> None:
        if why not in self._warned:
            self._warned.add(why)
            _log.warning(why)


def is_foreign(session: Session, directory: Path) -> bool:
    """Whether a data directory is another installation's, so that its journals speak of others.

    The same numbers are other campaigns and people there: what they say must not be entered here.
    """
    kept, row = _read(directory / FILE), session.get(InstanceGuardRow, _ROW)
    if kept is None or row is None or kept.instance == _DAMAGED:
        return False
    return kept.instance != row.instance


def _mismatch(row: InstanceGuardRow | None, kept: Sign | None, here: Server) -> str:
    """What does not fit, in a sentence; empty where all does."""
    if row is None:
        return "This host has worked with this installation, and the database knows nothing of it."
    if kept is not None and kept.instance != row.instance:
        return "This host's data directory belongs to another installation than the database."
    if kept is not None and kept.counter > row.counter:
        return (
            f"The database is older than what this host saw of it (sign of life {row.counter:,} "
            f"of {row.alive_at:%Y-%m-%d %H:%M} UTC, and here {kept.counter:,}): was it restored?"
        )
    if not row.cluster or not here.cluster or row.cluster == here.cluster:
        return ""
    failed_over = row.cluster.partition(":")[0] == here.cluster.partition(":")[0]
    if failed_over and kept is not None and kept.synchronous:
        return ""  # every commit was on the standby that took over
    what = "Another server took over the database" if failed_over else "It was copied or restored"
    return f"The database runs on another PostgreSQL than before. {what}: commits may be lost."


def _read(path: Path) -> Sign | None:
    """What this host remembers; a damaged file fits nothing."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Sign(str(kept["instance"]), int(kept["counter"]), bool(kept["synchronous"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return Sign(_DAMAGED, 0)


def _insert(session: Session, here: Server, now: datetime) -> Sign | None:
    """The row of a new installation; None where it is there already."""
    kind = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    sign = Sign(uuid.uuid4().hex, 0, here.synchronous)
    row = kind.insert(InstanceGuardRow).values(
        id=_ROW, instance=sign.instance, counter=0, cluster=here.cluster, alive_at=now
    )
    new = session.scalar(row.on_conflict_do_nothing().returning(InstanceGuardRow.id))
    return None if new is None else sign


def _alive(session: Session, here: Server, now: datetime) -> Sign:
    """Count a sign of life."""
    values = {"counter": InstanceGuardRow.counter + 1, "alive_at": now}
    if here.cluster:
        values["cluster"] = here.cluster
    counted = update(InstanceGuardRow).where(InstanceGuardRow.id == _ROW).values(**values)
    returned = (InstanceGuardRow.instance, InstanceGuardRow.counter)
    row = session.execute(counted.returning(*returned)).one()
    return Sign(row.instance, row.counter, here.synchronous)


def _miss(session: Session, now: datetime) -> None:
    """What was to go out by now may have gone out after the backup was made: a person decides."""
    due = (_campaign.c.state == State.SCHEDULED, _campaign.c.scheduled_for <= now)
    why = "the database was restored; look whether it was sent already, then schedule it anew"
    session.execute(update(_campaign).where(*due).values(state=State.MISSED, reason=why))


def _has_sent(session: Session) -> bool:
    return session.scalar(select(BatchRow.number).limit(1)) is not None


def server(session: Session) -> Server:
    """What PostgreSQL says of itself; nothing to know of SQLite."""
    if session.get_bind().dialect.name != "postgresql":
        return Server()
    try:
        with session.begin_nested():
            system = session.scalar(text("SELECT system_identifier::text FROM pg_control_system()"))
    except DBAPIError:  # the function is not for everybody everywhere
        system = None
    row = session.execute(
        text(
            "SELECT pg_is_in_recovery(),"
            " CASE WHEN pg_is_in_recovery() THEN ''"
            " ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,"
            " current_setting('fsync'), current_setting('synchronous_commit'),"
            " current_setting('synchronous_standby_names')"
        )
    ).one()
    standby, timeline, fsync, commit, names = row
    return Server(
        cluster=f"{system}:{timeline}" if system and timeline else "",
        standby=standby,
        durable=fsync == "on",
        at_once=commit != "off",
        synchronous=bool(names) and commit in {"on", "remote_apply"},
    )
