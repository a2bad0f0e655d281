"""What people did with an issue: opened it, clicked in it, and for which segments. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from subscribers.subscriber import SubscriberId

EVERYTHING = 0
"""In the place of a segment: the act as such, whatever it was about."""


class Act(IntEnum):
    """What somebody did with an issue; the bit of the consent that it rests on."""

    OPENED = 1
    CLICKED = 2


@dataclass(frozen=True, slots=True, order=True)
class Deed:
    """One act of one person with one issue, whenever it was."""

    issue: int
    act: Act
    segment: int  # of the item that was clicked, or EVERYTHING
    subscriber: SubscriberId


@dataclass(frozen=True, slots=True)
class Fact:
    """A deed, and the first time of it."""

    deed: Deed
    at: datetime


def withdrawn(before: int, after: int) -> tuple[Act, ...]:
    """The acts that tracking bits allowed and no longer allow."""
    return tuple(act for act in Act if before & act and not after & act)
