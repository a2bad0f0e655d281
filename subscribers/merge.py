"""What an import does about one person: adds, updates, or leaves them, and why."""

from dataclasses import dataclass
from enum import StrEnum

from subscribers.subscriber import Known, NewPerson, State


class Policy(StrEnum):
    """What becomes of people who are there already."""

    UPDATE = "update"  # name and language where given, follows added; nothing is taken away
    SKIP = "skip"  # left as they are, silently
    INSERT = "insert"  # refused: the file was meant to hold new people only


class Outcome(StrEnum):
    """What became of one person."""

    ADDED = "added"
    UPDATED = "updated"
    UNCHANGED = "unchanged"  # there already, as the file says
    SKIPPED = "skipped"  # there already, and the policy is to skip
    EXISTS = "exists"  # there already, and the policy is to insert only
    SUPPRESSED = "suppressed"  # must not be mailed: not even stored
    UNSUBSCRIBED = "unsubscribed"  # has left: no file brings anybody back
    PENDING = "pending"  # has been asked to confirm: no file answers for them


@dataclass(frozen=True, slots=True)
class Merged:
    """What is to be written about somebody who is there already."""

    name: str | None = None  # None: as it is
    language: str | None = None
    follow: tuple[str, ...] = ()


def decide(person: NewPerson, known: Known | None, *, suppressed: bool, policy: Policy) -> Outcome:
    """Decide what an import does about one person."""
    if suppressed or (known and known.state is State.ERASED):
        return Outcome.SUPPRESSED
    if known is None:
        return Outcome.ADDED
    if known.state is not State.CONFIRMED:
        return Outcome.PENDING if known.state is State.PENDING else Outcome.UNSUBSCRIBED
    if policy is not Policy.UPDATE:
        return Outcome.SKIPPED if policy is Policy.SKIP else Outcome.EXISTS
    return Outcome.UNCHANGED if merge(person, known) == Merged() else Outcome.UPDATED


def merge(person: NewPerson, known: Known) -> Merged:
    """Compare what a file says of somebody with what is stored; what it leaves empty stays."""
    return Merged(
        person.name if person.name and person.name != known.name else None,
        person.language if person.language and person.language != known.language else None,
        tuple(key for key in person.segments if key not in known.follows),
    )
