"""The composition root: the one place where settings become live objects."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from mailer import equipment, jobs
from mailer.campaigns import actions as campaigns
from mailer.campaigns.campaign import CampaignId
from mailer.content.issue import Numbering, Publication
from mailer.delivery import actions as delivery
from mailer.delivery import brakes, workers
from mailer.delivery.dispatch import Dispatcher
from mailer.equipment import Equipped
from mailer.inbox.server import Inbox
from mailer.kit import broker, clock, log, settings
from mailer.kit.database import Database, is_current, upgrade
from mailer.kit.drainage import Drainage
from mailer.kit.errors import DibaoError, Misconfigured, Unavailable
from mailer.kit.settings import Settings
from mailer.kit.signing import Keyring
from mailer.kit.turns import Turns
from mailer.notices.sending import Sender
from mailer.privacy import erasing
from mailer.privacy.erasing import House
from mailer.tracking.spool import Spool
from subscribers import actions as subscribers
from subscribers import queries as subscriber_queries
from subscribers.address import Canon

COUNT = 2.0
"""Seconds between two looks into the spool: how old the numbers of a report may be."""

_log = structlog.get_logger()


@dataclass
class App:
    """One process of one installation."""

    settings: Settings
    database: Database
    keyring: Keyring
    publication: Publication
    spool: Spool
    inbox: Inbox | None = None  # where the built-in one runs in this process
    _worker: broker.EmbeddedWorker | None = None
    _turns: list[Turns] = field(default_factory=list)
    _dispatcher: Dispatcher | None = None
    _notices: Sender | None = None
    _stopping: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        """Nothing runs yet that a signal could find in the middle."""
        self._drainage = Drainage(self.drain)

    @cached_property
    def celery(self) -> Any:
        """The Celery app: one task per job."""
        bound = {name: (job.queue, self._bound(name, job.run)) for name, job in jobs.JOBS.items()}
        return broker.build(self.settings.broker_url, bound)

    @cached_property
    def tools(self) -> jobs.Tools:
        """What the jobs work with."""
        return jobs.Tools(
            settings=self.settings,
            database=self.database,
            publication=self.publication,
            spool=self.spool,
            dispatcher=self.dispatcher,
            notices=self.notices,
            knock=lambda job, campaign: self.knock(job, campaign=campaign),
            plan=equipment.plan(self.settings),
            queues=partial(broker.heard, self.celery),
            stopping=lambda: self._stopping,
        )

    @property
    def equipped(self) -> Equipped:
        """What sending needs of this process."""
        inbox = self.inbox.port if self.inbox else None
        return Equipped(self.settings, self.database, self.keyring, self.publication, inbox)

    @property
    def address_key(self) -> Canon:
        """Which addresses are one person's, and the key that stored ones are hashed with."""
        return Canon.of(self.settings.secrets, self.settings.same_person)

    @property
    def sender(self) -> campaigns.Sender:
        """Whom campaigns are from."""
        own = self.publication
        return campaigns.Sender(own.from_name or own.name, own.from_address, own.reply_to)

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        return clock.now()

    def knock(self, job: str, **ids: int) -> bool:
        """Ask any worker to look now; False where the broker is away."""
        return broker.knock(self.celery, job, **ids)

    def dispatcher(self) -> Dispatcher:
        """The dispatcher of this process, with its journal and relay; made at the first call."""
        with self._lock:
            if self._dispatcher is None:
                self._dispatcher = equipment.dispatcher(
                    self.equipped, queues=broker.heard(self.celery)
                )
            return self._dispatcher

    def notices(self) -> Sender:
        """What sends our own letters in this process; made at the first call."""
        with self._lock:
            if self._notices is None:
                self._notices = equipment.notices(self.equipped, key=self.address_key)
            return self._notices

    def ensure_schema(self) -> None:
        """Bring an embedded installation's schema up to date; refuse to start on an old one."""
        if self.settings.embedded and not is_current(self.database):
            upgrade(self.database)
        elif not is_current(self.database):
            raise Misconfigured("The database schema is not this version's: dibao db upgrade")
        self._furnish()

    def upgrade(self) -> None:
        """Bring the schema up to date; doing it again changes nothing."""
        upgrade(self.database)
        self._furnish()

    def launch(self, campaign: CampaignId) -> None:
        """Prepare and send a campaign now. Raises CampaignAlreadyLaunched the second time."""
        with self.database.transaction() as session:
            campaigns.launch(session, campaign, now=self.now())
        self.knock("campaign.prepare", campaign=campaign)

    def resume(self, campaign: CampaignId) -> None:
        """Go on with a paused campaign. Raises CampaignNotPaused."""
        with self.database.transaction() as session:
            brakes.resume(session, campaign, by="by hand", now=self.now())
        self.knock("campaign.send", campaign=campaign)

    def cancel(self, campaign: CampaignId) -> None:
        """Stop a campaign for good; people still open are skipped. Raises CampaignOver."""
        with self.database.transaction() as session:
            delivery.cancel(session, campaign, now=self.now())

    @contextmanager
    def working(self) -> Iterator[None]:
        """While inside, an embedded installation works in this process; others have workers."""
        if not self.settings.embedded:
            yield
            return
        self.start_inbox()
        self.start_worker()
        self.start_counting()
        try:
            yield
        finally:
            self.stop()

    def start_inbox(self) -> None:
        """Open the built-in inbox, unless mail goes elsewhere or another process has it open."""
        if self.inbox is not None or not self.settings.smtp_url.startswith("inbox:"):
            return
        own = self.settings
        inbox = Inbox(own.inbox_host, own.inbox_port, own.data_dir / "inbox")
        with suppress(Unavailable):
            inbox.start()
            self.inbox = inbox

    def start_worker(self) -> None:
        """Start the embedded worker and the sweep."""
        self._worker = broker.EmbeddedWorker(self.celery)
        self._worker.start()
        self.start_working()

    def start_working(self) -> None:
        """Show signs of life, and look for due work every few seconds, each in a thread."""
        self.start_living()
        self._take_turns("sweep", partial(jobs.sweep, self.tools), self.settings.sweep)

    def start_living(self) -> None:
        """Show that this process is alive, in a thread."""
        self._take_turns("alive", partial(jobs.alive, self.tools), workers.BEAT)

    def start_counting(self) -> None:
        """See that the hits of this host are counted, in a thread."""
        self._take_turns("count", jobs.Counting(self.tools).turn, COUNT)

    def stop(self) -> None:
        """End what was started here: letters on the wire are finished, leases given back."""
        self.drain()
        for turns in self._turns:
            turns.stop()
        self._turns.clear()
        if self._worker is not None:
            self._worker.stop()
        if self._dispatcher is not None:
            self._dispatcher.close()
            self._dispatcher = None
        if self._notices is not None:
            self._notices.close()
            self._notices = None
        if self.inbox is not None:
            self.inbox.stop()
            self.inbox = None
        self._stopping = False

    def after_fork(self) -> None:
        """Forget what a child must not share with its parent: connections, journal, locks."""
        self.database.forget()
        self._lock = threading.RLock()
        self._dispatcher = self._notices = None
        self._turns = []
        self._stopping = False
        self._drainage = Drainage(self.drain)

    def drain(self) -> None:
        """Begin nothing more; what is on the wire comes to its end. From a signal handler too."""
        self._stopping = True
        if self._dispatcher is not None:
            self._dispatcher.stop()
        if self._notices is not None:
            self._notices.stop()

    def _furnish(self) -> None:
        """The starting segments, the key that fits, and nobody back who was erased."""
        with self.database.reading() as session:
            self._check_key(session)
            known = subscriber_queries.folded(session)
            furnished = subscriber_queries.segments(session, archived=True)
        if not furnished or known is None:
            with self.database.transaction() as session:
                if not furnished:
                    subscribers.ensure_segments(session)
                subscribers.remember_key(session, self.address_key)
        house = House(self.database, self.settings.data_dir, self.address_key)
        erasing.reapply(house, now=self.now())

    def _check_key(self, session: Session) -> None:
        """Refuse to start where the people who are stored would not be found."""
        if subscriber_queries.key_fits(session, self.address_key):
            return
        was = subscriber_queries.folded(session)
        if was is not None and was != self.address_key.folds:
            raise Misconfigured(
                f"DIBAO_SAME_PERSON: people are stored with {was!r}; another choice would store "
                "them twice and find no suppression"
            )
        raise Misconfigured(
            "DIBAO_SECRET_KEY: the oldest secret is not the one stored addresses were hashed with, "
            "so no suppression would be found; put it last"
        )

    def _take_turns(self, name: str, act: Callable[[], object], seconds: float) -> None:
        turns = Turns(name, act, seconds)
        turns.start()
        self._turns.append(turns)

    def _bound(self, name: str, run: Callable[..., object]) -> Callable[..., None]:
        def task(**ids: int) -> None:
            with self._drainage:
                try:
                    run(self.tools, **ids)
                except Unavailable as away:
                    _log.warning("job failed; the sweep looks again", job=name, why=str(away))
                except DibaoError:
                    _log.exception("job failed; the sweep looks again", job=name)
                except SQLAlchemyError as fault:  # its text may hold an address
                    _log.error(
                        "job failed; the sweep looks again", job=name, why=type(fault).__name__
                    )

        task.__name__ = name.replace(".", "_")
        return task


