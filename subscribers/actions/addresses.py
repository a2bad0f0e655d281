"""A person takes another address, and stays the same person."""

from datetime import datetime

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from subscribers import queries, record
from subscribers.actions.suppressions import suppress
from subscribers.address import Canon, EmailAddress, address_key
from subscribers.consent import Act, Origin
from subscribers.models import AddressProofRow, FormerAddressRow
from subscribers.subscriber import AddressTaken, State, SubscriberId, SubscriberNotFound
from subscribers.suppression import OF_THE_PERSON


def change_address(  # consent needs all
    session: Session,
    subscriber: SubscriberId,
    new: EmailAddress,
    *,
    key: bytes | Canon,
    now: datetime,
    source: str,
    actor: str = "",
    evidence: str = "",
) -> bool:
    """Give somebody another address; follows, history and letters stay theirs. Whether it is new.

    A suppression stays with the address it is of: a dead one stays suppressed, and one that must
    not be mailed is not mailed because somebody moves to it. What the person themselves asked for
    or was stopped for goes along (suppression.OF_THE_PERSON). Raises SubscriberNotFound, also for
    somebody erased, and AddressTaken.
    """
    record.come_in(session)
    if record.lock(session, subscriber) is State.ERASED:
        raise SubscriberNotFound("Their data was erased.")
    person = queries.subscriber(session, subscriber)
    hashed = address_key(key, new)
    if new.address == person.address:
        return False
    if hashed != person.address_key:
        if queries.by_key(session, hashed) is not None:
            raise AddressTaken
        former = {"subscriber_id": subscriber, "address_key": person.address_key, "until": now}
        session.add(FormerAddressRow(**former))
    try:
        with session.begin_nested():
            values = {"address": new.address, "domain": new.domain, "address_key": hashed}
            record.change(session, subscriber, now, **values)
    except IntegrityError:  # somebody came by this address meanwhile
        raise AddressTaken from None
    active = queries.suppression(session, person.address_key)
    if active is not None and active.reason in OF_THE_PERSON and hashed != person.address_key:
        why = f"of an earlier address, since {active.at:%Y-%m-%d}"
        suppress(session, hashed, active.reason, now=now, evidence=why, scope=active.scope)
    origin = Origin(source, actor, evidence)
    record.note(session, subscriber, Act.ADDRESS_CHANGED, origin, now)
    return True


def remember_key(session: Session, key: bytes | Canon) -> None:
    """Keep a proof of the key that addresses are hashed with, once and for ever: see `key_fits`."""
    canon = key if isinstance(key, Canon) else Canon(key)
    row = {"id": 1, "proof": canon.proof, "folds": canon.folds}
    statement = record.inserting(session, AddressProofRow).values(row)
    session.execute(statement.on_conflict_do_nothing())
