"""What somebody agreed to and withdrew, what awaits their word, and where that leaves them."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers import standing
from subscribers.consent import Act, Consent, open_request
from subscribers.models import ConsentNetworkRow, ConsentRow, WordingRow
from subscribers.queries.people import subscriber
from subscribers.queries.segments import following
from subscribers.queries.suppressions import suppression
from subscribers.standing import Standing
from subscribers.subscriber import SubscriberId


def history(session: Session, subscriber: SubscriberId) -> tuple[Consent, ...]:
    """List what somebody agreed to and withdrew, oldest first."""
    found = (
        select(ConsentRow, WordingRow.text, ConsentNetworkRow.network)
        .outerjoin(WordingRow, WordingRow.sha256 == ConsentRow.wording)
        .outerjoin(ConsentNetworkRow, ConsentNetworkRow.consent_id == ConsentRow.id)
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
            network=network or "",
        )
        for row, words, network in session.execute(found)
    )


def open_segments(session: Session, subscriber: SubscriberId) -> tuple[str, ...] | None:
    """List the segments asked for that await a confirmation; None where nothing does."""
    return open_request(history(session, subscriber))


def explain(session: Session, subscriber_id: SubscriberId, *, now: datetime) -> Standing:
    """Say why somebody is mailed or not, with what it rests on. Raises SubscriberNotFound."""
    person = subscriber(session, subscriber_id)
    return standing.explain(
        person,
        following(session, subscriber_id),
        suppression(session, person.address_key),
        open_segments(session, subscriber_id),
        now,
    )
