"""What the tables know about campaigns and their editions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import Campaign, CampaignId, EditionId, Mode, State
from mailer.campaigns.models import CampaignRow, EditionRow
from mailer.content import queries as content
from mailer.content.issue import Issue, IssueId
from mailer.kit.errors import NotFound


class CampaignNotFound(NotFound):
    """There is no such campaign."""


class EditionNotFound(NotFound):
    """There is no such edition."""


@dataclass(frozen=True, slots=True)
class StoredEdition:
    """A frozen edition with the set of segments it is for."""

    id: EditionId
    campaign: CampaignId
    mask: int
    segments: tuple[str, ...]
    tracking: int
    artifact: str  # `rendering.edition.loads` reads it
    sha256: str
    html_bytes: int
    text_bytes: int


def campaign(session: Session, identity: CampaignId) -> Campaign:
    """One campaign. Raises CampaignNotFound."""
    row = session.get(CampaignRow, identity, populate_existing=True)
    if row is None:
        raise CampaignNotFound(f"There is no campaign {identity}; `dibao campaign list` shows all")
    return _value(row)


def issue(session: Session, campaign: Campaign, *, now: datetime) -> Issue:
    """What the campaign sends: its revision, without what is under embargo or expired.

    The day that counts is the one it was launched on (UTC), or today's before that.
    """
    written = content.revision(session, campaign.issue, campaign.issue_revision)
    return written.on((campaign.started_at or now).astimezone(UTC).date())


def campaigns(session: Session, *, states: Sequence[State] = ()) -> tuple[Campaign, ...]:
    """All campaigns, or those in the given states, newest first."""
    rows = select(CampaignRow).order_by(CampaignRow.id.desc())
    if states:
        rows = rows.where(CampaignRow.state.in_(states))
    return tuple(_value(row) for row in session.scalars(rows))


def due(session: Session, now: datetime) -> tuple[CampaignId, ...]:
    """Campaigns whose time has come, and those whose preparation was interrupted."""
    scheduled = (CampaignRow.state == State.SCHEDULED) & (CampaignRow.scheduled_for <= now)
    rows = select(CampaignRow.id).where(scheduled | (CampaignRow.state == State.PREPARING))
    return tuple(
        CampaignId(identity) for identity in session.scalars(rows.order_by(CampaignRow.id))
    )


def sending(session: Session) -> tuple[CampaignId, ...]:
    """Campaigns that are on their way."""
    rows = select(CampaignRow.id).where(CampaignRow.state == State.SENDING)
    return tuple(
        CampaignId(identity) for identity in session.scalars(rows.order_by(CampaignRow.id))
    )


def stop_epoch(session: Session, identity: CampaignId) -> int | None:
    """The campaign's stop epoch while it is sending, else None: what a worker polls."""
    found = session.scalar(
        select(CampaignRow.stop_epoch).where(
            CampaignRow.id == identity, CampaignRow.state == State.SENDING
        )
    )
    return None if found is None else int(found)


def edition(session: Session, identity: EditionId) -> StoredEdition:
    """One edition with its artifact. Raises EditionNotFound."""
    row = session.get(EditionRow, identity)
    if row is None:
        raise EditionNotFound(f"There is no edition {identity}")
    return _edition(row)


def editions(session: Session, identity: CampaignId) -> tuple[StoredEdition, ...]:
    """A campaign's editions, by set of segments."""
    rows = select(EditionRow).where(EditionRow.campaign_id == identity)
    return tuple(
        _edition(r) for r in session.scalars(rows.order_by(EditionRow.mask, EditionRow.id))
    )


def _edition(row: EditionRow) -> StoredEdition:
    return StoredEdition(
        id=EditionId(row.id),
        campaign=CampaignId(row.campaign_id),
        mask=row.mask,
        segments=tuple(row.segments),
        tracking=row.tracking,
        artifact=row.artifact,
        sha256=row.sha256,
        html_bytes=row.html_bytes,
        text_bytes=row.text_bytes,
    )


def _value(row: CampaignRow) -> Campaign:
    return Campaign(
        id=CampaignId(row.id),
        name=row.name,
        issue=IssueId(row.issue_id),
        issue_revision=row.issue_revision,
        issue_hash=row.issue_hash,
        mode=Mode(row.mode),
        segments=tuple(row.segments),
        state=State(row.state),
        subject=row.subject,
        preheader=row.preheader,
        from_name=row.from_name,
        from_address=row.from_address,
        reply_to=row.reply_to,
        tracking=row.tracking,
        scheduled_for=row.scheduled_for,
        send_not_after=row.send_not_after,
        frozen_at=row.frozen_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        reason=row.reason,
        stop_epoch=row.stop_epoch,
        candidate_count=row.candidate_count,
        excluded_count=row.excluded_count,
        audience_count=row.audience_count,
        uncertain_count=row.uncertain_count,
        created_at=row.created_at,
        excluded_segments=tuple(row.excluded_segments),
        send_window=row.send_window,
        canary_size=row.canary_size,
        canary_started=row.canary_started,
        canary_passed_at=row.canary_passed_at,
    )
