"""Tables of the people: who they are, what they follow, agreed to, did, and who is never mailed.

`subscriber.state` holds only what the person did (pending, confirmed, unsubscribed, erased).
Bounced, complained and suppressed are read off an active `suppression`, so the two never disagree
and a suppression wins over whatever is stored about the person.

`consent`, `wording` and `segment_revision` are insert-only: a trigger refuses UPDATE and DELETE.
Another lets `subscriber.state` move along the arrows of `subscriber.MOVES` only.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import DDL, JSON, ForeignKey, Index, Text, event, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from mailer.kit.database import Base, Moment
from subscribers import guards, searchable

# On PostgreSQL the collation "C": lower() then touches ASCII only, like Python's and SQLite's here,
# and one index serves equality and prefixes.
_ADDRESS = Text().with_variant(Text(collation="C"), "postgresql")
_FIELDS = JSON().with_variant(JSONB(), "postgresql")


def _searched(address: Any, name: Any) -> tuple[Index, ...]:
    """The indexes that PostgreSQL searches people by; SQLite's is in `searchable`.

    Trigrams find parts of three characters and more, and beginnings. Names beyond ASCII have an
    index of their characters besides: a Chinese name is two or three of them.
    """
    low = {"address": func.lower(address), "name": func.lower(name)}
    beyond_ascii = tuple(
        Index(
            f"ix_subscriber_{column}_characters",
            func.string_to_array(lowered, text("NULL")),
            postgresql_using="gin",
            postgresql_where=text(f"octet_length({column}) > char_length({column})"),
        )
        for column, lowered in low.items()
    )
    return tuple(
        index.ddl_if(dialect="postgresql")
        for index in (
            Index(
                "ix_subscriber_search",
                *(lowered.label(f"low_{column}") for column, lowered in low.items()),
                postgresql_using="gin",
                postgresql_ops={f"low_{column}": "gin_trgm_ops" for column in low},
            ),
            *beyond_ascii,
            Index(
                "ix_subscriber_fields",
                "fields",
                postgresql_using="gin",
                postgresql_ops={"fields": "jsonb_path_ops"},
            ),
        )
    )


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
    fields: Mapped[dict[str, Any]] = mapped_column(_FIELDS, default=dict, server_default="{}")
    source: Mapped[str] = mapped_column(Text, default="", server_default="")  # how they came first
    frequency: Mapped[str] = mapped_column(Text, default="", server_default="")  # "" every issue
    paused_until: Mapped[datetime | None] = mapped_column(Moment)
    mailed_at: Mapped[datetime | None] = mapped_column(Moment)  # kept where there is a frequency
    mailed_issue: Mapped[int | None]  # the issue of then; other letters of it are no second one
    created_at: Mapped[datetime] = mapped_column(Moment)
    confirmed_at: Mapped[datetime | None] = mapped_column(Moment)
    updated_at: Mapped[datetime] = mapped_column(Moment)

    __table_args__ = (
        Index("uq_subscriber_lower_address", func.lower(address), unique=True),
        Index(  # most are confirmed, and need no index to be found
            "ix_subscriber_unconfirmed",
            "state",
            "id",
            sqlite_where=text("state <> 'confirmed'"),
            postgresql_where=text("state <> 'confirmed'"),
        ),
        Index(  # those who do not want every issue: a freeze writes to them, not to everybody
            "ix_subscriber_frequency",
            "id",
            sqlite_where=text("frequency <> ''"),
            postgresql_where=text("frequency <> ''"),
        ),
        *_searched(address, name),
    )


class AddressProofRow(Base):
    """`address_proof`: one row, a hash of nobody's, made as those of addresses are.

    It tells a start with another secret, or with other addresses taken for one person's.
    """

    __tablename__ = "address_proof"

    id: Mapped[int] = mapped_column(primary_key=True)  # 1
    proof: Mapped[str] = mapped_column(Text)  # address.Canon.proof
    folds: Mapped[str] = mapped_column(Text)  # for the sentence that refuses another choice


class FormerAddressRow(Base):
    """`former_address`: an address somebody had before, by its keyed hash."""

    __tablename__ = "former_address"

    id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(ForeignKey("subscriber.id"), index=True)
    address_key: Mapped[str] = mapped_column(Text, index=True)
    until: Mapped[datetime] = mapped_column(Moment)


class CustomFieldRow(Base):
    """`custom_field`: what else is kept about people: the schema of `subscriber.fields`."""

    __tablename__ = "custom_field"

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    label: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)  # text, number, date, choice, tags
    choices: Mapped[list[str]] = mapped_column(JSON, default=list, server_default="[]")
    position: Mapped[int] = mapped_column(default=0, server_default="0")
    archived_at: Mapped[datetime | None] = mapped_column(Moment)


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
    revision: Mapped[int] = mapped_column(default=1, server_default="1")  # of the rule
    archived_at: Mapped[datetime | None] = mapped_column(Moment)


class SegmentRevisionRow(Base):
    """`segment_revision`: a rule as it was from a moment on; insert-only."""

    __tablename__ = "segment_revision"

    segment_id: Mapped[int] = mapped_column(ForeignKey("segment.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)  # from 1
    rule: Mapped[dict[str, Any]] = mapped_column(JSON)
    actor: Mapped[str] = mapped_column(Text, default="")
    at: Mapped[datetime] = mapped_column(Moment)


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


class ConsentNetworkRow(Base):
    """`consent_network`: where an act of consent came from; goes before the act does."""

    __tablename__ = "consent_network"

    consent_id: Mapped[int] = mapped_column(ForeignKey("consent.id"), primary_key=True)
    network: Mapped[str] = mapped_column(Text)  # /24, /48 or the whole address: see settings
    at: Mapped[datetime] = mapped_column(Moment, index=True)


class SentIssueRow(Base):
    """`sent_issue`: an issue that went out, so that "the last four issues" has a meaning."""

    __tablename__ = "sent_issue"

    issue_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sent_at: Mapped[datetime] = mapped_column(Moment, index=True)  # by its first campaign


class EngagementRow(Base):
    """`engagement`: what a person, not a machine, did with an issue; the first time each.

    A projection of the events, kept by whoever counts them. `segment_id` is 0 for the act as such,
    else a segment of the item that was clicked.
    """

    __tablename__ = "engagement"
    __table_args__ = (
        Index("ix_engagement_time", "act", "segment_id", "at", "subscriber_id"),
        Index("ix_engagement_subscriber", "subscriber_id"),
        {"sqlite_with_rowid": False},
    )

    issue_id: Mapped[int] = mapped_column(primary_key=True)
    act: Mapped[int] = mapped_column(primary_key=True)  # engagement.Act: 1 opened, 2 clicked
    segment_id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(ForeignKey("subscriber.id"), primary_key=True)
    at: Mapped[datetime] = mapped_column(Moment)


class ImportRow(Base):
    """`import`: one file of people, how far it is read and what became of its rows."""

    __tablename__ = "import"

    id: Mapped[int] = mapped_column(primary_key=True)
    file_name: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str] = mapped_column(Text, index=True)  # of the file and of the plan
    plan: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(Text)  # intake.run.State
    counts: Mapped[dict[str, Any]] = mapped_column(JSON)  # with how far it is read
    actor: Mapped[str] = mapped_column(Text, default="")
    started_at: Mapped[datetime] = mapped_column(Moment)
    updated_at: Mapped[datetime] = mapped_column(Moment)
    finished_at: Mapped[datetime | None] = mapped_column(Moment)
    undone_at: Mapped[datetime | None] = mapped_column(Moment)


class ImportedRow(Base):
    """`imported`: whom an import added or changed, and how they were before, to undo it.

    Without foreign keys: neither an import nor a person's row is ever deleted, both are written in
    the same transaction, and checking them again would be a tenth of a large import's time.
    """

    __tablename__ = "imported"
    __table_args__ = (
        Index("ix_imported_subscriber", "subscriber_id"),
        {"sqlite_with_rowid": False},
    )

    import_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    subscriber_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # NULL: was not there


class ExportRow(Base):
    """`export`: people written to a file: who did it, which people, until when it is kept."""

    __tablename__ = "export"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)  # subscribers, person, …
    form: Mapped[str] = mapped_column(Text)  # csv, json, xlsx
    asked: Mapped[dict[str, Any]] = mapped_column(JSON)  # which people, which columns
    file_name: Mapped[str] = mapped_column(Text, default="")  # in the data directory; "" elsewhere
    rows: Mapped[int] = mapped_column(default=0)
    octets: Mapped[int] = mapped_column(default=0)
    sha256: Mapped[str] = mapped_column(Text, default="")
    actor: Mapped[str] = mapped_column(Text, default="")
    at: Mapped[datetime] = mapped_column(Moment)
    expires_at: Mapped[datetime | None] = mapped_column(Moment)
    removed_at: Mapped[datetime | None] = mapped_column(Moment)


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


def _install() -> None:
    trigrams = DDL("CREATE EXTENSION IF NOT EXISTS pg_trgm")  # type: ignore[no-untyped-call]
    people = Base.metadata.tables["subscriber"]
    event.listen(people, "before_create", trigrams.execute_if(dialect="postgresql"))
    of_people = (*guards.STATE_MOVES, *searchable.STATEMENTS)
    for name, statements in (*guards.INSERT_ONLY.items(), ("subscriber", of_people)):
        table = Base.metadata.tables[name]
        for dialect, statement in statements:
            ddl = DDL(statement)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
            event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


_install()
