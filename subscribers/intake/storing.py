"""Some thousand people written at once: looked up, inserted, changed, in a few statements.

PostgreSQL gets the rows by COPY into a temporary table and spreads them from there in one
statement; SQLite, which has one writer at a time, gets them with ids counted beforehand.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    bindparam,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from mailer.kit.database import copy_rows, insert_many
from subscribers import record
from subscribers.consent import MAX_EVIDENCE, Act, Origin
from subscribers.intake.merge import Known, Merged, changes
from subscribers.models import (
    ConsentRow,
    FollowRow,
    FormerAddressRow,
    ImportedRow,
    SegmentRow,
    SubscriberRow,
    SuppressionRow,
)
from subscribers.segment_sql import among
from subscribers.subscriber import NewPerson, State, SubscriberId
from subscribers.suppression import Reason

_person, _stop = SubscriberRow, SuppressionRow
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_STAGED: Final = (
    *("address", "address_key", "domain", "name", "language", "timezone", "tracking", "fields"),
    *("source", "segments", "keys", "evidence"),
)
_CONSENT: Final = (
    *("subscriber_id", "act", "segments", "wording", "source", "actor", "evidence", "at"),
)
_STAGE = text(
    "CREATE TEMPORARY TABLE IF NOT EXISTS staged_person (address text, address_key text, "
    "domain text, name text, language text, timezone text, tracking integer, fields jsonb, "
    "source text, segments integer[], keys text, evidence text) ON COMMIT DELETE ROWS"
)
_CLEAR = text("TRUNCATE staged_person")

_INSERTED = (
    "WITH made AS (INSERT INTO subscriber (address, address_key, domain, name, language, timezone, "
    "state, tracking, fields, source, created_at, confirmed_at, updated_at) "
    "SELECT address, address_key, domain, name, language, timezone, 'confirmed', tracking, fields, "
    "source, :now, :now, :now FROM staged_person ON CONFLICT DO NOTHING RETURNING id, address_key)"
)
_REFILLED = (  # erased by taking an import back, and there again
    "WITH made AS (UPDATE subscriber AS p SET address = s.address, domain = s.domain, "
    "name = s.name, language = s.language, timezone = s.timezone, state = 'confirmed', "
    "tracking = s.tracking, fields = s.fields, source = s.source, confirmed_at = :now, "
    "updated_at = :now FROM staged_person AS s "
    "WHERE p.address_key = s.address_key AND p.state = 'erased' RETURNING p.id, p.address_key)"
)
_SPREAD = (
    ", placed AS (SELECT made.id, s.segments, s.keys, s.evidence "
    "FROM made JOIN staged_person AS s ON s.address_key = made.address_key)"
    ", followed AS (INSERT INTO follow (subscriber_id, segment_id, since) "
    "SELECT id, unnest(segments), :now FROM placed)"
    ", noted AS (INSERT INTO consent "
    "(subscriber_id, act, segments, wording, source, actor, evidence, at) "
    "SELECT id, :act, keys, :wording, :source, :actor, evidence, :now FROM placed)"
    ", kept AS (INSERT INTO imported (import_id, subscriber_id) "
    "SELECT CAST(:run AS integer), id FROM placed WHERE CAST(:run AS integer) IS NOT NULL)"
    " SELECT address_key FROM made"
)
_INSERT, _REFILL = text(_INSERTED + _SPREAD), text(_REFILLED + _SPREAD)
_CHANGE = text(
    "UPDATE subscriber AS p SET name = c.name, language = c.language, timezone = c.timezone, "
    "fields = c.fields, updated_at = :now FROM unnest(CAST(:ids AS integer[]), "
    "CAST(:names AS text[]), CAST(:languages AS text[]), CAST(:timezones AS text[]), "
    "CAST(:fields AS jsonb[])) AS c (id, name, language, timezone, fields) WHERE p.id = c.id"
)


@dataclass(frozen=True, slots=True)
class Grounds:
    """What is written beside every person."""

    origin: Origin
    wording: str | None  # its hash
    now: datetime
    run: int | None = None  # the import, where there is one to be taken back


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody to be inserted."""

    key: str  # of their address
    person: NewPerson
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What is stored about addresses, by key."""

    known: Mapping[str, Known]
    suppressed: Mapping[str, Reason]
    moved: Collection[str]


def look_up(session: Session, keys: Sequence[str], *, hold: bool = False) -> Found:
    """Find what is stored about some thousand addresses, by key.

    `hold` keeps others from changing these people until the end of the transaction.
    """
    columns = (_person.address_key, _person.id, _person.state, _person.name)
    found = select(*columns, _person.language, _person.timezone, _person.fields).where(
        among(session, _person.address_key, keys)
    )
    if hold:
        found = found.order_by(_person.id).with_for_update(key_share=True)
    people = session.execute(found).all()
    follows = _follows(session, [row.id for row in people])
    stops = select(_stop.address_key, _stop.reason).where(
        among(session, _stop.address_key, keys), _stop.lifted_at.is_(None)
    )
    moved = select(FormerAddressRow.address_key).where(
        among(session, FormerAddressRow.address_key, keys)
    )
    known = {
        row.address_key: Known(
            id=SubscriberId(row.id),
            state=State(row.state),
            name=row.name,
            language=row.language,
            timezone=row.timezone,
            fields=row.fields,
            follows=frozenset(follows.get(row.id, ())),
        )
        for row in people
    }
    suppressed = {key: Reason(reason) for key, reason in session.execute(stops)}
    return Found(known, suppressed, frozenset(session.scalars(moved)))


def insert_people(
    session: Session,
    people: Sequence[Newcomer],
    grounds: Grounds,
    ids: Mapping[str, int],
    *,
    again: Mapping[str, SubscriberId],
) -> frozenset[str]:
    """Insert people; return the keys of those whom nobody else inserted meanwhile.

    `ids` leads from the keys of segments to their ids; `again` to the ids of those who are there,
    erased, and are filled in.
    """
    new = [one for one in people if one.key not in again]
    old = [one for one in people if one.key in again]
    if session.get_bind().dialect.name == "sqlite":
        _insert_counted(session, new, grounds, ids)
        _refill(session, old, grounds, ids, again)
        return frozenset(one.key for one in people)
    return _insert_staged(session, new, grounds, ids, _INSERT) | _insert_staged(
        session, old, grounds, ids, _REFILL
    )


def change_people(
    session: Session,
    changed: Sequence[tuple[Known, Merged]],
    grounds: Grounds,
    ids: Mapping[str, int],
) -> None:
    """Write what is new about people who are there, whom the caller holds."""
    if not changed:
        return
    _change(session, changed, grounds.now)
    rows = [
        {"subscriber_id": known.id, "segment_id": ids[key]}
        for known, merged in changed
        for key in merged.follow
    ]
    record.insert_new(session, FollowRow, rows, {"since": grounds.now})
    _note(session, [(known.id, merged.follow, "") for known, merged in changed], grounds)
    if grounds.run is not None:
        kept = [
            {
                "import_id": grounds.run,
                "subscriber_id": known.id,
                "before": changes(merged, known),
            }
            for known, merged in changed
        ]
        session.execute(insert(ImportedRow), kept)


def _follows(session: Session, people: Sequence[int]) -> dict[int, set[str]]:
    follows: dict[int, set[str]] = {}
    if people:
        pairs = (
            select(FollowRow.subscriber_id, SegmentRow.key)
            .join(SegmentRow, SegmentRow.id == FollowRow.segment_id)
            .where(among(session, FollowRow.subscriber_id, people))
        )
        for number, key in session.execute(pairs):
            follows.setdefault(number, set()).add(key)
    return follows


def _insert_staged(
    session: Session,
    people: Sequence[Newcomer],
    grounds: Grounds,
    ids: Mapping[str, int],
    statement: Any,
) -> frozenset[str]:
    """Copy people into the temporary table, and from there to where they belong."""
    if not people:
        return frozenset()
    session.execute(_STAGE)
    session.execute(_CLEAR)
    arrays: dict[tuple[str, ...], tuple[str, str]] = {}
    rows = []
    for one in people:
        person, address = one.person, one.person.address
        follows = arrays.get(person.segments)
        if follows is None:
            keys = tuple(dict.fromkeys(person.segments))
            numbers = ",".join(str(ids[key]) for key in keys)
            follows = arrays[person.segments] = (f"{{{numbers}}}", " ".join(keys))
        fields = _json(person.fields) if person.fields else "{}"
        whence = (person.source or grounds.origin.source, *follows)
        own = (address.address, one.key, address.domain, person.name, person.language)
        evidence = one.evidence or grounds.origin.evidence
        rows.append((*own, person.timezone, person.tracking, fields, *whence, evidence))
    copy_rows(session, "staged_person", _STAGED, rows)
    return frozenset(session.scalars(statement, _parameters(grounds)))


def _parameters(grounds: Grounds) -> dict[str, object]:
    return {
        "now": grounds.now,
        "act": Act.IMPORTED.value,
        "wording": grounds.wording,
        "source": grounds.origin.source,
        "actor": grounds.origin.actor,
        "run": grounds.run,
    }


def _insert_counted(
    session: Session, people: Sequence[Newcomer], grounds: Grounds, ids: Mapping[str, int]
) -> None:
    """Insert people under the next ids; the transaction is the only writer."""
    last = session.scalar(select(func.max(_person.id))) or 0
    numbered = list(enumerate(people, last + 1))
    now = grounds.now
    columns = ("id", *_STAGED[:9], "state", "created_at", "confirmed_at", "updated_at")
    insert_many(
        session,
        SubscriberRow,
        columns,
        [(n, *_values(one, grounds), State.CONFIRMED.value, now, now, now) for n, one in numbered],
    )
    _spread(session, [(SubscriberId(n), one) for n, one in numbered], grounds, ids)


def _refill(
    session: Session,
    people: Sequence[Newcomer],
    grounds: Grounds,
    ids: Mapping[str, int],
    again: Mapping[str, SubscriberId],
) -> None:
    if not people:
        return
    rows = [
        dict(zip(_STAGED[:9], _values(one, grounds), strict=True))
        | {"id": again[one.key], "state": State.CONFIRMED.value}
        | dict.fromkeys(("confirmed_at", "updated_at"), grounds.now)
        for one in people
    ]
    session.execute(update(SubscriberRow), rows)
    _spread(session, [(again[one.key], one) for one in people], grounds, ids)


def _values(one: Newcomer, grounds: Grounds) -> tuple[object, ...]:
    person, address = one.person, one.person.address
    own = (address.address, one.key, address.domain, person.name, person.language)
    source = person.source or grounds.origin.source
    return (*own, person.timezone, person.tracking, dict(person.fields), source)


def _spread(
    session: Session,
    placed: Sequence[tuple[SubscriberId, Newcomer]],
    grounds: Grounds,
    ids: Mapping[str, int],
) -> None:
    """Write follows, consent and the note of the import about people just stored."""
    follows = [(n, tuple(dict.fromkeys(one.person.segments)), one.evidence) for n, one in placed]
    insert_many(
        session,
        FollowRow,
        ("subscriber_id", "segment_id", "since"),
        [(n, ids[key], grounds.now) for n, keys, _ in follows for key in keys],
    )
    _note(session, follows, grounds)
    if grounds.run is not None:
        kept = [(grounds.run, n) for n, _ in placed]
        insert_many(session, ImportedRow, ("import_id", "subscriber_id"), kept)


def _note(
    session: Session,
    follows: Sequence[tuple[SubscriberId, Sequence[str], str]],
    grounds: Grounds,
) -> None:
    origin = grounds.origin
    insert_many(
        session,
        ConsentRow,
        _CONSENT,
        [
            (
                *(n, Act.IMPORTED.value, " ".join(keys), grounds.wording, origin.source),
                *(origin.actor, (evidence or origin.evidence)[:MAX_EVIDENCE], grounds.now),
            )
            for n, keys, evidence in follows
        ],
    )


def _change(session: Session, changed: Sequence[tuple[Known, Merged]], now: datetime) -> None:
    rows = [
        {
            "number": known.id,
            "name": known.name if merged.name is None else merged.name,
            "language": known.language if merged.language is None else merged.language,
            "timezone": known.timezone if merged.timezone is None else merged.timezone,
            "fields": {**known.fields, **merged.fields},
        }
        for known, merged in changed
    ]
    if session.get_bind().dialect.name == "sqlite":
        new: dict[str, Any] = {
            name: bindparam(name) for name in ("name", "language", "timezone", "fields")
        }
        table = SubscriberRow.__table__
        statement = update(table).where(table.c.id == bindparam("number"))  # type: ignore[arg-type]
        session.execute(statement.values(updated_at=now, **new), rows)
        return
    arrays = {
        "ids": [row["number"] for row in rows],
        "names": [row["name"] for row in rows],
        "languages": [row["language"] for row in rows],
        "timezones": [row["timezone"] for row in rows],
        "fields": [_json(row["fields"]) for row in rows],
    }
    session.execute(_CHANGE, {"now": now, **arrays})
