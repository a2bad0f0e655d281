"""Suppressions: addresses that must not be mailed, whatever an import, a form or a program says.

Known by a keyed hash, so that one outlives the erasure of the person. An address has at most one
active suppression; a weightier reason replaces a lighter one.

A suppressed address may be entered in the subscribe form like any other, and the answer is the
same. Its owner then confirms from a mail they received, which proves the address alive and the wish
theirs: that lifts a suppression for a bounce, for an opt-out of old and for an erasure. It does not
lift a complaint or an operator's decision: those a person lifts, with a reason.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailer.kit.errors import Conflict, Invalid
from subscribers.subscriber import State, SubscriberId


class Reason(StrEnum):
    """Why an address must not be mailed, the lightest first."""

    BOUNCED = "bounced"  # the mailbox or its domain does not exist
    ASKED = "asked"  # asked elsewhere not to be mailed: an opt-out list brought along
    ERASED = "erased"  # asked for their data to be removed
    COMPLAINED = "complained"  # called our mail spam
    OPERATOR = "operator"  # somebody here decided: a trap, a threat, a lawyer


class Scope(StrEnum):
    """What is held back."""

    CAMPAIGNS = "campaigns"  # newsletters; a notice about their own doing still reaches them
    ALL = "all"  # every campaign, and every notice but the confirmation its owner asks for


LIFTED_BY_CONFIRMING = frozenset({Reason.BOUNCED, Reason.ASKED, Reason.ERASED})
"""Reasons that end when the address's owner confirms a new subscription."""

OF_THE_PERSON = frozenset({Reason.ASKED, Reason.COMPLAINED, Reason.OPERATOR})
"""Reasons that go along to another address; a bounce stays with the address that is dead."""


class NotSuppressed(Conflict):
    """The address is not suppressed."""


class OnlyTheOwner(Conflict):
    """They had their data erased; only they themselves can come back, by subscribing."""


class LiftingReasonMissing(Invalid):
    """Say why the suppression is lifted."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """One suppression as stored."""

    address_key: str
    reason: Reason
    scope: Scope
    evidence: str
    at: datetime
    lifted_at: datetime | None
    lifted_reason: str

    @property
    def stops_notices(self) -> bool:
        """Whether our own letters about the service are held back too."""
        return self.lifted_at is None and self.scope is Scope.ALL


@dataclass(frozen=True, slots=True)
class Listed:
    """A suppression in a list, with whom it stops."""

    id: int
    suppression: Suppression
    subscriber: SubscriberId | None  # who has the address now; None where nobody does
    address: str  # "" where it is known by its hash only


def together(old: tuple[Reason, Scope], new: tuple[Reason, Scope]) -> tuple[Reason, Scope] | None:
    """What two suppressions of one address come to: the weightier reason, the wider scope.

    None where the new one adds nothing to the old.
    """
    reasons, scopes = list(Reason), list(Scope)
    both = max(old[0], new[0], key=reasons.index), max(old[1], new[1], key=scopes.index)
    return None if both == old else both


def standing(own: State, reason: Reason | None) -> State:
    """Put a suppression on top of what the person did themselves."""
    if own is State.ERASED or reason is None:
        return own
    return {Reason.BOUNCED: State.BOUNCED, Reason.COMPLAINED: State.COMPLAINED}.get(
        reason, State.SUPPRESSED
    )
