"""From asking to leaving: subscribe, confirm, follow, unfollow, unsubscribe."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from subscribers import queries, record
from subscribers.actions.suppressions import close
from subscribers.address import Canon, EmailAddress, address_key
from subscribers.consent import Act, Origin, open_request
from subscribers.fields import FieldValue
from subscribers.models import SubscriberRow
from subscribers.subscriber import (
    NothingToConfirm,
    NotSubscribed,
    State,
    SubscriberId,
    parse_language,
    parse_timezone,
    tidy_name,
)
from subscribers.suppression import LIFTED_BY_CONFIRMING

_HERE = {State.PENDING, State.CONFIRMED}  # own states of somebody who has not left


def subscribe(  # noqa: PLR0913  # what is asked, in which words, from where: consent needs all
    session: Session,
    address: EmailAddress,
    *,
    key: bytes | Canon,
    segments: Sequence[str],
    source: str,
    wording: str,
    now: datetime,
    name: str = "",
    language: str = "",
    timezone: str = "",
    fields: Mapping[str, FieldValue] | None = None,
    actor: str = "",
    evidence: str = "",
    network: str = "",
) -> SubscriberId:
    """Note that somebody asks to subscribe an address; nothing is mailed to it before `confirm`.

    The answer is the same for an address new, known, unsubscribed or suppressed: whoever fills in
    a form has not shown that it is theirs. Of somebody known nothing changes but that the request
    is noted. `network` is what `consent.network` leaves of where the request came from. Raises
    SegmentNotFound, LanguageInvalid, TimezoneInvalid.
    """
    record.come_in(session)
    queries.require_segments(session, segments, followable=True)
    row: dict[str, object] = {
        "address": address.address,
        "domain": address.domain,
        "name": tidy_name(name),
        "language": parse_language(language),
        "timezone": parse_timezone(timezone),
        "fields": dict(fields or {}),
        "source": source,
        "state": State.PENDING.value,
        "confirmed_at": None,
        "updated_at": now,
    }
    person = _found_or_made(session, address_key(key, address), row, now)
    if record.lock(session, person) is State.PENDING:
        record.follow(session, person, segments, now)
    origin = Origin(source, actor, evidence, network)
    record.note(session, person, Act.SUBSCRIBED, origin, now, segments=segments, wording=wording)
    return person


def confirm(
    session: Session,
    subscriber: SubscriberId,
    *,
    now: datetime,
    source: str,
    evidence: str = "",
    network: str = "",
) -> bool:
    """Make what somebody asked for count: they showed that the address is theirs.

    True where it changed something; doing it again changes nothing. Lifts a suppression that its
    owner may lift (suppression.LIFTED_BY_CONFIRMING). Raises SubscriberNotFound, and
    NothingToConfirm where an old link would bring somebody back who has left since.
    """
    own = record.lock(session, subscriber)
    asked = open_request(queries.history(session, subscriber))
    if asked is None:
        if own is State.CONFIRMED:
            return False
        raise NothingToConfirm
    record.change(session, subscriber, now, state=State.CONFIRMED.value, confirmed_at=now)
    record.follow(session, subscriber, asked, now)
    key = queries.subscriber(session, subscriber).address_key
    active = queries.suppression(session, key)
    if active is not None and active.reason in LIFTED_BY_CONFIRMING:
        close(session, key, "confirmed by the owner of the address", now)
    origin = Origin(source, evidence=evidence, network=network)
    record.note(session, subscriber, Act.CONFIRMED, origin, now, segments=asked)
    return True


def follow(  # consent needs all
    session: Session,
    subscriber: SubscriberId,
    segments: Sequence[str],
    *,
    now: datetime,
    source: str,
    actor: str = "",
    evidence: str = "",
) -> tuple[str, ...]:
    """Follow segments; return those not followed before.

    Raises SegmentNotFound, SubscriberNotFound, and NotSubscribed for somebody who has left.
    """
    if record.lock(session, subscriber) not in _HERE:
        raise NotSubscribed
    queries.require_segments(session, segments, followable=True)
    new = record.follow(session, subscriber, segments, now)
    _note(session, subscriber, Act.FOLLOWED, Origin(source, actor, evidence), now, new)
    return new


def unfollow(  # consent needs all
    session: Session,
    subscriber: SubscriberId,
    segments: Sequence[str],
    *,
    now: datetime,
    source: str,
    actor: str = "",
    evidence: str = "",
) -> tuple[str, ...]:
    """Stop following segments; return those followed before.

    Who follows none any more is mailed nothing and may follow again without confirming: unlike
    `unsubscribe`, this does not end the subscription. Raises SubscriberNotFound.
    """
    record.lock(session, subscriber)
    ended = record.unfollow(session, subscriber, segments)
    _note(session, subscriber, Act.UNFOLLOWED, Origin(source, actor, evidence), now, ended)
    return ended


def unsubscribe(  # consent needs all
    session: Session,
    subscriber: SubscriberId,
    *,
    segments: Sequence[str] | None,
    now: datetime,
    source: str,
    actor: str = "",
    evidence: str = "",
) -> tuple[str, ...]:
    """End the follow of some segments, or with None of all; return the segments still followed.

    Leaving the last one followed ends the subscription, as leaving all does, and withdraws what was
    asked for and not confirmed. Segments that are not followed, or are gone, are passed over: an
    old link works for ever, and twice changes nothing. Raises SubscriberNotFound.
    """
    own = record.lock(session, subscriber)
    ended = record.unfollow(session, subscriber, segments)
    left = queries.following(session, subscriber)
    leaves = segments is None or (bool(ended) and not left)
    if leaves and own in _HERE:
        record.change(session, subscriber, now, state=State.UNSUBSCRIBED.value)
    elif leaves and open_request(queries.history(session, subscriber)) is None:
        return left  # had left before
    elif not (leaves or ended):
        return left
    origin = Origin(source, actor, evidence)
    gone = () if leaves else ended
    record.note(session, subscriber, Act.UNSUBSCRIBED, origin, now, segments=gone)
    return left


def _note(  # only what changed is noted
    session: Session,
    subscriber: SubscriberId,
    act: Act,
    origin: Origin,
    now: datetime,
    segments: Sequence[str],
) -> None:
    if segments:
        record.note(session, subscriber, act, origin, now, segments=segments)


def _found_or_made(
    session: Session, key: str, row: dict[str, object], now: datetime
) -> SubscriberId:
    """Insert a person, or find them by the key of their address; one erased is filled in again."""
    statement = record.inserting(session, SubscriberRow).values(
        **row, address_key=key, created_at=now
    )
    made = session.scalar(statement.on_conflict_do_nothing().returning(SubscriberRow.id))
    if made is None:
        again = update(SubscriberRow).where(
            SubscriberRow.address_key == key, SubscriberRow.state == State.ERASED.value
        )
        made = session.scalar(again.values(**row).returning(SubscriberRow.id))
    if made is not None:
        return SubscriberId(made)
    found = queries.by_key(session, key)
    if found is None:  # by address, then, and so hashed with another key
        raise ValueError("stored addresses were hashed with another key: see address.key_from")
    return found
