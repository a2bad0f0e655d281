"""Tables of the campaigns: `campaign`, `edition`.

A trigger lets a campaign move along the arrows of `campaign.MOVES` only.
"""

from datetime import datetime

from sqlalchemy import DDL, JSON, ForeignKey, Text, UniqueConstraint, event
from sqlalchemy.orm import Mapped, mapped_column

from mailer.campaigns.campaign import MOVES
from mailer.kit.database import Base, Moment


class CampaignRow(Base):
    """`campaign`: a state machine."""

    __tablename__ = "campaign"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    issue_id: Mapped[int] = mapped_column(ForeignKey("issue.id"))
    issue_revision: Mapped[int]
    issue_hash: Mapped[str] = mapped_column(Text)
    mode: Mapped[str] = mapped_column(Text)
    segments: Mapped[list[str]] = mapped_column(JSON)
    excluded_segments: Mapped[list[str]] = mapped_column(JSON, default=list, server_default="[]")
    state: Mapped[str] = mapped_column(Text, index=True)
    subject: Mapped[str] = mapped_column(Text)
    preheader: Mapped[str] = mapped_column(Text, default="")
    from_name: Mapped[str] = mapped_column(Text)
    from_address: Mapped[str] = mapped_column(Text)
    reply_to: Mapped[str] = mapped_column(Text, default="")
    tracking: Mapped[int] = mapped_column(default=3)
    scheduled_for: Mapped[datetime | None] = mapped_column(Moment)
    send_not_after: Mapped[datetime | None] = mapped_column(Moment)
    frozen_at: Mapped[datetime | None] = mapped_column(Moment)
    started_at: Mapped[datetime | None] = mapped_column(Moment)
    finished_at: Mapped[datetime | None] = mapped_column(Moment)
    reason: Mapped[str] = mapped_column(Text, default="")
    stop_epoch: Mapped[int] = mapped_column(default=0)
    candidate_count: Mapped[int] = mapped_column(default=0)
    excluded_count: Mapped[int] = mapped_column(default=0)
    audience_count: Mapped[int] = mapped_column(default=0)
    uncertain_count: Mapped[int] = mapped_column(default=0)
    send_window: Mapped[str] = mapped_column(Text, default="", server_default="")
    canary_size: Mapped[int] = mapped_column(default=0, server_default="0")
    canary_started: Mapped[int] = mapped_column(default=0, server_default="0")
    canary_passed_at: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment)


class EditionRow(Base):
    """`edition`: a frozen artifact, one per campaign, set of segments and tracking level."""

    __tablename__ = "edition"
    __table_args__ = (UniqueConstraint("campaign_id", "mask", "tracking"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), index=True)
    mask: Mapped[int]  # bit n: segment n of the campaign
    segments: Mapped[list[str]] = mapped_column(JSON)
    tracking: Mapped[int]
    artifact: Mapped[str] = mapped_column(Text)  # rendering.edition.Edition as JSON
    sha256: Mapped[str] = mapped_column(Text)
    html_bytes: Mapped[int]
    text_bytes: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(Moment)


_ARROWS = ", ".join(f"'{here}>{there}'" for here, moves in MOVES.items() for there in sorted(moves))
_OFF_THE_ARROWS = f"NEW.state <> OLD.state AND OLD.state || '>' || NEW.state NOT IN ({_ARROWS})"
_REFUSAL = "not a move of a campaign"

STATEMENTS: tuple[tuple[str, str], ...] = (
    (
        "sqlite",
        (
            "CREATE TRIGGER campaign_moves BEFORE UPDATE OF state ON campaign "
            f"WHEN {_OFF_THE_ARROWS} "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION campaign_moves() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF {_OFF_THE_ARROWS} THEN RAISE EXCEPTION '{_REFUSAL}'; END IF; "
            "RETURN NEW; END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER campaign_moves BEFORE UPDATE OF state ON campaign "
            "FOR EACH ROW EXECUTE FUNCTION campaign_moves()"
        ),
    ),
)
"""(dialect, statement) in order; run by create_all, and by the migration."""

for _dialect, _statement in STATEMENTS:
    _ddl = DDL(_statement)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    event.listen(CampaignRow.__table__, "after_create", _ddl.execute_if(dialect=_dialect))
