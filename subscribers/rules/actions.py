"""Making, changing and archiving segments given by a rule; every version of a rule is kept."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from subscribers import actions, queries
from subscribers.models import SegmentRevisionRow, SegmentRow
from subscribers.rules import chains, facts, json_tree, schema
from subscribers.rules.tree import Rule
from subscribers.segment import (
    NewSegment,
    Segment,
    SegmentHasNoRule,
    SegmentInUse,
    SegmentNotFound,
    SegmentStale,
)
from subscribers.subscriber import SegmentId


def create(
    session: Session, new: NewSegment, rule: Rule, *, now: datetime, actor: str = ""
) -> SegmentId:
    """Make a segment of those a rule finds.

    Raises RuleInvalid where the rule speaks of what there is not, SegmentKeyInvalid, SegmentExists.
    """
    schema.require(rule, facts.schema(session))
    made = actions.create_segment(session, new)
    _keep(session, made, 1, rule, now, actor)
    session.execute(
        update(SegmentRow).where(SegmentRow.id == made).values(rule=json_tree.write(rule))
    )
    chains.require_all(_rules(session), new.key)
    return made


def revise(  # who changes what, seeing which version
    session: Session, key: str, rule: Rule, *, seen: int, now: datetime, actor: str = ""
) -> int:
    """Give a segment another rule; return the number of its version. The same rule: no change.

    `seen` is the version that was changed. Raises SegmentStale where there is a newer one,
    SegmentNotFound, SegmentHasNoRule, and RuleInvalid as `create` does or where it would lead back
    to itself.
    """
    segment = _live(session, key)
    before = facts.stored(segment.rule)
    if before is None:
        raise SegmentHasNoRule
    if segment.revision != seen:
        raise SegmentStale(f"The rule of {key} is at version {segment.revision}, not {seen}.")
    if before == rule:
        return seen
    schema.require(rule, facts.schema(session))
    same = (SegmentRow.id == segment.id) & (SegmentRow.revision == seen)
    changed = update(SegmentRow).where(same).values(rule=json_tree.write(rule), revision=seen + 1)
    if session.scalar(changed.returning(SegmentRow.id)) is None:
        raise SegmentStale
    _keep(session, segment.id, seen + 1, rule, now, actor)
    chains.require_all(_rules(session), key)
    return seen + 1


def archive(session: Session, key: str, *, now: datetime) -> None:
    """Take a segment out of use; its people and its versions stay. Again: no change.

    Raises SegmentNotFound, and SegmentInUse while the rule of another segment names it.
    """
    segment = queries.segment(session, key)
    naming = [other for other, rule in _rules(session).items() if key in chains.mentioned(rule)]
    if naming:
        raise SegmentInUse(f"Rules name {key}: those of {', '.join(naming)}.")
    open_ = (SegmentRow.id == segment.id) & SegmentRow.archived_at.is_(None)
    session.execute(update(SegmentRow).where(open_).values(archived_at=now))


def _live(session: Session, key: str) -> Segment:
    segment = queries.segment(session, key)
    if segment.archived_at is not None:
        raise SegmentNotFound(f"The segment {key!r} is archived.")
    return segment


def _keep(
    session: Session, segment: SegmentId, number: int, rule: Rule, now: datetime, actor: str
) -> None:
    session.add(
        SegmentRevisionRow(
            segment_id=segment, number=number, rule=json_tree.write(rule), actor=actor, at=now
        )
    )
    session.flush()


def _rules(session: Session) -> dict[str, Rule]:
    """Every rule in use, by the key of its segment."""
    found = select(SegmentRow.key, SegmentRow.rule).where(
        SegmentRow.rule.is_not(None), SegmentRow.archived_at.is_(None)
    )
    return {key: json_tree.read(rule) for key, rule in session.execute(found)}
