"""What a rule can speak of: the fields there are, of which kind, and the segments; and a check.

Pure: the fields and segments of an installation come in as a `Schema`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum

from subscribers.provider import OTHER, PROVIDERS
from subscribers.rules.tree import (
    ACTS,
    MEMBERSHIPS,
    Leaf,
    Operator,
    Problem,
    Rule,
    RuleInvalid,
    Unit,
    Value,
    Window,
    leaves,
)


class Kind(StrEnum):
    """What a field holds, and so which operators fit."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    CHOICE = "choice"
    TAGS = "tags"
    ADDRESS = "address"  # a text that everybody has
    WORD = "word"  # a choice that everybody has
    MOMENT = "moment"  # a point in time
    CONSENT = "consent"  # a set of words


_TEXT = (Operator.EQUALS, Operator.DIFFERS, Operator.CONTAINS, Operator.STARTS, Operator.ENDS)
_PRESENCE = (Operator.KNOWN, Operator.UNKNOWN)
_CHOICE = (Operator.EQUALS, Operator.DIFFERS, Operator.ONE_OF)
_ORDER = (Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST)
_TIME = (Operator.BEFORE, Operator.AFTER, Operator.ON, Operator.IN_LAST)
_SET = (Operator.HAS, Operator.HAS_ANY)

OPERATORS: Mapping[Kind, tuple[Operator, ...]] = {
    Kind.TEXT: (*_TEXT, Operator.ONE_OF, *_PRESENCE),
    Kind.NUMBER: (Operator.EQUALS, Operator.DIFFERS, *_ORDER, *_PRESENCE),
    Kind.DATE: (*_TIME, Operator.IN_NEXT, *_PRESENCE),
    Kind.CHOICE: (*_CHOICE, *_PRESENCE),
    Kind.TAGS: (*_SET, *_PRESENCE),
    Kind.ADDRESS: _TEXT,
    Kind.WORD: _CHOICE,
    Kind.MOMENT: (*_TIME, *_PRESENCE),
    Kind.CONSENT: _SET,
}

_SPOKEN = {kind: kind.value for kind in Kind} | {
    Kind.TAGS: "list of tags",
    Kind.ADDRESS: "text",
    Kind.WORD: "choice",
    Kind.MOMENT: "point in time",
    Kind.CONSENT: "list of consents",
}


@dataclass(frozen=True, slots=True)
class Field:
    """Something known of people."""

    name: str
    kind: Kind
    label: str  # as it is said in a sentence
    choices: tuple[str, ...] = ()  # empty: any
    archived: bool = False


BUILT_IN = {
    each.name: each
    for each in (
        Field("address", Kind.ADDRESS, "address"),
        Field("domain", Kind.ADDRESS, "domain"),
        Field("provider", Kind.WORD, "mailbox provider", (*PROVIDERS, OTHER)),
        Field("name", Kind.TEXT, "name"),
        Field("language", Kind.TEXT, "language"),
        Field("timezone", Kind.TEXT, "time zone"),
        Field(
            "state",
            Kind.WORD,
            "state",
            ("pending", "confirmed", "unsubscribed", "bounced", "complained", "suppressed"),
        ),
        Field("source", Kind.TEXT, "source"),
        Field("frequency", Kind.WORD, "frequency", ("every", "fortnightly", "monthly")),
        Field("tracking", Kind.CONSENT, "consents to tracking", ("opens", "clicks")),
        Field("created", Kind.MOMENT, "first entry here"),
        Field("confirmed", Kind.MOMENT, "confirmation"),
    )
}
"""The fields every installation has, by name."""


@dataclass(frozen=True, slots=True)
class NamedSegment:
    """A segment as a rule may name it."""

    key: str
    name: str
    by_rule: bool = False
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """What there is to speak of in one installation."""

    custom: Mapping[str, Field] = field(default_factory=dict)
    segments: Mapping[str, NamedSegment] = field(default_factory=dict)

    def find(self, name: str) -> Field | None:
        """Look a field up; those every installation has come first."""
        return BUILT_IN.get(name) or self.custom.get(name)


