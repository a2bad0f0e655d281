"""Letting addresses be mailed no more, and again."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from subscribers import queries, record
from subscribers.models import SuppressionRow
from subscribers.suppression import (
    LiftingReasonMissing,
    NotSuppressed,
    OnlyTheOwner,
    Reason,
    Scope,
    together,
)


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

    True where that is new, weightier or wider than what there was: then one with the weightier
    reason and the wider scope takes its place. Raises ValueError for a word that is no Reason.
    """
    wanted = (Reason(reason), scope)
    active = queries.suppression(session, address_key)
    if active is not None:
        both = together((active.reason, active.scope), wanted)
        if both is None:
            return False
        close(session, address_key, f"replaced: {wanted[0].value}, {wanted[1].value}", now)
        wanted = both
    return bool(_insert(session, [address_key], wanted, evidence, now))


def suppress_many(  # a suppression says why, since when and what shows it
    session: Session,
    address_keys: Sequence[str],
    reason: Reason,
    *,
    now: datetime,
    evidence: str = "",
    scope: Scope = Scope.ALL,
) -> int:
    """Do the same for some thousand addresses at once; how many are new, weightier or wider."""
    keys = list(dict.fromkeys(address_keys))
    there = queries.active_suppressions(session, keys)
    fresh = [key for key in keys if key not in there]
    made = _insert(session, fresh, (reason, scope), evidence, now)
    others = [key for key, active in there.items() if together(active, (reason, scope))]
    return made + sum(
        suppress(session, key, reason, now=now, evidence=evidence, scope=scope) for key in others
    )


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
    if not close(session, address_key, reason.strip(), now):
        raise NotSuppressed
    return active.reason


def close(session: Session, address_key: str, reason: str, now: datetime) -> bool:
    """End the active suppression of an address, whatever it is for; whether there was one."""
    statement = update(SuppressionRow).where(
        SuppressionRow.address_key == address_key, SuppressionRow.lifted_at.is_(None)
    )
    closed = statement.values(lifted_at=now, lifted_reason=reason).returning(SuppressionRow.id)
    return session.scalar(closed) is not None


def _insert(
    session: Session,
    address_keys: Sequence[str],
    wanted: tuple[Reason, Scope],
    evidence: str,
    now: datetime,
) -> int:
    """Insert active suppressions where there are none; how many."""
    rows = [{"address_key": key} for key in address_keys]
    same = {
        "reason": wanted[0].value,
        "scope": wanted[1].value,
        "evidence": evidence,
        "at": now,
        "lifted_reason": "",
    }
    return len(record.insert_new(session, SuppressionRow, rows, same, ("id",)))
