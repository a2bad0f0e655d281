"""A worker of this process: it takes over from the dead, works what is due, sweeps up.

The database says what there is to do; a knock only says when to look. One run at a time per
process: its connections keep a core busy, and whoever knocks meanwhile is served by that run.
"""

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import structlog

from mailer import __version__
from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import CampaignId
from mailer.delivery import (
    actions,
    batch,
    brakes,
    canary,
    journal,
    ledger,
    settling,
    testimony,
    workers,
)
from mailer.delivery.adoption import Reading
from mailer.delivery.breakers import Breakers
from mailer.delivery.closures import Closures
from mailer.delivery.compose import Composers
from mailer.delivery.hold import hold_file
from mailer.delivery.instance import is_foreign
from mailer.delivery.journal import Journal
from mailer.delivery.pacing import Pacer
from mailer.delivery.plan import Plan
from mailer.delivery.relay import Relay
from mailer.delivery.run import Run
from mailer.delivery.settling import Settled
from mailer.delivery.testimony import JournalUnreadable
from mailer.delivery.tools import Terms, Tools, Worked
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
        pacer: Pacer | None = None,
        guard: Callable[[datetime], str | None] | None = None,
        directory: Path | None = None,
        queues: tuple[str, ...] = (),
        terms: Terms | None = None,
    ) -> None:
        """Without a `pacer` there is one relay and no limit.

        `guard` says why nothing may be sent from here (`instance.Guard.check`); a file HOLD in the
        data `directory` does too. `queues` are those whose knocks this process hears.
        """
        self.worker = worker
        self._terms = terms or Terms()
        self._database, self._relay, self._journal = database, relay, kept
        self._pacer = pacer or Pacer(Plan.single("", 1), patience=self._terms.patience)
        self._closures = Closures(self._pacer)
        self._tools = Tools(
            database,
            relay,
            composers,
            worker,
            self._pacer,
            Breakers(self._pacer.plan.brakes),
            self._closures,
            queues,
            directory,
            self._terms,
        )
        self._guard = guard
        self._working = threading.Lock()
        self._starting = threading.Lock()
        self._registered = False
        self._stopping = threading.Event()
        self._run: Run | None = None
        self._owing: list[Run] = []  # runs whose last results could not be written yet
        self._last = 0  # campaign of the last run: another one comes first

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
                    queues=self._tools.queues,
                )
            self._look()
            self.adopt()
            self._registered = True

    def adopt(self) -> Settled:
        """Settle by their journals the batches of workers of this host that died."""
        total = Settled()
        if self._journal is None or self._is_elsewhere():
            return total
        directory, now = self._journal.path.parent, clock.now()
        for path in journal.orphans(directory):
            try:
                with journal.adopt(path) as told:
                    if told is None:
                        continue
                    reading = Reading(told, journal.boot(), self._terms.patience, now)
                    with self._database.transaction() as session:
                        found = settling.settle_by_journal(session, reading)
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
        if self._stopping.is_set() or not self._working.acquire(blocking=False):
            return Worked()
        try:
            self.register()
            self._settle_owing()
            if self._closures.held:
                self._look()
            if held := self._closures.held or self._hold_file():
                return Worked(held=held)
            self._probe(clock.now())
            return self._worked(Run(self._tools, prefer=campaign, avoid=self._last))
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
        self._look()
        self.adopt()
        now = clock.now()
        with self._database.transaction() as session:
            workers.alive(session, self.worker, self._tools.queues)
            settling.judge(session, after=self._terms.judged_after, now=now)
        with self._database.reading() as session:
            sending = campaigns.sending(session)
            stopped = batch.stopped(session)
        self._close((*sending, *stopped))
        if self._stopping.is_set() or self._closures.held:
            return ()
        self._judge_canaries(now)
        return self._due(probed_at=now)

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
                        workers.left(session, self.worker)
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
        if self._journal is not None and not self._owing:
            self._journal.renew()  # every result in it is in the books, and nothing is leased
        self._close(tuple(CampaignId(c) for c in worked.campaigns))
        going = not worked.held and not self._stopping.is_set()
        return replace(worked, more_due=going and bool(self._due()))

    def _due(self, *, probed_at: datetime | None = None) -> tuple[CampaignId, ...]:
        """Sending campaigns with people of lanes that some relay takes mail of now.

        With `probed_at` a brake that may be probed by then is no hindrance: whoever is asked to
        send, in this process or another, tries to win its probe (`work`).
        """
        closures = self._closures
        probed = () if probed_at is None else closures.seen.due(probed_at)
        with self._database.reading() as session:
            shut = closures.lanes(batch.lanes(session), probed) if closures.some else ()
            return batch.due(session, shut_lanes=shut)

    def _look(self) -> None:
        """See whether something holds everything: the guard, a brake, the file."""
        if self._guard is not None:
            self._closures.refusal = self._guard(clock.now()) or ""
        with self._database.reading() as session:
            seen = brakes.seen(session)
        self._closures.looked(seen, self._hold_file())

    def _is_elsewhere(self) -> bool:
        """Whether the journals here are another installation's: of other people, by number."""
        directory = self._tools.directory
        if directory is None or not self._closures.refusal:  # the guard would have refused
            return False
        with self._database.reading() as session:
            return is_foreign(session, directory)

    def _hold_file(self) -> str:
        directory = self._tools.directory
        return (hold_file(directory) or "") if directory else ""

    def _judge_canaries(self, now: datetime) -> None:
        with self._database.reading() as session:
            waiting = canary.waiting(session)
        for identity in waiting:
            with self._database.transaction() as session:
                canary.judge(session, identity, self._pacer.plan.brakes, now)

    def _probe(self, now: datetime) -> None:
        """See whether the brakes that are due for it are ours to probe: we are about to send."""
        with self._database.reading() as session:
            seen = brakes.seen(session)
        for brake in seen.due(now):
            with self._database.transaction() as session:
                won = brakes.probe(session, brake, now)
            if won:
                self._closures.probe(brake)

    def _settle_owing(self) -> None:
        for run in tuple(self._owing):
            run.settle()
            if run.broken_off and self._journal is not None:
                told = testimony.read(self._journal.path)
                reading = Reading(told, journal.boot(), self._terms.patience, clock.now())
                with self._database.transaction() as session:
                    settling.settle_by_journal(session, reading)
            self._owing.remove(run)

    def _close(self, identities: tuple[CampaignId, ...]) -> None:
        now = clock.now()
        for identity in identities:
            with self._database.transaction() as session:
                if not ledger.close(session, identity, now=now):
                    actions.skip_cancelled(session, identity, now=now)
