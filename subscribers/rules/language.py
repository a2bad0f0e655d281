"""The language rules are written in: text to tree, with errors that say where and what was meant.

    follows:ai and clicked in last 4 issues and not country = "US"

`docs/segments.md` is the guide. Parsing needs time in proportion to the text and no recursion, so
no text can exhaust it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from subscribers.rules import tree
from subscribers.rules.json_tree import misfit
from subscribers.rules.tree import Combinator, Leaf, Operator, Problem, Rule, RuleInvalid
from subscribers.rules.values import ValueWrong, take

MAX_WRITTEN: Final = 120_000  # characters; the longest tree there may be takes fewer

_GRAMMAR = r"""
?start: either
?either: both | both ("or"i both)+           -> either
?both: one | one ("and"i one)+               -> both
?one: "not"i one                             -> denied
    | "(" either ")"
    | condition

?condition: FOLLOWS                         -> membership
    | IN_SEGMENT                            -> membership
    | ACT                                   -> ever
    | ACT "in"i _last window                 -> happened
    | "never"i ACT "in"i _last window         -> never
    | NAME COMPARISON value                 -> compared
    | NAME "in"i "(" text ("," text)* ")"    -> one_of
    | NAME "contains"i text                  -> contains
    | NAME "starts"i "with"i text             -> starts
    | NAME "ends"i "with"i text               -> ends
    | NAME "is"i "known"i                     -> known
    | NAME "is"i "not"i "unknown"i            -> known
    | NAME "is"i "unknown"i                   -> unknown
    | NAME "is"i "not"i "known"i              -> unknown
    | NAME "is"i value                        -> equals
    | NAME "is"i "not"i value                 -> differs
    | NAME DAY_WORD day                     -> dated
    | NAME "in"i _last window                -> in_last
    | NAME "in"i _next window                -> in_next
    | NAME "has"i text                       -> has
    | NAME "has"i "any"i "(" text ("," text)* ")" -> has_any

_last: "the"i? "last"i
_next: "the"i? "next"i
window: WHOLE UNIT
day: DATE -> date
    | WHOLE UNIT "ago"i -> days_ago
?value: text | number
text: STRING -> quoted
    | WORD -> word
number: NUMBER

