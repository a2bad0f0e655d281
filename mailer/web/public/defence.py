"""What a sign-up has to pass before anybody is mailed for it. The same on every public way in.

Two kinds of refusal. What depends on who asks is said: too many from this network, a form from
this morning. What depends on the address, or marks a program, is not: it looks like success, so
that nobody learns from the answer whose address is known here, nor which trap they fell into.

No name, address or network is stored or logged here; budgets know keyed hashes.
"""

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Address, ip_network
from typing import Final

import structlog

from mailer.kit.signing import Keyring, Purpose
from mailer.web.peer import Address, parsed
from mailer.web.public.budgets import Budget, Budgets
from subscribers.provider import OTHER, provider_of

YOUNGEST: Final = timedelta(seconds=2)
"""Nobody reads, chooses and types in less; programs do."""

OLDEST: Final = timedelta(hours=4)
"""How long a form may lie open. Shorter bounds what has to be remembered of used ones."""

_HOUR, _DAY = 3600, 86_400
_FORM = Budget("form", 1, int(OLDEST.total_seconds()) + 60)
_MAILBOX = Budget("mailbox", 5, _DAY)  # a slip or two; letters are bounded apart, in the database
_DOMAIN = Budget("domain", 60, _HOUR)  # of a company or school: a mail server is a victim too
_EVERYBODY = Budget("everybody", 2000, _HOUR)  # the breaker
_NETWORKS: Final = {  # version: prefix length, budget; the widest first, so that few keys are made
    4: ((24, Budget("24", 40, _HOUR)), (32, Budget("32", 10, _HOUR))),
    6: ((48, Budget("48", 40, _HOUR)), (64, Budget("64", 10, _HOUR))),  # a /64 is one household
}
_TOO_OLD = "too old"
_LONGEST_WORK = 32  # characters of a solution
_log = structlog.get_logger()


class Judgement(StrEnum):
    """What becomes of a sign-up."""

    PASSED = "passed"
    IGNORED = "ignored"  # nothing is stored, and the answer is that of one that passed
    STALE = "stale"  # fill in again: the form is too old
    BUSY = "busy"  # too many from this network, or in all; come back later


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-up, as far as it is judged."""

    peer: str  # address it came from
    token: str  # of the form
    trap: str  # what stands in the field nobody sees
    work: str  # solution of the puzzle, where one is set
    mailbox: str  # notice.budget_key of the address
    domain: str  # A-labels


class Gate:
    """Judges sign-ups. Thread-safe."""

    def __init__(self, keyring: Keyring, budgets: Budgets, *, bits: int = 0) -> None:
        """`bits` of proof of work, 0 for none."""
        self.bits = bits
        self.counts: Counter[str] = Counter()  # why sign-ups were not taken, since the start
        self._keyring, self._budgets = keyring, budgets

    def form(self, now: datetime, *, instead_of: str = "") -> str:
        """A token for one form; in place of one that came back with a slip it is as old as that."""
        issued = self._issued(instead_of)
        if issued is None or now - issued > OLDEST:
            issued = now
        seconds = int(issued.timestamp())
        return self._keyring.sign(Purpose.FORM, secrets.randbelow(2**24), seconds)

    def judge(self, attempt: Attempt, now: datetime) -> Judgement:
        """Let one sign-up in, or not; counts it."""
        judgement, why = self._judged(attempt, now)
        if why:
            self.counts[why] += 1
            _log.debug("a sign-up was not taken", why=why)
        return judgement

    def _judged(self, attempt: Attempt, now: datetime) -> tuple[Judgement, str]:
        for budget, network in _networks(attempt.peer):
            if not self._budgets.take(budget, network):
                self._hint(attempt.peer)
                return Judgement.BUSY, "network"
        if why := self._fault(attempt, now):
            return Judgement.STALE if why == _TOO_OLD else Judgement.IGNORED, why
        for budget, value in _about(attempt):
            if not self._budgets.take(budget, value):
                return Judgement.IGNORED, budget.name
        if not self._budgets.take(_EVERYBODY, ""):
            _log.error("sign-ups rest: too many in an hour", most=_EVERYBODY.amount)
            return Judgement.BUSY, _EVERYBODY.name
        return Judgement.PASSED, ""

    def _fault(self, attempt: Attempt, now: datetime) -> str:
        """What is wrong with the form, in a word; "" for nothing."""
        issued = self._issued(attempt.token)
        if attempt.trap:
            return "trap"
        if issued is None:
            return "no form"
        if now - issued < YOUNGEST:
            return "too quick"
        if now - issued > OLDEST:
            return _TOO_OLD
        return "" if solves(attempt.token, attempt.work, self.bits) else "no work"

    def _issued(self, token: str) -> datetime | None:
        bearer = self._keyring.verify(Purpose.FORM, token)
        if bearer is None:
            return None
        # like `now`, whatever clock that is; the token is ours, so the number is sound
        return datetime.fromtimestamp(bearer.subscriber, tz=UTC)

    def _hint(self, peer: str) -> None:
        address = parsed(peer)
        if address is None or not address.is_global:
            _log.warning(
                "sign-ups come from one private address and are held back as one person's; "
                "name your proxy in DIBAO_TRUSTED_PROXIES"
            )


def solves(token: str, work: str, bits: int) -> bool:
    """Whether SHA-256 of `token.work` begins with so many zero bits. 0 bits need no work."""
    if not bits:
        return True
    if len(work) > _LONGEST_WORK or not work.isascii():
        return False
    digest = hashlib.sha256(f"{token}.{work}".encode()).digest()
    return int.from_bytes(digest, "big") >> (256 - bits) == 0


def _about(attempt: Attempt) -> Iterator[tuple[Budget, str]]:
    yield _FORM, attempt.token
    yield _MAILBOX, attempt.mailbox
    if provider_of(attempt.domain) == OTHER:  # a provider's is everybody's
        yield _DOMAIN, attempt.domain


def _networks(peer: str) -> Iterator[tuple[Budget, str]]:
    address = parsed(peer)
    if address is None:  # unheard of: all of these share one budget
        yield _NETWORKS[4][-1][1], ""
        return
    for length, budget in _NETWORKS[address.version]:
        yield budget, _network(address, length)


def _network(address: Address, length: int) -> str:
    size = 32 if isinstance(address, IPv4Address) else 128
    return str(address) if length == size else str(ip_network((address, length), strict=False))
