"""Who is there: looked up, found, counted, and what their own page shows."""

from datetime import datetime

from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from subscribers.address import Canon, EmailAddress, address_key, masked
from subscribers.models import (
    AddressProofRow,
    SubscriberRow,
    SuppressionRow,
)
from subscribers.preferences import Choice, Preferences
from subscribers.queries.segments import following, segments
from subscribers.standing_sql import STOPPED, stands
from subscribers.subscriber import (
    Counts,
    Frequency,
    State,
    Subscriber,
    SubscriberId,
    SubscriberNotFound,
    parse_number,
)

_person, _stop = SubscriberRow, SuppressionRow


def everybody() -> Select[SubscriberRow, str]:
    """Select people with where they stand, for `read_person` to read."""
    return select(_person, stands.label("standing")).outerjoin(_stop, STOPPED)


def read_person(found: Row[SubscriberRow, str]) -> Subscriber:
    """Read a row of `everybody`."""
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
        fields=dict(row.fields),
        source=row.source,
        frequency=Frequency(row.frequency),
        paused_until=row.paused_until,
        mailed_at=row.mailed_at,
    )


def subscriber(session: Session, subscriber: SubscriberId) -> Subscriber:
    """Look one person up. Raises SubscriberNotFound."""
    row = session.execute(everybody().where(_person.id == subscriber)).one_or_none()
    if row is None:
        raise SubscriberNotFound
    return read_person(row)


def by_address(
    session: Session, address: EmailAddress, *, key: bytes | Canon
) -> SubscriberId | None:
    """Find who has an address, however it is spelt. Somebody erased has none any more."""
    found = session.scalar(
        select(_person.id).where(
            _person.address_key == address_key(key, address), _person.address.is_not(None)
        )
    )
    return None if found is None else SubscriberId(found)


def by_key(session: Session, address_key: str) -> SubscriberId | None:
    """Find whose address hashes to a key; also somebody erased."""
    found = session.scalar(select(_person.id).where(_person.address_key == address_key))
    return None if found is None else SubscriberId(found)


def find(session: Session, who: str, *, key: bytes | Canon) -> SubscriberId:
    """Find whom a number or an address stands for. Raises SubscriberNotFound, AddressInvalid."""
    number = parse_number(who)
    if number is not None:
        return subscriber(session, number).id
    found = by_address(session, EmailAddress.parse(who), key=key)
    if found is None:
        raise SubscriberNotFound("Nobody subscribes with this address.")
    return found


def counts(session: Session) -> Counts:
    """Count everybody by state."""
    state = stands.label("state")
    grouped = (
        select(state, func.count()).select_from(_person).outerjoin(_stop, STOPPED).group_by(state)
    )
    found = {State(name): int(number) for name, number in session.execute(grouped)}
    return Counts(sum(found.values()), {each: found.get(each, 0) for each in State})


def tracking(session: Session, subscriber: SubscriberId) -> int:
    """Say what may be tracked of somebody now, as bits: 0 where they are gone or erased."""
    allowed = select(_person.tracking).where(
        _person.id == subscriber, _person.state != State.ERASED.value
    )
    return session.scalar(allowed) or 0


def preferences(
    session: Session,
    subscriber_id: SubscriberId,
    language: str = "",
    *,
    now: datetime | None = None,
) -> Preferences:
    """Collect what the preference page shows, in a language or else in the subscriber's own.

    A pause is shown where it lasts beyond `now`. Raises SubscriberNotFound.
    """
    person = subscriber(session, subscriber_id)
    follows = set(following(session, subscriber_id))
    shown = segments(session, followable=True)
    spoken = language or person.language
    over = now is not None and not person.is_paused(now)
    return Preferences(
        subscriber=person.id,
        masked_address=masked(person.address) if person.address else "",
        state=person.state,
        choices=tuple(
            Choice(each.key, each.name_in(spoken), each.description, each.key in follows)
            for each in shown
        ),
        tracking=person.tracking,
        language=person.language,
        frequency=person.frequency,
        paused_until=None if over else person.paused_until,
        languages=tuple(sorted({tag for each in shown for tag in each.names})),
    )


def key_fits(session: Session, key: bytes | Canon) -> bool:
    """Say whether stored addresses were hashed with this key, the same spellings folded.

    If not, no suppression is found and people are stored twice.
    """
    canon = key if isinstance(key, Canon) else Canon(key)
    kept = session.get(AddressProofRow, 1)
    if kept is not None and kept.proof != canon.proof:
        return False
    row = session.execute(
        select(_person.address, _person.address_key)
        .where(_person.address.is_not(None))
        .order_by(_person.id)
        .limit(1)
    ).one_or_none()
    return row is None or canon.key(EmailAddress.parse(row.address)) == row.address_key


def folded(session: Session) -> str | None:
    """Say which addresses are taken for one person's here, as the setting has it.

    None before it was remembered: nobody is stored yet, or an older version stored them.
    """
    kept = session.get(AddressProofRow, 1)
    return None if kept is None else kept.folds
