"""What is stored about issues."""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mailer.content import document
from mailer.content.issue import Issue, IssueId
from mailer.content.models import IssueRevisionRow, IssueRow, ItemRow
from mailer.kit.errors import NotFound


class IssueNotFound(NotFound):
    """There is no such issue."""


@dataclass(frozen=True, slots=True)
class StoredIssue:
    """An issue with what the books say about it."""

    id: IssueId
    slug: str
    state: str  # "draft" or "approved"; speaks of the latest revision
    revision: int  # of `issue`
    approved_revision: int | None  # the newest that was approved, or None
    hash: str  # of `issue`
    created_at: datetime
    updated_at: datetime
    approved_at: datetime | None
    issue: Issue


@dataclass(frozen=True, slots=True)
class IssueSummary:
    """A line in a list of issues."""

    id: IssueId
    slug: str
    number: int
    title: str
    state: str
    revision: int
    approved_revision: int | None
    items: int  # without those inside a deep dive
    created_at: datetime
    updated_at: datetime


def issue(session: Session, id: IssueId) -> StoredIssue:  # noqa: A002  # the word the callers use
    """The issue at its latest revision. Raises IssueNotFound."""
    row = session.get(IssueRow, id)
    if row is None:
        raise IssueNotFound(f"There is no issue {id}; `dibao issue list` shows those there are.")
    return _stored(session, row, row.revision)


def revision(session: Session, id: IssueId, revision: int) -> Issue:  # noqa: A002
    """The issue as it was at a revision, counted from 1. Raises IssueNotFound."""
    row = _revision(session, id, revision)
    return replace(document.read(row.document), id=id)


def text(session: Session, id: IssueId, revision: int) -> str:  # noqa: A002
    """The issue file of a revision, byte for byte as saved. Raises IssueNotFound."""
    return _revision(session, id, revision).document


def find(session: Session, slug: str) -> IssueId | None:
    """The issue with this slug, or None."""
    found = session.scalar(select(IssueRow.id).where(IssueRow.slug == slug))
    return None if found is None else IssueId(found)


def identify(session: Session, name: str) -> IssueId:
    """The issue a person means by its number or its slug. Raises IssueNotFound."""
    found: int | None = find(session, name)
    if found is None and name.isascii() and name.isdigit() and len(name) < 10:  # a column's int
        found = session.scalar(select(IssueRow.id).where(IssueRow.id == int(name)))
    if found is None:
        raise IssueNotFound(f"There is no issue {name}; `dibao issue list` shows those there are.")
    return IssueId(found)


def issues(session: Session) -> tuple[IssueSummary, ...]:
    """All issues, newest first."""
    items = (
        select(ItemRow.issue_id, func.count().label("count"))
        .where(ItemRow.parent == "")
        .group_by(ItemRow.issue_id)
        .subquery()
    )
    rows = session.execute(
        select(IssueRow, func.coalesce(items.c["count"], 0))
        .outerjoin(items, items.c.issue_id == IssueRow.id)
        .order_by(IssueRow.created_at.desc(), IssueRow.id.desc())
    )
    return tuple(
        IssueSummary(
            IssueId(row.id),
            row.slug,
            row.number,
            row.title,
            row.state,
            row.revision,
            row.approved_revision,
            count,
            row.created_at,
            row.updated_at,
        )
        for row, count in rows
    )


def _revision(session: Session, id: IssueId, revision: int) -> IssueRevisionRow:  # noqa: A002
    row = session.get(IssueRevisionRow, (id, revision))
    if row is None:
        raise IssueNotFound(f"Issue {id} has no revision {revision}.")
    return row


def _stored(session: Session, row: IssueRow, number: int) -> StoredIssue:
    id_ = IssueId(row.id)
    kept = _revision(session, id_, number)
    return StoredIssue(
        id=id_,
        slug=row.slug,
        state=row.state,
        revision=number,
        approved_revision=row.approved_revision,
        hash=kept.hash,
        created_at=row.created_at,
        updated_at=row.updated_at,
        approved_at=row.approved_at,
        issue=replace(document.read(kept.document), id=id_),
    )
