"""How a change to a person is written down: the lock, the follows, the entry in `consent`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from mailer.kit.database import Base
from subscribers.consent import MAX_EVIDENCE, MAX_WORDING, Act, Origin, sha256
from subscribers.models import (
    ConsentNetworkRow,
    ConsentRow,
    FollowRow,
    SegmentRow,
    SubscriberRow,
    WordingRow,
)
from subscribers.subscriber import State, SubscriberId, SubscriberNotFound

_COMING_IN = 4476  # an advisory lock, any number


def come_in(session: Session) -> None:
    """Keep erasures out until the transaction ends: whoever is erased may be coming in here.

    Others come in meanwhile. Call it before anything is locked. SQLite has one writer anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock_shared(_COMING_IN)))


def nobody_comes_in(session: Session) -> None:
    """Wait until everybody who is coming in is there, and keep others out until the end."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_COMING_IN)))


def inserting(session: Session, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """Begin an INSERT that may say ON CONFLICT, in the words of the session's database."""
    target = Base.metadata.tables[table.__tablename__]
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(target)
    return postgresql.insert(target)


def insert_new(
    session: Session,
    table: type[Base],
    rows: Sequence[Mapping[str, object]],
    same: Mapping[str, object],
    returned: Sequence[str] = (),
) -> Sequence[Sequence[Any]]:
    """Insert rows but those whose key is there; return columns of those that were inserted.

    `same` holds the columns that all rows share. On PostgreSQL one statement carries one array per
    column: a placeholder per value takes its driver longer than the insert takes the server.
    """
    if not rows:
        return ()
    columns, statement = table.__table__.c, inserting(session, table)
    parameters: list[dict[str, object]] | None = None
    if isinstance(statement, sqlite.Insert):
        parameters = [{**row, **same} for row in rows]
        statement = statement.on_conflict_do_nothing()
    else:
        names = tuple(rows[0])
        arrays = [literal([row[name] for row in rows], ARRAY(columns[name].type)) for name in names]
        each = func.unnest(*arrays).table_valued(*names).render_derived()
        constants = [literal(value, columns[name].type) for name, value in same.items()]
        chosen = statement.from_select([*names, *same], select(*each.c, *constants))
        statement = chosen.on_conflict_do_nothing()
    if not returned:
        session.execute(statement, parameters)
        return ()
    found = statement.returning(*(columns[name] for name in returned))
    return session.execute(found, parameters).all()


def lock(session: Session, subscriber: SubscriberId) -> State:
    """Keep others from changing a person until the end of the transaction; return their own state.

    Raises SubscriberNotFound. SQLite has one writer at a time anyway.
    """
    state = session.scalar(
        select(SubscriberRow.state).where(SubscriberRow.id == subscriber).with_for_update()
    )
    if state is None:
        raise SubscriberNotFound
    return State(state)


def change(session: Session, subscriber: SubscriberId, now: datetime, **values: object) -> None:
    """Change columns of a person."""
    where = SubscriberRow.id == subscriber
    session.execute(update(SubscriberRow).where(where).values(**values, updated_at=now))


def follow(
    session: Session, subscriber: SubscriberId, segments: Sequence[str], now: datetime
) -> tuple[str, ...]:
    """Add follows; return the keys of those there were not, in the order given."""
    ids = _ids(session, segments)
    rows = [{"subscriber_id": subscriber, "segment_id": n, "since": now} for n in ids.values()]
    if not rows:
        return ()
    statement = inserting(session, FollowRow).values(rows).on_conflict_do_nothing()
    new = set(session.scalars(statement.returning(FollowRow.segment_id)))
    return tuple(key for key in dict.fromkeys(segments) if ids.get(key) in new)


def unfollow(
    session: Session, subscriber: SubscriberId, segments: Sequence[str] | None
) -> tuple[str, ...]:
    """Take follows away, None: all; return the keys of those there were."""
    statement = delete(FollowRow).where(FollowRow.subscriber_id == subscriber)
    if segments is not None:
        statement = statement.where(FollowRow.segment_id.in_(_ids(session, segments).values()))
    ended = list(session.scalars(statement.returning(FollowRow.segment_id)))
    named = select(SegmentRow.key).where(SegmentRow.id.in_(ended))
    return tuple(session.scalars(named.order_by(SegmentRow.position, SegmentRow.id)))


def note(  # an entry says what, in which words, from where and when
    session: Session,
    subscriber: SubscriberId,
    act: Act,
    origin: Origin,
    now: datetime,
    *,
    segments: Sequence[str] = (),
    wording: str = "",
) -> None:
    """Add an entry to a person's consent history."""
    row = ConsentRow(
        subscriber_id=subscriber,
        act=act.value,
        segments=" ".join(segments),
        wording=keep_wording(session, wording),
        source=origin.source,
        actor=origin.actor,
        evidence=origin.evidence[:MAX_EVIDENCE],
        at=now,
    )
    session.add(row)
    session.flush()
    if origin.network:
        session.add(ConsentNetworkRow(consent_id=row.id, network=origin.network, at=now))
        session.flush()


def keep_wording(session: Session, wording: str) -> str | None:
    """Store the words agreed to, once; return their hash, None for no words.

    Raises ValueError for more than 5,000 characters: cut ones would prove nothing.
    """
    if not wording:
        return None
    if len(wording) > MAX_WORDING:
        raise ValueError(f"a wording of {len(wording)} characters; at most {MAX_WORDING}")
    row: dict[str, Any] = {"sha256": sha256(wording), "text": wording}
    session.execute(inserting(session, WordingRow).values(row).on_conflict_do_nothing())
    return str(row["sha256"])


def _ids(session: Session, segments: Sequence[str]) -> dict[str, int]:
    found = select(SegmentRow.key, SegmentRow.id).where(SegmentRow.key.in_(segments))
    return {row.key: row.id for row in session.execute(found)}