FOLLOWS.9: /follows:[a-z0-9-]+/i
IN_SEGMENT.9: /in:[a-z0-9-]+/i
ACT.9: /(opened|clicked:[a-z0-9-]+|clicked)(?![\w:-])/i
DAY_WORD.8: /(before|after|on)(?![\w-])/i
UNIT.8: /(issues?|days?)(?![\w-])/i
COMPARISON: "=" | "!=" | "<=" | ">=" | "<" | ">"
NAME: /[a-z][a-z0-9_-]*/i
WORD: /[a-z][a-z0-9_.-]*/i
STRING: /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/s
DATE.7: /\d{4}-\d\d-\d\d/
WHOLE.6: /\d{1,9}(?![\w.])/
NUMBER.5: /[+-]?\d+(\.\d+)?(e[+-]?\d+)?/i
%ignore /[ \t\r\n]+/
"""

_WORDS = {
    "FOLLOWS": "follows:KEY",
    "IN_SEGMENT": "in:KEY",
    "ACT": "opened, clicked or clicked:KEY",
    "COMPARISON": "=, !=, <, <=, > or >=",
    "NAME": "the name of a field",
    "WORD": "a text",
    "STRING": "a text",
    "NUMBER": "a number",
    "WHOLE": "a whole number",
    "DATE": "a day like 2026-01-31",
    "STARTS": "starts with",
    "ENDS": "ends with",
    "DAY_WORD": "before, after or on",
    "UNIT": "issues or days",
    "LPAR": '"("',
    "RPAR": '")"',
    "COMMA": '","',
    "$END": "the end",
}
"""What a terminal is to a person; those not named here are words of the language themselves."""


@dataclass(frozen=True, slots=True)
class Written:
    """A rule as somebody wrote it."""

    rule: Rule
    places: tuple[str, ...]  # of each condition, in order: "line 1, column 12"


def parse(text: str) -> Rule:
    """Read a rule. Raises RuleInvalid."""
    return read(text).rule


def read(text: str) -> Written:
    """Read a rule and where its conditions stand. Raises RuleInvalid with line and column."""
    if len(text) > MAX_WRITTEN:
        raise _wrong(1, 1, f"the rule has more than {MAX_WRITTEN:,} characters")
    try:
        found = _parser().parse(text)
    except UnexpectedInput as unexpected:
        raise _explained(text, unexpected) from None
    assert isinstance(found, _Part)
    if sum(len(_texts(leaf)) for leaf in tree.leaves(found.rule)) > tree.MAX_TEXT_IN_ALL:
        raise _wrong(1, 1, f"more than {tree.MAX_TEXT_IN_ALL:,} characters of text in all")
    return Written(found.rule, tuple(_place(*each) for each in found.places))


def _texts(leaf: Leaf) -> str:
    if isinstance(leaf.value, tuple):
        return "".join(leaf.value)
    return leaf.value if isinstance(leaf.value, str) else ""


@dataclass(frozen=True, slots=True)
class _Part:
    """What has been understood so far, how deep its groups go, and where its conditions stand."""

    rule: Rule
    depth: int
    places: tuple[tuple[int, int], ...]


class _Building(Transformer[Token, Any]):
    """Makes the tree while the text is read, from the inside out."""

    def either(self, parts: Sequence[_Part]) -> _Part:
        return _together(Combinator.OR, parts)

    def both(self, parts: Sequence[_Part]) -> _Part:
        return _together(Combinator.AND, parts)

    def denied(self, parts: Sequence[_Part]) -> _Part:
        (part,) = parts
        rule = tree.deny(part.rule)
        return _limited(rule, 0 if isinstance(rule, Leaf) else max(part.depth, 1), part.places)

    def membership(self, tokens: Sequence[Token]) -> _Part:
        field, _, key = tokens[0].lower().partition(":")
        return _leaf(tokens[0], Operator.IS, key, field=field)

    def ever(self, tokens: Sequence[Token]) -> _Part:
        return _leaf(tokens[0], Operator.EVER, None)

    def happened(self, tokens: Sequence[Any]) -> _Part:
        return _leaf(tokens[0], Operator.IN_LAST, tokens[1])

    def never(self, tokens: Sequence[Any]) -> _Part:
        return _leaf(tokens[0], Operator.NEVER_IN_LAST, tokens[1])

    def compared(self, tokens: Sequence[Any]) -> _Part:
        return _leaf(tokens[0], Operator(tokens[1].value), tokens[2])

    def equals(self, tokens: Sequence[Any]) -> _Part:
        return _leaf(tokens[0], Operator.EQUALS, tokens[1])

    def differs(self, tokens: Sequence[Any]) -> _Part:
        return _leaf(tokens[0], Operator.DIFFERS, tokens[1])

    def one_of(self, tokens: Sequence[Any]) -> _Part:
        return _leaf(tokens[0], Operator.ONE_OF, list(tokens[1:]))

    def has_any(self, tokens: Sequence[Any]) -> _Part:
        return _leaf(tokens[0], Operator.HAS_ANY, list(tokens[1:]))

    def dated(self, tokens: Sequence[Any]) -> _Part:
        return _leaf(tokens[0], Operator(tokens[1].lower()), tokens[2])

    def contains(self, tokens: Sequence[Any]) -> _Part:
        return _leaf(tokens[0], Operator.CONTAINS, tokens[1])

    def starts(self, tokens: Sequence[Any]) -> _Part:
        return _leaf(tokens[0], Operator.STARTS, tokens[1])

    def ends(self, tokens: Sequence[Any]) -> _Part:
        return _leaf(tokens[0], Operator.ENDS, tokens[1])

    def has(self, tokens: Sequence[Any]) -> _Part:
        return _leaf(tokens[0], Operator.HAS, tokens[1])

    def in_last(self, tokens: Sequence[Any]) -> _Part:
        return _leaf(tokens[0], Operator.IN_LAST, tokens[1])

    def in_next(self, tokens: Sequence[Any]) -> _Part:
        return _leaf(tokens[0], Operator.IN_NEXT, tokens[1])

    def known(self, tokens: Sequence[Token]) -> _Part:
        return _leaf(tokens[0], Operator.KNOWN, None)

    def unknown(self, tokens: Sequence[Token]) -> _Part:
        return _leaf(tokens[0], Operator.UNKNOWN, None)

    def window(self, tokens: Sequence[Token]) -> dict[str, int]:
        number, unit = tokens
        return {unit.lower().removesuffix("s") + "s": int(number)}

    def date(self, tokens: Sequence[Token]) -> str:
        return str(tokens[0])

    def days_ago(self, tokens: Sequence[Token]) -> dict[str, int]:
        number, unit = tokens
        if not unit.lower().startswith("day"):
            raise _wrong(*_where(unit), "days are expected here: 30 days ago")
        return {"days_ago": int(number)}

    def quoted(self, tokens: Sequence[Token]) -> str:
        inner, _, rest = str(tokens[0])[1:-1].partition("\\")
        if not rest:
            return inner
        pieces = [inner]
        while rest:
            pieces.append(rest[0])  # whatever follows a backslash is meant as it stands
            inner, _, rest = rest[1:].partition("\\")
            pieces.append(inner)
        return "".join(pieces)

    def word(self, tokens: Sequence[Token]) -> str:
        if tokens[0].lower() in _KEYWORDS:
            said = f'a value is expected here; if it is "{tokens[0]}", put it in quotes'
            raise _wrong(*_where(tokens[0]), said)
        return str(tokens[0])

    def number(self, tokens: Sequence[Token]) -> float:
        return float(tokens[0])


_KEYWORDS = {"and", "or", "not", "in", "never", "has", "is", "contains", "starts", "ends"}


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", transformer=_Building(), maybe_placeholders=False)


def _together(combinator: Combinator, parts: Sequence[_Part]) -> _Part:
    rule = tree.group(combinator, [part.rule for part in parts])
    places = tuple(place for part in parts for place in part.places)
    return _limited(rule, 1 + max(part.depth for part in parts), places)


def _limited(rule: Rule, depth: int, places: tuple[tuple[int, int], ...]) -> _Part:
    if depth > tree.MAX_DEPTH:
        raise _wrong(*places[0], f"groups may stand in each other {tree.MAX_DEPTH} deep, no deeper")
    if len(places) > tree.MAX_LEAVES:
        raise _wrong(*places[0], f"a rule has at most {tree.MAX_LEAVES} conditions")
    return _Part(rule, depth, places)


def _leaf(token: Token, operator: Operator, value: object, *, field: str = "") -> _Part:
    name = field or token.lower()
    if problem := misfit(name, operator):
        raise _wrong(*_where(token), f"{name} {problem}")
    try:
        return _Part(Leaf(name, operator, take(operator, value)), 0, (_where(token),))
    except ValueWrong as wrong:
        raise _wrong(*_where(token), f"the value of {name} {wrong}") from None


def _explained(text: str, unexpected: UnexpectedInput) -> RuleInvalid:
    """Say in plain words what stands where something else was expected."""
    line, column = unexpected.line, unexpected.column
    if isinstance(unexpected, UnexpectedToken):
        token, expected = unexpected.token, unexpected.accepts or unexpected.expected
        if token.type == "$END":
            line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
            return _wrong(line, column, f"the rule ends here; expected: {_list(expected)}")
        found = f'"{_short(token.value)}"'
    else:
        assert isinstance(unexpected, UnexpectedCharacters)
        expected, found = unexpected.allowed or set(), f'"{_short(unexpected.char)}"'
        if unexpected.char in {'"', "'"}:
            return _wrong(line, column, "a quote is opened here and never closed")
    return _wrong(line, column, f"{found} is not expected here; expected: {_list(expected)}")


def _list(terminals: Iterable[str]) -> str:
    words = {_WORDS.get(name, name.lower()) for name in terminals}
    if words == {"in"}:
        return "in last 4 issues, or in last 30 days"
    return ", ".join(sorted(words, key=lambda word: (word == "the end", word)))


def _short(text: str) -> str:
    """A piece of the text to be shown: short, and nothing in it that steers a terminal."""
    kept = "".join(c if c.isprintable() else "?" for c in text[:40])
    return kept + "…" if len(text) > 40 else kept


def _where(token: Token) -> tuple[int, int]:
    return token.line or 1, token.column or 1


def _place(line: int, column: int) -> str:
    return f"line {line}, column {column}"


def _wrong(line: int, column: int, message: str) -> RuleInvalid:
    return RuleInvalid([Problem(_place(line, column), message)])