def compose(chosen: Settings) -> App:
    """The application for these settings; nothing is opened yet.

    Raises Misconfigured for what only their user can tell to be wrong: relay, key, database.
    """
    equipment.check(chosen)
    log.configure(chosen.log_format, chosen.log_level)
    app = App(
        settings=chosen,
        database=Database(chosen.database),
        keyring=Keyring.of(*chosen.secrets),
        publication=publication(chosen),
        spool=Spool(chosen.data_dir / "spool"),
    )
    os.register_at_fork(after_in_child=app.after_fork)
    return app


def publication(chosen: Settings) -> Publication:
    """The publication as the settings describe it."""
    return Publication(
        name=chosen.publication,
        tagline=chosen.tagline,
        timezone=chosen.timezone,
        from_name=chosen.from_name or chosen.publication,
        from_address=chosen.from_address,
        reply_to=chosen.reply_to,
        postal_address=chosen.postal_address,
        numbering=Numbering.ISSUE,
    )


def worker() -> Any:
    """The Celery app of a worker process, composed from the environment: see worker.py."""
    app = compose(settings.read(os.environ))
    app.ensure_schema()
    broker.on_worker_ready(app.start_working)
    broker.on_child_ready(app.start_living)
    broker.on_worker_stopping(app.drain)
    broker.on_worker_shutdown(app.stop)
    return app.celery
