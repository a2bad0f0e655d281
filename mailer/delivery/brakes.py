"""What is held up now, and why: relays, lanes, campaigns, or everything (a hold).

One row while a brake is on, whoever puts it on again; closed rows stay, as the history. Workers
look twice a second (`seen`, one query). A brake with a time for a probe lets one worker send a
little then: a success takes it off, another failure makes the next rest twice as long. A brake
without one is a person's to take off. A campaign's brake is its pause.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import (
    Integer,
    Text,
    cast,
    column,
    or_,
    select,
    table,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from mailer.campaigns import actions as campaigns
from mailer.campaigns.campaign import CampaignId, CampaignNotSending, State
from mailer.delivery.breakers import Trip, complaint
from mailer.delivery.hold import hold_file
from mailer.delivery.models import BrakeRow
from mailer.delivery.plan import BrakePlan
from mailer.kit.database import Moment
from mailer.kit.errors import Conflict, NotFound

HOLD = ("all", "")
"""Scope and name of the brake that stops everything."""

RESTORE = "restore"
"""Cause of a hold that waits for somebody to look at a restored or copied database."""

LONGEST_REST = 3600.0
"""Seconds between two probes at most."""

PROBE = 60.0
"""Seconds after which another worker may probe, where nothing was heard of the one that won."""

_MOST = (1 << 31) - 1  # a number of a campaign
_campaign = table(
    "campaign", column("id", Integer), column("state", Text), column("canary_passed_at", Moment())
)
_log = structlog.get_logger()


class BrakeNotOn(NotFound):
    """There is no such brake on."""


class RestoreNotAccepted(Conflict):
    """The database was restored or copied; `dibao go --after-restore` lifts this, once read."""


@dataclass(frozen=True, slots=True)
class Brake:
    """One brake, on or, in the history, off."""

    id: int
    scope: str  # all, relay, lane, campaign
    name: str
    cause: str
    reason: str
    actor: str
    on_at: datetime
    probe_at: datetime | None
    trips: int
    probing: bool  # somebody sends a little, to see
    off_at: datetime | None = None
    off_by: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """All brakes that are on."""

    on: tuple[Brake, ...] = ()

    @property
    def hold(self) -> Brake | None:
        """The one that stops everything."""
        return next((b for b in self.on if (b.scope, b.name) == HOLD), None)

    def due(self, now: datetime) -> tuple[Brake, ...]:
        """Brakes that somebody may probe now: whoever `probe` says True to."""
        if self.hold is not None:
            return ()
        return tuple(b for b in self.on if b.probe_at is not None and b.probe_at <= now)


def seen(session: Session) -> Seen:
    """The brakes that are on, in one query; a campaign's while it is paused."""
    resumed = (
        select(_campaign.c.id)
        .where(cast(_campaign.c.id, Text) == BrakeRow.name, _campaign.c.state != State.PAUSED)
        .exists()
    )
    rows = select(BrakeRow).where(
        BrakeRow.off_at.is_(None), or_(BrakeRow.scope != "campaign", ~resumed)
    )
    return Seen(tuple(map(_value, session.scalars(rows.order_by(BrakeRow.id)))))


def history(session: Session, *, limit: int = 100) -> tuple[Brake, ...]:
    """Brakes on and off, the latest first."""
    rows = select(BrakeRow).order_by(BrakeRow.id.desc()).limit(limit)
    return tuple(map(_value, session.scalars(rows)))


def held(session: Session, directory: Path) -> str | None:
    """Why nothing at all may leave this host now, campaigns and notices alike; None: it may."""
    said = hold_file(directory)
    if said is not None:
        return said
    hold = seen(session).hold
    return None if hold is None else hold.reason


def put_on(session: Session, trip: Trip, *, actor: str, now: datetime) -> Brake | None:
    """Put what tripped into force; the brake that is on now. None: nothing has to stop.

    While it is on, saying so again changes nothing, except after a probe: that one has failed, and
    the next rest is twice as long. A campaign is paused; one that is not sending needs nothing.
    """
    if not trip.stops:
        _log.warning("a breaker", scope=trip.scope, name=trip.name, why=trip.reason)
        return None
    if trip.scope == "campaign" and not _paused(session, trip, now):
        return None
    at = None if trip.probe_after is None else now + timedelta(seconds=trip.probe_after)
    values = {
        "scope": trip.scope,
        "name": trip.name,
        "cause": trip.cause,
        "reason": trip.reason,
        "actor": actor,
        "on_at": now,
        "probe_at": at,
        "trips": 1,
        "probing": False,
        "off_by": "",
    }
    new = _insert(session, values)
    row = _row(session, trip.scope, trip.name)
    if row is None:  # taken off this moment
        return None
    if not new:
        _put_on_again(row, trip, now)
        session.flush()
    if new:
        _log.warning("a brake is on", scope=trip.scope, name=trip.name, why=trip.reason)
    return _value(row)


