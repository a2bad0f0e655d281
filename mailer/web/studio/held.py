"""What keeps letters from leaving, in the words of the studio's pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy.orm import Session

from mailer.campaigns.campaign import Campaign, State
from mailer.delivery import brakes, trouble
from mailer.delivery.brakes import RESTORE, Brake, Seen
from mailer.delivery.hold import hold_file
from mailer.delivery.trouble import LaneProgress, Wait

_ON_THE_WAY = frozenset({State.SENDING, State.PAUSED})


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing leaves at all."""

    reason: str
    since: datetime | None  # None: the file HOLD of this host says so
    lifted_by: str  # a command


@dataclass(frozen=True, slots=True)
class Held:
    """What holds one campaign up."""

    hold: Hold | None = None
    brakes: tuple[Brake, ...] = ()  # of relays and lanes it has letters for
    canary: bool = False  # the rest waits for how the first letters fare
    waits: tuple[Wait, ...] = ()  # people whose letters leave later, and why


def hold(session: Session, directory: Path) -> Hold | None:
    """Why nothing leaves, or None."""
    return _hold(brakes.seen(session), directory)


def held(
    session: Session,
    campaign: Campaign,
    lanes: Sequence[LaneProgress],
    directory: Path,
    *,
    now: datetime,
) -> Held:
    """What holds a campaign up; a campaign that is not on its way waits for nothing else."""
    seen = brakes.seen(session)
    everything = _hold(seen, directory)
    if campaign.state not in _ON_THE_WAY:
        return Held(everything)
    waiting = {lane.lane for lane in lanes if lane.settled < lane.audience}
    held_up = tuple(
        brake
        for brake in seen.on
        if waiting and (brake.scope == "relay" or (brake.scope == "lane" and brake.name in waiting))
    )
    tried = bool(campaign.canary_size) and campaign.canary_passed_at is None
    later = trouble.waits(session, campaign.id, now=now) if waiting else ()
    return Held(everything, held_up, canary=tried and bool(waiting), waits=later)


def _hold(seen: Seen, directory: Path) -> Hold | None:
    brake, file = seen.hold, hold_file(directory)
    if brake is not None:
        after = " --after-restore" if brake.cause == RESTORE else ""
        return Hold(brake.reason, brake.on_at, f"dibao go{after}")
    return None if file is None else Hold(file, None, "dibao go")
