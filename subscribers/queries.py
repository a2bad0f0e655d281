"""Every SELECT about people: who may be mailed and why, who follows what, what they agreed to."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Row, Select, case, func, literal, null, or_, select
from sqlalchemy.orm import Session

from subscribers import standing
from subscribers.address import EmailAddress, address_key, masked
from subscribers.consent import Act, Consent, open_request
from subscribers.models import (
    ConsentRow,
    FollowRow,
    SegmentRow,
    SubscriberRow,
    SuppressionRow,
    WordingRow,
)
from subscribers.preferences import Choice, Preferences
from subscribers.segment import Segment, SegmentCount, SegmentNotFound
from subscribers.segment_sql import among, followed, follows_any
from subscribers.standing import Standing
from subscribers.subscriber import (
    Counts,
    Known,
    SegmentId,
    State,
    Subscriber,
    SubscriberId,
    SubscriberNotFound,
)
from subscribers.suppression import LIFTED_BY_CONFIRMING, Reason, Scope, Suppression

_person, _stop = SubscriberRow, SuppressionRow
_STOPPED = (_stop.address_key == _person.address_key) & _stop.lifted_at.is_(None)
_OWN_WORDS = (Reason.BOUNCED.value, Reason.COMPLAINED.value)

# suppression.standing in SQL; a test holds the two to the same answer
_word = case((_stop.reason.in_(_OWN_WORDS), _stop.reason), else_=literal(State.SUPPRESSED.value))


def _now(stopped: ColumnElement[str]) -> ColumnElement[str]:
    """Say where somebody stands, given what the word for their active suppression is, or NULL."""
    erased = _person.state == State.ERASED.value
    return case((erased, _person.state), else_=func.coalesce(stopped, _person.state))


_state = _now(case((_stop.reason.is_not(None), _word)))  # where `suppression` is joined


def candidates(segments: Sequence[str]) -> Select[int, str, str, int, int, str | None]:
    """Select everybody who follows at least one of the segments, once, mailable or not.

    Columns: subscriber_id, address_key, domain, mask (bit n: they follow segments[n]), tracking
    (bits), excluded (NULL, or why not: pending, unsubscribed, bounced, complained, suppressed,
    erased). One pass over `follow`, no order. Raises ValueError for no segment, one named twice,
    or more than sixteen; a key that is no segment's is followed by nobody.
    """
    people = followed(segments)
    return (
        select(
            _person.id.label("subscriber_id"),
            _person.address_key.label("address_key"),
            _person.domain.label("domain"),
            people.c.mask.label("mask"),
            _person.tracking.label("tracking"),
            func.nullif(_state, State.CONFIRMED.value).label("excluded"),
        )
        .select_from(people)
        .join(_person, _person.id == people.c.subscriber_id)
        .outerjoin(_stop, _STOPPED)
    )


def recipients(
    segments: Sequence[str] | None = None,
) -> Select[int, str, str, str, int, str | None]:
    """Select what a letter needs of everybody, and whether they may be mailed at this moment.

    Columns: id, address (empty once erased), name, language, tracking, unmailable (NULL or the
    reason now, in the words of `candidates`). With segments, who follows none of them any more is
    unmailable as "unfollowed". To be joined by id.
    """
    # a subquery, not a join: SQLite reads everybody for a join that is itself outer-joined
    stopped = select(_word).where(_STOPPED).correlate(_person).scalar_subquery()
    unmailable: ColumnElement[str | None] = func.nullif(_now(stopped), State.CONFIRMED.value)
    if segments is not None:
        still = follows_any(_person.id, segments)
        unmailable = func.coalesce(unmailable, case((still, null()), else_="unfollowed"))
    return select(
        _person.id.label("id"),
        func.coalesce(_person.address, "").label("address"),
        _person.name.label("name"),
        _person.language.label("language"),
        _person.tracking.label("tracking"),
        unmailable.label("unmailable"),
    ).select_from(_person)


def subscriber(session: Session, subscriber: SubscriberId) -> Subscriber:
    """Look one person up. Raises SubscriberNotFound."""
    row = session.execute(_people().where(_person.id == subscriber)).one_or_none()
    if row is None:
        raise SubscriberNotFound
    return _subscriber(row)


def by_address(session: Session, address: EmailAddress) -> SubscriberId | None:
    """Find who has an address, however it is spelt."""
    found = session.scalar(select(_person.id).where(func.lower(_person.address) == address.key))
    return None if found is None else SubscriberId(found)


def by_key(session: Session, address_key: str) -> SubscriberId | None:
    """Find whose address hashes to a key; also somebody erased."""
    found = session.scalar(select(_person.id).where(_person.address_key == address_key))
    return None if found is None else SubscriberId(found)


def find(session: Session, who: str) -> SubscriberId:
    """Find whom a number or an address stands for. Raises SubscriberNotFound, AddressInvalid."""
    if who.isascii() and who.isdecimal():
        return subscriber(session, SubscriberId(int(who))).id
    found = by_address(session, EmailAddress.parse(who))
    if found is None:
        raise SubscriberNotFound("Nobody subscribes with this address.")
    return found


def search(  # each narrows the list
    session: Session,
    part: str = "",
    *,
    state: State | None = None,
    segment: str | None = None,
    after: int = 0,
    limit: int = 50,
) -> tuple[Subscriber, ...]:
    """List people whose address or name has a part in it, by id, from the one after `after`."""
    found = _people().where(_person.id > after).order_by(_person.id).limit(limit)
    if part:
        low = part.lower()
        found = found.where(
            or_(
                func.lower(_person.address).contains(low, autoescape=True),
                func.lower(_person.name).contains(low, autoescape=True),
            )
        )
    if state is not None:
        found = found.where(_state == state.value)
    if segment is not None:
        found = found.where(follows_any(_person.id, [segment]))
    return tuple(_subscriber(row) for row in session.execute(found))


def counts(session: Session) -> Counts:
    """Count everybody by state."""
    state = _state.label("state")
    grouped = (
        select(state, func.count()).select_from(_person).outerjoin(_stop, _STOPPED).group_by(state)
    )
    found = {State(name): int(number) for name, number in session.execute(grouped)}
    return Counts(sum(found.values()), {each: found.get(each, 0) for each in State})


def segments(session: Session, *, archived: bool = False) -> tuple[Segment, ...]:
    """List the segments in their order, archived ones only where asked for."""
    found = select(SegmentRow).order_by(SegmentRow.position, SegmentRow.id)
    if not archived:
        found = found.where(SegmentRow.archived_at.is_(None))
    return tuple(_segment(row) for row in session.scalars(found))


def segment(session: Session, key: str) -> Segment:
    """Look one segment up by its key. Raises SegmentNotFound."""
    row = session.scalar(select(SegmentRow).where(SegmentRow.key == key))
    if row is None:
        raise SegmentNotFound(f"There is no segment {key!r}.")
    return _segment(row)


def require_segments(session: Session, keys: Sequence[str]) -> tuple[Segment, ...]:
    """Look segments up, in the order given. Raises SegmentNotFound naming each there is not."""
    there = {each.key: each for each in segments(session)}
    missing = [key for key in keys if key not in there]
    if missing:
        raise SegmentNotFound(
            f"There is no segment {', '.join(map(repr, missing))}; there are: {', '.join(there)}."
        )
    return tuple(there[key] for key in keys)


def segment_counts(session: Session) -> tuple[SegmentCount, ...]:
    """Count each segment's followers, and those of them who may be mailed now."""
    grouped = (
        select(
            FollowRow.segment_id,
            func.count(),
            func.sum(case((_state == State.CONFIRMED.value, 1), else_=0)),
        )
        .select_from(FollowRow)
        .join(_person, _person.id == FollowRow.subscriber_id)
        .outerjoin(_stop, _STOPPED)
        .group_by(FollowRow.segment_id)
    )
    found = {row[0]: (int(row[1]), int(row[2])) for row in session.execute(grouped)}
    return tuple(SegmentCount(each, *found.get(each.id, (0, 0))) for each in segments(session))


