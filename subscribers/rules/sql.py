"""A rule as SQL: a SELECT of the people it finds, bound parameters only, on both databases.

Plans are the point of its form on PostgreSQL. Where a membership has to hold, or must not, it is
an IN or a NOT EXISTS, which become semi-joins and anti-joins. Where it is one of several ways, it
is an outer join and the test whether that found somebody: under an OR nothing else can be joined,
and a million people would be looked up one by one. SQLite makes a look-up table of every IN.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    true,
)

from subscribers.models import FollowRow, SubscriberRow
from subscribers.rules import conditions, logic
from subscribers.rules.chains import MAX_CHAIN
from subscribers.rules.facts import Facts, KnownSegment
from subscribers.rules.logic import Every, Fact, Logic, Member, Person, Some
from subscribers.rules.tree import Combinator, Leaf, Rule
from subscribers.subscriber import State


@dataclass(frozen=True, slots=True)
class Found:
    """The people a rule finds: once each, nobody erased."""

    people: Person  # `subscriber`, for its columns
    source: FromClause  # what to select from: the people, and what was joined to them
    where: ColumnElement[bool]


def find(rule: Rule, facts: Facts) -> Found:
    """Compile a rule that has been checked: see schema.require."""
    compiling = _Compiling(facts)
    there = compiling.people.c.state != State.ERASED.value
    where = and_(there, compiling.must(meaning(rule, facts)))
    return Found(compiling.people, compiling.source, where)


def found(rule: Rule, facts: Facts) -> Select[Any]:
    """Select the ids of the people a rule finds, once each."""
    them = find(rule, facts)
    return select(them.people.c.id).select_from(them.source).where(them.where)


def masked(asked: Sequence[str], facts: Facts) -> Select[Any]:
    """Select who is in at least one of the segments: subscriber_id, mask."""
    each = everybody(asked, facts).subquery()
    return select(each.c.subscriber_id, each.c.mask).where(each.c.mask > 0)


def everybody(asked: Sequence[str], facts: Facts) -> Select[Any]:
    """Select everybody with the segments they are in, or none: subscriber_id, mask.

    Bit n of the mask says that they are in the n-th; a rule finds nobody who is erased. They are
    looked at once, and so is each table that is asked, however many of the rules ask it.
    """
    compiling = _Compiling(facts)
    there = compiling.people.c.state != State.ERASED.value
    parts = [
        (n, *_inside(facts.segments[key], facts))
        for n, key in enumerate(asked)
        if key in facts.segments
    ]
    compiling.group_follows([logic for _, _, logic in parts])
    bits = [
        case(
            (and_(there, compiling.may(logic)) if by_rule else compiling.may(logic), 1 << n),
            else_=0,
        )
        for n, by_rule, logic in parts
    ]
    mask = cast(reduce(operator.add, bits, literal(0)), Integer)
    looked = select(compiling.people.c.id.label("subscriber_id"), mask.label("mask"))
    return looked.select_from(compiling.source)


def _inside(segment: KnownSegment, facts: Facts) -> tuple[bool, Logic]:
    """Say what being in a segment means, and whether a rule says it."""
    if segment.rule is None:
        return False, conditions.follows(segment.id)
    return True, meaning(segment.rule, facts)


def meaning(rule: Rule, facts: Facts, chain: int = 0) -> Logic:
    """Take a rule apart, those of the segments it names written out.

    Raises ValueError for rules that lead back to themselves: none such is stored.
    """
    if isinstance(rule, Leaf):
        if rule.field != "in":
            return conditions.logic(rule, facts)
        if chain > MAX_CHAIN:
            raise ValueError("a rule leads back to itself")
        named = facts.segments.get(str(rule.value))
        if named is None or named.rule is None:
            return conditions.NOBODY
        return meaning(named.rule, facts, chain + 1)
    parts = tuple(meaning(each, facts, chain) for each in rule.rules)
    whole: Logic = Every(parts) if rule.combinator is Combinator.AND else Some(parts)
    if len(parts) == 1:
        (whole,) = parts
    return logic.deny(whole) if rule.negated else whole


class _Compiling:
    """One SELECT on its way: the people, and what is joined to them."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.people: Person = SubscriberRow.__table__.alias()
        self.source: FromClause = self.people
        self.joined: dict[tuple[object, ...], ColumnElement[Any]] = {}
        self.follows: dict[tuple[object, ...], ColumnElement[bool]] = {}

    def group_follows(self, logics: Sequence[Logic]) -> None:
        """Join `follow` once, for all the segments that anything here asks about."""
        keys = {each.key for one in logics for each in logic.members(one)}
        asked = sorted(key[1] for key in keys if key[0] == conditions.FOLLOWS)
        if len(asked) < 2 or self.facts.is_sqlite:
            return
        row = FollowRow
        bits = case(*((row.segment_id == each, 1 << n) for n, each in enumerate(asked)), else_=0)
        grouped = (
            select(row.subscriber_id, func.sum(bits).label("bits"))
            .where(row.segment_id.in_(asked))
            .group_by(row.subscriber_id)
            .subquery()
        )
        same = grouped.c.subscriber_id == self.people.c.id
        self.source = self.source.outerjoin(grouped, same)
        found = func.coalesce(grouped.c.bits, 0)
        for n, each in enumerate(asked):
            self.follows[conditions.FOLLOWS, each] = found.op("&")(1 << n) != 0

    def must(self, node: Logic) -> ColumnElement[bool]:
        """Say what has to hold of everybody who is found."""
        match node:
            case Every(parts):
                return and_(*map(self.must, parts))
            case Member():
                return self.among(node)
        return self.may(node)

    def may(self, node: Logic) -> ColumnElement[bool]:
        """Say what may hold or not."""
        match node:
            case Fact(test, negated):
                holds = test(self.people)
                return holds.is_not(true()) if negated else holds
            case Member():
                return self.among(node) if self.facts.is_sqlite else self.joined_to(node)
            case Every(parts):
                return and_(*map(self.may, parts))
            case Some(parts):
                return or_(*map(self.may, parts))

    def among(self, node: Member) -> ColumnElement[bool]:
        column = self.people.c[node.column]
        if not node.negated:
            return column.in_(node.values)
        if self.facts.is_sqlite:
            return column.not_in(node.values)
        values = node.values.subquery()
        return ~exists().where(values.c[0] == column)

    def joined_to(self, node: Member) -> ColumnElement[bool]:
        if node.key in self.follows:
            follows = self.follows[node.key]
            return ~follows if node.negated else follows
        if node.key not in self.joined:
            values = (node.values if node.is_once else node.values.distinct()).subquery()
            value = values.c[0]
            self.source = self.source.outerjoin(values, value == self.people.c[node.column])
            self.joined[node.key] = value
        there = self.joined[node.key]
        return there.is_(None) if node.negated else there.is_not(None)
