"""What is done with issues: save, approve."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from mailer.content import document, queries
from mailer.content.issue import Issue, IssueId, Item
from mailer.content.models import (
    IssueRevisionRow,
    IssueRow,
    ItemRow,
    ItemSegmentRow,
    SectionRow,
)
from mailer.content.queries import IssueNotFound
from mailer.content.slug import slug_of
from mailer.kit.errors import Conflict, Invalid


class IssueNotApproved(Conflict):
    """The issue has not been approved, and only an approved one can be sent."""


class RuleNotSupported(Invalid):
    """Rules for single items are not heeded yet."""


def save(session: Session, issue: Issue, *, now: datetime, by: str = "") -> IssueId:
    """Store the issue: a new one, or a new revision of the one with its slug, back in draft.

    An issue without a slug gets one from its date and title. Saving what is stored already
    changes nothing, an approval included. Raises DocumentInvalid for an issue that its own file
    format would refuse, so that whatever is stored can be read again.
    """
    issue = replace(issue, id=None, slug=issue.slug or slug_of(issue))
    text = document.write(issue)
    issue = document.read(text)
    hashed = document.hash_of(issue)
    known = session.scalar(select(IssueRow).where(IssueRow.slug == issue.slug).with_for_update())
    if known is not None and known.hash == hashed:
        return IssueId(known.id)
    if known is None:
        known = IssueRow(slug=issue.slug, revision=0, created_at=now)
        session.add(known)
    known.number, known.title, known.hash = issue.number, _storable(issue.title), hashed
    known.state, known.updated_at = "draft", now
    known.revision += 1
    session.flush()
    session.add(
        IssueRevisionRow(
            issue_id=known.id, revision=known.revision, document=text, hash=hashed, at=now, by=by
        )
    )
    _index(session, known.id, issue)
    return IssueId(known.id)


def approve(session: Session, id: IssueId, *, now: datetime) -> str:  # noqa: A002
    """Approve the latest revision and return its hash: that, and nothing later, may be sent.

    Approving again changes nothing. Raises IssueNotFound, and RuleNotSupported for an item with
    `visible_if`.
    """
    _check_rules(session, id)
    draft = (
        update(IssueRow)
        .where(IssueRow.id == id, IssueRow.state == "draft")
        .values(state="approved", approved_revision=IssueRow.revision, approved_at=now)
        .execution_options(synchronize_session="fetch")
    )
    session.execute(draft)
    hashed = session.scalar(select(IssueRow.hash).where(IssueRow.id == id))
    if hashed is None:
        raise IssueNotFound(f"There is no issue {id}; `dibao issue list` shows those there are.")
    return hashed


def _check_rules(session: Session, id_: IssueId) -> None:
    """What is kept for later and not heeded yet must not be sent as if it were."""
    for item in queries.issue(session, id_).issue.items:
        for part in item.walk():
            if part.visible_if:
                raise RuleNotSupported(
                    f"Item {part.id!r}: visible_if is not heeded yet; name segments instead"
                )


def _index(session: Session, id_: int, issue: Issue) -> None:
    for table in (ItemSegmentRow, ItemRow, SectionRow):
        session.execute(delete(table).where(table.issue_id == id_))
    position = 0
    links = []
    for number, section in enumerate(issue.sections, start=1):
        session.add(
            SectionRow(
                issue_id=id_,
                position=number,
                key=_storable(section.id),
                title=_storable(section.title),
                kind=section.kind,
            )
        )
        for item, parent in _walk(section.items, ""):
            position += 1
            session.add(
                ItemRow(
                    issue_id=id_,
                    key=_storable(item.id),
                    position=position,
                    section=number,
                    parent=_storable(parent),
                    title=_storable(item.title),
                    kind=item.kind,
                )
            )
            keys = dict.fromkeys(item.segments or section.segments)
            links += [
                ItemSegmentRow(issue_id=id_, item_key=_storable(item.id), segment=_storable(key))
                for key in keys
            ]
    session.flush()  # items before what points at them
    session.add_all(links)
    session.flush()


def _walk(items: tuple[Item, ...], parent: str) -> Iterator[tuple[Item, str]]:
    for item in items:
        yield item, parent
        yield from _walk(item.items, item.id)


def _storable(text: str) -> str:
    return text.replace("\0", "\ufffd")  # PostgreSQL holds no NUL; the document escapes it
