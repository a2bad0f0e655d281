"""The verbs: wish, take, ask, confirm, lease, settle, skip, release; `privacy` forgets.

A wish is stored by the page and taken by a worker, so that the page does the same for every
address. Counting is by guarded UPDATE of one row per mailbox: two workers cannot both find room.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, exists, or_, select, update
from sqlalchemy.orm import Session

from mailer.delivery.relay import Reply, Silence
from mailer.delivery.verdict import Deferred, Expired, Patience, Refused, Uncertain, verdict
from mailer.kit.database import database_now
from mailer.kit.errors import DibaoError
from mailer.kit.signing import Keyring
from mailer.notices import queries
from mailer.notices.models import AskingRow, NoticeRow, WishRow
from mailer.notices.notice import (
    Asked,
    Bounds,
    Kind,
    Leased,
    NoticeId,
    Outcome,
    Resends,
    Taken,
    Wish,
    budget_key,
    called_for,
)
from subscribers import actions as subscribers
from subscribers import queries as subscriber_queries
from subscribers.address import Canon, EmailAddress, address_key
from subscribers.record import come_in, inserting, lock
from subscribers.subscriber import State, SubscriberId

_BOUNDS = Bounds()
_RESENDS = Resends()


def wish(session: Session, wished: Wish, *, key: bytes | Canon, keyring: Keyring) -> None:
    """Store what somebody entered. The same work for every address, known or not."""
    session.add(
        WishRow(
            address=wished.address.address,
            address_key=address_key(key, wished.address),
            budget_key=budget_key(keyring, wished.address),
            name=wished.name,
            language=wished.language,
            segments=" ".join(wished.segments),
            tracking=wished.tracking,
            wording=wished.wording,
            source=wished.source,
            network=wished.network,
            at=wished.at,
        )
    )


def take(session: Session, *, key: bytes | Canon, now: datetime, bounds: Bounds = _BOUNDS) -> Taken:
    """Take one wish: note the request, queue the letter it calls for."""
    come_in(session)
    row = session.scalar(
        select(WishRow).order_by(WishRow.id).limit(1).with_for_update(skip_locked=True)
    )
    if row is None:
        return Taken.NONE
    session.delete(row)
    session.flush()
    try:
        with session.begin_nested():
            _note(session, row, key, now, bounds)
    except DibaoError:
        return Taken.DROPPED
    return Taken.NOTED


def ask(
    session: Session,
    subscriber: SubscriberId,
    *,
    keyring: Keyring,
    now: datetime,
    bounds: Bounds = _BOUNDS,
) -> Asked:
    """Queue another confirmation by hand, within the same bounds. Raises SubscriberNotFound."""
    person = subscriber_queries.subscriber(session, subscriber)
    asked = subscriber_queries.open_segments(session, subscriber)
    stopped = subscriber_queries.suppression(session, person.address_key)
    if not asked or called_for(State.PENDING, (), asked, stopped) is None:
        return Asked.NOT_CALLED_FOR
    mailbox = budget_key(keyring, EmailAddress.parse(person.address))
    counted = _count(session, mailbox, now, bounds)
    if counted is Asked.QUEUED:
        _queue(session, Kind.CONFIRM, person.id, person.address_key, mailbox, person.language, now)
    return counted


def confirm(
    session: Session,
    number: int,
    subscriber: SubscriberId,
    *,
    now: datetime,
    life: timedelta,
    source: str,
    network: str = "",
) -> bool:
    """Let everything that was asked for count: the owner of the address pressed the button.

    One press for all segments. A welcome is queued, and the mailbox's count begins anew. False
    where the link does nothing: used, too old, or nothing to confirm any more.
    """
    if queries.confirmation(session, number, subscriber, now=now, life=life) is None:
        return False
    lock(session, subscriber)  # before their notices, as an erasure does
    row = queries.open_confirmation(session, number, subscriber, now=now, life=life)
    if row is None:  # pressed twice
        return False
    used = update(NoticeRow).where(
        NoticeRow.subscriber_id == subscriber, NoticeRow.answered_at.is_(None)
    )
    session.execute(used.where(NoticeRow.kind == Kind.CONFIRM.value).values(answered_at=now))
    if not subscribers.confirm(
        session, subscriber, now=now, source=source, evidence=f"notice {row.id}", network=network
    ):
        return False
    if row.tracking is not None:
        subscribers.set_tracking(session, subscriber, row.tracking, now=now, source=source)
    begun = update(AskingRow).where(AskingRow.budget_key == row.budget_key)
    session.execute(begun.values(letters=0))
    _queue(session, Kind.WELCOME, subscriber, row.address_key, row.budget_key, row.language, now)
    return True


def lease(
    session: Session,
    *,
    now: datetime,
    seconds: float,
    limit: int,
    resends: Resends = _RESENDS,
) -> tuple[Leased, ...]:
    """Take the right to send some due notices for a while, by the database's clock.

    A right that ran out means a worker died with letters in hand, and one of them may be why: each
    is offered again on its own, so that only its own death counts against it twice, and as often
    as `resends` allows.
    """
    clock = database_now(session)
    open_ = _open(clock)
    lost = NoticeRow.leased_until.is_not(None)
    chosen = (
        select(NoticeRow.id, lost)
        .where(NoticeRow.outcome == "", NoticeRow.not_before <= now, open_)
        .order_by(NoticeRow.not_before, NoticeRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = {row[0]: row[1] for row in session.execute(chosen)}
    given_up = (
        update(NoticeRow)
        .where(NoticeRow.id.in_(found), open_, lost, NoticeRow.doubts >= resends.most)
        .values(outcome=Outcome.UNCERTAIN.value, sent_at=now, leased_until=None)
    )
    for number in session.scalars(given_up.returning(NoticeRow.id)):
        del found[number]
    ids = [number for number, was_lost in found.items() if was_lost][:1] or list(found)
    doubted = update(NoticeRow).where(NoticeRow.id.in_(ids), open_, lost)
    session.execute(doubted.values(doubts=NoticeRow.doubts + 1, doubtful=True))
    taken = (
        update(NoticeRow)
        .where(NoticeRow.id.in_(ids), NoticeRow.outcome == "", open_)
        .values(
            epoch=NoticeRow.epoch + 1,
            attempt=NoticeRow.attempt + 1,
            leased_until=clock + timedelta(seconds=seconds),
        )
        .returning(NoticeRow)
        .execution_options(populate_existing=True)
    )
    rows = sorted(session.scalars(taken), key=lambda row: row.id)
    return tuple(_leased(row, now) for row in rows)


def settle(
    session: Session,
    leased: Leased,
    ending: Reply | Silence,
    *,
    now: datetime,
    patience: Patience,
    resends: Resends = _RESENDS,
) -> Outcome | None:
    """Write down how a try ended; None where it is to be tried again or the lease is another's.

    Silence is tried again with the same Message-ID, as often as `resends` allows. A refusal
    concerns this letter and suppresses nobody.
    """
    decided = verdict(
        ending,
        attempt=leased.attempt,
        first_tried=leased.first_tried,
        now=now,
        patience=patience,
    )
    said: dict[str, object] = {"first_tried": leased.first_tried, "leased_until": None}
    if isinstance(ending, Reply):
        said |= {"code": ending.code, "enhanced": ending.enhanced, "reply": ending.text}
    if isinstance(decided, Uncertain) and leased.doubts < resends.most:
        doubt = {"doubts": leased.doubts + 1, "doubtful": True}
        _write(session, leased, said | doubt | {"not_before": now + resends.after})
        return None
    if isinstance(decided, Deferred):
        _write(session, leased, said | {"not_before": decided.not_before})
        return None
    outcome = {Refused: Outcome.REFUSED, Expired: Outcome.EXPIRED, Uncertain: Outcome.UNCERTAIN}
    ended = outcome.get(type(decided), Outcome.ACCEPTED)
    return _end(session, leased, ended, now, said)


def skip(session: Session, leased: Leased, *, now: datetime) -> None:
    """Note that a notice was not sent: it is no longer called for."""
    _end(session, leased, Outcome.SKIPPED, now, {"leased_until": None})


def give_up(session: Session, leased: Leased, *, now: datetime) -> None:
    """Note that a notice cannot be written: trying again would end the same way."""
    _end(session, leased, Outcome.UNWRITABLE, now, {"leased_until": None})


def release(session: Session, leased: Leased, *, not_before: datetime) -> None:
    """Give back a notice that was not handed over; that was no try."""
    values: dict[str, object] = {
        "leased_until": None,
        "attempt": leased.attempt - 1,
        "not_before": not_before,
    }
    _write(session, leased, values)


def _note(
    session: Session, row: WishRow, key: bytes | Canon, now: datetime, bounds: Bounds
) -> None:
    segments = tuple(row.segments.split())
    person = subscribers.subscribe(
        session,
        EmailAddress.parse(row.address),
        key=key,
        segments=segments,
        source=row.source,
        wording=row.wording,
        now=row.at,
        name=row.name,
        language=row.language,
        network=row.network,
    )
    found = subscriber_queries.subscriber(session, person)
    follows = subscriber_queries.following(session, person)
    stopped = subscriber_queries.suppression(session, found.address_key)
    kind = called_for(found.state, follows, segments, stopped)
    if kind is None or _count(session, row.budget_key, now, bounds) is not Asked.QUEUED:
        return
    language = found.language or row.language
    _queue(session, kind, person, found.address_key, row.budget_key, language, now, row.tracking)


def _count(session: Session, mailbox: str, now: datetime, bounds: Bounds) -> Asked:
    """Count one more letter to a mailbox, where there is room for it."""
    first = inserting(session, AskingRow).values(budget_key=mailbox, letters=0)
    session.execute(first.on_conflict_do_nothing())
    rested = or_(AskingRow.last_at.is_(None), AskingRow.last_at <= now - bounds.apart)
    under_way = exists().where(NoticeRow.budget_key == mailbox, NoticeRow.outcome == "")
    here = AskingRow.budget_key == mailbox
    counted = (
        update(AskingRow)
        .where(here, AskingRow.letters < bounds.most, rested, ~under_way)
        .values(letters=AskingRow.letters + 1, last_at=now)
        .returning(AskingRow.letters)
    )
    if session.scalar(counted) is not None:
        return Asked.QUEUED
    letters = session.scalar(select(AskingRow.letters).where(here)) or 0
    return Asked.NO_MORE if letters >= bounds.most else Asked.TOO_SOON


def _queue(
    session: Session,
    kind: Kind,
    subscriber: SubscriberId,
    key: str,
    mailbox: str,
    language: str,
    now: datetime,
    tracking: int | None = None,
) -> None:
    session.add(
        NoticeRow(
            kind=kind.value,
            subscriber_id=subscriber,
            address_key=key,
            budget_key=mailbox,
            language=language,
            tracking=tracking,
            created_at=now,
            not_before=now,
        )
    )
    session.flush()


def _open(clock: datetime) -> ColumnElement[bool]:
    return or_(NoticeRow.leased_until.is_(None), NoticeRow.leased_until < clock)


def _leased(row: NoticeRow, now: datetime) -> Leased:
    return Leased(
        id=NoticeId(row.id),
        epoch=row.epoch,
        kind=Kind(row.kind),
        subscriber=SubscriberId(row.subscriber_id),
        address_key=row.address_key,
        language=row.language,
        attempt=row.attempt,
        first_tried=row.first_tried or now,
        doubts=row.doubts,
    )


def _write(session: Session, leased: Leased, values: dict[str, object]) -> str | None:
    """Change a notice whose lease is still ours; return its mailbox, None where it is not."""
    ours = update(NoticeRow).where(
        NoticeRow.id == leased.id, NoticeRow.epoch == leased.epoch, NoticeRow.outcome == ""
    )
    return session.scalar(ours.values(**values).returning(NoticeRow.budget_key))


def _end(
    session: Session, leased: Leased, outcome: Outcome, now: datetime, said: dict[str, object]
) -> Outcome | None:
    mailbox = _write(session, leased, said | {"outcome": outcome.value, "sent_at": now})
    if mailbox is None:
        return None
    if leased.kind is not Kind.WELCOME and outcome in {Outcome.ACCEPTED, Outcome.UNCERTAIN}:
        # the day counts from when the letter left, however long it was put off
        left = update(AskingRow).where(AskingRow.budget_key == mailbox)
        session.execute(left.values(last_at=now))
    return outcome
