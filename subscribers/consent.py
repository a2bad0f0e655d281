"""Consent: what was agreed to or withdrawn, in which words, when, from where. Only ever added to.

GDPR article 7(1) asks the sender to prove it. The words are stored once, under their hash.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Literal

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
    FREQUENCY_CHANGED = "frequency-changed"
    PAUSED = "paused"
    RESUMED = "resumed"
    ADDRESS_CHANGED = "address-changed"
    UNDONE = "undone"  # the import that brought or changed them was taken back
    ERASED = "erased"


class BasisMissing(Invalid):
    """Say on what ground these people may be mailed: where and to which words they agreed."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an act came from."""

    source: str  # the form, link, file or command
    actor: str = ""  # empty: the person; else who did it for them
    evidence: str = ""  # what shows it; no address: it outlives an erasure
    network: str = ""  # as `network` leaves it: kept apart, and not for long


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
    network: str = ""  # where it came from, while that is kept


def sha256(wording: str) -> str:
    """Hash the words agreed to: 64 hexadecimal digits, none for no words."""
    return hashlib.sha256(wording.encode()).hexdigest() if wording else ""


def network(peer: str, kept: Literal["none", "truncated", "full"]) -> str:
    """What is kept of the address a request came from: nothing, its network, or all of it.

    The network is a /24 of IPv4 or a /48 of IPv6: a neighbourhood, not a household. "" for what is
    no address.
    """
    try:
        address = ip_address(peer.strip().partition("%")[0])  # a zone is the server's own business
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if kept == "truncated":
        return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))
    return str(address) if kept == "full" else ""


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
    return consent.act in {Act.CONFIRMED, Act.ERASED, Act.UNDONE}
