"""Tables of the tracking: `event`, `event_review`, `recent_hit`.

`event` and `event_review` take new rows and never change: a trigger refuses UPDATE. Rows may be
deleted, for retention and erasure. They hold ids, never an address, a network or a User-Agent.
"""

from datetime import datetime

from sqlalchemy import DDL, ForeignKey, Index, Text, event
from sqlalchemy.orm import Mapped, mapped_column

from mailer.kit.database import Base, Moment


class EventRow(Base):
    """`event`: one thing that came back from one recipient of one campaign."""

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_recipient", "campaign_id", "subscriber_id"),
        Index("ix_event_subscriber", "subscriber_id"),  # what is known of one person
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    hit_id: Mapped[str] = mapped_column(Text, unique=True)  # loading a hit twice adds nothing
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"))
    subscriber_id: Mapped[int] = mapped_column(ForeignKey("subscriber.id"))
    kind: Mapped[str] = mapped_column(Text)  # open, click, unsubscribe
    at: Mapped[datetime] = mapped_column(Moment)
    verdict: Mapped[str] = mapped_column(Text)  # as first judged: see event_review
    reason: Mapped[str] = mapped_column(Text, default="", server_default="")
    link: Mapped[int] = mapped_column(default=0, server_default="0")  # number in the edition
    item: Mapped[str] = mapped_column(Text, default="", server_default="")  # Item.id
    slot: Mapped[str] = mapped_column(Text, default="", server_default="")
    target: Mapped[str] = mapped_column(Text, default="", server_default="")  # clicks' link_key
    segments: Mapped[str] = mapped_column(Text, default="", server_default="")  # of an unsubscribe
    agent: Mapped[str] = mapped_column(Text, default="", server_default="")  # agents.Kind
    family: Mapped[str] = mapped_column(Text, default="", server_default="")  # "Firefox"
    tracked: Mapped[bool]  # rests on consent to tracking; an unsubscribe does not


class EventReviewRow(Base):
    """`event_review`: what later hits taught about an earlier one; the last counts."""

    __tablename__ = "event_review"

    event_id: Mapped[int] = mapped_column(ForeignKey("event.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)  # from 1
    verdict: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)


class RecentHitRow(Base):
    """`recent_hit`: hits of the last minutes with what they are judged by, then forgotten.

    The one place where a network's name is stored: keyed, of one day and of one domain's readers
    there (judging.crowd), for some fifteen minutes.
    """

    __tablename__ = "recent_hit"
    __table_args__ = (Index("ix_recent_hit_network", "network"),)

    event_id: Mapped[int] = mapped_column(ForeignKey("event.id"), primary_key=True)
    loaded_at: Mapped[datetime] = mapped_column(Moment, index=True)  # by the database's clock
    campaign_id: Mapped[int]
    subscriber_id: Mapped[int] = mapped_column(index=True)
    network: Mapped[str] = mapped_column(Text)
    head: Mapped[bool]
    prefetch: Mapped[bool]
    waiting: Mapped[bool]  # for the letter's acceptance, which had not been recorded yet


UNCHANGING = ("event", "event_review")


def refuse_changes(table: str) -> tuple[tuple[str, str], ...]:
    """The statements that make a table refuse UPDATE, each with its database."""
    refusal = f"{table} never changes"
    trigger = f"CREATE TRIGGER {table}_keeps_values BEFORE UPDATE ON {table}"
    function = (
        f"CREATE OR REPLACE FUNCTION {table}_keeps_values() RETURNS trigger LANGUAGE plpgsql "
        f"AS $$ BEGIN RAISE EXCEPTION '{refusal}'; END $$"
    )
    return (
        ("sqlite", f"{trigger} BEGIN SELECT RAISE(ABORT, '{refusal}'); END"),
        ("postgresql", function),
        ("postgresql", f"{trigger} FOR EACH ROW EXECUTE FUNCTION {table}_keeps_values()"),
    )


STATEMENTS = {table: refuse_changes(table) for table in UNCHANGING}
"""Table -> (dialect, statement) in order; run by create_all, and for migrations to run."""


def _install() -> None:
    for name, statements in STATEMENTS.items():
        table = Base.metadata.tables[name]
        for dialect, statement in statements:
            ddl = DDL(statement)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
            event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


_install()
