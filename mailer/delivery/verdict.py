"""What an ending means for a recipient: accepted, deferred, refused, expired or uncertain.

Pure: no clock, no database, no network. `actions.settle` takes endings from the relay, asks here
and stores the answer. Reply codes are RFC 5321's, judged by their first digit; enhanced codes are
RFC 3463's and count only where their class is the code's.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mailer.delivery.relay import Ending, Reply, Silence


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

    Raises ValueError for a code that ends nothing (1xx, 3xx): the engine has a bug.
    """
    if isinstance(ending, Silence):
        return Uncertain()
    match ending.code // 100:
        case 2:
            return Accepted()
        case 4:
            not_before = now + patience.wait(attempt)
            in_time = not_before <= first_tried + patience.limit
            return Deferred(not_before) if in_time else Expired()
        case 5:
            return Refused(_cause(ending))
    raise ValueError(f"not a final SMTP reply: {ending.code}")


def _cause(reply: Reply) -> Cause:
    if reply.stage == "mail":  # no recipient was named yet
        return Cause.POLICY
    match reply.enhanced.split("."):
        case ["5", "1", "1" | "2" | "3" | "6" | "10"]:  # 5.1.0 and 5.1.4 name no dead address
            return Cause.ADDRESS
        case ["5", "2", "1" | "2"]:
            return Cause.MAILBOX
        case ["5", "7", _] | ["5", "1", "7" | "8"]:  # 5.1.7 and 5.1.8 fault the sender's address
            return Cause.POLICY
    return Cause.UNSTATED
