"""When to stop: sliding figures of what relays answer, and what trips at which of them.

Pure: no clock, no database, no network. The run tells what it hears, one thread at a time, and
puts into force what comes back. Each process counts what it sees itself: a share shows in every
part of a campaign. Nobody is failed for a trip; whoever was not sent to yet waits.

Three kinds of fault, by whom they are about: bounces blame the addresses of one campaign; blocks
and deferrals are one receiving provider's answer to us; transport and login are the relay's.
"""

import re
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mailer.delivery.relay import Reply, Trouble
from mailer.delivery.verdict import is_rate_limit
from subscribers.provider import OTHER

if TYPE_CHECKING:
    from mailer.delivery.plan import BrakePlan

SPAN = timedelta(minutes=15)
"""How old a result may be to count."""

WARNED_AT = 0.6
"""Share of the limit for bounces at which a warning is due: 3 % of 5 %."""

FEWEST = 10
"""Bounces, or deferrals, below which no share is a sign of anything: 1 of 3 is no alarm."""

COMPLAINTS_WARNED_AT = 0.8
"""The same for complaints: 0.08 % of 0.1 %."""

FEWEST_COMPLAINTS = 3
"""Complaints below which their share says nothing."""

BLOCKS = 5
"""Refusals of us in a row by one provider that close its lane."""

BLOCKS_OTHER = 20
"""The same for the lane of everybody else, where one receiver is not the next one."""

RELAY_REST = 60.0  # seconds until a relay is tried again
BLOCK_REST = 300.0  # until a provider is
RATE_REST = 600.0  # Gmail after x.7.28: no mail for ten minutes, then a single connection

_TOGETHER = timedelta(seconds=1)  # results of a kind that are remembered as one
_POLICY = re.compile(r"[45]\.7\.\d+")
_GREYLISTED = re.compile(r"(?i)gr[ea]y[ -]?list")
_SAYS = {
    "connect": "takes no connection",
    "tls": "offers no encryption we trust",
    "auth": "refuses our login",
    "closed": "breaks every connection off",
    "spoke": "refuses us",
}


@dataclass(frozen=True, slots=True)
class Trip:
    """What has to stop, or slow down, and why."""

    scope: str  # relay, lane, campaign or all
    name: str  # of the relay or the lane, number of the campaign; "" for all
    cause: str  # a word
    reason: str  # a sentence with the figures or the reply
    probe_after: float | None = None  # seconds until a little may go, to see; None: a person says
    slow: bool = False  # go on, now or after the rest, with one connection, and grow from there
    stops: bool = True  # False: nothing stops, it slows down or is only a warning


@dataclass(slots=True)
class _Window:
    """The last results: at most so many, none older than SPAN."""

    most: int
    all: int = 0
    bad: int = 0
    warned: bool = False
    parts: deque[tuple[datetime, int, bool]] = field(default_factory=deque)  # at, results, bad?

    def add(self, now: datetime, count: int, *, bad: bool) -> None:
        self.all += count
        self.bad += count if bad else 0
        last = self.parts[-1] if self.parts else None
        if last is not None and last[2] is bad and now - last[0] < _TOGETHER:
            self.parts[-1] = (last[0], last[1] + count, bad)
        else:
            self.parts.append((now, count, bad))
        while self.parts and (self.all > self.most or now - self.parts[0][0] > SPAN):
            at, old, was_bad = self.parts.popleft()
            gone = old if now - at > SPAN else min(old, self.all - self.most)
            self.all -= gone
            self.bad -= gone if was_bad else 0
            if gone < old:
                self.parts.appendleft((at, old - gone, was_bad))

    def exceeds(self, share: float) -> bool:
        return self.bad >= FEWEST and self.bad > share * self.all

    def clear(self) -> None:
        self.parts.clear()
        self.all = self.bad = 0
        self.warned = False


