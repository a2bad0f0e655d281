"""What each condition means: as tests of a person's row and memberships in other tables.

Every value of a rule becomes a bound parameter, the names of fields too.
"""

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Double, case, cast, collate, false, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import type_coerce

from subscribers.engagement import EVERYTHING, Act
from subscribers.models import EngagementRow, FollowRow, SuppressionRow
from subscribers.provider import OTHER, PROVIDERS
from subscribers.rules.facts import Facts
from subscribers.rules.logic import Every, Fact, Logic, Member, Person, Some, deny
from subscribers.rules.schema import BUILT_IN, Kind
from subscribers.rules.tree import DaysAgo, Leaf, Operator, Unit, Value, Window
from subscribers.subscriber import OWN, State
from subscribers.suppression import Reason

FOLLOWS = "follows"  # the first word of the key of such a membership
NOBODY = Fact(lambda _: false())
_ACTS = {"opened": Act.OPENED, "clicked": Act.CLICKED}
_DENIED = {Operator.DIFFERS: Operator.EQUALS, Operator.UNKNOWN: Operator.KNOWN}
_ORDER: Mapping[Operator, Callable[[Any, Any], Any]] = {
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.MORE: operator.gt,
    Operator.AT_LEAST: operator.ge,
}
_COLUMNS = {"created": "created_at", "confirmed": "confirmed_at"}
_OWN_REASONS = (Reason.BOUNCED.value, Reason.COMPLAINED.value)
_LAST = datetime.max.replace(tzinfo=UTC)
_SMALL = str.maketrans({chr(65 + n): chr(97 + n) for n in range(26)})  # as the databases do it


def logic(leaf: Leaf, facts: Facts) -> Logic:
    """Say what a condition means. Raises ValueError for one that was never checked."""
    name, _, key = leaf.field.partition(":")
    if leaf.operator in _DENIED:
        return deny(logic(Leaf(leaf.field, _DENIED[leaf.operator], leaf.value), facts))
    if name == "follows":
        segment = facts.segments.get(str(leaf.value))
        return follows(segment.id) if segment else NOBODY
    if name in _ACTS:
        return _acted(_ACTS[name], key, leaf, facts)
    if name not in BUILT_IN:
        return Fact(_custom(leaf, facts))
    if name == "state":
        return _state(_words(leaf.value))
    return Fact(_built_in(leaf, facts))


def follows(segment: int) -> Member:
    """Say that somebody follows a segment."""
    them = select(FollowRow.subscriber_id).where(FollowRow.segment_id == segment)
    return Member((FOLLOWS, segment), them, is_once=True)


def _stopped(*reasons: str, but: bool = False) -> Member:
    """Say that an active suppression stops the person's address: for, or but for, some reasons."""
    active = select(SuppressionRow.address_key).where(SuppressionRow.lifted_at.is_(None))
    if reasons:
        reason = SuppressionRow.reason
        active = active.where(reason.not_in(reasons) if but else reason.in_(reasons))
    return Member(("stopped", but, *reasons), active, column="address_key", is_once=True)


def _acted(act: Act, key: str, leaf: Leaf, facts: Facts) -> Logic:
    segment = facts.segments.get(key)
    if key and segment is None:
        return NOBODY
    row = EngagementRow
    about = segment.id if segment else EVERYTHING
    done = select(row.subscriber_id).where(row.act == int(act), row.segment_id == about)
    named = (act, about, leaf.value)
    if leaf.operator is Operator.EVER:
        return Member(named, done)
    window = leaf.value
    assert isinstance(window, Window)
    issues = facts.issues[: window.number]
    if window.unit is Unit.DAYS:
        begun = facts.now - timedelta(window.number)
        within = Member(named, done.where(row.at > begun, row.at <= facts.now))
    elif issues:
        begun = issues[-1].at
        among = row.issue_id.in_([issue.id for issue in issues])
        within = Member(named, done.where(among), is_once=len(issues) == 1)
    else:
        return NOBODY
    if leaf.operator is Operator.IN_LAST:
        return within
    could = Fact(lambda person: person.c.tracking.op("&")(int(act)) != 0)
    there = Fact(lambda person: person.c.confirmed_at < begun)
    return Every((could, there, deny(within)))


