"""Consent: what was agreed to or withdrawn, in which words, when, from where. Only ever added to.

GDPR article 7(1) asks the sender to prove it. The words are stored once, under their hash.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from mailer.kit.errors import Invalid

MAX_EVIDENCE: Final = 500  # characters
MAX_WORDING: Final = 5000  # characters


class Act(StrEnum):
    """What a person, or somebody for them, did."""

    SUBSCRIBED = "subscribed"  # asked; counts once confirmed
    CONFIRMED = "confirmed"
    IMPORTED = "imported"  # agreed elsewhere; the wording states the basis
    FOLLOWED = "followed"
    UNFOLLOWED = "unfollowed"
    UNSUBSCRIBED = "unsubscribed"  # no segments: from all
    TRACKING_CHANGED = "tracking-changed"
    ERASED = "erased"


class BasisMissing(Invalid):
    """Say on what ground these people may be mailed: where and to which words they agreed."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an act came from."""

    source: str  # the form, link, file or command
    actor: str = ""  # empty: the person; else who did it for them
    evidence: str = ""  # what shows it; no address: it outlives an erasure


@dataclass(frozen=True, slots=True)
class Consent:
    """One entry of a person's history."""

    act: Act
    segments: tuple[str, ...]
    wording: str
    wording_sha256: str  # empty where there were no words
    source: str  # the form, link, file or command it came by
    actor: str  # empty: the person; else who did it for them
    evidence: str
    at: datetime


def sha256(wording: str) -> str:
    """Hash the words agreed to: 64 hexadecimal digits, none for no words."""
    return hashlib.sha256(wording.encode()).hexdigest() if wording else ""


def open_request(history: Sequence[Consent]) -> tuple[str, ...] | None:
    """Find what was asked for and not yet confirmed: the segments, or None without a request.

    `history` is oldest first. A confirmation answers all requests before it, and unsubscribing
    from all withdraws them, so that an old link cannot bring anybody back.
    """
    asked: dict[str, None] = {}
    found = False
    for consent in history:
        if consent.act is Act.SUBSCRIBED:
            found = True
            asked.update(dict.fromkeys(consent.segments))
        elif _closes(consent):
            found = False
            asked.clear()
    return tuple(asked) if found else None


def _closes(consent: Consent) -> bool:
    if consent.act is Act.UNSUBSCRIBED:
        return not consent.segments
    return consent.act in {Act.CONFIRMED, Act.ERASED}
