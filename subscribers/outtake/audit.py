"""The audit of exports: who wrote which people to a file, when, and until when it is kept."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mailer.kit.errors import Conflict, NotFound
from subscribers.models import ExportRow


class ExportOvertaken(Conflict):
    """Somebody was erased while this was written, and may be in it: export again."""


class ExportNotFound(NotFound):
    """There is no such export."""


@dataclass(frozen=True, slots=True)
class Export:
    """One export as noted."""

    id: int
    kind: str  # subscribers, person
    form: str
    asked: dict[str, Any]
    file_name: str  # in the folder `exports` of the data directory; "" where it went elsewhere
    rows: int
    octets: int
    sha256: str  # of the file; "" while it is being written, or was not finished
    actor: str
    at: datetime
    expires_at: datetime | None
    removed_at: datetime | None


def begin(  # an audit says what was done, by whom, when
    session: Session,
    *,
    kind: str,
    form: str,
    asked: dict[str, Any],
    file_name: str,
    actor: str,
    now: datetime,
    expires_at: datetime | None,
) -> int:
    """Note an export before its first byte is written; return its number."""
    row = ExportRow(
        kind=kind,
        form=form,
        asked=asked,
        file_name=file_name,
        actor=actor,
        at=now,
        expires_at=expires_at if file_name else None,
    )
    session.add(row)
    session.flush()
    return row.id


def finish(session: Session, export: int, *, rows: int, octets: int, sha256: str) -> None:
    """Note what was written. Raises ExportOvertaken where somebody was erased meanwhile."""
    done = update(ExportRow).where(ExportRow.id == export, ExportRow.removed_at.is_(None))
    values = done.values(rows=rows, octets=octets, sha256=sha256)
    if session.scalar(values.returning(ExportRow.id)) is None:
        raise ExportOvertaken


def overtake(session: Session, now: datetime) -> None:
    """Let no export that is under way come to its end: it may hold somebody who is erased."""
    begun = (ExportRow.sha256 == "", ExportRow.rows == 0, ExportRow.removed_at.is_(None))
    session.execute(update(ExportRow).where(*begun).values(removed_at=now))


def removed(session: Session, exports: Collection[int], now: datetime) -> None:
    """Note that the files of exports are gone; the audit of them stays."""
    gone = update(ExportRow).where(ExportRow.id.in_(exports), ExportRow.removed_at.is_(None))
    session.execute(gone.values(removed_at=now))


def export(session: Session, number: int) -> Export:
    """Look one export up. Raises ExportNotFound."""
    row = session.get(ExportRow, number)
    if row is None:
        raise ExportNotFound(f"There is no export {number}.")
    return _export(row)


def exports(session: Session, *, limit: int = 100) -> tuple[Export, ...]:
    """List exports, the newest first."""
    found = select(ExportRow).order_by(ExportRow.id.desc()).limit(limit)
    return tuple(_export(row) for row in session.scalars(found))


def kept(session: Session, *, expired_at: datetime | None = None) -> tuple[Export, ...]:
    """List the exports whose file should be in the data directory; with a moment, those too old."""
    found = select(ExportRow).where(ExportRow.file_name != "", ExportRow.removed_at.is_(None))
    if expired_at is not None:
        found = found.where(ExportRow.expires_at <= expired_at)
    return tuple(_export(row) for row in session.scalars(found.order_by(ExportRow.id)))


def strike(session: Session, words: Sequence[str]) -> int:
    """Take words, such as an erased address, out of what was typed; return of how many exports."""
    low = [word.casefold() for word in words if len(word) > 2]
    struck = 0
    for row in session.scalars(select(ExportRow)):
        typed = {key: _struck(row.asked[key], low) for key in _TYPED if key in row.asked}
        kept = {**row.asked, **typed}
        if kept != row.asked:
            row.asked = kept
            struck += 1
    session.flush()
    return struck


_TYPED = ("part", "field", "file")


def _struck(value: Any, words: Sequence[str]) -> Any:
    if isinstance(value, list):
        return [_struck(each, words) for each in value]
    low = value.casefold()
    if len(low) > 2 and any(word in low or low in word for word in words):  # a part names them too
        return "(erased)"
    return value


def _export(row: ExportRow) -> Export:
    return Export(
        id=row.id,
        kind=row.kind,
        form=row.form,
        asked=dict(row.asked),
        file_name=row.file_name,
        rows=row.rows,
        octets=row.octets,
        sha256=row.sha256,
        actor=row.actor,
        at=row.at,
        expires_at=row.expires_at,
        removed_at=row.removed_at,
    )
