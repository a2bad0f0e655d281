"""Which segments there are, and who follows which; how many is for `rules.queries` to count."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers.models import FollowRow, SegmentRow
from subscribers.segment import Segment, SegmentNotFound
from subscribers.subscriber import SegmentId, SubscriberId


def segments(
    session: Session, *, archived: bool = False, followable: bool = False
) -> tuple[Segment, ...]:
    """List the segments in their order, archived ones only where asked for.

    Followable are those that people choose; the others are given by a rule.
    """
    found = select(SegmentRow).order_by(SegmentRow.position, SegmentRow.id)
    if not archived:
        found = found.where(SegmentRow.archived_at.is_(None))
    if followable:
        found = found.where(SegmentRow.rule.is_(None))
    return tuple(_segment(row) for row in session.scalars(found))


def ruled(session: Session) -> frozenset[str]:
    """Say which segments a rule fills, archived ones too: nobody can stop following those."""
    return frozenset(session.scalars(select(SegmentRow.key).where(SegmentRow.rule.is_not(None))))


def segment(session: Session, key: str) -> Segment:
    """Look one segment up by its key. Raises SegmentNotFound."""
    row = session.scalar(select(SegmentRow).where(SegmentRow.key == key))
    if row is None:
        raise SegmentNotFound(f"There is no segment {key!r}.")
    return _segment(row)


def require_segments(
    session: Session, keys: Sequence[str], *, followable: bool = False
) -> tuple[Segment, ...]:
    """Look segments up, in the order given. Raises SegmentNotFound naming each there is not."""
    there = {each.key: each for each in segments(session, followable=followable)}
    missing = [key for key in keys if key not in there]
    if missing:
        raise SegmentNotFound(
            f"There is no segment {', '.join(map(repr, missing))}; there are: {', '.join(there)}."
        )
    return tuple(there[key] for key in keys)


def following(session: Session, subscriber: SubscriberId) -> tuple[str, ...]:
    """List the keys of the segments somebody follows, in the order of the segments."""
    found = (
        select(SegmentRow.key)
        .join(FollowRow, FollowRow.segment_id == SegmentRow.id)
        .where(FollowRow.subscriber_id == subscriber)
        .order_by(SegmentRow.position, SegmentRow.id)
    )
    return tuple(session.scalars(found))


def _segment(row: SegmentRow) -> Segment:
    return Segment(
        id=SegmentId(row.id),
        key=row.key,
        name=row.name,
        names=dict(row.names),
        description=row.description,
        color=row.color,
        position=row.position,
        archived_at=row.archived_at,
        rule=row.rule,
        revision=row.revision,
    )
