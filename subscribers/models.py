"""Tables of the people: `subscriber`, `segment`, `follow`, `consent`, `wording`, `suppression`.

`subscriber.state` holds only what the person did (pending, confirmed, unsubscribed, erased).
Bounced, complained and suppressed are read off an active `suppression`, so the two never disagree
and a suppression wins over whatever is stored about the person.

`consent` and `wording` are insert-only: a trigger refuses UPDATE and DELETE.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import DDL, JSON, ForeignKey, Index, Text, event, func, text
from sqlalchemy.orm import Mapped, mapped_column

from mailer.kit.database import Base, Moment

# On PostgreSQL the collation "C": lower() then touches ASCII only, like Python's and SQLite's here,
# and one index serves equality and prefixes.
_ADDRESS = Text().with_variant(Text(collation="C"), "postgresql")


class SubscriberRow(Base):
    """`subscriber`: a person at one address; erasure empties the address and keeps the row."""

    __tablename__ = "subscriber"

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str | None] = mapped_column(_ADDRESS)  # as written to the wire
    address_key: Mapped[str] = mapped_column(Text, unique=True)  # keyed hash, 32 hex digits
    domain: Mapped[str] = mapped_column(Text)  # A-labels, lower case
    name: Mapped[str] = mapped_column(Text, default="", server_default="")
    language: Mapped[str] = mapped_column(Text, default="", server_default="")  # BCP 47; "" unknown
    timezone: Mapped[str] = mapped_column(Text, default="", server_default="")  # "" unknown
    state: Mapped[str] = mapped_column(Text)  # pending confirmed unsubscribed erased
    tracking: Mapped[int] = mapped_column(default=3, server_default="3")  # bits: 1 opens, 2 clicks
    fields: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict, server_default="{}")
    created_at: Mapped[datetime] = mapped_column(Moment)
    confirmed_at: Mapped[datetime | None] = mapped_column(Moment)
    updated_at: Mapped[datetime] = mapped_column(Moment)

    __table_args__ = (Index("uq_subscriber_lower_address", func.lower(address), unique=True),)


class SegmentRow(Base):
    """`segment`: a named set of subscribers: those who follow it, or those a rule finds."""

    __tablename__ = "segment"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)  # in English, or the only one
    names: Mapped[dict[str, str]] = mapped_column(JSON, default=dict, server_default="{}")
    description: Mapped[str] = mapped_column(Text, default="", server_default="")
    color: Mapped[str] = mapped_column(Text, default="", server_default="")  # "#rrggbb"
    position: Mapped[int] = mapped_column(default=0, server_default="0")
    rule: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # NULL: people follow it
    archived_at: Mapped[datetime | None] = mapped_column(Moment)


class FollowRow(Base):
    """`follow`: one subscriber follows one segment."""

    __tablename__ = "follow"
    __table_args__ = (
        Index("ix_follow_segment", "segment_id", "subscriber_id"),
        {"sqlite_with_rowid": False},  # stored in the order candidates() groups by
    )

    subscriber_id: Mapped[int] = mapped_column(ForeignKey("subscriber.id"), primary_key=True)
    segment_id: Mapped[int] = mapped_column(ForeignKey("segment.id"), primary_key=True)
    since: Mapped[datetime] = mapped_column(Moment)


class WordingRow(Base):
    """`wording`: the words people agreed to, stored once, by their hash."""

    __tablename__ = "wording"

    sha256: Mapped[str] = mapped_column(Text, primary_key=True)
    text: Mapped[str] = mapped_column(Text)


class ConsentRow(Base):
    """`consent`: one act of agreeing or withdrawing; names the person by id only."""

    __tablename__ = "consent"
    __table_args__ = (Index("ix_consent_subscriber", "subscriber_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(ForeignKey("subscriber.id"))
    act: Mapped[str] = mapped_column(Text)  # consent.Act
    segments: Mapped[str] = mapped_column(Text, default="")  # keys, separated by spaces
    wording: Mapped[str | None] = mapped_column(ForeignKey("wording.sha256"))
    source: Mapped[str] = mapped_column(Text)  # the form, link, file or command
    actor: Mapped[str] = mapped_column(Text, default="")  # "" is the person; else who did it
    evidence: Mapped[str] = mapped_column(Text, default="")
    at: Mapped[datetime] = mapped_column(Moment)


class SuppressionRow(Base):
    """`suppression`: an address that must not be mailed; active while `lifted_at` is empty."""

    __tablename__ = "suppression"
    __table_args__ = (
        Index(  # at most one active, so that joining it never doubles a person
            "uq_suppression_active",
            "address_key",
            unique=True,
            sqlite_where=text("lifted_at IS NULL"),
            postgresql_where=text("lifted_at IS NULL"),
        ),
        Index("ix_suppression_address", "address_key", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    address_key: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)  # suppression.Reason
    scope: Mapped[str] = mapped_column(Text, default="all")  # suppression.Scope
    evidence: Mapped[str] = mapped_column(Text, default="")
    at: Mapped[datetime] = mapped_column(Moment)
    lifted_at: Mapped[datetime | None] = mapped_column(Moment)
    lifted_reason: Mapped[str] = mapped_column(Text, default="")


def _insert_only(name: str) -> tuple[tuple[str, str], ...]:
    """Make a table refuse UPDATE and DELETE: the statements, each with its dialect."""
    sqlite = tuple(
        (
            "sqlite",
            (
                f"CREATE TRIGGER {name}_refuses_{verb.lower()} BEFORE {verb} ON {name} "
                f"BEGIN SELECT RAISE(ABORT, '{name} is insert-only'); END"
            ),
        )
        for verb in ("UPDATE", "DELETE")
    )
    function = (
        f"CREATE OR REPLACE FUNCTION {name}_is_insert_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{name} is insert-only'; END $$"
    )
    trigger = (
        f"CREATE TRIGGER {name}_is_insert_only BEFORE UPDATE OR DELETE ON {name} "
        f"FOR EACH ROW EXECUTE FUNCTION {name}_is_insert_only()"
    )
    return (*sqlite, ("postgresql", function), ("postgresql", trigger))


INSERT_ONLY = {name: _insert_only(name) for name in ("consent", "wording")}
"""Table -> (dialect, statement): run by create_all, and for migrations to run by hand."""


def _install() -> None:
    for name, statements in INSERT_ONLY.items():
        table = Base.metadata.tables[name]
        for dialect, statement in statements:
            ddl = DDL(statement)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
            event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


_install()
