"""Search: people by part of their address or name, by state, segment and field, page by page.

A page begins after a number (keyset), never at an offset, so the last is as fast as the first.
What many people have is found by walking on from there; what few have is not, and for them an index
collects all there are: trigrams, and beyond ASCII single characters. SQLite's index of trigrams
gives numbers in their order, and needs no walk.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    column,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
    text,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import InstrumentedAttribute, Session

from subscribers import segment_sql
from subscribers.fields import Kind
from subscribers.models import CustomFieldRow, SubscriberRow, SuppressionRow
from subscribers.queries.people import everybody, read_person
from subscribers.segment_sql import among
from subscribers.subscriber import State, Subscriber, tidy_name
from subscribers.suppression import Reason

WINDOW: Final = 10_000
"""Numbers walked through before an index is asked: some 10 ms, and enough where one in 200 fits."""

SEPARATORS: Final = " .@_+-'("
"""A word begins after one of these characters, and where the address or name begins."""

_SHORTEST: Final = 3  # characters that a trigram has
_MOST_TERMS: Final = 5000  # trigrams that begin with one character: more are in no alphabet
_LAST: Final = "\U0010ffff"
_OWN_WORDS = {State.BOUNCED: Reason.BOUNCED.value, State.COMPLAINED: Reason.COMPLAINED.value}

_person, _stop = SubscriberRow, SuppressionRow
_index = table("subscriber_search", column("rowid"))
_terms = table("subscriber_search_terms", column("term"))
Condition = ColumnElement[bool]


def page(  # each narrows the list
    session: Session,
    *,
    now: datetime,
    part: str = "",
    state: State | None = None,
    segment: str | None = None,
    field: tuple[str, str] | None = None,
    after: int | None = None,
    limit: int = 50,
    newest: bool = False,
) -> tuple[Subscriber, ...]:
    """List people by number, those after `after`; from the newest down where asked for.

    A part of three characters or more is found anywhere in the address or name, capital or small;
    so is a shorter one that has characters beyond ASCII or begins with one of SEPARATORS. Another
    short one is found where a word begins. A field is a key and its value, or one of its tags; a
    field there is not finds nobody. For a segment given by a rule, `now` is the moment it is for.
    """
    asked = [] if state is None else [_stands(state)]
    if segment is not None:
        asked.append(segment_sql.in_any(session, _person.id, [segment], now))
    if field is not None:
        asked.append(_has(session, *field))
    wanted = tidy_name(part)
    if part and not wanted:
        return ()
    if wanted and session.get_bind().dialect.name == "sqlite":
        ids = _by_trigrams(session, wanted, asked, after, limit, newest=newest)
    else:
        ids = _walked(session, wanted, asked, after, limit, newest=newest)
    found = everybody().where(among(session, _person.id, ids))
    people = sorted((read_person(row) for row in session.execute(found)), key=lambda one: one.id)
    return tuple(reversed(people) if newest else people)


def _walked(
    session: Session,
    part: str,
    asked: Sequence[Condition],
    after: int | None,
    limit: int,
    *,
    newest: bool,
) -> Sequence[int]:
    """Look among the next numbers, then, if that is no whole page, among all beyond them."""
    beyond = _beyond(_person.id, after, newest=newest)
    if not (part or asked):
        return session.scalars(_ordered(select(_person.id).where(*beyond), limit, newest)).all()
    if after is None:
        after = (session.scalar(select(func.max(_person.id))) or 0) + 1 if newest else 0
    edge = after - WINDOW if newest else after + WINDOW
    near = [_person.id < after, _person.id >= edge] if newest else [_person.id <= edge, *beyond]
    here = select(_person.id).where(*near, *_contains(part), *asked)
    ids = list(session.scalars(_ordered(here, limit, newest)))
    if len(ids) < limit:
        far = _person.id < edge if newest else _person.id > edge
        # collected first: "the first fifty by number" would make the planner walk on instead
        everywhere = _contains(part, by_characters=True)
        rest = select(_person.id).where(far, *everywhere, *asked).cte("rest")
        rest = rest.prefix_with("MATERIALIZED", dialect="postgresql")
        order = rest.c.id.desc() if newest else rest.c.id
        ids += session.scalars(select(rest.c.id).order_by(order).limit(limit - len(ids)))
    return ids


def _by_trigrams(
    session: Session,
    part: str,
    asked: Sequence[Condition],
    after: int | None,
    limit: int,
    *,
    newest: bool,
) -> Sequence[int]:
    """Read SQLite's index, which is in the order of the numbers."""
    phrases = _phrases(session, part)
    if not phrases:
        return ()
    matching = " OR ".join('"' + phrase.replace('"', '""') + '"' for phrase in phrases)
    number: Any = _index.c.rowid
    found = select(number).where(
        literal_column("subscriber_search").op("MATCH")(matching),
        *_beyond(number, after, newest=newest),
    )
    if asked:
        found = found.join(_person, _person.id == number).where(*asked)
    order = number.desc() if newest else number
    return session.scalars(found.order_by(order).limit(limit)).all()


