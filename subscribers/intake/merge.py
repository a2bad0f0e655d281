"""What an import does about one person: adds, updates, or leaves them, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from subscribers.fields import FieldValue
from subscribers.subscriber import NewPerson, State, SubscriberId


class Policy(StrEnum):
    """What becomes of people who are there already."""

    UPDATE = "update"  # what the file has of them, and follows added; nothing is taken away
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
    MOVED = "moved"  # was the address of somebody who has another now


REASONS: Mapping[Outcome, str] = {
    Outcome.EXISTS: "is a subscriber already",
    Outcome.SUPPRESSED: "is suppressed and stays so",
    Outcome.UNSUBSCRIBED: "has unsubscribed; only they can subscribe again",
    Outcome.PENDING: "has been asked to confirm and has not yet",
    Outcome.MOVED: "is the former address of a subscriber who has another now",
}
"""Outcomes that leave a row out, and why."""


@dataclass(frozen=True, slots=True)
class Known:
    """What an import has to know of somebody who is there already."""

    id: SubscriberId
    state: State  # their own: a suppression is asked for apart
    name: str = ""
    language: str = ""
    timezone: str = ""
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    follows: frozenset[str] = frozenset()  # keys


@dataclass(frozen=True, slots=True)
class Merged:
    """What is to be written about somebody who is there already."""

    name: str | None = None  # None: as it is
    language: str | None = None
    timezone: str | None = None
    fields: Mapping[str, FieldValue] = field(default_factory=dict)  # those that change
    follow: tuple[str, ...] = ()  # keys not followed before

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it changes."""
        return tuple(n for n in ("name", "language", "timezone") if getattr(self, n) is not None)


def decide(
    person: NewPerson,
    known: Known | None,
    *,
    policy: Policy,
    suppressed: bool = False,
    moved: bool = False,
) -> Outcome:
    """Decide what an import does about one person.

    An erased person is suppressed as a rule. One who is not was erased by taking an import back,
    asked for nothing, and is added again.
    """
    if suppressed:
        return Outcome.SUPPRESSED
    if known is None:
        return Outcome.MOVED if moved else Outcome.ADDED
    if known.state is State.ERASED:
        return Outcome.ADDED
    if known.state is not State.CONFIRMED:
        return Outcome.PENDING if known.state is State.PENDING else Outcome.UNSUBSCRIBED
    if policy is not Policy.UPDATE:
        return Outcome.SKIPPED if policy is Policy.SKIP else Outcome.EXISTS
    return Outcome.UNCHANGED if merge(person, known) == Merged() else Outcome.UPDATED


def merge(person: NewPerson, known: Known) -> Merged:
    """Compare what a file says of somebody with what is stored; what it leaves empty stays."""

    def new(said: str, stored: str) -> str | None:
        return said if said and said != stored else None

    return Merged(
        name=new(person.name, known.name),
        language=new(person.language, known.language),
        timezone=new(person.timezone, known.timezone),
        fields={k: value for k, value in person.fields.items() if known.fields.get(k) != value},
        follow=tuple(k for k in dict.fromkeys(person.segments) if k not in known.follows),
    )


def changes(merged: Merged, known: Known) -> dict[str, object]:
    """What is changed about somebody, each with how it was and how it is now: enough to undo it."""
    columns = {name: [getattr(known, name), getattr(merged, name)] for name in merged.columns}
    fields = {key: [known.fields.get(key), value] for key, value in merged.fields.items()}
    return {**columns, "fields": fields, "follows": list(merged.follow)}
