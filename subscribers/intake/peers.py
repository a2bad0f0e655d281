"""Exports of other senders: known by their headings, and what they say of who may be mailed.

Headings as the peers' exports have them: Mailchimp's audience export, listmonk's subscriber export,
Substack's subscriber list (the old form and today's), beehiiv's subscriber export, Ghost's members.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from subscribers.suppression import Reason


@dataclass(frozen=True, slots=True)
class Peer:
    """One export: the headings it has, and what its columns are to us."""

    name: str
    has: frozenset[str]  # headings, as `folded` leaves them, that it always has
    columns: Mapping[str, str]  # heading -> target (see columns.TARGETS); others are not read


PEERS: Final = (
    Peer(
        "Mailchimp",
        frozenset({"member rating", "optin time", "leid", "euid"}),
        {
            "email address": "email",
            "first name": "first_name",
            "last name": "last_name",
            "confirm time": "agreed",
            "optin time": "agreed",
            "timezone": "timezone?",
            "unsub time": "unsubscribed",
            "clean time": "cleaned",
            "status": "status",
            "email marketing status": "status",
        },
    ),
    Peer(
        "listmonk",
        frozenset({"uuid", "email", "name", "attributes", "status"}),
        {
            "email": "email",
            "name": "name",
            "attributes": "attributes",
            "status": "status",
            "created at": "agreed",
        },
    ),
    Peer(
        "Substack",
        frozenset({"email", "active subscription", "email disabled"}),
        {
            "email": "email",
            "name": "name",
            "email disabled": "unsubscribed",
            "created at": "agreed",
        },
    ),
    Peer(
        "Substack",
        frozenset({"email", "name", "stripe plan", "start date"}),
        {
            "email": "email",
            "name": "name",
            "email disabled": "unsubscribed",
            "unsubscribed at": "unsubscribed",
            "start date": "agreed",
        },
    ),
    Peer(
        "beehiiv",
        frozenset({"email", "status", "subscription tier"}),
        {
            "email": "email",
            "name": "name",
            "first name": "first_name",
            "last name": "last_name",
            "status": "status",
            "created at": "agreed",
            "subscribed at": "agreed",
        },
    ),
    Peer(
        "beehiiv",
        frozenset({"email", "status", "utm source", "utm medium"}),
        {
            "email": "email",
            "name": "name",
            "first name": "first_name",
            "last name": "last_name",
            "status": "status",
            "created at": "agreed",
            "created": "agreed",
            "subscribed at": "agreed",
        },
    ),
    Peer(
        "Ghost",
        frozenset({"id", "email", "subscribed to emails", "complimentary plan"}),
        {
            "email": "email",
            "name": "name",
            "subscribed to emails": "subscribed",
            "deleted at": "deleted",
            "created at": "agreed",
        },
    ),
)
"""The more telling come first."""

OPTED_OUT: Final[Mapping[str, Reason]] = {
    **dict.fromkeys(
        (
            *("unsubscribed", "unsubscribe", "opted out", "opted-out", "opt-out", "optout"),
            *("blocklisted", "blacklisted", "blocked", "suppressed", "inactive", "removed"),
            *("退订", "已退订", "取消订阅"),
        ),
        Reason.ASKED,
    ),
    **dict.fromkeys(
        ("cleaned", "bounced", "hard bounced", "bounce", "invalid", "undeliverable", "退信"),
        Reason.BOUNCED,
    ),
    **dict.fromkeys(
        ("complained", "complaint", "spam", "spam complaint", "abuse", "投诉"), Reason.COMPLAINED
    ),
}
"""What a status says of somebody who must not be mailed, in lower case."""

NEVER_AGREED: Final[Collection[str]] = frozenset(
    {
        *("pending", "unconfirmed", "validating", "non-subscribed", "nonsubscribed"),
        *("not subscribed", "transactional", "disabled", "archived", "deleted", "needs attention"),
        *("needs_attention", "未确认", "待确认"),
    }
)
"""What a status says of somebody who may not be mailed, without having asked so."""

_FILES: Final = (("unsubscribed", "unsubscribed"), ("cleaned", "cleaned"), ("nonsub", "pending"))


def folded(heading: str) -> str:
    """A heading as it is compared: no matter how it is spaced, underlined or cased."""
    return " ".join(heading.casefold().replace("_", " ").split())


def recognise(headings: Collection[str]) -> Peer | None:
    """Find whose export has these headings; None for nobody's."""
    there = {folded(heading) for heading in headings}
    return next((peer for peer in PEERS if peer.has <= there), None)


def status_of_file(peer: Peer | None, file_name: str) -> str:
    """What the name of a file says of everybody in it: Mailchimp exports one per status."""
    if peer is None or peer.name != "Mailchimp":
        return ""
    name = file_name.casefold()
    return next((status for word, status in _FILES if name.startswith(word)), "")
