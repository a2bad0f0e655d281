"""Tables of the notices: `wish`, `notice`, `asking`.

None has a foreign key: a person may be removed and the bound on letters to their address has to
stay, or whoever fills in forms in their name could begin again.
"""

from datetime import datetime

from sqlalchemy import Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from mailer.kit.database import Base, Moment


class WishRow(Base):
    """`wish`: an address entered in the form and not yet looked at; gone within seconds."""

    __tablename__ = "wish"

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(Text)
    address_key: Mapped[str] = mapped_column(Text, index=True)
    budget_key: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text, default="")
    language: Mapped[str] = mapped_column(Text, default="")
    segments: Mapped[str] = mapped_column(Text)  # keys, separated by spaces
    tracking: Mapped[int] = mapped_column(default=0)
    wording: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    network: Mapped[str] = mapped_column(Text, default="")
    at: Mapped[datetime] = mapped_column(Moment)


class AskingRow(Base):
    """`asking`: how many letters a mailbox got that nobody has shown to be theirs, and when last.

    Known by a keyed hash only, and kept for ever: "three in all" has no other witness.
    """

    __tablename__ = "asking"

    budget_key: Mapped[str] = mapped_column(Text, primary_key=True)
    letters: Mapped[int] = mapped_column(default=0)  # since its owner last confirmed
    last_at: Mapped[datetime | None] = mapped_column(Moment)


class NoticeRow(Base):
    """`notice`: one of our own letters; open while `outcome` is empty."""

    __tablename__ = "notice"
    __table_args__ = (
        Index(
            "ix_notice_due",
            "not_before",
            sqlite_where=text("outcome = ''"),
            postgresql_where=text("outcome = ''"),
        ),
        Index("ix_notice_budget", "budget_key"),
        Index("ix_notice_subscriber", "subscriber_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)  # notice.Kind
    subscriber_id: Mapped[int]
    address_key: Mapped[str] = mapped_column(Text)  # an id may be another person's later
    budget_key: Mapped[str] = mapped_column(Text)
    language: Mapped[str] = mapped_column(Text, default="")
    tracking: Mapped[int | None]  # consented to with the wish; counts once confirmed
    created_at: Mapped[datetime] = mapped_column(Moment)
    not_before: Mapped[datetime] = mapped_column(Moment)
    attempt: Mapped[int] = mapped_column(default=0)  # tries so far
    first_tried: Mapped[datetime | None] = mapped_column(Moment)
    doubtful: Mapped[bool] = mapped_column(default=False)  # `doubts`, as the first schema knew it
    doubts: Mapped[int] = mapped_column(default=0, server_default="0")  # tries without an end
    epoch: Mapped[int] = mapped_column(default=0)  # count of leases
    leased_until: Mapped[datetime | None] = mapped_column(Moment)  # by the database's clock
    sent_at: Mapped[datetime | None] = mapped_column(Moment)  # when it was settled
    outcome: Mapped[str] = mapped_column(Text, default="")  # notice.Outcome
    code: Mapped[int | None]
    enhanced: Mapped[str] = mapped_column(Text, default="")
    reply: Mapped[str] = mapped_column(Text, default="")  # every address cut out
    answered_at: Mapped[datetime | None] = mapped_column(Moment)  # its link was used
