"""The pieces a rule is compiled from, with what is denied pushed down to single facts.

A fact is a test of a person's own row; a membership says that their row is among those of another
table. Two-valued: each holds or does not, and a missing value makes a test not hold.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select

Person = FromClause
"""`subscriber` under a name of its own."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a person's own row tells."""

    test: Callable[[Person], ColumnElement[bool]]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """A column of a person's row is among the values that another table has."""

    key: tuple[Any, ...]  # the same for the same values
    values: Select[Any]
    column: str = "id"
    is_once: bool = False  # whether a value is selected once at most
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Every:
    """All of these hold."""

    parts: tuple["Logic", ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of these holds."""

    parts: tuple["Logic", ...]


Logic = Fact | Member | Every | Some


def deny(logic: Logic) -> Logic:
    """Say the opposite: every becomes some, and each fact is denied."""
    match logic:
        case Every(parts):
            return Some(tuple(map(deny, parts)))
        case Some(parts):
            return Every(tuple(map(deny, parts)))
    return replace(logic, negated=not logic.negated)


def members(logic: Logic) -> Iterator[Member]:
    """List the memberships it rests on."""
    match logic:
        case Member():
            yield logic
        case Every(parts) | Some(parts):
            for each in parts:
                yield from members(each)