def take_off(session: Session, brake: Brake, *, by: str, now: datetime) -> bool:
    """Take a brake off; False where somebody has already. `by`: what or who did."""
    off = (
        update(BrakeRow)
        .where(BrakeRow.id == brake.id, BrakeRow.off_at.is_(None))
        .values(off_at=now, off_by=by, probing=False)
    )
    return session.scalar(off.returning(BrakeRow.id)) is not None


def probe(session: Session, brake: Brake, now: datetime) -> bool:
    """Whether the caller, alone among all workers, may send a little now to see whether it goes."""
    won = (
        update(BrakeRow)
        .where(BrakeRow.id == brake.id, BrakeRow.off_at.is_(None), BrakeRow.probe_at <= now)
        .values(probing=True, probe_at=now + timedelta(seconds=PROBE))
    )
    return session.scalar(won.returning(BrakeRow.id)) is not None


def release(session: Session, scope: str, name: str, *, by: str, now: datetime) -> Brake:
    """Take a brake off by hand; the brake that was on. Raises BrakeNotOn.

    A campaign goes on. A hold after a restore is not lifted this way: raises RestoreNotAccepted.
    """
    if scope == "campaign" and name.isdecimal() and int(name) <= _MOST:
        was = resume(session, CampaignId(int(name)), by=by, now=now)
    else:
        row = _row(session, scope, name)
        was = None if row is None else _value(row)
        if was is not None and was.cause == RESTORE:
            raise RestoreNotAccepted
        if was is not None:
            take_off(session, was, by=by, now=now)
    if was is None:
        raise BrakeNotOn(f"No brake is on for {scope} {name}".rstrip())
    return was


def resume(session: Session, campaign: CampaignId, *, by: str, now: datetime) -> Brake | None:
    """Let a paused campaign go on; the brake that had paused it. Raises CampaignNotPaused.

    Where its canary had, the rest goes too: who says so has seen how the first letters fared.
    """
    campaigns.resume(session, campaign)  # first, as `put_on` pauses first: no two wait crosswise
    row = _row(session, "campaign", str(campaign))
    if row is None:
        return None
    if row.cause == "canary":
        pass_canary(session, campaign, now=now)
    was = _value(row)
    take_off(session, was, by=by, now=now)
    return was


def pass_canary(session: Session, campaign: CampaignId, *, now: datetime) -> bool:
    """Let the rest of a campaign follow its canary; False where it may already."""
    held = (_campaign.c.id == campaign, _campaign.c.canary_passed_at.is_(None))
    passed = update(_campaign).where(*held).values(canary_passed_at=now)
    return session.scalar(passed.returning(_campaign.c.id)) is not None


def complain(  # the figures and whose limits they meet
    session: Session,
    campaign: CampaignId,
    *,
    complaints: int,
    delivered: int,
    plan: BrakePlan,
    actor: str,
    now: datetime,
) -> Brake | None:
    """Judge how many of a campaign's readers complained so far, and pause it above the limit.

    For whoever counts feedback: call it with the sums after each load. None: it may go on.
    """
    trip = complaint(campaign, complaints, delivered, plan)
    return None if trip is None else put_on(session, trip, actor=actor, now=now)


def _paused(session: Session, trip: Trip, now: datetime) -> bool:
    """Pause a campaign and close a brake of an earlier pause; False: it is not sending."""
    try:
        campaigns.pause(session, CampaignId(int(trip.name)), reason=trip.reason)
    except CampaignNotSending:
        return False
    earlier = _row(session, trip.scope, trip.name)
    if earlier is not None:
        take_off(session, _value(earlier), by="the campaign went on", now=now)
    return True


def _insert(session: Session, values: Mapping[str, Any]) -> bool:
    """Whether this is the first to put the brake on."""
    kind = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    row = kind.insert(BrakeRow).values(**values).on_conflict_do_nothing()
    return session.scalar(row.returning(BrakeRow.id)) is not None


def _put_on_again(row: BrakeRow, trip: Trip, now: datetime) -> None:
    if trip.cause == RESTORE and row.cause != RESTORE:  # the graver reason counts
        row.cause, row.reason = trip.cause, f"{trip.reason} (Before that: {row.reason})"
    if not row.probing:
        return
    row.trips += 1
    row.probing = False
    rest = min(LONGEST_REST, (trip.probe_after or 0) * 2.0 ** min(row.trips - 1, 12))
    row.probe_at = None if trip.probe_after is None else now + timedelta(seconds=rest)
    if row.cause != trip.cause:
        row.cause, row.reason = trip.cause, trip.reason


def _row(session: Session, scope: str, name: str) -> BrakeRow | None:
    rows = select(BrakeRow).where(
        BrakeRow.scope == scope, BrakeRow.name == name, BrakeRow.off_at.is_(None)
    )
    fresh = rows.with_for_update().execution_options(populate_existing=True)
    return session.scalars(fresh).one_or_none()


def _value(row: BrakeRow) -> Brake:
    return Brake(
        id=row.id,
        scope=row.scope,
        name=row.name,
        cause=row.cause,
        reason=row.reason,
        actor=row.actor,
        on_at=row.on_at,
        probe_at=row.probe_at,
        trips=row.trips,
        probing=row.probing,
        off_at=row.off_at,
        off_by=row.off_by,
    )