def _phrases(session: Session, part: str) -> list[str]:
    """Say what to look for in SQLite's index, any of it: the part itself, or trigrams it is in."""
    if len(part) >= _SHORTEST:
        return [part]
    starts = [part.lower()]
    if _at_beginnings(part):
        starts = [separator + starts[0] for separator in ("\n", *SEPARATORS)]
        if len(starts[0]) == _SHORTEST:
            return starts
    found: list[str] = []
    for start in starts:  # one by one: of several stretches at once SQLite reads everything
        stretch = _terms.c.term.between(start, start + _LAST)
        found += session.scalars(select(_terms.c.term).where(stretch).limit(_MOST_TERMS))
    return found


def _contains(part: str, *, by_characters: bool = False) -> list[Condition]:
    """Say on PostgreSQL whether the address or name has a part in it.

    By characters too, where the part goes beyond ASCII: that is true whenever the rest is, and it
    is what an index answers. Where few rows are read it costs more than it saves.
    """
    if not part:
        return []
    values: tuple[Any, ...] = (_person.address, _person.name)
    if _at_beginnings(part):
        separator = "".join(f"\\{each}" for each in SEPARATORS)
        pattern = func.lower(f"(^|[{separator}]){re.escape(part)}")
        return [or_(*(func.lower(value).regexp_match(pattern) for value in values))]
    pattern = func.lower("%" + re.sub(r"([\\%_])", r"\\\1", part) + "%")
    found = []
    for value in values:
        has: Condition = func.lower(value).like(pattern)
        if by_characters and not part.isascii():
            characters, wanted = (
                func.string_to_array(func.lower(each), text("NULL")) for each in (value, part)
            )
            beyond_ascii = func.octet_length(value) > func.char_length(value)
            has = and_(has, beyond_ascii, characters.op("@>")(wanted))
        found.append(has)
    return [or_(*found)]


def _at_beginnings(part: str) -> bool:
    """Whether a part is too short to be found but where a word begins."""
    return len(part) < _SHORTEST and part.isascii() and part[0] not in SEPARATORS


def _stands(state: State) -> Condition:
    """Say whether somebody stands in a state, their suppression taken into account."""
    stopping = select(_stop.address_key).where(_stop.lifted_at.is_(None))
    if state in {State.BOUNCED, State.COMPLAINED, State.SUPPRESSED}:
        reasons = list(_OWN_WORDS.values())
        word = _OWN_WORDS.get(state)
        why = _stop.reason.not_in(reasons) if word is None else _stop.reason == word
        stopped = _person.address_key.in_(stopping.where(why))
        return and_(_person.state != State.ERASED.value, stopped)
    # spelt out, or a prepared statement would not know that the index of the others holds them
    own = _person.state == literal_column(f"'{state.value}'")
    if state is State.ERASED:
        return own
    if state is not State.CONFIRMED:
        own = and_(own, _person.state != literal_column(f"'{State.CONFIRMED.value}'"))
    return and_(own, ~stopping.where(_stop.address_key == _person.address_key).exists())


def _has(session: Session, key: str, value: str) -> Condition:
    """Say whether a field has a value, or one of its tags is it."""
    kind = session.scalar(select(CustomFieldRow.kind).where(CustomFieldRow.key == key))
    wanted: str | float = value
    if kind is None:
        return false()
    if kind == Kind.NUMBER:
        try:
            wanted = float(value)
        except ValueError:
            return false()
    if session.get_bind().dialect.name == "postgresql":
        fields = type_coerce(_person.fields, JSONB)
        return fields.contains({key: [wanted] if kind == Kind.TAGS else wanted})
    path = f'$."{key}"'
    if kind == Kind.TAGS:
        each = func.json_each(_person.fields, path).table_valued("value")
        return select(each).where(each.c.value == wanted).exists()
    return func.json_extract(_person.fields, path) == literal(wanted)


def _beyond(
    number: InstrumentedAttribute[int], after: int | None, *, newest: bool
) -> list[Condition]:
    if after is None:
        return []
    return [number < after if newest else number > after]


def _ordered(found: Select[int], limit: int, newest: bool) -> Select[int]:  # noqa: FBT001
    return found.order_by(_person.id.desc() if newest else _person.id).limit(limit)
