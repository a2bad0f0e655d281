"""Sets as SQL: who follows which segments, in one pass; who is among many named ones."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    ScalarSelect,
    Subquery,
    any_,
    case,
    cast,
    exists,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute, Session

from subscribers.models import FollowRow, SegmentRow
from subscribers.segment import MAX_SEGMENTS


def followed(segments: Sequence[str]) -> Subquery:
    """Select who follows at least one of the segments: subscriber_id, mask.

    Bit n of the mask says that they follow segments[n]. Raises ValueError for no segment, for one
    named twice, and for more than a mask has room for.
    """
    if not 1 <= len(segments) <= MAX_SEGMENTS or len(set(segments)) < len(segments):
        raise ValueError(f"not a set of segments to send to: {segments}")
    ids = [segment_id(key) for key in segments]
    bit = case(*((FollowRow.segment_id == each, 1 << n) for n, each in enumerate(ids)), else_=0)
    return (
        # a sum of distinct powers of two is their OR: a person follows a segment at most once
        select(FollowRow.subscriber_id, cast(func.sum(bit), Integer).label("mask"))
        .where(FollowRow.segment_id.in_(ids))
        .group_by(FollowRow.subscriber_id)
        .subquery("followed")
    )


def follows_any(
    subscriber: InstrumentedAttribute[int], segments: Sequence[str]
) -> ColumnElement[bool]:
    """Say whether somebody follows at least one of the segments."""
    return exists().where(
        FollowRow.subscriber_id == subscriber,
        FollowRow.segment_id.in_([segment_id(key) for key in segments]),
    )


def segment_id(key: str) -> ScalarSelect[int]:
    """Name a segment's id by its key; the database looks it up once per statement."""
    return select(SegmentRow.id).where(SegmentRow.key == key).scalar_subquery()


def among(
    session: Session, column: InstrumentedAttribute[Any], values: Sequence[object]
) -> ColumnElement[bool]:
    """Say whether a column has one of many values.

    PostgreSQL gets one array: its driver takes milliseconds to read a thousand placeholders.
    """
    if session.get_bind().dialect.name == "sqlite":
        return column.in_(values)
    return column == any_(literal(list(values), ARRAY(column.type)))
