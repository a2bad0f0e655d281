"""A rule as text in its language, in one canonical form: what is printed reads back the same."""

from datetime import date

from subscribers.rules.tree import (
    DaysAgo,
    Group,
    Leaf,
    Operator,
    Rule,
    Value,
    Window,
)

_WRITTEN = {
    Operator.STARTS: "starts with",
    Operator.ENDS: "ends with",
    Operator.KNOWN: "is known",
    Operator.UNKNOWN: "is unknown",
    Operator.IN_LAST: "in last",
    Operator.IN_NEXT: "in next",
    Operator.HAS_ANY: "has any",
}


def text(rule: Rule) -> str:
    """Write a rule so that `language.parse` gives the same tree."""
    if isinstance(rule, Leaf):
        return _leaf(rule)
    inner = f" {rule.combinator} ".join(_inside(each) for each in rule.rules)
    if not rule.negated:
        return inner
    return f"not {inner}" if len(rule.rules) == 1 else f"not ({inner})"


def _inside(rule: Rule) -> str:
    plain = isinstance(rule, Group) and not rule.negated
    return f"({text(rule)})" if plain else text(rule)


def _leaf(leaf: Leaf) -> str:
    operator = leaf.operator
    if operator is Operator.IS:
        return f"{leaf.field}:{leaf.value}"
    if operator is Operator.EVER:
        return leaf.field
    if operator is Operator.NEVER_IN_LAST:
        return f"never {leaf.field} in last {_value(leaf.value)}"
    words = f"{leaf.field} {_WRITTEN.get(operator, operator.value)}"
    return words if leaf.value is None else f"{words} {_value(leaf.value)}"


def _value(value: Value) -> str:
    match value:
        case str():
            return _quoted(value)
        case tuple():
            return f"({', '.join(map(_quoted, value))})"
        case Window(number, unit):
            return f"{number} {unit.value.removesuffix('s') if number == 1 else unit.value}"
        case DaysAgo(days):
            return f"{days} {'day' if days == 1 else 'days'} ago"
        case date():
            return value.isoformat()
        case float():
            return str(int(value)) if value.is_integer() else repr(value)
    raise ValueError(f"no value of a condition: {value!r}")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
