"""The people an export is about, read in steps: memory does not grow with their number."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    cast,
    false,
    func,
    literal,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import InstrumentedAttribute, Session

from subscribers.consent import Act
from subscribers.models import (
    ConsentRow,
    FollowRow,
    SegmentRow,
    SubscriberRow,
    SuppressionRow,
    WordingRow,
)
from subscribers.outtake.asked import CONSENT, FIELD, Asked
from subscribers.outtake.writers import Cell
from subscribers.segment_sql import among, in_any
from subscribers.standing_sql import STOPPED, stands
from subscribers.subscriber import TRACKING, State, tidy_name

STEP: Final = 5000
"""People in memory at once."""

_AGREEING = (Act.SUBSCRIBED.value, Act.CONFIRMED.value, Act.IMPORTED.value, Act.FOLLOWED.value)
_person = SubscriberRow
_MOMENTS = ("paused_until", "created_at", "confirmed_at", "updated_at")
Row = Any  # of the statement below
Making = Callable[[Row], Cell]


def count(session: Session, asked: Asked, now: datetime) -> int:
    """How many people an export is about."""
    found = _found(session, asked, select(func.count()), now)
    return session.scalar(found) or 0


def rows(session: Session, asked: Asked, now: datetime) -> Iterator[list[list[Cell]]]:
    """The people in portions, by id, each with a cell for every column.

    Erased ones are left out unless asked for: nothing is left of them but their number.
    """
    sqlite = session.get_bind().dialect.name == "sqlite"
    chosen = select(
        _person.id, *(_column(name, sqlite=sqlite).label(name) for name in _read(asked))
    )
    found = _found(session, asked, chosen, now).order_by(_person.id)
    named = _names_of(session)
    stepwise = found.execution_options(yield_per=STEP)
    for people in session.execute(stepwise).partitions():
        ids = [row.id for row in people]
        follows = _follows(session, ids) if "segments" in asked.columns else {}
        agreed = _agreed(session, ids, sqlite) if CONSENT & set(asked.columns) else {}
        places = {"id": 0} | {name: n for n, name in enumerate(_read(asked), 1)}
        making = [_making(name, places, named, follows, agreed) for name in asked.columns]
        yield [[make(row) for make in making] for row in people]


def _read(asked: Asked) -> list[str]:
    """The columns of `subscriber` that an export needs."""
    own = [name for name in asked.columns if name not in {"id", "segments", *CONSENT}]
    plain = [name for name in own if not name.startswith(FIELD)]
    return plain if len(plain) == len(own) else [*plain, "fields"]


def _column(name: str, *, sqlite: bool) -> ColumnElement[Any]:
    if name in _MOMENTS:
        return _stamp(getattr(_person, name), sqlite=sqlite)
    if name == "state":
        return stands
    if name == "address":
        return func.coalesce(_person.address, "")
    column: ColumnElement[Any] = getattr(_person, name)
    return column


def _stamp(moment: InstrumentedAttribute[Any], *, sqlite: bool) -> ColumnElement[str]:
    """A moment in ISO 8601, made by the database: in Python it takes longer than all the rest."""
    if sqlite:
        return func.coalesce(func.strftime("%Y-%m-%dT%H:%M:%S+00:00", moment), "")
    form = 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"'
    return func.coalesce(func.to_char(func.timezone("UTC", moment), form), "")


def _contains(part: str) -> ColumnElement[bool]:
    """Say whether the address or name has a part in it, as search reads the part."""
    wanted = tidy_name(part)
    if not wanted:
        return false()
    # the database makes both small: SQLite knows the capitals A to Z only
    pattern = func.lower("%" + re.sub(r"([\\%_])", r"\\\1", wanted) + "%")
    values = (_person.address, _person.name)
    return or_(*(func.lower(value).like(pattern, escape="\\") for value in values))


def _found(session: Session, asked: Asked, chosen: Select[Any], now: datetime) -> Select[Any]:
    """Narrow a statement to the people asked for; it joins their active suppression."""
    found = chosen.select_from(_person).outerjoin(SuppressionRow, STOPPED)
    if asked.part:
        found = found.where(_contains(asked.part))
    if asked.state is not None:
        found = found.where(stands.in_([asked.state.value]))
    else:
        found = found.where(_person.state != State.ERASED.value)
    if asked.segment is not None:
        found = found.where(in_any(session, _person.id, [asked.segment], now))
    if asked.field is not None:
        found = found.where(_has(session, *asked.field))
    return found


def _has(session: Session, key: str, value: str) -> ColumnElement[bool]:
    """Whether a custom field has a value, or one of its tags is it; numbers by their value."""
    if session.get_bind().dialect.name == "sqlite":
        path = f"$.{json.dumps(key)}"
        kind, text = func.json_type(_person.fields, path), func.json_extract(_person.fields, path)
        tag = func.json_each(_person.fields, path).table_valued("value")
        tagged = and_(kind == "array", select(1).where(tag.c.value == value).exists())
        return or_(and_(kind == "text", text == value), tagged, _same(kind, text, value))
    found = type_coerce(_person.fields, JSONB)[key]  # @>: an array holds its elements
    number = _number(value)
    wanted = [value] if number is None else [value, number]
    return or_(*(found.contains(literal(each, JSONB)) for each in wanted))


def _same(kind: Any, number: Any, value: str) -> ColumnElement[bool]:
    wanted = _number(value)
    return false() if wanted is None else and_(kind.in_(("real", "integer")), number == wanted)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _names_of(session: Session) -> Callable[[str], list[str]]:
    """How a set of segments, written as numbers, reads as keys; few sets are many people's."""
    keys = [
        (str(row.id), row.key)
        for row in session.execute(
            select(SegmentRow.id, SegmentRow.key).order_by(SegmentRow.position, SegmentRow.id)
        )
    ]

    @cache
    def names(numbers: str) -> list[str]:
        among_them = set(numbers.split())
        return [key for number, key in keys if number in among_them]

    return names


