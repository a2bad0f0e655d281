"""Rules that name segments with rules of their own: no circle, no chain too long, not too much."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from subscribers.rules.tree import Problem, Rule, RuleInvalid, leaves

MAX_CHAIN: Final = 8  # rules that lead to one another
MAX_WRITTEN_OUT: Final = 1_000  # conditions, those of all the segments it names among them


def named(rule: Rule) -> tuple[str, ...]:
    """List the segments with rules that a rule names, once each."""
    found = (str(leaf.value) for leaf in leaves(rule) if leaf.field == "in")
    return tuple(dict.fromkeys(found))


def mentioned(rule: Rule) -> frozenset[str]:
    """List every segment a rule names in any way."""
    return frozenset(_mentioned(rule))


def require(rules: Mapping[str, Rule], key: str) -> None:
    """Raise RuleInvalid where the rule of a segment leads back to itself or too far."""
    _written_out(rules, (key,), {})


def require_all(rules: Mapping[str, Rule], changed: str) -> None:
    """The same for a segment and for all those whose rules lead to it."""
    require(rules, changed)
    for key in rules:
        if changed in _reached(rules, key):
            require(rules, key)


def _mentioned(rule: Rule) -> Iterator[str]:
    for leaf in leaves(rule):
        name, _, key = leaf.field.partition(":")
        if name in {"follows", "in"}:
            yield str(leaf.value)
        elif key:
            yield key


def _reached(rules: Mapping[str, Rule], key: str) -> set[str]:
    found: set[str] = set()
    todo = [key]
    while todo:
        for each in named(rules[todo.pop()]):
            if each in rules and each not in found:
                found.add(each)
                todo.append(each)
    return found


def _written_out(rules: Mapping[str, Rule], way: Sequence[str], counted: dict[str, int]) -> int:
    """Count a segment's conditions with those of the segments it names."""
    here = way[-1]
    if here in way[:-1]:
        circle = " to ".join(f"in:{key}" for key in way[way.index(here) :])
        raise RuleInvalid([Problem("the rule", f"leads back to itself: {circle}")])
    if len(way) > MAX_CHAIN:
        raise RuleInvalid([Problem("the rule", f"leads on over more than {MAX_CHAIN} segments")])
    total = 0
    for leaf in leaves(rules[here]):
        on = str(leaf.value)
        if leaf.field == "in" and on in rules:
            total += counted.get(on) or _written_out(rules, (*way, on), counted)
        else:
            total += 1
    if total > MAX_WRITTEN_OUT:
        said = f"has more than {MAX_WRITTEN_OUT:,} conditions with those of the segments it names"
        raise RuleInvalid([Problem("the rule", said)])
    counted[here] = total
    return total
