"""A rule said back in plain English, so that whoever wrote it sees what was understood."""

from collections.abc import Sequence
from datetime import date

from subscribers.rules.schema import Field, Kind, Schema
from subscribers.rules.tree import (
    Combinator,
    DaysAgo,
    Leaf,
    Operator,
    Rule,
    Value,
    Window,
)

_ACTS = {
    "opened": ("opened", "did not open"),
    "clicked": ("clicked", "did not click"),
}
_SAID = {
    Operator.EQUALS: "is",
    Operator.ONE_OF: "is",
    Operator.LESS: "is less than",
    Operator.AT_MOST: "is at most",
    Operator.MORE: "is more than",
    Operator.AT_LEAST: "is at least",
    Operator.CONTAINS: "contains",
    Operator.STARTS: "starts with",
    Operator.ENDS: "ends with",
    Operator.BEFORE: "is before",
    Operator.AFTER: "is after",
    Operator.ON: "is on",
    Operator.IN_LAST: "is in the last",
    Operator.IN_NEXT: "is in the next",
}
_MOMENTS = {
    "created": ("came to us", "did not come to us"),
    "confirmed": ("confirmed", "did not confirm"),
}


def say(rule: Rule, schema: Schema) -> str:
    """Say in a sentence whom a rule finds: `People who follow AI and whose country is not US.`."""
    return f"People {_say(rule, schema)}."


def _say(rule: Rule, schema: Schema) -> str:
    if isinstance(rule, Leaf):
        return _joined([_leaf(rule, schema)], "and")
    if rule.negated and len(rule.rules) == 1 and isinstance(rule.rules[0], Leaf):
        return _joined([_leaf(rule.rules[0], schema, denied=True)], "and")
    clauses = [_inside(each, schema) for each in rule.rules]
    said = _joined(clauses, "and" if rule.combinator is Combinator.AND else "or")
    return f"who are not among those {said}" if rule.negated else said


def _inside(rule: Rule, schema: Schema) -> str:
    """A clause of a longer sentence; a group of its own goes into brackets."""
    if isinstance(rule, Leaf):
        return _leaf(rule, schema)
    if rule.negated and len(rule.rules) == 1 and isinstance(rule.rules[0], Leaf):
        return _leaf(rule.rules[0], schema, denied=True)
    return f"({_say(rule, schema)})"


def _joined(clauses: Sequence[str], word: str) -> str:
    """Put clauses in a row; "who" is said once for those that follow each other."""
    said = []
    before = ""
    for clause in clauses:
        pronoun, _, rest = clause.partition(" ")
        same = pronoun == before == "who"
        said.append(rest if same else clause)
        before = pronoun
    if len(said) == 1:
        return said[0]
    if len(said) == 2 and not any("," in each for each in said):
        return f"{said[0]} {word} {said[1]}"
    return f"{', '.join(said[:-1])}, {word} {said[-1]}"


def _leaf(leaf: Leaf, schema: Schema, *, denied: bool = False) -> str:
    """A clause that begins with who or whose."""
    name, _, key = leaf.field.partition(":")
    if name == "follows":
        return f"who {'do not ' * denied}follow {_segment(str(leaf.value), schema)}"
    if name == "in":
        return f"who are {'not ' * denied}in {_segment(str(leaf.value), schema)}"
    if name in _ACTS:
        return _act(leaf, f" on {_segment(key, schema)}" if key else "", denied=denied)
    found = schema.find(name) or Field(name, Kind.TEXT, name)
    if leaf.operator in {Operator.DIFFERS, Operator.UNKNOWN}:
        opposite = Operator.EQUALS if leaf.operator is Operator.DIFFERS else Operator.KNOWN
        return _known(Leaf(name, opposite, leaf.value), found, denied=not denied)
    return _known(leaf, found, denied=denied)


def _act(leaf: Leaf, about: str, *, denied: bool) -> str:
    name = leaf.field.partition(":")[0]
    if leaf.operator is Operator.EVER:
        return f"who have {'never' if denied else 'ever'} {name}{about}"
    window = f"the last {_value(leaf.value)}"
    if leaf.operator is Operator.NEVER_IN_LAST:
        said = f"could have {name}{about} in {window} and never did"
        return f"who are not known as people who {said}" if denied else f"who {said}"
    return f"who {_ACTS[name][denied]}{about} in {window}"


def _known(leaf: Leaf, found: Field, *, denied: bool) -> str:
    if leaf.operator is Operator.KNOWN:
        return f"whose {found.label} is {'unknown' if denied else 'known'}"
    if leaf.operator in {Operator.HAS, Operator.HAS_ANY}:
        return f"who {'do not ' * denied}have {_value(leaf.value)} among their {found.label}"
    said = _SAID[leaf.operator]
    if said == "is on" and isinstance(leaf.value, DaysAgo):
        said = "is"
    if found.kind is Kind.MOMENT:
        when = f"{said.removeprefix('is ')} {_value(leaf.value)}"
        return f"who {_MOMENTS[found.name][denied]} {when}"
    return f"whose {found.label} {_denied(said) if denied else said} {_value(leaf.value)}"


def _denied(said: str) -> str:
    """Turn "is before" into "is not before", and "starts with" into "does not start with"."""
    verb, _, rest = said.partition(" ")
    if verb == "is":
        return f"is not {rest}".rstrip()
    return f"does not {verb.removesuffix('s')} {rest}".rstrip()


def _span(window: Window) -> str:
    unit = window.unit.value
    return unit.removesuffix("s") if window.number == 1 else f"{window.number:,} {unit}"


def _any(value: tuple[str, ...]) -> str:
    said = [_value(each) for each in value]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} or {said[-1]}"


def _value(value: Value) -> str:
    match value:
        case tuple():
            return _any(value)
        case Window():
            return _span(value)
        case str():
            return value if value.replace("-", "").replace(".", "").isalnum() else f'"{value}"'
        case float():
            return f"{value:,.10g}"
        case DaysAgo(days):
            return {0: "today", 1: "1 day ago"}.get(days, f"{days:,} days ago")
        case date():
            return f"{value.day} {value:%B} {value.year}"
    raise ValueError(f"no value of a condition: {value!r}")


def _segment(key: str, schema: Schema) -> str:
    found = schema.segments.get(key)
    return found.name if found else key
