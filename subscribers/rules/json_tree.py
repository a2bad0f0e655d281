"""Rules as JSON: read with every problem named by its place, and written.

A text is a string, a date "2026-01-31" or {"days_ago": 30}, a window {"issues": 4} or {"days": 30},
a list of texts an array. Whoever sent it, reading takes time for what a rule may be at most, and no
more.
"""

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from subscribers.rules import tree
from subscribers.rules.tree import (
    Combinator,
    DaysAgo,
    Group,
    Leaf,
    Operator,
    Problem,
    Rule,
    RuleInvalid,
    Value,
    Window,
)
from subscribers.rules.values import ValueWrong, is_key, take

MAX_OCTETS: Final = 500_000  # of a whole JSON document
_MAX_PROBLEMS = 20  # named at once
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)


def loads(text: str) -> Rule:
    """Read a rule from JSON as text. Raises RuleInvalid with all that is wrong."""
    if len(text) > MAX_OCTETS:
        raise RuleInvalid([Problem("the rule", f"has more than {MAX_OCTETS:,} characters")])
    try:
        value = json.loads(text, parse_constant=_no_number)
    except RecursionError as bad:
        raise RuleInvalid([Problem("the rule", _TOO_DEEP)]) from bad
    except ValueError as bad:
        raise RuleInvalid([Problem("the rule", f"is no JSON: {bad}")]) from bad
    return read(value)


def read(value: object) -> Rule:
    """Read a rule from JSON's own types. Raises RuleInvalid with all that is wrong."""
    reading = _Reading()
    rule = reading.rule(value, "", 0)
    if reading.problems or rule is None:
        raise RuleInvalid(reading.problems)
    return rule


def write(rule: Rule) -> dict[str, Any]:
    """Write a rule in JSON's own types."""
    if isinstance(rule, Group):
        denied = {"not": True} if rule.negated else {}
        rules = [write(each) for each in rule.rules]
        return {"combinator": rule.combinator.value, **denied, "rules": rules}
    leaf = {"field": rule.field, "operator": rule.operator.value}
    return leaf if rule.value is None else {**leaf, "value": _plain(rule.value)}


def _plain(value: Value) -> object:
    match value:
        case Window(number, unit):
            return {unit.value: number}
        case DaysAgo(days):
            return {"days_ago": days}
        case date():
            return value.isoformat()
        case tuple():
            return list(value)
        case float() if value.is_integer():
            return int(value)
    return value


_TOO_DEEP = f"groups may stand in each other {tree.MAX_DEPTH} deep, these go deeper"


class _Reading:
    """One rule on its way in: what is wrong so far, and how much there has been."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.leaves = 0
        self.characters = 0

    def wrong(self, place: str, message: str) -> None:
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(Problem(place or "the rule", message))

    def rule(self, value: object, place: str, depth: int) -> Rule | None:
        """Read a group or a condition; None where it is neither, and `problems` says why."""
        if not isinstance(value, Mapping):
            self.wrong(place, 'is neither a group ("combinator", "rules") nor a condition')
            return None
        return self.leaf(value, place) if "field" in value else self.group(value, place, depth + 1)

    def group(self, value: Mapping[Any, Any], place: str, depth: int) -> Rule | None:
        self.keys(value, {"combinator", "not", "rules"}, place)
        combinator, rules = value.get("combinator"), value.get("rules")
        denied = value.get("not", False)
        if combinator not in tuple(Combinator):
            self.wrong(_at(place, "combinator"), 'must be "and" or "or"')
        if not isinstance(denied, bool):
            self.wrong(_at(place, "not"), "must be true or false")
        if not isinstance(rules, list) or not rules:
            self.wrong(_at(place, "rules"), "must be a list of at least one rule")
            return None
        if depth > tree.MAX_DEPTH:
            self.wrong(place, _TOO_DEEP)
            return None
        read = []
        for n, each in enumerate(rules):
            read.append(self.rule(each, _at(place, f"rules[{n}]"), depth))
            if self.leaves > tree.MAX_LEAVES:
                break
        found = [each for each in read if each is not None]
        if self.problems or not found:
            return None
        return tree.group(Combinator(str(combinator)), found, negated=denied)

    def leaf(self, value: Mapping[Any, Any], place: str) -> Leaf | None:
        self.leaves += 1
        if self.leaves > tree.MAX_LEAVES:
            if self.leaves == tree.MAX_LEAVES + 1:
                self.wrong("the rule", f"has more than {tree.MAX_LEAVES} conditions")
            return None
        self.keys(value, {"field", "operator", "value"}, place)
        field, operator = value["field"], value.get("operator")
        named = self.named(field, _at(place, "field"))
        if operator not in tuple(Operator):
            known = ", ".join(Operator)
            self.wrong(_at(place, "operator"), f"must be one of: {known}")
            return None
        if not named:
            return None
        if problem := misfit(field, Operator(operator)):
            self.wrong(_at(place, "operator"), f"{field} {problem}")
            return None
        try:
            taken = self.counted(take(Operator(operator), value.get("value")))
        except ValueWrong as wrong:
            self.wrong(_at(place, "value"), str(wrong))
            return None
        return Leaf(field, Operator(operator), taken)

    def named(self, field: object, place: str) -> bool:
        """Say whether this can be a field's name; unknown ones are `schema`'s to refuse."""
        name, colon, key = field.partition(":") if isinstance(field, str) else ("", "", "")
        if not _NAME.fullmatch(name):
            self.wrong(place, "is no name of a field: small letters, digits, _ and -")
            return False
        if colon and (name != "clicked" or not is_key(key)):
            self.wrong(place, "takes no segment; only clicked:KEY does")
            return False
        return True

    def keys(self, value: Mapping[Any, Any], known: set[str], place: str) -> None:
        strange = [str(key)[:40] for key in value if key not in known]
        if strange:
            self.wrong(place, f"has what no rule has: {', '.join(map(repr, strange[:5]))}")

    def counted(self, value: Value) -> Value:
        texts = value if isinstance(value, tuple) else (value,)
        self.characters += sum(len(each) for each in texts if isinstance(each, str))
        if self.characters > tree.MAX_TEXT_IN_ALL:
            raise ValueWrong(
                f"makes it more than {tree.MAX_TEXT_IN_ALL:,} characters of text in all"
            )
        return value


def misfit(field: str, operator: Operator) -> str:
    """Say why an operator can never go with a field; "" where it may."""
    name = field.partition(":")[0]
    if name in tree.MEMBERSHIPS:
        return "" if operator is Operator.IS else f"goes with a segment only, as in {name}:ai"
    if name in tree.ACTS:
        fits = operator in {Operator.IN_LAST, Operator.EVER, Operator.NEVER_IN_LAST}
        return "" if fits else "goes with a window only, as in: in last 4 issues"
    if name in tree.RESERVED:
        return "is a word of the language, not the name of a field"
    if operator in {Operator.IS, Operator.EVER, Operator.NEVER_IN_LAST}:
        return f"is a field, and {operator} is not for fields"
    return ""


def _at(place: str, part: str) -> str:
    return f"{place}.{part}" if place else part


def _no_number(word: str) -> object:
    raise ValueError(f"{word} is no number")
