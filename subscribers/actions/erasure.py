"""Removing what is held on somebody in the people's tables."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from subscribers import engagement, engaging, queries, record
from subscribers.actions.suppressions import suppress
from subscribers.consent import Act, Origin
from subscribers.models import (
    ConsentNetworkRow,
    ConsentRow,
    FollowRow,
    FormerAddressRow,
    ImportedRow,
)
from subscribers.subscriber import State, SubscriberId
from subscribers.suppression import Reason

GONE: dict[str, object] = {
    **dict.fromkeys(("domain", "name", "language", "timezone", "source", "frequency"), ""),
    **dict.fromkeys(("address", "paused_until", "mailed_at", "mailed_issue")),
    "fields": {},
    "state": State.ERASED.value,
}
"""What is left of somebody's row: the keyed hash, when they came, what may be tracked."""


def erase(
    session: Session, subscriber: SubscriberId, *, now: datetime, source: str, actor: str = ""
) -> None:
    """Remove a person's data from the people's tables; a keyed hash stays, suppressed.

    So does that of an address they had before, unless it is somebody else's now. Twice changes
    nothing. Raises SubscriberNotFound.
    """
    if record.lock(session, subscriber) is State.ERASED:
        return
    key = queries.subscriber(session, subscriber).address_key
    former = select(FormerAddressRow.address_key).where(
        FormerAddressRow.subscriber_id == subscriber
    )
    theirs = [each for each in session.scalars(former) if queries.by_key(session, each) is None]
    acts = select(ConsentRow.id).where(ConsentRow.subscriber_id == subscriber)
    session.execute(delete(ConsentNetworkRow).where(ConsentNetworkRow.consent_id.in_(acts)))
    for table in (FollowRow, FormerAddressRow, ImportedRow):
        session.execute(delete(table).where(table.subscriber_id == subscriber))
    engaging.forget(session, subscriber, engagement.Act)
    record.change(session, subscriber, now, **GONE)
    for each in (key, *theirs):
        suppress(session, each, Reason.ERASED, now=now)
    record.note(session, subscriber, Act.ERASED, Origin(source, actor), now)