def following(session: Session, subscriber: SubscriberId) -> tuple[str, ...]:
    """List the keys of the segments somebody follows, in the order of the segments."""
    found = (
        select(SegmentRow.key)
        .join(FollowRow, FollowRow.segment_id == SegmentRow.id)
        .where(FollowRow.subscriber_id == subscriber)
        .order_by(SegmentRow.position, SegmentRow.id)
    )
    return tuple(session.scalars(found))


def tracking(session: Session, subscriber: SubscriberId) -> int:
    """Say what may be tracked of somebody now, as bits: 0 where they are gone or erased."""
    allowed = select(_person.tracking).where(
        _person.id == subscriber, _person.state != State.ERASED.value
    )
    return session.scalar(allowed) or 0


def history(session: Session, subscriber: SubscriberId) -> tuple[Consent, ...]:
    """List what somebody agreed to and withdrew, oldest first."""
    found = (
        select(ConsentRow, WordingRow.text)
        .outerjoin(WordingRow, WordingRow.sha256 == ConsentRow.wording)
        .where(ConsentRow.subscriber_id == subscriber)
        .order_by(ConsentRow.id)
    )
    return tuple(
        Consent(
            act=Act(row.act),
            segments=tuple(row.segments.split()),
            wording=words or "",
            wording_sha256=row.wording or "",
            source=row.source,
            actor=row.actor,
            evidence=row.evidence,
            at=row.at,
        )
        for row, words in session.execute(found)
    )


