"""What rules are evaluated against besides people: the segments there are and the issues sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers.models import CustomFieldRow, SegmentRow, SentIssueRow
from subscribers.rules import json_tree
from subscribers.rules.schema import Field, Kind, NamedSegment, Schema
from subscribers.rules.tree import MAX_ISSUES, Rule


@dataclass(frozen=True, slots=True)
class KnownSegment:
    """A segment as a rule needs it: its number, or its own rule."""

    id: int
    rule: Rule | None  # None: people follow it


@dataclass(frozen=True, slots=True)
class SentIssue:
    """An issue that went out."""

    id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a rule's meaning hangs on at one moment, but the people themselves."""

    now: datetime
    is_sqlite: bool
    segments: Mapping[str, KnownSegment]
    issues: tuple[SentIssue, ...]  # the newest first, as many as a rule may ask for


def facts(session: Session, now: datetime) -> Facts:
    """Collect what rules are evaluated against. Two small queries."""
    newest = (
        select(SentIssueRow.issue_id, SentIssueRow.sent_at)
        .order_by(SentIssueRow.sent_at.desc(), SentIssueRow.issue_id.desc())
        .limit(MAX_ISSUES)
    )
    named = select(SegmentRow.key, SegmentRow.id, SegmentRow.rule)
    return Facts(
        now=now,
        is_sqlite=session.get_bind().dialect.name == "sqlite",
        segments={
            key: KnownSegment(number, stored(rule)) for key, number, rule in session.execute(named)
        },
        issues=tuple(SentIssue(number, at) for number, at in session.execute(newest)),
    )


def schema(session: Session) -> Schema:
    """Collect what a rule can speak of; archived fields and segments are there, as such."""
    fields = select(CustomFieldRow).order_by(CustomFieldRow.position, CustomFieldRow.key)
    named = select(SegmentRow).order_by(SegmentRow.position, SegmentRow.id)
    return Schema(
        custom={
            row.key: Field(
                row.key,
                Kind(row.kind),
                row.label,
                tuple(row.choices),
                archived=row.archived_at is not None,
            )
            for row in session.scalars(fields)
        },
        segments={
            row.key: NamedSegment(
                row.key, row.name, row.rule is not None, row.archived_at is not None
            )
            for row in session.scalars(named)
        },
    )


def stored(rule: Mapping[str, Any] | None) -> Rule | None:
    """Read a rule as the table has it."""
    return None if rule is None else json_tree.read(rule)
