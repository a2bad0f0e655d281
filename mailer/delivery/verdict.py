"""What an ending means for a recipient: accepted, deferred, refused, expired or uncertain.

Pure: no clock, no database, no network. `actions.settle` takes endings from the relay, asks here
and stores the answer. Reply codes are RFC 5321's, judged by their first digit; enhanced codes are
RFC 3463's and count only where their class is the code's. Words may shorten a wait or clear a
recipient, never condemn one.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from mailer.delivery.relay import Ending, Reply, Silence, Unsent


class Cause(StrEnum):
    """Why a message was refused, and so whom the refusal speaks about."""

    ADDRESS = "address"  # no such mailbox or domain: the recipient, for good
    MAILBOX = "mailbox"  # full or disabled: the recipient, perhaps for now
    POLICY = "policy"  # refused as sender or content: us
    UNSTATED = "unstated"  # no enhanced code, or none that blames anyone


@dataclass(frozen=True, slots=True)
class Accepted:
    """The relay took responsibility; nobody has read anything yet."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now; try again, not before the time given."""

    not_before: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """Not now and not later."""

    cause: Cause

    @property
    def suppresses(self) -> bool:
        """Whether the address must not be mailed again. A guess never suppresses anyone."""
        return self.cause is Cause.ADDRESS


@dataclass(frozen=True, slots=True)
class Expired:
    """Deferred until our patience ran out."""


@dataclass(frozen=True, slots=True)
class Uncertain:
    """Sent or not, nobody can know. Listed by name, never sent again on its own."""


Verdict = Accepted | Deferred | Refused | Expired | Uncertain


Blame = Literal["recipient", "sender", "relay"]
"""Whom a refusal speaks about: the mailbox; our letter, address or name; the relay or our login."""