def suppressions(session: Session, address_key: str) -> tuple[Suppression, ...]:
    """List an address's suppressions, newest first, lifted ones too; only the first is active."""
    found = select(_stop).where(_stop.address_key == address_key).order_by(_stop.id.desc())
    return tuple(
        Suppression(
            address_key=row.address_key,
            reason=Reason(row.reason),
            scope=Scope(row.scope),
            evidence=row.evidence,
            at=row.at,
            lifted_at=row.lifted_at,
            lifted_reason=row.lifted_reason,
        )
        for row in session.scalars(found)
    )


def suppression(session: Session, address_key: str) -> Suppression | None:
    """Look up why an address must not be mailed; None where it may."""
    found = suppressions(session, address_key)
    return found[0] if found and found[0].lifted_at is None else None


def suppressed(session: Session, address_keys: Sequence[str]) -> frozenset[str]:
    """Say which of these addresses must not be mailed. At most some ten thousand at once."""
    found = select(_stop.address_key).where(
        among(session, _stop.address_key, address_keys), _stop.lifted_at.is_(None)
    )
    return frozenset(session.scalars(found))


def known(session: Session, address_keys: Sequence[str]) -> dict[str, Known]:
    """Look up who of these is there already, by key. At most some ten thousand at once."""
    people = session.execute(
        select(
            _person.address_key, _person.id, _person.state, _person.name, _person.language
        ).where(among(session, _person.address_key, address_keys))
    ).all()
    follows: dict[int, set[str]] = {row.id: set() for row in people}
    pairs = (
        select(FollowRow.subscriber_id, SegmentRow.key)
        .join(SegmentRow, SegmentRow.id == FollowRow.segment_id)
        .where(among(session, FollowRow.subscriber_id, list(follows)))
    )
    for number, key in session.execute(pairs) if follows else ():
        follows[number].add(key)
    return {
        row.address_key: Known(
            SubscriberId(row.id),
            State(row.state),
            row.name,
            row.language,
            frozenset(follows[row.id]),
        )
        for row in people
    }


def may_be_asked(session: Session, subscriber: SubscriberId) -> bool:
    """Say whether a confirmation may be sent: something is to be confirmed, and it would count."""
    found = explain(session, subscriber)
    lasting = found.suppression and found.suppression.reason not in LIFTED_BY_CONFIRMING
    return found.awaits is not None and not lasting


def explain(session: Session, subscriber_id: SubscriberId) -> Standing:
    """Say why somebody is mailed or not, with what it rests on. Raises SubscriberNotFound."""
    person = subscriber(session, subscriber_id)
    follows = following(session, subscriber_id)
    stopped = suppression(session, person.address_key)
    awaits = open_request(history(session, subscriber_id))
    return standing.explain(person, follows, stopped, awaits)


def preferences(session: Session, subscriber_id: SubscriberId, language: str = "") -> Preferences:
    """Collect what the preference page shows, in a language or else in the subscriber's own.

    Raises SubscriberNotFound.
    """
    person = subscriber(session, subscriber_id)
    follows = set(following(session, subscriber_id))
    spoken = language or person.language
    return Preferences(
        subscriber=person.id,
        masked_address=masked(person.address) if person.address else "",
        state=person.state,
        choices=tuple(
            Choice(each.key, each.name_in(spoken), each.description, each.key in follows)
            for each in segments(session)
        ),
        tracking=person.tracking,
        language=person.language,
    )


def key_fits(session: Session, key: bytes) -> bool:
    """Say whether stored addresses were hashed with this key; if not, no suppression is found."""
    row = session.execute(
        select(_person.address, _person.address_key)
        .where(_person.address.is_not(None))
        .order_by(_person.id)
        .limit(1)
    ).one_or_none()
    return row is None or address_key(key, EmailAddress.parse(row.address)) == row.address_key


def _people() -> Select[SubscriberRow, str]:
    return select(_person, _state.label("standing")).outerjoin(_stop, _STOPPED)


def _subscriber(found: Row[SubscriberRow, str]) -> Subscriber:
    row, state = found
    return Subscriber(
        id=SubscriberId(row.id),
        address=row.address or "",
        address_key=row.address_key,
        domain=row.domain,
        name=row.name,
        language=row.language,
        timezone=row.timezone,
        state=State(state),
        tracking=row.tracking,
        created_at=row.created_at,
        confirmed_at=row.confirmed_at,
        updated_at=row.updated_at,
    )


def _segment(row: SegmentRow) -> Segment:
    return Segment(
        id=SegmentId(row.id),
        key=row.key,
        name=row.name,
        names=dict(row.names),
        description=row.description,
        color=row.color,
        position=row.position,
        archived_at=row.archived_at,
    )
