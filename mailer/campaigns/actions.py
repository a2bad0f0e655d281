"""What a person or a timer can ask of a campaign: each move is one guarded UPDATE."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from mailer.campaigns import queries
from mailer.campaigns.campaign import (
    CampaignAlreadyLaunched,
    CampaignId,
    CampaignNotPaused,
    CampaignNotSending,
    CampaignOver,
    EditionId,
    Mode,
    State,
    Tracking,
)
from mailer.campaigns.models import CampaignRow, EditionRow
from mailer.content import queries as content
from mailer.content.actions import IssueNotApproved
from mailer.content.issue import IssueId
from mailer.kit.errors import Conflict, Invalid
from subscribers.segment import MAX_SEGMENTS

TOO_LATE = timedelta(hours=2)
"""A scheduled start this long past is missed: after a restore or a long stop a person decides."""


class ScheduleInvalid(Invalid):
    """A campaign is scheduled for a moment in the future, with a time zone."""


class NoSegments(Invalid):
    """A campaign needs segments: name some, or let the issue's items do (dibao issue suggest)."""


class SegmentExcluded(Invalid):
    """A segment is mailed or left out, not both."""


class CampaignNotPreparing(Conflict):
    """The campaign is not being prepared."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a campaign is from."""

    name: str
    address: str
    reply_to: str = ""


def create(
    session: Session,
    issue: IssueId,
    *,
    segments: tuple[str, ...],
    sender: Sender,
    now: datetime,
    mode: Mode = Mode.MERGED,
    tracking: int = Tracking.ALL,
    excluded_segments: tuple[str, ...] = (),
    send_window: str = "",
) -> tuple[CampaignId, ...]:
    """Draft what will carry an approved issue: one campaign, or one per segment; their ids.

    Each fixes the issue's approved revision and hash, so later edits change nothing. Who is in one
    of the excluded segments gets none of them. `send_window` is a delivery.windows.Window as text,
    by each recipient's clock. Raises IssueNotApproved, NoSegments, or SegmentExcluded for a
    segment that is both.
    """
    stored = content.issue(session, issue)
    if stored.state != "approved":
        raise IssueNotApproved(
            f"Issue {stored.slug!r} is not approved; `dibao issue approve {issue}` does it"
        )
    if not segments:
        raise NoSegments
    if both := set(segments) & set(excluded_segments):
        raise SegmentExcluded(f"To be mailed and left out at once: {', '.join(sorted(both))}.")
    if len(excluded_segments) > MAX_SEGMENTS:
        raise SegmentExcluded(f"At most {MAX_SEGMENTS} segments can be left out.")
    sets = [segments] if mode is Mode.MERGED else [(key,) for key in segments]
    created = []
    for keys in sets:
        name = stored.issue.title if mode is Mode.MERGED else f"{stored.issue.title} ({keys[0]})"
        row = CampaignRow(
            name=name,
            issue_id=issue,
            issue_revision=stored.revision,
            issue_hash=stored.hash,
            mode=mode,
            segments=list(keys),
            excluded_segments=list(dict.fromkeys(excluded_segments)),
            state=State.DRAFT,
            subject=stored.issue.subject or stored.issue.title,
            preheader=stored.issue.preheader,
            from_name=sender.name,
            from_address=sender.address,
            reply_to=sender.reply_to,
            tracking=tracking,
            send_window=send_window,
            created_at=now,
        )
        session.add(row)
        session.flush()
        created.append(CampaignId(row.id))
    return tuple(created)


def schedule(session: Session, campaign: CampaignId, at: datetime, *, now: datetime) -> None:
    """Send it at that moment. Raises ScheduleInvalid or CampaignAlreadyLaunched."""
    if at.tzinfo is None or at <= now:
        raise ScheduleInvalid
    moved = _move(
        session,
        campaign,
        (State.DRAFT, State.SCHEDULED, State.MISSED),
        state=State.SCHEDULED,
        scheduled_for=at,
        send_not_after=at + TOO_LATE,
        reason="",
    )
    if not moved:
        raise CampaignAlreadyLaunched


def launch(session: Session, campaign: CampaignId, *, now: datetime) -> None:
    """Prepare it now; from here on it can only be paused or cancelled.

    Asking twice starts it once: the second raises CampaignAlreadyLaunched.
    """
    waiting = (State.DRAFT, State.SCHEDULED, State.MISSED)
    if not _move(session, campaign, waiting, state=State.PREPARING, started_at=now, reason=""):
        raise CampaignAlreadyLaunched


def miss(session: Session, campaign: CampaignId, *, now: datetime) -> bool:
    """Mark a scheduled campaign whose time has long passed; whether it was one."""
    late = (CampaignRow.send_not_after < now,)
    why = "its time passed while nothing was running; schedule it anew or send it now"
    return _move(session, campaign, (State.SCHEDULED,), *late, state=State.MISSED, reason=why)


