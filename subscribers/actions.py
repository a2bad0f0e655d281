"""The verbs: subscribe, confirm, follow, unsubscribe, change preferences, suppress, lift, erase.

Each locks the person it is about, may run twice, and leaves an entry in `consent` for what it
changed. Nobody commits in here. Many people at once are `bulk`'s.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from subscribers import preferences, queries, record
from subscribers.address import EmailAddress, address_key
from subscribers.consent import Act, Origin, open_request
from subscribers.models import FollowRow, SegmentRow, SubscriberRow, SuppressionRow
from subscribers.preferences import Change, Wanted
from subscribers.segment import STARTING, NewSegment, SegmentExists, parse_key
from subscribers.subscriber import (
    NothingToConfirm,
    NotSubscribed,
    SegmentId,
    State,
    SubscriberId,
    parse_language,
    tidy_name,
)
from subscribers.suppression import (
    LIFTED_BY_CONFIRMING,
    LiftingReasonMissing,
    NotSuppressed,
    OnlyTheOwner,
    Reason,
    Scope,
    outweighs,
)

_HERE = {State.PENDING, State.CONFIRMED}  # own states of somebody who has not left


def ensure_segments(session: Session, segments: Iterable[NewSegment] = STARTING) -> int:
    """Make the segments there are not yet; return how many. Those there are stay as they are."""
    there = {each.key for each in queries.segments(session, archived=True)}
    missing = [new for new in segments if new.key not in there]
    for new in missing:
        create_segment(session, new)
    return len(missing)


def create_segment(session: Session, new: NewSegment) -> SegmentId:
    """Make a segment, last in the order. Raises SegmentKeyInvalid, SegmentExists."""
    last = select(func.coalesce(func.max(SegmentRow.position), 0)).scalar_subquery()
    statement = record.inserting(session, SegmentRow).values(
        key=parse_key(new.key),
        name=tidy_name(new.name) or new.key,
        names=dict(new.names),
        description=new.description,
        color=new.color,
        position=last + 1,
    )
    made = session.scalar(statement.on_conflict_do_nothing().returning(SegmentRow.id))
    if made is None:
        raise SegmentExists(f"There is a segment {new.key!r} already.")
    return SegmentId(made)


def subscribe(  # what is asked, in which words, from where: consent needs all
    session: Session,
    address: EmailAddress,
    *,
    key: bytes,
    segments: Sequence[str],
    source: str,
    wording: str,
    now: datetime,
    name: str = "",
    language: str = "",
    actor: str = "",
    evidence: str = "",
) -> SubscriberId:
    """Note that somebody asks to subscribe an address; nothing is mailed to it before `confirm`.

    The answer is the same for an address new, known, unsubscribed or suppressed: whoever fills in
    a form has not shown that it is theirs. Of somebody known nothing changes but that the request
    is noted. Raises SegmentNotFound, LanguageInvalid.
    """
    queries.require_segments(session, segments)
    row: dict[str, object] = {
        "address": address.address,
        "domain": address.domain,
        "name": tidy_name(name),
        "language": parse_language(language),
        "state": State.PENDING.value,
        "confirmed_at": None,
        "updated_at": now,
    }
    person = _found_or_made(session, address_key(key, address), row, now)
    if record.lock(session, person) is State.PENDING:
        record.follow(session, person, segments, now)
    origin = Origin(source, actor, evidence)
    record.note(session, person, Act.SUBSCRIBED, origin, now, segments=segments, wording=wording)
    return person


def confirm(
    session: Session, subscriber: SubscriberId, *, now: datetime, source: str, evidence: str = ""
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
        _close(session, key, "confirmed by the owner of the address", now)
    origin = Origin(source, evidence=evidence)
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
    queries.require_segments(session, segments)
    new = record.follow(session, subscriber, segments, now)
    if new:
        origin = Origin(source, actor, evidence)
        record.note(session, subscriber, Act.FOLLOWED, origin, now, segments=new)
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
    if ended:
        origin = Origin(source, actor, evidence)
        record.note(session, subscriber, Act.UNFOLLOWED, origin, now, segments=ended)
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


def set_tracking(  # consent needs all
    session: Session,
    subscriber: SubscriberId,
    tracking: int,
    *,
    now: datetime,
    source: str,
    evidence: str = "",
) -> None:
    """Allow opens (1), clicks (2), both or neither to be tracked, from now on and in old mail too.

    Raises SubscriberNotFound, and ValueError for other bits.
    """
    if tracking not in range(4):
        raise ValueError(f"no tracking bits: {tracking}")
    record.lock(session, subscriber)
    before = queries.tracking(session, subscriber)
    if tracking == before:
        return
    record.change(session, subscriber, now, tracking=tracking)
    origin = Origin(source, evidence=f"{before} to {tracking} {evidence}".strip())
    record.note(session, subscriber, Act.TRACKING_CHANGED, origin, now)


def change_preferences(
    session: Session, subscriber: SubscriberId, wanted: Wanted, *, now: datetime, source: str
) -> Change:
    """Make a subscriber's preferences what they want; return what that changed.

    Raises SubscriberNotFound, LanguageInvalid, and NotSubscribed where somebody who has left wants
    to follow something: they have to subscribe again.
    """
    record.lock(session, subscriber)
    change = preferences.change(queries.preferences(session, subscriber), wanted)
    if change.follow:
        follow(session, subscriber, change.follow, now=now, source=source)
    if change.unfollow:
        unfollow(session, subscriber, change.unfollow, now=now, source=source)
    if change.tracking is not None:
        set_tracking(session, subscriber, change.tracking, now=now, source=source)
    if change.language is not None:
        record.change(session, subscriber, now, language=parse_language(change.language))
    return change


def suppress(  # a suppression says why, since when and what shows it
    session: Session,
    address_key: str,
    reason: Reason | str,
    *,
    now: datetime,
    evidence: str = "",
    scope: Scope = Scope.ALL,
) -> bool:
    """Let an address be mailed no more, by its keyed hash, whether a subscriber has it or not.

    True where that is new, or weightier than the reason there was; the lighter one is closed.
    Raises ValueError for a word that is no Reason.
    """
    reason = Reason(reason)
    active = queries.suppression(session, address_key)
    if active is not None:
        if not outweighs(reason, active.reason):
            return False
        _close(session, address_key, f"replaced: {reason.value}", now)
    statement = record.inserting(session, SuppressionRow).values(
        address_key=address_key,
        reason=reason.value,
        scope=scope.value,
        evidence=evidence,
        at=now,
        lifted_reason="",
    )
    made = session.scalar(statement.on_conflict_do_nothing().returning(SuppressionRow.id))
    return made is not None


def lift(session: Session, address_key: str, *, reason: str, now: datetime) -> Reason:
    """End a suppression by decision; return what it was for. The person's own state counts again.

    Raises NotSuppressed, LiftingReasonMissing, and OnlyTheOwner after an erasure.
    """
    if not reason.strip():
        raise LiftingReasonMissing
    active = queries.suppression(session, address_key)
    if active is None:
        raise NotSuppressed
    if active.reason is Reason.ERASED:
        raise OnlyTheOwner
    if not _close(session, address_key, reason.strip(), now):
        raise NotSuppressed
    return active.reason


def erase(session: Session, subscriber: SubscriberId, *, now: datetime, source: str) -> None:
    """Remove a person's data from the people's tables; a keyed hash stays, suppressed.

    Twice changes nothing. Raises SubscriberNotFound.
    """
    if record.lock(session, subscriber) is State.ERASED:
        return
    key = queries.subscriber(session, subscriber).address_key
    session.execute(delete(FollowRow).where(FollowRow.subscriber_id == subscriber))
    gone: dict[str, object] = dict.fromkeys(("domain", "name", "language", "timezone"), "")
    gone |= {"address": None, "fields": {}, "state": State.ERASED.value}
    record.change(session, subscriber, now, **gone)
    suppress(session, key, Reason.ERASED, now=now)
    record.note(session, subscriber, Act.ERASED, Origin(source), now)


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


def _close(session: Session, address_key: str, reason: str, now: datetime) -> bool:
    statement = update(SuppressionRow).where(
        SuppressionRow.address_key == address_key, SuppressionRow.lifted_at.is_(None)
    )
    closed = statement.values(lifted_at=now, lifted_reason=reason).returning(SuppressionRow.id)
    return session.scalar(closed) is not None
