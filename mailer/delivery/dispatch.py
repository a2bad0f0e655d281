"""A worker of this process: it takes over from the dead, works what is due, sweeps up.

The database says what there is to do; a knock only says when to look. One run at a time per
process: its connections keep a core busy, and whoever knocks meanwhile is served by that run.
"""

import os
import socket
import threading
import time
from dataclasses import replace

import structlog

from mailer import __version__
from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import CampaignId
from mailer.delivery import actions, batch, journal, ledger
from mailer.delivery.actions import Settled
from mailer.delivery.adoption import Reading
from mailer.delivery.compose import Composers
from mailer.delivery.journal import Journal, JournalUnreadable
from mailer.delivery.relay import Relay
from mailer.delivery.run import Run, Terms, Tools, Worked
from mailer.kit import clock
from mailer.kit.database import Database

_log = structlog.get_logger()


class Dispatcher:
    """The worker. Any thread may call `work` and `sweep`, as often as it likes.

    `worker` names this process among all that ever were, and is the name of its journal. Without
    a journal (a scripted relay) there is no witness, and whatever a crash leaves is judged by time.
    """

    def __init__(
        self,
        database: Database,
        relay: Relay,
        kept: Journal | None,
        *,
        composers: Composers,
        worker: str,
        relay_name: str = "",
        terms: Terms | None = None,
    ) -> None:
        self.worker = worker
        self._terms = terms or Terms()
        self._database, self._relay, self._journal = database, relay, kept
        self._tools = Tools(database, relay, composers, worker, relay_name, self._terms)
        self._working = threading.Lock()
        self._starting = threading.Lock()
        self._registered = False
        self._stopping = threading.Event()
        self._run: Run | None = None
        self._owing: list[Run] = []  # runs whose last results could not be written yet
        self._last = 0  # campaign of the last run: another one comes first
        self._rest_until = 0.0  # the relay was down

    def register(self) -> None:
        """Note this worker, and settle what the dead of this host left behind. Once is enough."""
        with self._starting:
            if self._registered:
                return
            path = self._journal.path.name if self._journal else ""
            with self._database.transaction() as session:
                actions.register(
                    session,
                    self.worker,
                    host=socket.gethostname(),
                    boot_id=journal.boot(),
                    pid=os.getpid(),
                    journal=path,
                    version=__version__,
                )
            self.adopt()
            self._registered = True

    def adopt(self) -> Settled:
        """Settle by their journals the batches of workers of this host that died."""
        total = Settled()
        if self._journal is None:
            return total
        directory, now = self._journal.path.parent, clock.now()
        for path in journal.orphans(directory):
            try:
                with journal.adopt(path) as told:
                    if told is None:
                        continue
                    reading = Reading(told, journal.boot(), self._terms.patience, now)
                    with self._database.transaction() as session:
                        found = actions.settle_by_journal(
                            session, reading, relay=self._tools.relay_name
                        )
            except (JournalUnreadable, OSError) as unreadable:
                _log.error("a journal cannot be read", why=str(unreadable))  # time will judge
                continue
            _log.info("adopted a journal", worker=told.worker, uncertain=found.uncertain)
            total = total.plus(found)
        journal.forget(directory, now=now)
        return total

    def work(self, campaign: CampaignId | None = None) -> Worked:
        """Work what is due for a while, beginning with this campaign; campaigns take turns.

        Raises Unavailable where the database does not answer; nothing is lost then, and the next
        call goes on.
        """
        if self._resting() or not self._working.acquire(blocking=False):
            return Worked()
        try:
            self.register()
            self._settle_owing()
            worked = self._worked(Run(self._tools, prefer=campaign, avoid=self._last))
            if worked.relay_down:
                self._rest_until = time.monotonic() + self._terms.relay_rest
            return worked
        finally:
            self._working.release()

    def sweep(self) -> tuple[CampaignId, ...]:
        """Settle what was left behind, close what is done; campaigns with people to send to now."""
        self.register()
        if self._working.acquire(blocking=False):
            try:
                self._settle_owing()
            finally:
                self._working.release()
        self.adopt()
        now = clock.now()
        with self._database.transaction() as session:
            actions.heartbeat(session, self.worker)
            actions.judge(session, after=self._terms.judged_after, now=now)
        with self._database.reading() as session:
            sending = campaigns.sending(session)
            stopped = batch.stopped(session)
        self._close((*sending, *stopped))
        if self._resting():
            return ()
        with self._database.reading() as session:
            return batch.due(session)

    def stop(self) -> None:
        """Start nothing more, ever; what is on the wire comes to its end. From any thread."""
        self._stopping.set()
        run = self._run
        if run is not None:
            run.halt()

    def close(self) -> None:
        """Stop, wait for the run to end, put the journal away. Call it once.

        Where results could not be written the journal stays, to be adopted.
        """
        self.stop()
        with self._working:
            try:
                self._settle_owing()
                if self._registered:
                    with self._database.transaction() as session:
                        actions.heartbeat(session, self.worker, stopped=True)
            finally:
                self._relay.close()
                if self._journal is not None:
                    if self._owing:
                        self._journal.close()
                    else:
                        self._journal.retire()

    def _worked(self, run: Run) -> Worked:
        self._run = run
        self._owing.append(run)
        try:
            if self._stopping.is_set():
                return Worked()
            worked = run.work()
        finally:
            self._run = None
            self._last = next(reversed(run.touched), self._last)
        self._owing.remove(run)
        self._close(tuple(CampaignId(c) for c in worked.campaigns))
        with self._database.reading() as session:
            more = not worked.relay_down and not self._stopping.is_set() and batch.due(session)
        return replace(worked, more_due=bool(more))

    def _settle_owing(self) -> None:
        for run in tuple(self._owing):
            run.settle()
            if run.broken_off and self._journal is not None:
                told = journal.read(self._journal.path)
                reading = Reading(told, journal.boot(), self._terms.patience, clock.now())
                with self._database.transaction() as session:
                    actions.settle_by_journal(session, reading, relay=self._tools.relay_name)
            self._owing.remove(run)

    def _close(self, identities: tuple[CampaignId, ...]) -> None:
        now = clock.now()
        for identity in identities:
            with self._database.transaction() as session:
                if not ledger.close(session, identity, now=now):
                    actions.skip_cancelled(session, identity, now=now)

    def _resting(self) -> bool:
        return self._stopping.is_set() or time.monotonic() < self._rest_until