def require(rule: Rule, schema: Schema, places: Sequence[str] = ()) -> None:
    """Raise RuleInvalid with everything a rule says of what there is not.

    `places` says where each condition stands; without it, its place in the tree is named.
    """
    problems = check(rule, schema, places)
    if problems:
        raise RuleInvalid(problems)


def check(rule: Rule, schema: Schema, places: Sequence[str] = ()) -> tuple[Problem, ...]:
    """List what a rule says that cannot be of this schema."""
    where = places or list(_places(rule))
    return tuple(
        Problem(place, message)
        for place, leaf in zip(where, leaves(rule), strict=True)
        for message in _wrong(leaf, schema)
    )


def _places(rule: Rule, place: str = "") -> Iterator[str]:
    if isinstance(rule, Leaf):
        yield place or "the rule"
    else:
        for n, each in enumerate(rule.rules):
            yield from _places(each, f"{place}.rules[{n}]".removeprefix("."))


def _wrong(leaf: Leaf, schema: Schema) -> Iterator[str]:
    name, _, key = leaf.field.partition(":")
    if name in MEMBERSHIPS:
        yield from _wrong_segment(str(leaf.value), schema, by_rule=name == "in")
    elif name in ACTS:
        if key:
            yield from _wrong_segment(key, schema, by_rule=False, clicked=True)
    else:
        found = schema.find(name)
        if found is None:
            there = [*BUILT_IN, *(each.name for each in schema.custom.values())]
            yield f"there is no field {name}{_nearest(name, there)}"
        elif found.archived:
            yield f"the field {name} is archived"
        else:
            yield from _wrong_use(leaf, found)


def _wrong_segment(
    key: str, schema: Schema, *, by_rule: bool, clicked: bool = False
) -> Iterator[str]:
    found = schema.segments.get(key)
    if found is None:
        yield f"there is no segment {key}{_nearest(key, schema.segments)}"
    elif found.archived:
        yield f"the segment {key} is archived"
    elif clicked and found.by_rule:
        yield f"items are marked with segments that people follow, and {key} is given by a rule"
    elif by_rule and not found.by_rule:
        yield f"people follow {key}: write follows:{key}"
    elif not by_rule and found.by_rule:
        yield f"{key} is given by a rule: write in:{key}"


def _wrong_use(leaf: Leaf, found: Field) -> Iterator[str]:
    fits = OPERATORS[found.kind]
    if leaf.operator not in fits:
        words = ", ".join(each.replace("_", " ") for each in fits)
        said = leaf.operator.replace("_", " ")
        yield f"{found.name} is a {_SPOKEN[found.kind]} and knows no {said}; it knows: {words}"
    elif isinstance(leaf.value, Window) and leaf.value.unit is Unit.ISSUES:
        yield f"{found.name} is measured in days, not in issues"
    elif isinstance(leaf.value, str) and found.kind is Kind.NUMBER:
        yield f"{found.name} is a number, and {leaf.value} is a text"
    elif isinstance(leaf.value, float) and found.kind is not Kind.NUMBER:
        yield f"{found.name} is a {_SPOKEN[found.kind]}: put its value in quotes"
    elif found.choices:
        for word in _words(leaf.value):
            if word not in found.choices:
                near = _nearest(word, found.choices)
                some = ", ".join(found.choices[:12]) + (", …" if len(found.choices) > 12 else "")
                yield f"{word} is no value of {found.name}{near or f'; there are: {some}'}"


def _words(value: Value) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    return (value,) if isinstance(value, str) else ()


def _nearest(word: str, there: Iterable[str]) -> str:
    by_small = {each.lower(): each for each in there}
    found = get_close_matches(word.lower()[:100], by_small, n=1)
    return f"; did you mean {by_small[found[0]]}?" if found else ""
