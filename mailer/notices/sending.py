"""A worker's share of the notices: it takes wishes, sends what is due, and writes down the endings.

Through a relay of its own, without a journal: campaigns' journals speak of campaigns only, and a
notice that nobody can know about is offered again, which the journal is there to prevent elsewhere
(see `notice.Resends`). Under HOLD no letter leaves; wishes are taken all the same.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import structlog
from sqlalchemy.orm import Session

from mailer.delivery import brakes
from mailer.delivery.deadline import boot_clock
from mailer.delivery.relay import Message, Relay, Trouble, Unsent
from mailer.delivery.verdict import Patience
from mailer.kit import clock
from mailer.kit.database import Database
from mailer.notices import actions, queries
from mailer.notices.letters import Letters
from mailer.notices.notice import Bounds, Leased, NoticeId, Outcome, Resends, Taken
from subscribers.address import Canon

_log = structlog.get_logger()


def _waits() -> Patience:
    minutes = (2, 5, 15, 30, 60)  # greylisting asks for some minutes; somebody is waiting
    return Patience(
        waits=tuple(timedelta(minutes=each) for each in minutes), limit=timedelta(hours=20)
    )


@dataclass(frozen=True, slots=True)
class Terms:
    """How notices are sent."""

    patience: Patience = field(default_factory=_waits)  # less than the day between two letters
    bounds: Bounds = field(default_factory=Bounds)
    resends: Resends = field(default_factory=Resends)
    at_once: int = 50  # letters a lease
    dots: float = 300  # seconds of a lease in which a letter may still be ended
    lease: float = 1200  # seconds: `dots`, then ten minutes for the last reply (RFC 5321), then air
    relay_rest: float = 30  # seconds to wait after the relay was down


class Sender:
    """Takes and sends. Any thread may call `work`, as often as it likes; one works at a time."""

    def __init__(
        self,
        database: Database,
        relay: Callable[[], Relay],
        letters: Letters,
        *,
        key: bytes | Canon,
        directory: Path,
        terms: Terms | None = None,
    ) -> None:
        """`relay` is called when the first letter is due; `key` hashes addresses.

        `directory` is the data directory, where a HOLD file stops this host's letters.
        """
        self._database, self._make_relay, self._letters = database, relay, letters
        self._key, self._terms = key, terms or Terms()
        self._directory = directory
        self._relay: Relay | None = None
        self._working = threading.Lock()
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._rest_until = 0.0

    def work(self) -> int:
        """Take every wish and send every notice that is due; how many letters were accepted.

        Raises Unavailable where the database does not answer; the next call goes on.
        """
        accepted = 0
        self._wanted.set()
        while self._wanted.is_set() and self._working.acquire(blocking=False):
            try:
                self._wanted.clear()  # whoever calls from here on is served by another round
                self._take()
                while not self._resting() and (sent := self._send()) is not None:
                    accepted += sent
            finally:
                self._working.release()
            if self._stopping.is_set():
                break
        return accepted

    def stop(self) -> None:
        """Begin no further letter; those on the wire come to their end. From any thread."""
        self._stopping.set()
        relay = self._relay
        if relay is not None:
            relay.stop()

    def close(self) -> None:
        """Stop, wait for the letters on the wire, close the connections. Call it once."""
        self.stop()
        with self._working:
            if self._relay is not None:
                self._relay.close()

    def _take(self) -> None:
        while not self._stopping.is_set():
            with self._database.transaction() as session:
                taken = actions.take(
                    session, key=self._key, now=clock.now(), bounds=self._terms.bounds
                )
            if taken is Taken.NONE:
                return
            if taken is Taken.DROPPED:
                _log.warning("a sign-up was dropped: a segment it asked for is gone")

    def _send(self) -> int | None:
        """Lease some notices and send them; how many were accepted, None where none was due."""
        terms = self._terms
        with self._database.transaction() as session:
            if self._held(session):
                return None
            batch = actions.lease(
                session,
                now=clock.now(),
                seconds=terms.lease,
                limit=terms.at_once,
                resends=terms.resends,
            )
        if not batch:
            return None
        open_ = {leased.id: leased for leased in batch}
        until = boot_clock() + terms.dots  # a machine that sleeps loses its lease too
        try:
            return self._offer(open_, lambda: boot_clock() < until)
        finally:
            self._give_back(open_)

    def _held(self, session: Session) -> bool:
        why = brakes.held(session, self._directory)
        if why is not None:
            _log.warning("notices wait: sending is on hold", why=why)
        return why is not None

    def _rest(self, trouble: Trouble) -> None:
        """The relay took nothing: look again in a while."""
        if not self._resting():
            _log.warning("the relay takes no notice", why=trouble.text)
        self._rest_until = time.monotonic() + self._terms.relay_rest

    def _offer(self, open_: dict[NoticeId, Leased], in_time: Callable[[], bool]) -> int:
        accepted = 0
        if self._relay is None:
            self._relay = self._make_relay()
        for message, ending in self._relay.send(self._messages(open_), in_time=in_time):
            leased = open_[NoticeId(message.batch)]
            if isinstance(ending, Unsent):
                self._rest(ending.trouble)
                continue  # given back with the others that were not handed over
            with self._database.transaction() as session:
                outcome = actions.settle(
                    session,
                    leased,
                    ending,
                    now=clock.now(),
                    patience=self._terms.patience,
                    resends=self._terms.resends,
                )
            del open_[leased.id]
            accepted += outcome is Outcome.ACCEPTED
        return accepted

    def _messages(self, open_: dict[NoticeId, Leased]) -> Iterator[Message]:
        """The letters, each looked at once more before it is written. In the relay's thread."""
        for leased in tuple(open_.values()):
            if self._stopping.is_set():
                return
            now = clock.now()
            with self._database.reading() as session:
                if self._held(session):  # put on since they were leased
                    return
                addressed = queries.addressed(session, leased)
            if addressed is None:
                with self._database.transaction() as session:
                    actions.skip(session, leased, now=now)
                continue
            try:
                message = self._letters.write(leased, addressed, now=now)
            except Exception:  # noqa: BLE001  # a bug in one letter must not hold the others up
                _log.exception("bug while writing a notice", notice=leased.id)
                with self._database.transaction() as session:
                    actions.give_up(session, leased, now=now)
                continue
            yield message

    def _give_back(self, open_: dict[NoticeId, Leased]) -> None:
        """Letters that were not handed over; those skipped are settled and stay so."""
        again = clock.now() + timedelta(seconds=self._terms.relay_rest)
        for leased in open_.values():
            with self._database.transaction() as session:
                actions.release(session, leased, not_before=again)

    def _resting(self) -> bool:
        return self._stopping.is_set() or time.monotonic() < self._rest_until
