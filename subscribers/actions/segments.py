"""Making segments."""

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from subscribers import queries, record
from subscribers.models import SegmentRow
from subscribers.segment import (
    MAX_DESCRIPTION,
    STARTING,
    NewSegment,
    SegmentExists,
    parse_color,
    parse_key,
)
from subscribers.subscriber import SegmentId, tidy_name


def ensure_segments(session: Session, segments: Iterable[NewSegment] = STARTING) -> int:
    """Make the segments there are not yet; return how many. Those there are stay as they are."""
    there = {each.key for each in queries.segments(session, archived=True)}
    missing = [new for new in segments if new.key not in there]
    for new in missing:
        create_segment(session, new)
    return len(missing)


def create_segment(session: Session, new: NewSegment) -> SegmentId:
    """Make a segment, last in the order. Names are made one line, as people's are.

    Raises SegmentKeyInvalid, SegmentExists.
    """
    last = select(func.coalesce(func.max(SegmentRow.position), 0)).scalar_subquery()
    statement = record.inserting(session, SegmentRow).values(
        key=parse_key(new.key),
        name=tidy_name(new.name) or new.key,
        names={language: tidy for language, name in new.names.items() if (tidy := tidy_name(name))},
        description=tidy_name(new.description, most=MAX_DESCRIPTION),
        color=parse_color(new.color),
        position=last + 1,
    )
    made = session.scalar(statement.on_conflict_do_nothing().returning(SegmentRow.id))
    if made is None:
        raise SegmentExists(f"There is a segment {new.key!r} already.")
    return SegmentId(made)
