"""A subscriber: a person at one address, the states they can be in and the moves between them."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NewType
from zoneinfo import ZoneInfo

from mailer.kit.errors import Conflict, Invalid, NotFound
from subscribers.address import EmailAddress
from subscribers.fields import FieldValue

SubscriberId = NewType("SubscriberId", int)
SegmentId = NewType("SegmentId", int)

MAX_NAME: Final = 100  # characters
_LONGEST_NUMBER: Final = 18  # digits: what a database takes for a number
TRACKING: Final = ("none", "opens", "clicks", "all")
"""What may be tracked of somebody, in a word, by its bits: 1 opens, 2 clicks."""

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}", re.ASCII)
_NO_NAME = re.compile(
    r"[@<>\[\]{}|\\^`~#$%*=_+&]"  # an address, markup of several kinds, merge fields
    r"|[:/]\s*/|\b(?:https?|www|mailto|tel)\b"  # a link
    r"|\S[.\u3002][^\W\d_]{2,}"  # word.word: mail programs make a link of it
    r"|\d{5,}",  # a telephone number
    re.IGNORECASE,
)
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
    # back by their own doing, or, where only an import was undone, by being imported again
    State.ERASED: frozenset({State.PENDING, State.CONFIRMED, State.SUPPRESSED}),
}
"""From each state, where it may go. There is no way back to pending but from erased.

A trigger in the database holds `subscriber.state` to the moves between the states of `OWN`.
"""


class SubscriberNotFound(NotFound):
    """There is no such subscriber."""


class NotSubscribed(Conflict):
    """They have unsubscribed; only they themselves can subscribe again, and confirm it."""


class NothingToConfirm(Conflict):
    """Nothing has been asked for since they unsubscribed."""


class LanguageInvalid(Invalid):
    """A language is given as a tag like en, fr or zh-Hans (BCP 47)."""


class TimezoneInvalid(Invalid):
    """A time zone is given by its name, like Europe/Paris or UTC (IANA)."""


class FrequencyInvalid(Invalid):
    """Letters come with every issue, fortnightly or monthly."""


class PauseInvalid(Invalid):
    """A pause ends on a day to come."""


class AddressTaken(Conflict):
    """Somebody else has this address, or had it and their data was erased."""


class Frequency(StrEnum):
    """How often somebody wants letters."""

    EVERY = ""  # every issue
    FORTNIGHTLY = "fortnightly"
    MONTHLY = "monthly"


APART: Final = {
    # a day less than two weeks, and than the shortest month: a weekly letter that goes out an hour
    # earlier than the last time is still the one they are waiting for
    Frequency.FORTNIGHTLY: timedelta(days=13),
    Frequency.MONTHLY: timedelta(days=27),
}
"""The least time between two issues for those who do not want every one."""


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
    fields: Mapping[str, FieldValue] = field(default_factory=dict)  # custom ones, by key
    source: str = ""  # how they came first
    frequency: Frequency = Frequency.EVERY
    paused_until: datetime | None = None
    mailed_at: datetime | None = None  # the last issue, kept where there is a frequency

    @property
    def is_mailable(self) -> bool:
        """Whether a campaign may write to them, but for a pause and a frequency."""
        return self.state is State.CONFIRMED

    def is_paused(self, now: datetime) -> bool:
        """Whether they asked for no letters until a day that has not come."""
        return self.paused_until is not None and self.paused_until > now


@dataclass(frozen=True, slots=True)
class NewPerson:
    """Somebody to be stored, already agreed: from an import or for a demo."""

    address: EmailAddress
    name: str = ""  # as tidy_name leaves it
    segments: tuple[str, ...] = ()  # keys
    language: str = ""
    timezone: str = ""
    tracking: int = 3
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    source: str = ""  # how they came, in a word or two


@dataclass(frozen=True, slots=True)
class Counts:
    """How many people there are, in all and by state."""

    total: int
    by_state: dict[State, int]  # every state, those without people too


def parse_number(who: str) -> SubscriberId | None:
    """Read a subscriber's number; None for what is no number.

    Raises SubscriberNotFound for one that is too long to be anybody's.
    """
    if not (who.isascii() and who.isdecimal()):
        return None
    if len(who) > _LONGEST_NUMBER:
        raise SubscriberNotFound
    return SubscriberId(int(who))


def tidy_name(text: str, *, most: int = MAX_NAME) -> str:
    """Make one line of a name: no controls, no text-direction tricks, at most 100 characters."""
    kept = (
        character
        if character in _JOINERS or unicodedata.category(character) not in _DROPPED
        # what separated two words still does
        else (" " if character.isspace() else "")
        for character in unicodedata.normalize("NFC", text)
    )
    return " ".join("".join(kept).split())[:most].rstrip()


def name_to_echo(name: str) -> str:
    """A name as fit for a letter that anybody can have sent to anybody: "" for one that is none.

    Whoever fills in a form chooses the name, and a stranger's mailbox gets it: what looks like a
    link, a domain, an address or markup is left out, whole.
    """
    plain = tidy_name(unicodedata.normalize("NFKC", name))  # full-width dots and slashes too
    return "" if _NO_NAME.search(plain) else tidy_name(name)


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


def parse_timezone(text: str) -> str:
    """Read a time zone's name; empty stays empty. Raises TimezoneInvalid."""
    zone = text.strip()
    if not zone:
        return ""
    try:
        return ZoneInfo(zone).key
    except (KeyError, ValueError, OSError):  # unknown, a path, a folder
        raise TimezoneInvalid from None


def parse_frequency(text: str) -> Frequency:
    """Read how often somebody wants letters; "every" is every issue. Raises FrequencyInvalid."""
    word = text.strip().lower()
    try:
        return Frequency("" if word == "every" else word)
    except ValueError:
        raise FrequencyInvalid from None


def _cased(subtag: str) -> str:
    """Write a subtag as BCP 47 recommends: Hans for a script, CN for a region."""
    return {2: subtag.upper(), 4: subtag.title()}.get(len(subtag), subtag.lower())
