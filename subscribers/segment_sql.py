"""Sets as SQL: who is in which segments, in one pass; who is among many named ones."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    ScalarSelect,
    Select,
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
from subscribers.rules import json_tree, sql
from subscribers.rules.facts import facts
from subscribers.rules.tree import Rule
from subscribers.segment import MAX_SEGMENTS


def members(
    session: Session, segments: Sequence[str], now: datetime, *, name: str = "followed"
) -> Subquery:
    """Select who is in at least one of the segments: subscriber_id, mask.

    Bit n of the mask says that they are in segments[n], because they follow it or because its rule
    finds them now. One pass over the people and over each table that a rule asks. Raises ValueError
    for no segment, one named twice, and more than a mask has room for.
    """
    if not 1 <= len(segments) <= MAX_SEGMENTS or len(set(segments)) < len(segments):
        raise ValueError(f"not a set of segments to send to: {segments}")
    rules = _rules(session, segments)
    if not rules:
        return _followed(segments).subquery(name)
    known = facts(session, now)
    if len(segments) == 1:
        (rule,) = rules.values()
        person = sql.found(rule, known).subquery().c.id
        return select(person.label("subscriber_id"), literal(1).label("mask")).subquery(name)
    return sql.masked(segments, known).subquery(name)


def everybody(session: Session, segments: Sequence[str], now: datetime) -> Subquery:
    """Select as `members` does, but for as many segments as an integer has bits for.

    Where there are rules, those who are in none of the segments are among them, with the mask 0.
    """
    if not _rules(session, segments):
        return _followed(segments).subquery()
    return sql.everybody(segments, facts(session, now)).subquery()


def in_any(
    session: Session,
    subscriber: InstrumentedAttribute[int],
    segments: Sequence[str],
    now: datetime,
) -> ColumnElement[bool]:
    """Say whether somebody is in at least one of the segments, by follow or by rule.

    To stand in a WHERE; where it would stand in a CASE, join `members` instead: the people a rule
    finds may be too many to look up one by one.
    """
    if not _rules(session, segments):
        return follows_any(subscriber, segments)
    return subscriber.in_(select(members(session, segments, now).c.subscriber_id))


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
    """Say whether a column has one of many values, sent as one: placeholders take time to read."""
    if session.get_bind().dialect.name == "sqlite":
        each = func.json_each(json.dumps(list(values))).table_valued("value")
        return column.in_(select(each.c.value))
    return column == any_(literal(list(values), ARRAY(column.type)))


def _rules(session: Session, segments: Sequence[str]) -> Mapping[str, Rule]:
    """Look up which of the segments have a rule."""
    found = select(SegmentRow.key, SegmentRow.rule).where(
        SegmentRow.key.in_(segments), SegmentRow.rule.is_not(None)
    )
    return {key: json_tree.read(rule) for key, rule in session.execute(found)}


def _followed(segments: Sequence[str]) -> Select[int, int]:
    ids = [segment_id(key) for key in segments]
    bit = case(*((FollowRow.segment_id == each, 1 << n) for n, each in enumerate(ids)), else_=0)
    return (
        # a sum of distinct powers of two is their OR: a person follows a segment at most once
        select(FollowRow.subscriber_id, cast(func.sum(bit), Integer).label("mask"))
        .where(FollowRow.segment_id.in_(ids))
        .group_by(FollowRow.subscriber_id)
    )
