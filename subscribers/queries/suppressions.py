"""Which addresses must not be mailed, and why."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers.models import SubscriberRow, SuppressionRow
from subscribers.segment_sql import among
from subscribers.subscriber import SubscriberId
from subscribers.suppression import Listed, Reason, Scope, Suppression

_stop = SuppressionRow


def suppressions(session: Session, address_key: str) -> tuple[Suppression, ...]:
    """List an address's suppressions, newest first, lifted ones too; only the first is active."""
    found = select(_stop).where(_stop.address_key == address_key).order_by(_stop.id.desc())
    return tuple(_value(row) for row in session.scalars(found))


def suppression(session: Session, address_key: str) -> Suppression | None:
    """Look up why an address must not be mailed; None where it may."""
    found = suppressions(session, address_key)
    return found[0] if found and found[0].lifted_at is None else None


def active_suppressions(
    session: Session, address_keys: Sequence[str]
) -> dict[str, tuple[Reason, Scope]]:
    """Say why and how far these addresses are held back, by key. At most some ten thousand."""
    found = select(_stop.address_key, _stop.reason, _stop.scope).where(
        among(session, _stop.address_key, address_keys), _stop.lifted_at.is_(None)
    )
    return {key: (Reason(why), Scope(scope)) for key, why, scope in session.execute(found)}


def all_suppressions(
    session: Session,
    *,
    reason: Reason | None = None,
    lifted: bool = False,
    after: int = 0,
    limit: int = 50,
) -> tuple[Listed, ...]:
    """List suppressions by number, from the one after `after`; lifted ones where asked for."""
    found = (
        select(_stop, SubscriberRow.id, SubscriberRow.address)
        .outerjoin(SubscriberRow, SubscriberRow.address_key == _stop.address_key)
        .where(_stop.id > after)
        .order_by(_stop.id)
        .limit(limit)
    )
    if reason is not None:
        found = found.where(_stop.reason == reason.value)
    if not lifted:
        found = found.where(_stop.lifted_at.is_(None))
    return tuple(
        Listed(row.id, _value(row), None if number is None else SubscriberId(number), address or "")
        for row, number, address in session.execute(found)
    )


def _value(row: SuppressionRow) -> Suppression:
    return Suppression(
        address_key=row.address_key,
        reason=Reason(row.reason),
        scope=Scope(row.scope),
        evidence=row.evidence,
        at=row.at,
        lifted_at=row.lifted_at,
        lifted_reason=row.lifted_reason,
    )
