"""A rule as values: conditions in groups, read from JSON and written back.

A group is `{"combinator": "and" | "or", "not": true, "rules": [...]}`, where "not" may be left out;
a condition is `{"field", "operator", "value"}`. Which field takes which operator is `schema`'s to
say; here is what makes a tree at all. Trees are kept in one normal form, so that equal ones compare
equal: a group of one rule is that rule, and to deny twice is to say nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Final

from mailer.kit.errors import Invalid

MAX_DEPTH: Final = 8  # groups in groups
MAX_LEAVES: Final = 200  # conditions
MAX_TEXT: Final = 500  # characters of one text
MAX_TEXTS: Final = 50  # texts of one list
MAX_TEXT_IN_ALL: Final = 20_000  # characters
MAX_DAYS: Final = 36_500
MAX_ISSUES: Final = 100
MAX_NUMBER: Final = 1e15  # either side of nought; above, a float is no longer exact

MEMBERSHIPS = frozenset({"follows", "in"})
ACTS = frozenset({"opened", "clicked"})
RESERVED = MEMBERSHIPS | ACTS | {"and", "or", "not", "never"}
"""Words of the language that cannot be the name of a field."""


class Combinator(StrEnum):
    """How the rules of a group go together."""

    AND = "and"
    OR = "or"


class Operator(StrEnum):
    """What a condition says of a field."""

    EQUALS = "="
    DIFFERS = "!="  # the denial of "=", so also true of a missing value
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    ONE_OF = "in"
    CONTAINS = "contains"
    STARTS = "starts_with"
    ENDS = "ends_with"
    KNOWN = "known"
    UNKNOWN = "unknown"
    BEFORE = "before"
    AFTER = "after"
    ON = "on"
    IN_LAST = "in_last"
    IN_NEXT = "in_next"
    HAS = "has"
    HAS_ANY = "has_any"
    IS = "is"  # of follows and in: the segment
    EVER = "ever"  # of acts
    NEVER_IN_LAST = "never_in_last"  # of acts: could have, and did not


class Unit(StrEnum):
    """What a window is measured in."""

    ISSUES = "issues"
    DAYS = "days"


@dataclass(frozen=True, slots=True)
class Window:
    """The last issues, or a number of days before or after this moment."""

    number: int
    unit: Unit


@dataclass(frozen=True, slots=True)
class DaysAgo:
    """A day counted back from today."""

    days: int


Value = str | float | tuple[str, ...] | date | DaysAgo | Window | None


@dataclass(frozen=True, slots=True)
class Leaf:
    """One condition. `field` is a name, or `clicked:KEY` for items of a segment."""

    field: str
    operator: Operator
    value: Value = None


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions that hold together or one of them; `negated`: it is not so."""

    combinator: Combinator
    rules: tuple["Rule", ...]
    negated: bool = False


Rule = Group | Leaf


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a rule, and where."""

    place: str  # "line 1, column 12" or "rules[1].value"
    message: str


class RuleInvalid(Invalid):
    """The rule cannot be understood."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(f"{each.place}: {each.message}" for each in problems))
        self.problems = tuple(problems)


def group(combinator: Combinator, rules: Sequence[Rule], *, negated: bool = False) -> Rule:
    """Put rules together, in normal form. Raises ValueError for none."""
    if not rules:
        raise ValueError("a group of no rules")
    if len(rules) > 1:
        return Group(combinator, tuple(rules), negated)
    return deny(rules[0]) if negated else rules[0]


def deny(rule: Rule) -> Rule:
    """Say the opposite, in normal form."""
    if isinstance(rule, Leaf):
        return Group(Combinator.AND, (rule,), negated=True)
    if len(rule.rules) == 1:  # a denied condition
        return rule.rules[0]
    return replace(rule, negated=not rule.negated)


def leaves(rule: Rule) -> Iterator[Leaf]:
    """List the conditions in the order they are written."""
    if isinstance(rule, Leaf):
        yield rule
    else:
        for each in rule.rules:
            yield from leaves(each)


def depth(rule: Rule) -> int:
    """Count how many groups stand in each other at most."""
    return 0 if isinstance(rule, Leaf) else 1 + max(depth(each) for each in rule.rules)
