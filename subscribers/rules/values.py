"""What may stand as the value of a condition, by its operator: read from JSON's own types."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date

from subscribers.rules import tree
from subscribers.rules.tree import DaysAgo, Operator, Unit, Value, Window
from subscribers.segment import MAX_KEY

_KEY = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class ValueWrong(Exception):
    """What is wrong with a value; whoever reads the rule says where."""


def take(operator: Operator, value: object) -> Value:
    """Read an operator's value. Raises ValueWrong."""
    return _TAKES[operator](value)


def is_key(text: object) -> bool:
    """Say whether something can be the key of a segment."""
    return isinstance(text, str) and len(text) <= MAX_KEY and bool(_KEY.fullmatch(text))


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueWrong("must be a text that is not empty")
    if _UNPRINTABLE.search(value):
        raise ValueWrong("has a control character, a line end or half a character in it")
    composed = unicodedata.normalize("NFC", value)  # as values are stored
    if len(composed) > tree.MAX_TEXT:
        raise ValueWrong(f"has more than {tree.MAX_TEXT} characters")
    return composed


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= tree.MAX_TEXTS:
        raise ValueWrong(f"must be a list of 1 to {tree.MAX_TEXTS} texts")
    return tuple(dict.fromkeys(map(_text, value)))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueWrong("must be a number")
    # an integer of any size compares with a float, but may not become one; NaN is in no range
    if not -tree.MAX_NUMBER <= value <= tree.MAX_NUMBER:
        raise ValueWrong(f"must be a number from -{tree.MAX_NUMBER:.0e} to {tree.MAX_NUMBER:.0e}")
    return float(value) + 0.0  # no minus nought


def _text_or_number(value: object) -> str | float:
    return _text(value) if isinstance(value, str) else _number(value)


def _day(value: object) -> date | DaysAgo:
    if isinstance(value, Mapping) and set(value) == {"days_ago"}:
        return DaysAgo(_counted(value["days_ago"], 0, tree.MAX_DAYS))
    try:
        if isinstance(value, str) and _DAY.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError as bad:
        raise ValueWrong(f"must be a day of the calendar, which {value} is not") from bad
    raise ValueWrong('must be a day: "2026-01-31" or {"days_ago": 30}')


def _window(value: object) -> Window:
    if isinstance(value, Mapping) and len(value) == 1:
        ((unit, number),) = value.items()
        if unit == Unit.ISSUES:
            return Window(_counted(number, 1, tree.MAX_ISSUES), Unit.ISSUES)
        if unit == Unit.DAYS:
            return Window(_counted(number, 1, tree.MAX_DAYS), Unit.DAYS)
    raise ValueWrong('must be a window: {"issues": 4} or {"days": 30}')


def _counted(value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueWrong(f"must be a whole number from {least} to {most:,}")
    return value


def _key(value: object) -> str:
    if not is_key(value):
        raise ValueWrong("must be the key of a segment")
    return str(value)


def _nothing(value: object) -> None:
    if value is not None:
        raise ValueWrong("has no place here: the operator says all")


_TAKES: Mapping[Operator, Callable[[object], Value]] = {
    **dict.fromkeys((Operator.EQUALS, Operator.DIFFERS), _text_or_number),
    **dict.fromkeys((Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST), _number),
    **dict.fromkeys((Operator.ONE_OF, Operator.HAS_ANY), _texts),
    **dict.fromkeys((Operator.CONTAINS, Operator.STARTS, Operator.ENDS, Operator.HAS), _text),
    **dict.fromkeys((Operator.KNOWN, Operator.UNKNOWN, Operator.EVER), _nothing),
    **dict.fromkeys((Operator.BEFORE, Operator.AFTER, Operator.ON), _day),
    **dict.fromkeys((Operator.IN_LAST, Operator.IN_NEXT, Operator.NEVER_IN_LAST), _window),
    Operator.IS: _key,
}
