"""A notice: one of our own letters about the service. Which one a wish calls for, and how often.

A wish is an address somebody entered in the form. Whose address it is nobody knows yet, so what
follows from it is bounded: a stranger's mailbox gets at most one letter a day and three in all,
however many forms are filled in, until its owner confirms.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from mailer.kit.errors import Conflict
from mailer.kit.signing import Keyring, Purpose
from subscribers.address import Canon, EmailAddress
from subscribers.subscriber import State, SubscriberId
from subscribers.suppression import LIFTED_BY_CONFIRMING, Suppression

NoticeId = NewType("NoticeId", int)

IN_A_TOKEN = 2**24
"""Notices a token can tell apart; it names the subscriber too, and nobody gets so many."""


class Kind(StrEnum):
    """What a notice is about."""

    CONFIRM = "confirm"  # press the button and it counts: all segments asked for at once
    ALREADY = "already"  # you get what was asked for; here is how to change it
    WELCOME = "welcome"  # it counts now


class Outcome(StrEnum):
    """How a notice ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    EXPIRED = "expired"  # deferred until it was of no use
    UNCERTAIN = "uncertain"  # offered as often as Resends allows, and nobody can know
    SKIPPED = "skipped"  # no longer called for when its turn came
    UNWRITABLE = "unwritable"  # a bug of ours: the log says where


class Taken(StrEnum):
    """What became of a wish."""

    NONE = "none"  # there was none
    NOTED = "noted"
    DROPPED = "dropped"  # a segment it names is gone


class Asked(StrEnum):
    """What became of asking somebody to confirm."""

    QUEUED = "queued"
    TOO_SOON = "too soon"  # one a day
    NO_MORE = "no more"  # three in all
    NOT_CALLED_FOR = "not called for"  # nothing to confirm, or their address is suppressed


class ConfirmationRefused(Conflict):
    """No confirmation is sent."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many letters an address gets that nobody has shown to be theirs."""

    apart: timedelta = timedelta(days=1)
    most: int = 3  # until its owner confirms


@dataclass(frozen=True, slots=True)
class Resends:
    """What becomes of a letter of which nobody can know whether it left: it is offered again.

    Always under its first Message-ID, which a mailbox that has the letter already mostly shows
    once. Somebody waits for these letters, and a second one does little harm; a campaign's letters
    are never sent again on their own.
    """

    most: int = 1  # times; 0 holds them
    after: timedelta = timedelta(minutes=5)  # silence


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody entered in the form."""

    address: EmailAddress
    segments: tuple[str, ...]  # keys
    wording: str  # the words they agreed to, as they were shown
    source: str  # which form
    at: datetime
    name: str = ""
    language: str = ""  # of the form
    tracking: int = 0  # bits they consented to: 1 opens, 2 clicks
    network: str = ""  # where it came from, as far as that is kept


@dataclass(frozen=True, slots=True)
class Leased:
    """A notice that this worker may send now."""

    id: NoticeId
    epoch: int  # of the lease; a worker of an older one may not write
    kind: Kind
    subscriber: SubscriberId
    address_key: str
    language: str
    attempt: int  # from 1
    first_tried: datetime
    doubts: int  # earlier tries that may have arrived


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the owner of an address is asked to confirm."""

    masked_address: str
    segments: tuple[str, ...]  # keys
    language: str


def budget_key(keyring: Keyring, address: EmailAddress) -> str:
    """The mailbox by its keyed hash, plus tags and Gmail's dots folded, whatever is a person's own.

    For counting only: two people may share it, and then share the bounds.
    """
    return Canon(keyring.keys[-1], dots=True, plus=True).key(address)


def confirm_token(keyring: Keyring, notice: NoticeId, subscriber: SubscriberId) -> str:
    """What the link in a confirmation carries."""
    return keyring.sign(Purpose.CONFIRM, notice % IN_A_TOKEN, subscriber)


def called_for(
    here: State,
    follows: Collection[str],
    asked: Collection[str],
    suppression: Suppression | None,
) -> Kind | None:
    """Which letter answers a wish of somebody who stands `here`; None for none.

    Nobody hears from us who complained, or whom somebody here decided not to write to; a bounce, an
    opt-out of old and an erasure their owner may end by confirming, and what only campaigns are
    held back by holds no notice back.
    """
    if suppression is not None:
        if suppression.reason in LIFTED_BY_CONFIRMING:
            return Kind.CONFIRM
        if suppression.stops_notices:
            return None
    if here is State.CONFIRMED and set(asked) <= set(follows):
        return Kind.ALREADY
    return Kind.CONFIRM