_GREYLIST = timedelta(minutes=6)  # a stranger is let in after 5 minutes, hardly ever after 10
_SOONEST, _LATEST = timedelta(minutes=1), timedelta(hours=4)  # bounds of a wait a server asks for
_OBEYED = 3  # tries on which a server may hurry us; later ones wait as long as we would have
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}
_HINT = re.compile(
    r"\b(?:try|retry|again|wait|back|later|after)\b[^.;!?]{0,40}?"
    r"\b(\d{1,5}) ?(s|m|h)(?:ec(?:ond)?s?|in(?:ute)?s?|(?:ou)?rs?)?\b"
)
_GREY = re.compile(r"gr[ea]y-?list")
_RATE = re.compile(r"unusual rate of|receiving mail too quickly|rate.?limit|too many (?:mess|mail)")
_NO_RELAYING = re.compile(r"relay(?:ing)? (?:access )?(?:denied|not (?:permitted|allowed))")
_TOO_LONG, _MAIL_TOO_LONG = ("3", "4"), 552  # RFC 3463; RFC 1870, where MAIL says the size
_BAD_LOGIN, _BAD_SENDER = ("7", "8"), (("1", "7"), ("1", "8"))  # RFC 4954, RFC 3463
_LOGIN = frozenset((530, 534, 535, 538))  # RFC 4954 section 6, RFC 3207 section 4
_NOT_THE_ADDRESS = re.compile(
    r"quota|mailbox (?:is )?full|spam|block(?:ed|ing|list)|black.?list|\brbl\b|dnsbl|reputation"
    r"|recipient preferences"
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on trying. RFC 5321 4.5.4.1 asks for 30 minutes apart, 4 to 5 days in all."""

    waits: tuple[timedelta, ...] = tuple(timedelta(minutes=m) for m in (30, 60, 120, 240))
    limit: timedelta = timedelta(days=4)  # since the first attempt

    def wait(self, attempt: int) -> timedelta:
        """Time from this attempt, counted from 1, to the next; the last wait repeats."""
        return self.waits[min(attempt, len(self.waits)) - 1]


def verdict(
    ending: Ending, *, attempt: int, first_tried: datetime, now: datetime, patience: Patience
) -> Verdict:
    """Decide what becomes of a recipient after the `attempt`-th try, counted from 1.

    Raises ValueError for a code that ends nothing (1xx, 3xx), and for what was not handed over at
    all, which is no verdict about anyone: the caller has a bug.
    """
    if isinstance(ending, Unsent):
        raise ValueError("nothing was asked, so nothing was decided")  # noqa: TRY004
    if isinstance(ending, Silence):
        return Uncertain()
    digit = ending.code // 100
    if digit == 2:  # RFC 5321: 2yz
        return Accepted()
    if digit not in {4, 5}:
        raise ValueError(f"not a final SMTP reply: {ending.code}")
    if digit == 5 and blames(ending) != "relay":  # RFC 5321: 5yz
        return Refused(_cause(ending))
    not_before = now + _wait(ending, attempt, patience)
    return Deferred(not_before) if not_before <= first_tried + patience.limit else Expired()


def blames(reply: Reply) -> Blame:
    """Whom a 4yz or 5yz speaks about; a recipient is failed for nobody else's fault.

    The relay: it wants another login (RFC 4954), does not relay for us, or takes no MAIL from us,
    which is so for every recipient. Such a refusal is a deferral: the relay is to be stopped, and
    everybody waits until somebody has looked. The sender: our name, address or letter.
    """
    words = reply.text.casefold()
    if words.startswith("local:"):  # we refused an address or a letter ourselves
        return "sender" if _detail(reply) == _TOO_LONG else "recipient"
    subject, _ = code = _detail(reply)
    no_relaying = reply.stage != "dot" and _NO_RELAYING.search(words)
    if reply.code in _LOGIN or code == _BAD_LOGIN or no_relaying:
        return "relay"
    if code == _TOO_LONG or subject == "6":  # of a kind it cannot take
        return "sender"
    if reply.stage == "mail":  # nobody was named yet
        return "sender" if reply.code == _MAIL_TOO_LONG else "relay"
    return "sender" if subject == "7" or code in _BAD_SENDER else "recipient"


def is_rate_limit(reply: Reply) -> bool:
    """Whether a provider asks us, by Gmail's code x.7.28, to be silent for a while."""
    return reply.code // 100 in {4, 5} and _detail(reply) == ("7", "28")


def _wait(reply: Reply, attempt: int, patience: Patience) -> timedelta:
    """Time to the next try: ours, unless the server asks for another or greets a stranger."""
    own = patience.wait(attempt)
    words = reply.text.casefold()
    asked = _HINT.search(words)
    if asked is not None:
        hint = timedelta(**{_UNITS[asked[2]]: int(asked[1])})
        hint = min(max(hint, _SOONEST), _LATEST)
        return hint if attempt <= _OBEYED else max(hint, own)
    if attempt == 1 and reply.code in {450, 451} and _is_greylisting(reply, words):
        return min(own, _GREYLIST)
    return own


def _is_greylisting(reply: Reply, words: str) -> bool:
    if _GREY.search(words):
        return True
    subject, detail = _detail(reply)  # 4.7.28 and the like are words of a provider about our rate
    return subject == "7" and len(detail) == 1 and not _RATE.search(words)


def _detail(reply: Reply) -> tuple[str, str]:
    """Subject and detail of the enhanced code; of one that is of another class, none."""
    parts = reply.enhanced.split(".")
    if len(parts) != 3 or parts[0] != str(reply.code // 100):  # RFC 3463
        return "", ""
    return parts[1], parts[2]


def _cause(reply: Reply) -> Cause:
    if reply.stage == "mail" and not reply.text.startswith("local:"):  # no recipient was named yet
        return Cause.POLICY
    match _detail(reply):
        case ("1", "1" | "2" | "3" | "6" | "10"):  # 5.1.0 and 5.1.4 name no dead address
            told = _NOT_THE_ADDRESS.search(reply.text.casefold())
            return Cause.UNSTATED if told else Cause.ADDRESS
        case ("2", "1" | "2"):
            return Cause.MAILBOX
        case ("7", _) | ("1", "7" | "8"):  # 5.1.7 and 5.1.8 fault the sender's address
            return Cause.POLICY
    return Cause.UNSTATED
