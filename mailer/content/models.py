"""Tables of the content: `issue`, `issue_revision`, `section`, `item`, `item_segment`.

The document of a revision is the truth; `section`, `item` and `item_segment` are an index of the
latest one, so that a report can name a story and a query can find it.
"""

from datetime import datetime

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Text
from sqlalchemy.orm import Mapped, mapped_column

from mailer.kit.database import Base, Moment


class IssueRow(Base):
    """`issue`: one occasion, whatever its revision."""

    __tablename__ = "issue"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(Text, unique=True)
    number: Mapped[int] = mapped_column(default=0)
    title: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="draft")  # draft, approved
    revision: Mapped[int] = mapped_column(default=1)  # the latest, from 1
    approved_revision: Mapped[int | None]  # kept when a newer draft is saved
    hash: Mapped[str] = mapped_column(Text)  # of the latest revision
    created_at: Mapped[datetime] = mapped_column(Moment)
    updated_at: Mapped[datetime] = mapped_column(Moment)
    approved_at: Mapped[datetime | None] = mapped_column(Moment)


class IssueRevisionRow(Base):
    """`issue_revision`: the issue file as saved; never changed."""

    __tablename__ = "issue_revision"

    issue_id: Mapped[int] = mapped_column(ForeignKey("issue.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    document: Mapped[str] = mapped_column(Text)
    hash: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Moment)
    by: Mapped[str] = mapped_column(Text, default="")


class SectionRow(Base):
    """`section`: a part of the latest revision."""

    __tablename__ = "section"

    issue_id: Mapped[int] = mapped_column(ForeignKey("issue.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)  # from 1
    key: Mapped[str] = mapped_column(Text, default="")
    title: Mapped[str] = mapped_column(Text, default="")
    kind: Mapped[str] = mapped_column(Text)


class ItemRow(Base):
    """`item`: a story of the latest revision, those inside a deep dive included."""

    __tablename__ = "item"

    issue_id: Mapped[int] = mapped_column(ForeignKey("issue.id"), primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)  # Item.id
    position: Mapped[int]  # in reading order, from 1
    section: Mapped[int]  # position of its section
    parent: Mapped[str] = mapped_column(Text, default="")  # key of the deep dive it is part of
    title: Mapped[str] = mapped_column(Text, default="")
    kind: Mapped[str] = mapped_column(Text)


class ItemSegmentRow(Base):
    """`item_segment`: whom an item is for; an item of everybody has no row."""

    __tablename__ = "item_segment"
    __table_args__ = (
        ForeignKeyConstraint(["issue_id", "item_key"], ["item.issue_id", "item.key"]),
    )

    issue_id: Mapped[int] = mapped_column(primary_key=True)
    item_key: Mapped[str] = mapped_column(Text, primary_key=True)
    segment: Mapped[str] = mapped_column(Text, primary_key=True)
