"""Makes what sends, from the settings: the worker of campaigns, the sender of our own letters."""

import os
import uuid
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from mailer.content.issue import Publication
from mailer.delivery.compose import Composers, Letterhead
from mailer.delivery.dispatch import Dispatcher
from mailer.delivery.dkim import Signer
from mailer.delivery.engine import SmtpRelay, relay_from_url
from mailer.delivery.exchange import Timeouts
from mailer.delivery.instance import JOURNALS, Guard
from mailer.delivery.journal import Journal
from mailer.delivery.pacing import Pacer
from mailer.delivery.plan import Plan
from mailer.delivery.relay_address import relay_address
from mailer.delivery.testimony import Mode
from mailer.delivery.tools import Terms
from mailer.delivery.verdict import Patience
from mailer.delivery.workers import workers
from mailer.kit.buckets import buckets_for
from mailer.kit.database import Database
from mailer.kit.errors import Misconfigured
from mailer.kit.settings import Settings
from mailer.kit.signing import Keyring
from mailer.notices.letters import Letters, Stationery
from mailer.notices.sending import Sender
from subscribers.address import Canon


@dataclass(frozen=True, slots=True)
class Equipped:
    """What of a process goes into everything that sends."""

    settings: Settings
    database: Database
    keyring: Keyring
    publication: Publication
    inbox_port: int | None  # of the built-in inbox, where it runs in this process


def check(chosen: Settings) -> None:
    """Raise Misconfigured for a relay, a delivery file or a key that cannot be; opens nothing."""
    _signer(chosen)
    for relay in plan(chosen).relays:
        relay_address(relay.url)


def plan(own: Settings, *, inbox_port: int | None = None) -> Plan:
    """What the delivery file says; without one, the relay of the settings and no limits.

    Raises Misconfigured with every fault of the file.
    """
    url = _relay_url(own, inbox_port)
    if not own.delivery_file:
        return Plan.single(url, own.connections)
    return Plan.read(Path(own.delivery_file), url=url, connections=own.connections)


def dispatcher(app: Equipped, *, queues: tuple[str, ...]) -> Dispatcher:
    """The worker of this process, with its journal and relays; nothing is connected yet.

    `queues` are those whose knocks the process hears.
    """
    own = app.settings
    worker = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
    kept = Journal.open(own.data_dir / JOURNALS, worker, mode=Mode(own.journal_mode))
    terms = _terms(own)
    pacer = Pacer(
        plan(own, inbox_port=app.inbox_port),
        buckets_for(own.broker_url, workers=partial(_at_work, app.database)),
        patience=terms.patience,
        zone=own.timezone,
        name=own.sender_domain,
    )
    relay = SmtpRelay(
        pacer.way_of,
        journal=kept,
        timeouts=_timeouts(own),
        ahead=max(1, own.chunk_size // 2),  # of a chunk on record, so it puts nobody more in doubt
        most=pacer.most,
    )
    letterhead = Letterhead(
        keyring=app.keyring,
        public_url=own.public_url,
        bounce_domain=own.bounce_domain,
        list_name=app.publication.name,
        signer=_signer(own),
    )
    # a server that may lose commits is refused where it is for real
    guard = Guard(app.database, own.data_dir, worker=worker, durable=own.env == "production")
    return Dispatcher(
        app.database,
        relay,
        kept,
        composers=Composers(app.database, letterhead),
        worker=worker,
        pacer=pacer,
        guard=guard.check,
        directory=own.data_dir,
        queues=queues,
        terms=terms,
    )


def notices(app: Equipped, *, key: Canon) -> Sender:
    """What sends our own letters; nothing is connected yet."""
    own = app.settings
    stationery = Stationery(
        keyring=app.keyring,
        publication=app.publication,
        public_url=own.public_url,
        days=own.keep_unconfirmed,
        bounce_domain=own.bounce_domain,
        signer=_signer(own),
    )
    relay = partial(
        relay_from_url,
        _relay_url(own, app.inbox_port),
        connections=min(4, own.connections),
        timeouts=_timeouts(own),
        name=own.sender_domain,
    )
    return Sender(app.database, relay, Letters(stationery), key=key, directory=own.data_dir)


def patience(own: Settings) -> Patience:
    """How long, and how often, a deferred letter is tried, where no lane says otherwise."""
    waits = tuple(timedelta(seconds=int(wait)) for wait in own.retry_waits.split())
    return Patience(waits=waits, limit=timedelta(seconds=own.patience))


def lives(own: Settings) -> timedelta:
    """How long after its record an uncertain letter can still leave or be answered (`doubts`)."""
    terms = _terms(own)
    return timedelta(seconds=terms.lease + terms.judged_after)


def _terms(own: Settings) -> Terms:
    return Terms(
        chunk_size=own.chunk_size,
        batch_size=own.batch_size,
        lease=own.lease,
        judged_after=own.dot_timeout + 60,  # no reply can come later; a minute for the clocks
        patience=patience(own),
    )


def _timeouts(own: Settings) -> Timeouts:
    return Timeouts(reply=own.smtp_timeout, dot=own.dot_timeout)


def _at_work(database: Database) -> int:
    with database.reading() as session:
        return sum(one.is_alive for one in workers(session))


def _relay_url(own: Settings, inbox_port: int | None) -> str:
    if own.smtp_url.startswith("inbox:"):
        return f"smtp://{own.inbox_host}:{inbox_port or own.inbox_port}"
    return own.smtp_url


def _signer(own: Settings) -> Signer | None:
    key = own.dkim_key.get_secret_value()
    if not own.dkim_selector and not key:
        return None
    if not own.dkim_selector or not key:
        raise Misconfigured("DIBAO_DKIM_SELECTOR and DIBAO_DKIM_KEY: set both, or neither")
    return Signer(own.dkim_selector, own.sender_domain, key)