def _follows(session: Session, ids: Sequence[int]) -> dict[int, str]:
    """What each of these people follows, as numbers in one text."""
    number = cast(FollowRow.segment_id, String)
    found = (
        select(FollowRow.subscriber_id, func.aggregate_strings(number, " "))
        .where(_these(session, FollowRow.subscriber_id, ids))
        .group_by(FollowRow.subscriber_id)
    )
    return {row[0]: row[1] for row in session.execute(found)}


def _agreed(session: Session, ids: Sequence[int], sqlite: bool) -> dict[int, Row]:  # noqa: FBT001
    """The last act of each by which they agreed to something."""
    found = (
        select(
            ConsentRow.subscriber_id,
            ConsentRow.act.label("consent"),
            _stamp(ConsentRow.at, sqlite=sqlite).label("consent_at"),
            ConsentRow.source.label("consent_source"),
            func.coalesce(WordingRow.text, "").label("consent_wording"),
        )
        .outerjoin(WordingRow, WordingRow.sha256 == ConsentRow.wording)
        .where(_these(session, ConsentRow.subscriber_id, ids), ConsentRow.act.in_(_AGREEING))
        .order_by(ConsentRow.subscriber_id, ConsentRow.id)
    )
    return {row.subscriber_id: row for row in session.execute(found)}


def _these(
    session: Session, column: InstrumentedAttribute[int], ids: Sequence[int]
) -> ColumnElement[bool]:
    """These people; where they lie close together a range costs less than a list."""
    if ids[-1] - ids[0] < 2 * len(ids):
        return column.between(ids[0], ids[-1])
    return among(session, column, ids)


def _making(
    column: str,
    places: Mapping[str, int],
    named: Callable[[str], list[str]],
    follows: Mapping[int, str],
    agreed: Mapping[int, Row],
) -> Making:
    """How a column's cell is made from a row."""
    if column.startswith(FIELD):
        key, place = column.removeprefix(FIELD), places["fields"]
        return lambda row: row[place].get(key)
    if column in CONSENT:
        return lambda row: getattr(agreed.get(row[0]), column, "")
    if column == "segments":
        return lambda row: named(follows.get(row[0], ""))
    if column == "tracking":
        place = places["tracking"]
        return lambda row: TRACKING[row[place]]
    return itemgetter(places[column])
