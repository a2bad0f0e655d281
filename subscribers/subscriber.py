"""A subscriber: a person at one address, the states they can be in and the moves between them."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NewType

from mailer.kit.errors import Conflict, Invalid, NotFound
from subscribers.address import EmailAddress

SubscriberId = NewType("SubscriberId", int)
SegmentId = NewType("SegmentId", int)

MAX_NAME: Final = 100  # characters
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}", re.ASCII)
_DROPPED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # controls, bidi, surrogates, separators
_JOINERS = "\u200c\u200d"  # format characters that spelling needs in some scripts


class State(StrEnum):
    """Where a subscriber stands; only confirmed ones are mailed."""

    PENDING = "pending"  # asked to subscribe, has not confirmed it
    CONFIRMED = "confirmed"
    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"  # the address is dead
    COMPLAINED = "complained"  # called our mail spam
    SUPPRESSED = "suppressed"  # must not be mailed for another reason
    ERASED = "erased"  # personal data is gone, the keyed hash stays


OWN = frozenset({State.PENDING, State.CONFIRMED, State.UNSUBSCRIBED, State.ERASED})
"""What the person did, and what is stored; the other three come from a suppression on top."""

_STOPPED = frozenset({State.BOUNCED, State.COMPLAINED, State.SUPPRESSED})
_LIFTED = (OWN - {State.ERASED}) | _STOPPED  # back to what it was, or to a weightier suppression

MOVES: dict[State, frozenset[State]] = {
    State.PENDING: _STOPPED | {State.CONFIRMED, State.UNSUBSCRIBED, State.ERASED},
    State.CONFIRMED: _STOPPED | {State.UNSUBSCRIBED, State.ERASED},
    State.UNSUBSCRIBED: _STOPPED | {State.CONFIRMED, State.ERASED},
    State.BOUNCED: (_LIFTED - {State.BOUNCED}) | {State.ERASED},
    State.COMPLAINED: (_LIFTED - {State.COMPLAINED}) | {State.ERASED},
    State.SUPPRESSED: (_LIFTED - {State.SUPPRESSED}) | {State.ERASED},
    State.ERASED: frozenset({State.PENDING, State.SUPPRESSED}),  # came back by their own doing
}
"""From each state, where it may go. There is no way back to pending but from erased."""


class SubscriberNotFound(NotFound):
    """There is no such subscriber."""


class NotSubscribed(Conflict):
    """They have unsubscribed; only they themselves can subscribe again, and confirm it."""


class NothingToConfirm(Conflict):
    """Nothing has been asked for since they unsubscribed."""


class LanguageInvalid(Invalid):
    """A language is given as a tag like en, fr or zh-Hans (BCP 47)."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One subscriber as stored, with suppressions taken into account."""

    id: SubscriberId
    address: str  # empty once erased
    address_key: str
    domain: str
    name: str
    language: str  # BCP 47; empty where unknown
    timezone: str  # empty where unknown
    state: State
    tracking: int  # bits: 1 opens, 2 clicks
    created_at: datetime
    confirmed_at: datetime | None
    updated_at: datetime

    @property
    def is_mailable(self) -> bool:
        """Whether a campaign may write to them."""
        return self.state is State.CONFIRMED


@dataclass(frozen=True, slots=True)
class NewPerson:
    """Somebody to be stored, already agreed: from an import or for a demo."""

    address: EmailAddress
    name: str = ""  # as tidy_name leaves it
    segments: tuple[str, ...] = ()  # keys
    language: str = ""
    timezone: str = ""
    tracking: int = 3


@dataclass(frozen=True, slots=True)
class Known:
    """What an import has to know of somebody who is there already."""

    id: SubscriberId
    state: State  # their own: a suppression is asked for apart
    name: str
    language: str
    follows: frozenset[str]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many people there are, in all and by state."""

    total: int
    by_state: dict[State, int]  # every state, those without people too


def may_move(here: State, there: State) -> bool:
    """Whether a subscriber may go from one state to another; staying is no move."""
    return there in MOVES[here]


def tidy_name(text: str) -> str:
    """Make one line of a name: no controls, no text-direction tricks, at most 100 characters."""
    kept = (
        character
        if character in _JOINERS or unicodedata.category(character) not in _DROPPED
        # what separated two words still does
        else (" " if character.isspace() else "")
        for character in unicodedata.normalize("NFC", text)
    )
    return " ".join("".join(kept).split())[:MAX_NAME].rstrip()


def parse_language(text: str) -> str:
    """Read a language tag, `zh_CN` as well as `zh-CN`; empty stays empty.

    Raises LanguageInvalid for anything else.
    """
    tag = text.strip().replace("_", "-")
    if not tag:
        return ""
    if not _LANGUAGE.fullmatch(tag):
        raise LanguageInvalid
    primary, *others = tag.split("-")
    return "-".join([primary.lower(), *(_cased(other) for other in others)])


def _cased(subtag: str) -> str:
    """Write a subtag as BCP 47 recommends: Hans for a script, CN for a region."""
    return {2: subtag.upper(), 4: subtag.title()}.get(len(subtag), subtag.lower())
