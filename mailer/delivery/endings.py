"""What endings say beside an acceptance, and of whom: the recipient, the campaign, or a relay.

Pure but for what it tells the breakers, which count, and the closures, which act at once. Nobody
is failed for a fault that is not theirs: whoever a stopped relay or lane refuses is put off.
"""

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import structlog

from mailer.delivery import breakers
from mailer.delivery.breakers import Trip
from mailer.delivery.held import Held, Rest
from mailer.delivery.ledger import Entry, News, Result, entry
from mailer.delivery.relay import Ending, Message, Reply, Silence, Trouble, Unsent
from mailer.delivery.tools import Tools

_PUT_OFF = 450  # RFC 5321: not now
_log = structlog.get_logger()

_Course = tuple[int, str, str]  # campaign, relay, lane


class Endings:
    """The endings of one run. One thread at a time."""

    def __init__(self, tools: Tools) -> None:
        self.alarm = threading.Event()  # something has to stop, or may go again
        self.failed: dict[str, str] = {}  # relays that take nothing more in this run: why
        self._tools = tools
        self._told: set[str] = set()  # ways whose trouble is known
        self._accepted: Counter[_Course] = Counter()  # what the breakers have not heard of yet
        self._is_dropping = False

    def other(self, held: Held, message: Message, ending: Ending, at: datetime) -> None:
        """Enter an ending that is no acceptance."""
        self._tell(at)  # or a share would be taken of too few, and a row would not be broken
        if isinstance(ending, Unsent):
            held.leave(message.chunk, message.subscriber, at)
            if ending.trouble.cause != "stopped":
                held.rest = held.rest or Rest(ending.trouble.text)
                self._trouble(held, message, ending.trouble)
        else:
            held.settle(message.chunk, self._judged(held, message, ending, at))

    def taken(self, held: Held, chunk: int) -> None:
        """A letter was accepted: the breakers hear of it before they hear of a refusal."""
        self._accepted[held.lease.campaign, held.sent_by[chunk], held.lease.lane] += 1

    def accepted(self, news: Iterable[News], at: datetime) -> None:
        """What was accepted is in the books: whatever stood in its way proved wrong."""
        self._tell(at)
        for told in news:
            for relay in {told.sent_by[row[11]] for row in told.rows}:
                if self._tools.closures.went(relay, told.lease.lane):
                    self.alarm.set()

    def _tell(self, at: datetime) -> None:
        for (campaign, relay, lane), count in self._accepted.items():
            self._tools.breakers.accepted(campaign, relay, lane, count, at)
        self._accepted.clear()

    def _judged(self, held: Held, message: Message, ending: Reply | Silence, at: datetime) -> Entry:
        found = self._entry(held, message, ending, at)
        if not isinstance(ending, Reply):
            return found
        lease, relay = held.lease, held.sent_by[message.chunk]
        cause = found.reason if isinstance(found, Result) and found.outcome == "refused" else None
        of_us = breakers.blames_us(ending, cause)
        self._trip(
            self._tools.breakers.reply(lease.campaign, relay, lease.lane, ending, cause, at)
            + (self._failed_probes(relay, lease.lane, breakers.said(ending)) if of_us else ())
        )
        if cause is None or not of_us or not self._tools.closures.why(0, relay, lease.lane):
            return found
        soft = replace(ending, code=_PUT_OFF, enhanced="")
        put_off = self._entry(held, message, soft, at)
        return replace(put_off, code=ending.code, enhanced=ending.enhanced)

    def _entry(self, held: Held, message: Message, ending: Reply | Silence, at: datetime) -> Entry:
        return entry(
            ending,
            subscriber=message.subscriber,
            chunk=message.chunk,
            attempt=held.lease.attempt,
            first_tried=held.first_tried.get(message.subscriber),
            at=at,
            patience=held.patience,
        )

    def _trouble(self, held: Held, message: Message, trouble: Trouble) -> None:
        """A way takes no mail: said once of each."""
        if message.way in self._told:
            return
        self._told.add(message.way)
        relay, tools = held.sent_by[message.chunk], self._tools
        _log.warning("the relay takes no mail", relay=relay, why=trouble.text)
        self.failed[relay] = trouble.text
        tools.closures.wait(relay, "", tools.terms.relay_rest, trouble.text)
        self._trip(
            tools.breakers.trouble(relay, trouble)
            or self._failed_probes(relay, held.lease.lane, trouble.text)
        )

    def _failed_probes(self, relay: str, lane: str, said: str) -> tuple[Trip, ...]:
        """The brakes this process was probing: they rest again, for longer."""
        return tuple(
            Trip(
                brake.scope,
                brake.name,
                brake.cause,
                f"tried again: {said}",
                probe_after=breakers.RELAY_REST if brake.scope == "relay" else breakers.BLOCK_REST,
                slow=brake.scope == "lane",
            )
            for brake in self._tools.closures.probes(relay, lane)
        )

    def _trip(self, trips: Iterable[Trip]) -> None:
        for trip in trips:
            if trip.slow:
                self._slow(trip)
            if trip.stops:
                self._tools.closures.trip(trip)
                self.alarm.set()
                self._drop_campaigns()
            else:
                _log.warning("a breaker", scope=trip.scope, name=trip.name, why=trip.reason)

    def _drop_campaigns(self) -> None:
        """Take back at once what a campaign that stops has waiting; the watch sees to the rest."""
        if not self._is_dropping:
            self._is_dropping = True
            closures = self._tools.closures
            self._tools.relay.drop(lambda message: message.campaign in closures.campaigns())

    def _slow(self, trip: Trip) -> None:
        for way in self._tools.pacer.set_apart(trip.name):  # or others would crawl with it
            self._tools.relay.slow_start(way)