def _state(words: tuple[str, ...]) -> Logic:
    """Say that somebody stands so: what they did themselves, unless a suppression is on top."""
    ways: list[Logic] = []
    own = [word for word in words if word in OWN]
    if own:
        said = Fact(lambda person: person.c.state.in_(own))
        ways.append(Every((said, deny(_stopped()))))
    named = [word for word in words if word in _OWN_REASONS]
    if named:
        ways.append(_stopped(*named))
    if State.SUPPRESSED in words:
        ways.append(_stopped(*_OWN_REASONS, but=True))
    return Some(tuple(ways)) if len(ways) > 1 else ways[0]


Test = Callable[[Person], ColumnElement[bool]]


def _built_in(leaf: Leaf, facts: Facts) -> Test:
    words, kind = _words(leaf.value), BUILT_IN[leaf.field].kind
    if kind is Kind.MOMENT:
        column = _COLUMNS[leaf.field]
        return lambda person: _moment(leaf, person.c[column], facts.now)
    match leaf.field:
        case "tracking":
            bits = sum({"opens": Act.OPENED, "clicks": Act.CLICKED}[word] for word in set(words))
            return lambda person: person.c.tracking.op("&")(int(bits)) != 0
        case "frequency":
            kept = ["" if word == "every" else word for word in words]
            return lambda person: person.c.frequency.in_(kept)
        case "provider":
            return lambda person: _provided(person.c.domain, words)
        case "address" | "domain":
            small = tuple(word.translate(_SMALL) for word in words)
            return lambda person: _text(leaf, func.lower(person.c[leaf.field]), small)
    return lambda person: (
        person.c[leaf.field] != ""
        if leaf.operator is Operator.KNOWN
        else _text(leaf, person.c[leaf.field], words, facts)
    )


def _provided(domain: ColumnElement[str], words: tuple[str, ...]) -> ColumnElement[bool]:
    ways = [domain.in_(PROVIDERS[word]) for word in words if word != OTHER]
    if OTHER in words:
        ways.append(domain.not_in([each for domains in PROVIDERS.values() for each in domains]))
    return or_(*ways)


def _text(
    leaf: Leaf, column: ColumnElement[Any], words: tuple[str, ...], facts: Facts | None = None
) -> ColumnElement[bool]:
    """Compare a text: exactly, but for parts of it, where A is a. Without facts it is small."""
    if leaf.operator in {Operator.EQUALS, Operator.ONE_OF}:
        return column.in_(words) if len(words) > 1 else column == words[0]
    small = words[0].translate(_SMALL)
    if facts is not None:  # PostgreSQL's other collations know more capitals than A to Z
        column = func.lower(column if facts.is_sqlite else collate(column, "C"))
    match leaf.operator:
        case Operator.CONTAINS:
            return column.contains(small, autoescape=True)
        case Operator.STARTS:
            return column.startswith(small, autoescape=True)
        case Operator.ENDS:
            return column.endswith(small, autoescape=True)
    raise ValueError(f"an unchecked condition: {leaf}")


def _custom(leaf: Leaf, facts: Facts) -> Test:
    if leaf.operator is Operator.KNOWN:
        return lambda person: person.c.fields[leaf.field].as_string().is_not(None)
    if leaf.operator in {Operator.HAS, Operator.HAS_ANY}:
        return lambda person: _tagged(leaf, person, facts)
    if leaf.operator in {Operator.EQUALS, Operator.ONE_OF}:
        return lambda person: _equal(leaf, person, facts)
    if isinstance(leaf.value, float):
        return lambda person: _ordered(leaf, person, facts)
    if isinstance(leaf.value, str):
        words = (leaf.value,)
        return lambda person: _text(leaf, person.c.fields[leaf.field].as_string(), words, facts)
    return lambda person: _dated(leaf, person, facts)


