"""How a change to a person is written down: the lock, the follows, the entry in `consent`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from mailer.kit.database import Base
from subscribers.consent import MAX_EVIDENCE, MAX_WORDING, Act, Origin, sha256
from subscribers.models import ConsentRow, FollowRow, SegmentRow, SubscriberRow, WordingRow
from subscribers.subscriber import State, SubscriberId, SubscriberNotFound


def inserting(session: Session, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """Begin an INSERT that may say ON CONFLICT, in the words of the session's database."""
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


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


def note(  # noqa: PLR0913  # an entry says what, in which words, from where and when
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
