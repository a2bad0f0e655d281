"""What the mail log of a local Postfix settles about uncertain letters.

Message-IDs are made from a key, so those of uncertain letters can be computed and looked for. A
letter that came into the queue was accepted. One that did not was never sent, if the log can be
trusted to know: it covers the whole time in which the letter can have left, without a gap, its
worker is dead or past its deadline, and letters of the same relay that are known to be accepted
are all in it. Whatever is not proven stays uncertain.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId
from mailer.delivery import doubts, resolving
from mailer.delivery.doubts import Doubt
from mailer.delivery.envelope import wire_path
from mailer.delivery.headers import message_id
from mailer.delivery.postfix_log import Log
from mailer.delivery.resolving import NothingToResend, Resolved
from mailer.kit.signing import Keyring

WITNESSES: Final = 500
"""Accepted letters that are looked for as well, to learn what the log can be trusted to know."""

_SLACK = timedelta(minutes=1)  # between the clocks of workers, database and mail server


@dataclass(frozen=True, slots=True)
class Naming:
    """How the Message-IDs of an installation are made."""

    key: bytes
    domain: bytes

    @classmethod
    def of(cls, keyring: Keyring, from_address: str) -> "Naming":
        """As `compose.Composer` makes them: the oldest key, so that rotation changes none."""
        return cls(keyring.keys[-1], wire_path(from_address).rpartition(b"@")[2])

    def name(self, campaign: int, subscriber: int) -> str:
        """The Message-ID of one letter, < and > included."""
        return message_id(self.key, campaign, subscriber, self.domain).decode("ascii")


@dataclass(frozen=True, slots=True)
class Queue:
    """What was in Postfix's queue at a moment."""

    ids: frozenset[str]
    at: datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """What is proven of one uncertain letter."""

    subscriber: int
    outcome: str  # accepted, resend, or "" for nothing
    evidence: str  # or why nothing is proven


@dataclass(frozen=True)
class Inquiry:
    """What is asked of a log: uncertain letters, and accepted ones as witnesses."""

    campaign: CampaignId
    doubts: Mapping[str, Doubt]  # by Message-ID
    witnesses: Mapping[str, tuple[str, datetime]]  # relay and moment of acceptance

    @cached_property
    def wanted(self) -> frozenset[str]:
        """Every Message-ID to be looked for."""
        return frozenset((*self.doubts, *self.witnesses))

    def findings(self, log: Log, queue: Queue | None, *, now: datetime) -> tuple[Finding, ...]:
        """What the log proves of each, by subscriber."""
        distrust = _Distrust(self, log)
        found = []
        for name, doubt in self.doubts.items():
            taken = _taken(name, log, queue)
            if taken:
                found.append(Finding(doubt.subscriber, "accepted", taken))
                continue
            why = _hindrance(name, doubt, log, queue, now) or distrust.of(doubt.relay)
            said = why or (
                f"absent from a mail log that is complete from {doubt.since.isoformat()} to "
                f"{doubt.until.isoformat()}"
            )
            found.append(Finding(doubt.subscriber, "" if why else "resend", said))
        return tuple(found)


def inquiry(
    session: Session, campaign: CampaignId, keyring: Keyring, *, lives: timedelta = doubts.LIVES
) -> Inquiry:
    """What to look for to settle the uncertain letters of a campaign. Raises CampaignNotFound."""
    naming = Naming.of(keyring, doubts.sender_of(session, campaign))
    asked = doubts.doubts(session, campaign, lives=lives)
    near = sorted({one.batch for one in asked if one.batch is not None})
    known = doubts.accepted(session, campaign, near, most=WITNESSES) if asked else ()
    return Inquiry(
        campaign,
        {naming.name(campaign, one.subscriber): one for one in asked},
        {naming.name(campaign, subscriber): (relay, at) for subscriber, relay, at in known},
    )


def settle(
    session: Session,
    campaign: CampaignId,
    findings: Sequence[Finding],
    *,
    actor: str,
    now: datetime,
) -> Resolved:
    """Enter what was proven; whoever was settled meanwhile is left alone. Again changes nothing.

    Of a cancelled campaign nothing is sent again: those letters stay uncertain.
    """
    taken = {one.subscriber: one.evidence for one in findings if one.outcome == "accepted"}
    total = resolving.learn(session, campaign, taken, "accepted", actor=actor, now=now)
    for evidence in sorted({one.evidence for one in findings if one.outcome == "resend"}):
        absent = [one.subscriber for one in findings if one.evidence == evidence]
        with suppress(NothingToResend):
            total = total.plus(
                resolving.resend(
                    session, campaign, absent, evidence=evidence, actor=actor, now=now, whole=True
                )
            )
    return total


def named(session: Session, message_id: str, keyring: Keyring) -> tuple[CampaignId, int] | None:
    """The uncertain letter that has this Message-ID: campaign and subscriber, or None.

    For events of a relay's provider that say no more. Looks through the uncertain letters of all
    campaigns, at most a thousand, the latest campaigns first.
    """
    wanted = f"<{message_id.strip().strip('<>')}>"
    namings: dict[CampaignId, Naming] = {}
    for campaign, subscriber in doubts.some(session):
        if campaign not in namings:
            namings[campaign] = Naming.of(keyring, doubts.sender_of(session, campaign))
        if namings[campaign].name(campaign, subscriber) == wanted:
            return campaign, subscriber
    return None


def _taken(name: str, log: Log, queue: Queue | None) -> str:
    seen = log.seen.get(name)
    if seen is None:
        return ""
    if seen.taken:
        return seen.evidence
    return f"Postfix queue {seen.queue}: there now" if queue and seen.queue in queue.ids else ""


def _hindrance(name: str, doubt: Doubt, log: Log, queue: Queue | None, now: datetime) -> str:
    """Why this letter's absence proves nothing, whatever the log is worth; "" where it may."""
    if doubt.waits:
        return "it is being sent again already"
    if now < doubt.until:
        return f"it may still leave, or be taken, until {doubt.until.isoformat()}"
    if why := log.covers(doubt.since - _SLACK, doubt.until):
        return why
    seen = log.seen.get(name)
    half = seen is not None and seen.queue != "" and not seen.rejected
    if seen is not None and half and (queue is None or queue.at < doubt.until):
        return f"it began to come in as {seen.queue}; give the output of `postqueue -j` too"
    return ""


class _Distrust:
    """Why the log's silence is not to be believed, by relay: what witnesses it lacks."""

    def __init__(self, inquiry: Inquiry, log: Log) -> None:
        self._there, self._lacking = Counter[str](), Counter[str]()
        for name, (relay, at) in inquiry.witnesses.items():
            seen = log.seen.get(name)
            if seen is not None and seen.taken:
                self._there[relay] += 1
            elif log.first and log.last and log.first + _SLACK < at < log.last - _SLACK:
                self._lacking[relay] += 1
        if not inquiry.witnesses:  # then the uncertain ones that came through speak for the log
            taken = [one for name, one in inquiry.doubts.items() if _taken(name, log, None)]
            self._there.update(one.relay for one in taken)

    def of(self, relay: str) -> str:
        """Why it is not to be believed about a letter to this relay; "" where it is.

        Of a letter whose relay is not known the log has to know all of them.
        """
        asked = {relay} if relay else {*self._there, *self._lacking}
        if lacking := sum(self._lacking[one] for one in asked):
            return f"the log lacks {lacking} letters that the relay accepted"
        if not asked or any(not self._there[one] for one in asked):
            return "the log knows no letter of this campaign; is it the relay's?"
        return ""