def _equal(leaf: Leaf, person: Person, facts: Facts) -> ColumnElement[bool]:
    wanted = leaf.value if isinstance(leaf.value, tuple) else (leaf.value,)
    if facts.is_sqlite:
        return _extracted(leaf, person).in_(wanted)
    # containment: the index on `fields` serves it, and so do the statistics
    fields = type_coerce(person.c.fields, JSONB)
    return or_(*(fields.contains({leaf.field: value}) for value in wanted))


def _tagged(leaf: Leaf, person: Person, facts: Facts) -> ColumnElement[bool]:
    words = _words(leaf.value)
    if facts.is_sqlite:
        tag = func.json_each(person.c.fields, _path(leaf)).table_valued("value")
        return select(tag.c.value).where(tag.c.value.in_(words)).correlate(person).exists()
    fields = type_coerce(person.c.fields, JSONB)
    return or_(*(fields.contains({leaf.field: [word]}) for word in words))


def _ordered(leaf: Leaf, person: Person, facts: Facts) -> ColumnElement[bool]:
    value: ColumnElement[Any]
    if facts.is_sqlite:
        kind = func.json_type(person.c.fields, _path(leaf))
        value = case((kind.in_(("integer", "real")), cast(_extracted(leaf, person), Double)))
    else:  # only a case keeps what is no number from being cast
        found = type_coerce(person.c.fields, JSONB)[leaf.field]
        value = case((func.jsonb_typeof(found) == "number", cast(found, Double)))
    compared: ColumnElement[bool] = _ORDER[leaf.operator](value, leaf.value)
    return compared


def _dated(leaf: Leaf, person: Person, facts: Facts) -> ColumnElement[bool]:
    """Compare a date, which is stored as ISO 8601 writes it and so sorts as a text."""
    stored: ColumnElement[str] = person.c.fields[leaf.field].as_string()
    if not facts.is_sqlite:
        stored = collate(stored, "C")
    today = facts.now.astimezone(UTC).date()
    match leaf.operator, leaf.value:
        case Operator.IN_LAST, Window(number):
            return (stored > str(today - timedelta(number))) & (stored <= str(today))
        case Operator.IN_NEXT, Window(number):
            return (stored >= str(today)) & (stored < str(today + timedelta(number)))
    day = str(_day(leaf.value, today))
    match leaf.operator:
        case Operator.BEFORE:
            return stored < day
        case Operator.AFTER:
            return stored > day
        case Operator.ON:
            return stored == day
    raise ValueError(f"an unchecked condition: {leaf}")


def _moment(leaf: Leaf, column: ColumnElement[Any], now: datetime) -> ColumnElement[bool]:
    """Compare a point in time with a day of UTC, or with this moment some days ago."""
    before, after = leaf.operator is Operator.BEFORE, leaf.operator is Operator.AFTER
    if leaf.operator is Operator.KNOWN:
        return column.is_not(None)
    if isinstance(leaf.value, Window):
        return (column > now - timedelta(leaf.value.number)) & (column <= now)
    if isinstance(leaf.value, DaysAgo) and (before or after):
        then = now - timedelta(leaf.value.days)
        return column < then if before else column > then
    begins = datetime.combine(_day(leaf.value, now.astimezone(UTC).date()), time(), UTC)
    ends = begins + min(timedelta(1), _LAST - begins)  # the calendar has a last day
    if before or after:
        return column < begins if before else column >= ends
    return (column >= begins) & (column < ends)


def _day(value: Value, today: date) -> date:
    if isinstance(value, DaysAgo):
        return today - timedelta(value.days)
    if isinstance(value, date):
        return value
    raise ValueError(f"no day: {value!r}")


def _path(leaf: Leaf) -> str:
    return f'$."{leaf.field}"'  # names of fields have no quotes in them


def _extracted(leaf: Leaf, person: Person) -> ColumnElement[Any]:
    return func.json_extract(person.c.fields, _path(leaf))


def _words(value: Value) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    return (value,) if isinstance(value, str) else ()
