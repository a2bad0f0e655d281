"""An event: one thing that came back from one recipient of one campaign."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailer.tracking.machines import Verdict


class Kind(StrEnum):
    """What came back."""

    OPEN = "open"
    CLICK = "click"
    UNSUBSCRIBE = "unsubscribe"


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it counts now."""

    id: int
    campaign: int
    subscriber: int
    kind: Kind
    at: datetime
    verdict: Verdict
    reason: str
    link: int = 0
    item: str = ""
    slot: str = ""
    target: str = ""  # which link it was, whatever its number in the reader's edition
    segments: tuple[str, ...] = ()  # keys an unsubscribe ended
    before: Verdict | None = None  # its class until this load judged it anew; None: it is new


@dataclass(frozen=True, slots=True)
class Recipient:
    """What tracking has to know of one recipient of one campaign."""

    edition: int
    accepted_at: datetime | None
    tracking: int  # bits they allow now
    domain: str  # of their address; "" for a large provider's


def link_key(item: str, slot: str, url: str) -> str:
    """One name for a link in all editions, which number their links each for itself."""
    return hashlib.sha256(f"{item}\n{slot}\n{url}".encode()).hexdigest()[:16]
