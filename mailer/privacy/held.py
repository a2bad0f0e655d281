"""Which tables say something about one person, how they are found there, and what erasing does.

The one list that the export of a person, the erasure and its test go by: a table that names people
and is not in it fails a test.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from subscribers.actions.erasure import GONE


class By(StrEnum):
    """How a person's rows are found."""

    ID = "id"  # the row is the person
    SUBSCRIBER = "subscriber_id"
    LETTERS = "campaign_id and subscriber_id"  # by the number, campaign by campaign: no other index
    ADDRESS = "address_key"  # the keyed hash of their address, or of one they had
    THROUGH = "through"  # by rows of another table that are theirs


class Fate(StrEnum):
    """What becomes of the rows when the person is erased."""

    GONE = "gone"
    EMPTIED = "emptied"  # the row stays, without what it says about them
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Through:
    """Rows found by another table's: their `column` is the `theirs` of such a row."""

    column: str
    table: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Held:
    """One table with data of people."""

    table: str
    what: str  # in words, for the person
    by: By
    fate: Fate
    why: str = ""  # it is kept
    through: Through | None = None
    emptied: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


_NOBODY: Final[Mapping[str, Any]] = MappingProxyType(
    {name: value for name, value in GONE.items() if name != "state"}  # that is a move of its own
)
_COUNTED = "it names nobody: a number, so that the counts of a campaign still add up"

HELD: Final = (
    Held(
        "subscriber",
        "who they are",
        By.ID,
        Fate.EMPTIED,
        "a number and a keyed hash, by which the address stays unmailed",
        emptied=_NOBODY,
    ),
    Held("former_address", "addresses they had, by keyed hash", By.SUBSCRIBER, Fate.GONE),
    Held("follow", "what they follow", By.SUBSCRIBER, Fate.GONE),
    Held(
        "consent",
        "what they agreed to and withdrew",
        By.SUBSCRIBER,
        Fate.KEPT,
        "proof that mail was asked for and when that ended (GDPR 7(1), 17(3)(e)); by number only",
    ),
    Held(
        "consent_network",
        "the network an act of consent came from",
        By.THROUGH,
        Fate.GONE,
        through=Through("consent_id", "consent", "id"),
    ),
    Held(
        "wording",
        "the words they agreed to",
        By.THROUGH,
        Fate.KEPT,
        "the words of a form or of an import, the same for everybody who agreed to them",
        through=Through("sha256", "consent", "wording"),
    ),
    Held(
        "suppression",
        "why their address is not mailed",
        By.ADDRESS,
        Fate.EMPTIED,
        "a keyed hash and a reason, so that no import or form has the address mailed again",
        emptied=MappingProxyType({"evidence": "", "lifted_reason": ""}),
    ),
    Held(
        "asking",
        "letters sent to the mailbox before its owner confirmed",
        By.THROUGH,
        Fate.KEPT,
        "a keyed hash and a count, so that nobody can have a mailbox flooded through the form",
        through=Through("budget_key", "notice", "budget_key"),
    ),
    Held("wish", "an address entered in the form a moment ago", By.ADDRESS, Fate.GONE),
    Held("notice", "letters about the subscription itself", By.SUBSCRIBER, Fate.GONE),
    Held("engagement", "what they opened and clicked, by issue", By.SUBSCRIBER, Fate.GONE),
    Held(
        "event_review",
        "what later visits taught about an earlier one",
        By.THROUGH,
        Fate.GONE,
        through=Through("event_id", "event", "id"),
    ),
    Held("recent_hit", "visits of the last minutes", By.SUBSCRIBER, Fate.GONE),
    Held("event", "what they opened, clicked and left", By.SUBSCRIBER, Fate.GONE),
    Held("imported", "which imports brought or changed them", By.SUBSCRIBER, Fate.GONE),
    Held("audience", "which campaigns were for them", By.LETTERS, Fate.KEPT, _COUNTED),
    Held(
        "delivery",
        "what became of their letters",
        By.LETTERS,
        Fate.EMPTIED,
        _COUNTED,
        emptied=MappingProxyType({"reply": ""}),
    ),
    Held(
        "attempt",
        "tries that were put off",
        By.LETTERS,
        Fate.EMPTIED,
        _COUNTED,
        emptied=MappingProxyType({"reply": ""}),
    ),
    Held(
        "resolution",
        "what was learnt of an uncertain letter",
        By.LETTERS,
        Fate.EMPTIED,
        _COUNTED,
        emptied=MappingProxyType({"evidence": ""}),
    ),
)
"""In an order in which rows may be deleted: what refers to a row goes before it."""