class Breakers:
    """What one process has heard lately. One thread at a time."""

    def __init__(self, plan: "BrakePlan") -> None:
        self._plan = plan
        self._campaigns: dict[int, _Window] = {}
        self._epochs: dict[int, int] = {}
        self._lanes: dict[tuple[str, str], _Window] = {}
        self._blocked: dict[tuple[str, str], int] = {}  # refusals of us in a row
        self._troubled: dict[str, int] = {}  # troubles of a relay in a row

    def began(self, campaign: int, stop_epoch: int) -> None:
        """Note under which stop epoch a campaign is sent; after a new one it starts from nothing.

        Who resumed it has seen why it had stopped.
        """
        if self._epochs.get(campaign, stop_epoch) != stop_epoch and campaign in self._campaigns:
            self._campaigns[campaign].clear()
        self._epochs[campaign] = stop_epoch

    def accepted(
        self, campaign: int, relay: str, lane: str, count: int, now: datetime
    ) -> tuple[Trip, ...]:
        """So many letters were accepted: what is in a row is broken. Trips nothing."""
        place = (relay, lane)
        self._window(campaign).add(now, count, bad=False)
        self._lane(place).add(now, count, bad=False)
        self._blocked.pop(place, None)
        self._troubled.pop(relay, None)
        return ()

    def reply(  # what was said, and of whom
        self,
        campaign: int,
        relay: str,
        lane: str,
        reply: Reply,
        cause: str | None,
        now: datetime,
    ) -> tuple[Trip, ...]:
        """A letter was put off or refused; `cause` is a refusal's (verdict.Cause), else None.

        A 2yz reply counts as accepted.
        """
        if reply.code < 400:  # RFC 5321 4.2.1: 4yz and 5yz are the negative ones
            return self.accepted(campaign, relay, lane, 1, now)
        if reply.text.startswith("local:"):  # we refused it ourselves
            return self._bounces(campaign, cause, now) if reply.code >= 500 else ()
        if reply.stage == "mail":  # nobody was named yet: it is about us
            at_once = reply.code in {530, 534, 535, 538}  # RFC 4954: log in first, or otherwise
            return self._trouble(relay, "auth" if at_once else "spoke", said(reply), at_once)
        self._troubled.pop(relay, None)
        trips = self._block((relay, lane), reply, cause)
        trips += self._deferrals((relay, lane), reply, now)
        return trips + (self._bounces(campaign, cause, now) if reply.code >= 500 else ())

    def trouble(self, relay: str, trouble: Trouble) -> tuple[Trip, ...]:
        """A way of the relay takes no mail: the login trips at once, the rest when in a row."""
        if trouble.cause == "stopped":  # by us
            return ()
        at_once = trouble.everyone or trouble.cause == "auth"
        return self._trouble(relay, trouble.cause, trouble.text, at_once)

    def _trouble(self, relay: str, cause: str, text: str, at_once: bool) -> tuple[Trip, ...]:  # noqa: FBT001
        row = self._troubled.get(relay, 0) + 1
        if not at_once and row < self._plan.transport:
            self._troubled[relay] = row
            return ()
        self._troubled.pop(relay, None)
        name = f"The relay {relay}" if relay else "The relay"
        often = "" if at_once else f" ({row} times in a row)"
        reason = f"{name} {_SAYS.get(cause, 'takes no mail')}{often}: {text}"
        return (Trip("relay", relay, cause, reason, probe_after=RELAY_REST),)

    def _block(self, place: tuple[str, str], reply: Reply, cause: str | None) -> tuple[Trip, ...]:
        lane = place[1]
        if is_rate_limit(reply):
            self._blocked.pop(place, None)
            reason = f"{lane} says we send too fast: {said(reply)}"
            return (Trip("lane", lane, "rate", reason, probe_after=RATE_REST, slow=True),)
        if not blames_us(reply, cause):
            self._blocked.pop(place, None)
            return ()
        row = self._blocked.get(place, 0) + 1
        if row < (BLOCKS_OTHER if lane == OTHER else BLOCKS):
            self._blocked[place] = row
            return ()
        self._blocked.pop(place, None)
        reason = f"{lane} refuses us, {row} times in a row: {said(reply)}"
        return (Trip("lane", lane, "blocked", reason, probe_after=BLOCK_REST, slow=True),)

    def _deferrals(self, place: tuple[str, str], reply: Reply, now: datetime) -> tuple[Trip, ...]:
        window, limit = self._lane(place), self._plan.deferrals
        window.add(now, 1, bad=reply.code < 500)
        if not window.exceeds(limit):
            return ()
        lane = place[1]
        reason = (
            f"{lane} puts off {window.bad:,} of {window.all:,} letters "
            f"({percent(window.bad, window.all)}; the limit is {percent(limit)}): {said(reply)}"
        )
        window.clear()
        return (Trip("lane", lane, "deferrals", reason, slow=True, stops=False),)

    def _bounces(self, campaign: int, cause: str | None, now: datetime) -> tuple[Trip, ...]:
        window, limit = self._window(campaign), self._plan.bounces
        window.add(now, 1, bad=cause == "address")
        stops = window.exceeds(limit)
        if not stops and (window.warned or not window.exceeds(WARNED_AT * limit)):
            return ()
        reason = (
            f"{window.bad:,} of the last {window.all:,} letters went to addresses that do not "
            f"exist ({percent(window.bad, window.all)}; it pauses above {percent(limit)})"
        )
        if stops:
            window.clear()
        window.warned = not stops
        return (Trip("campaign", str(campaign), "bounces", reason, stops=stops),)

    def _window(self, campaign: int) -> _Window:
        found = self._campaigns.get(campaign)
        if found is None:
            found = self._campaigns[campaign] = _Window(self._plan.window)
        return found

    def _lane(self, place: tuple[str, str]) -> _Window:
        found = self._lanes.get(place)
        if found is None:
            found = self._lanes[place] = _Window(self._plan.window)
        return found


def complaint(campaign: int, complaints: int, delivered: int, plan: "BrakePlan") -> Trip | None:
    """What so many complaints among the delivered letters of a campaign call for, if anything."""
    share = complaints / delivered if delivered else 0.0
    if complaints < FEWEST_COMPLAINTS or share < COMPLAINTS_WARNED_AT * plan.complaints:
        return None
    reason = (
        f"{complaints:,} of {delivered:,} readers called it spam "
        f"({percent(complaints, delivered)}; it pauses at {percent(plan.complaints)})"
    )
    stops = share >= plan.complaints
    return Trip("campaign", str(campaign), "complaints", reason, stops=stops)


def blames_us(reply: Reply, cause: str | None) -> bool:
    """Whether a reply refuses us by policy, as sender or for our reputation, for now or for good.

    Greylisting (450 4.7.1 and the like at a first contact) only asks to come again.
    """
    if reply.code < 400 or _GREYLISTED.search(reply.text):
        return False
    return cause == "policy" or _POLICY.fullmatch(reply.enhanced) is not None


def said(reply: Reply) -> str:
    """A reply in one line."""
    return " ".join(f"{reply.code} {reply.enhanced} {reply.text}".split())


def percent(part: float, whole: float = 1.0) -> str:
    """A share with as many decimals as it needs: 5.2 %, 0.1 %, 30 %."""
    return f"{100 * part / whole if whole else 0:.3g} %"
