"""What is asked about notices: is any due, what does one say, what would its link confirm."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from mailer.kit.database import database_now
from mailer.notices.models import NoticeRow, WishRow
from mailer.notices.notice import IN_A_TOKEN, Confirmation, Kind, Leased, called_for
from subscribers import queries as subscribers
from subscribers.address import masked
from subscribers.segment import Segment
from subscribers.subscriber import State, Subscriber, SubscriberId, SubscriberNotFound


@dataclass(frozen=True, slots=True)
class Addressed:
    """Whom a notice goes to, and the segments it speaks of."""

    person: Subscriber
    segments: tuple[Segment, ...]


def due(session: Session, now: datetime) -> bool:
    """Say whether a wish waits, or a notice that nobody is sending."""
    free = or_(NoticeRow.leased_until.is_(None), NoticeRow.leased_until < database_now(session))
    waiting = exists().where(NoticeRow.outcome == "", NoticeRow.not_before <= now, free)
    return bool(session.scalar(select(or_(exists().where(WishRow.id > 0), waiting))))


def addressed(session: Session, leased: Leased) -> Addressed | None:
    """Look up whom a notice goes to now; None where it is no longer called for.

    Asked right before it is sent: who has confirmed, complained or been erased meanwhile gets no
    confirmation, and who has left gets no welcome.
    """
    try:
        person = subscribers.subscriber(session, leased.subscriber)
    except SubscriberNotFound:
        return None
    if not person.address or person.address_key != leased.address_key:
        return None
    stopped = subscribers.suppression(session, person.address_key)
    if leased.kind is Kind.CONFIRM:
        keys = subscribers.open_segments(session, person.id) or ()
        wanted = bool(keys) and called_for(State.PENDING, (), keys, stopped) is not None
    else:
        keys = subscribers.following(session, person.id)
        held = stopped is not None and stopped.stops_notices
        wanted = person.confirmed_at is not None and bool(keys) and not held
    return Addressed(person, _segments(session, keys)) if wanted else None


def confirmation(
    session: Session, number: int, subscriber: SubscriberId, *, now: datetime, life: timedelta
) -> Confirmation | None:
    """Look up what a link confirms; None for one used, too old, or of an address given up.

    `number` is the notice's as a token has it.
    """
    row = open_confirmation(session, number, subscriber, now=now, life=life)
    if row is None:
        return None
    try:
        person = subscribers.subscriber(session, subscriber)
    except SubscriberNotFound:
        return None
    asked = subscribers.open_segments(session, subscriber)
    if not person.address or person.address_key != row.address_key or not asked:
        return None
    return Confirmation(masked(person.address), asked, row.language)


def open_confirmation(
    session: Session, number: int, subscriber: SubscriberId, *, now: datetime, life: timedelta
) -> NoticeRow | None:
    """Find the confirmation a link came with, while the link works."""
    return session.scalar(
        select(NoticeRow).where(
            NoticeRow.subscriber_id == subscriber,
            NoticeRow.id % IN_A_TOKEN == number,
            NoticeRow.kind == Kind.CONFIRM.value,
            NoticeRow.answered_at.is_(None),
            NoticeRow.created_at > now - life,
        )
    )


def _segments(session: Session, keys: tuple[str, ...]) -> tuple[Segment, ...]:
    there = {each.key: each for each in subscribers.segments(session, archived=True)}
    return tuple(there[key] for key in keys if key in there)