def add_edition(
    session: Session,
    campaign: CampaignId,
    *,
    mask: int,
    segments: tuple[str, ...],
    tracking: int,
    artifact: str,
    sha256: str,
    sizes: tuple[int, int],
    now: datetime,
) -> EditionId:
    """Keep the edition for one set of segments; `sizes` are bytes of HTML and of text."""
    row = {
        "campaign_id": campaign,
        "mask": mask,
        "segments": list(segments),
        "tracking": tracking,
        "artifact": artifact,
        "sha256": sha256,
        "html_bytes": sizes[0],
        "text_bytes": sizes[1],
        "created_at": now,
    }
    return EditionId(session.scalars(insert(EditionRow).returning(EditionRow.id), [row]).one())


def start(
    session: Session,
    campaign: CampaignId,
    *,
    candidates: int,
    excluded: int,
    audience: int,
    now: datetime,
    canary: int = 0,
) -> None:
    """The audience is frozen, its sums hold: send. Raises CampaignNotPreparing.

    `canary`: so many go first, the rest waits for how they fare; 0 is none.
    """
    if candidates != excluded + audience:
        raise ValueError(f"{candidates} candidates are not {excluded} excluded + {audience}")
    moved = _move(
        session,
        campaign,
        (State.PREPARING,),
        state=State.SENDING,
        frozen_at=now,
        candidate_count=candidates,
        excluded_count=excluded,
        audience_count=audience,
        canary_size=canary,
    )
    if not moved:
        raise CampaignNotPreparing


def claim(session: Session, campaign: CampaignId) -> bool:
    """Hold a campaign that is being prepared until the transaction ends; whether it still is."""
    return _move(session, campaign, (State.PREPARING,), state=State.PREPARING)


def hand_back(session: Session, campaign: CampaignId, *, reason: str) -> bool:
    """Return a campaign that cannot be prepared to its draft, saying why; whether it was one."""
    values = {"state": State.DRAFT, "scheduled_for": None, "started_at": None, "reason": reason}
    return _move(session, campaign, (State.PREPARING,), **values)


def pause(session: Session, campaign: CampaignId, *, reason: str = "by hand") -> None:
    """Hand out no more batches; each connection stops after the message it is in.

    Raises CampaignNotSending if somebody paused, cancelled or finished it first.
    """
    moved = _move(
        session,
        campaign,
        (State.SENDING,),
        state=State.PAUSED,
        reason=reason,
        stop_epoch=CampaignRow.stop_epoch + 1,
    )
    if not moved:
        raise CampaignNotSending


def resume(session: Session, campaign: CampaignId) -> None:
    """Go on where it paused. Raises CampaignNotPaused."""
    if not _move(session, campaign, (State.PAUSED,), state=State.SENDING, reason=""):
        raise CampaignNotPaused


def cancel(session: Session, campaign: CampaignId, *, now: datetime, reason: str = "") -> None:
    """Send nothing more, for good; what was sent stays sent. Raises CampaignOver.

    The caller settles the people still open (`delivery.actions.skip_open`) in the same
    transaction.
    """
    open_states = tuple(s for s in State if s not in {State.FINISHED, State.CANCELLED})
    moved = _move(
        session,
        campaign,
        open_states,
        state=State.CANCELLED,
        reason=reason,
        finished_at=now,
        stop_epoch=CampaignRow.stop_epoch + 1,
    )
    if not moved:
        raise CampaignOver


def finish(session: Session, campaign: CampaignId, *, uncertain: int, now: datetime) -> bool:
    """Close a campaign whose sum holds; False where it is not sending (any more)."""
    values = {"state": State.FINISHED, "finished_at": now, "uncertain_count": uncertain}
    return _move(session, campaign, (State.SENDING,), **values)


def recount(session: Session, campaign: CampaignId, *, uncertain: int) -> None:
    """Keep the count of uncertain letters of a finished campaign; nothing for one that is not."""
    over = update(CampaignRow).where(CampaignRow.id == campaign)
    finished = over.where(CampaignRow.state == State.FINISHED)
    session.execute(finished.values(uncertain_count=uncertain))


def _move(
    session: Session,
    campaign: CampaignId,
    came_from: tuple[State, ...],
    *also: Any,
    **values: Any,
) -> bool:
    """Whether the campaign was in one of the states and now has the values."""
    guarded = update(CampaignRow).where(CampaignRow.id == campaign, *also)
    moved = guarded.where(CampaignRow.state.in_(came_from)).values(**values)
    if session.scalar(moved.returning(CampaignRow.id)) is not None:
        return True
    queries.campaign(session, campaign)  # a campaign that is not there says so
    return False
