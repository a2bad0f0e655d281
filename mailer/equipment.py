"""Makes what sends, from the settings: the worker of campaigns, the sender of our own letters."""

import os
import uuid
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

from mailer.content.issue import Publication
from mailer.delivery.compose import Composers, Letterhead
from mailer.delivery.dispatch import Dispatcher
from mailer.delivery.dkim import Signer
from mailer.delivery.engine import relay_from_url
from mailer.delivery.journal import Journal, Mode
from mailer.delivery.relay_address import relay_address
from mailer.delivery.run import Terms
from mailer.delivery.smtp import Timeouts
from mailer.delivery.verdict import Patience
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
    """Raise Misconfigured for a relay or a key that cannot be; nothing is opened."""
    _signer(chosen)
    if not chosen.smtp_url.startswith("inbox:"):
        relay_address(chosen.smtp_url)


def dispatcher(app: Equipped) -> Dispatcher:
    """The worker of this process, with its journal and relay; nothing is connected yet."""
    own = app.settings
    worker = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
    kept = Journal.open(own.data_dir / "journal", worker, mode=Mode(own.journal_mode))
    url = _relay_url(app)
    timeouts = Timeouts(reply=own.smtp_timeout, dot=own.dot_timeout)
    relay = relay_from_url(
        url,
        connections=own.connections,
        journal=kept,
        timeouts=timeouts,
        ahead=max(1, own.chunk_size // 4),  # what waits composed is uncertain if the host is lost
        name=own.sender_domain,
    )
    letterhead = Letterhead(
        keyring=app.keyring,
        public_url=own.public_url,
        bounce_domain=own.bounce_domain,
        list_name=app.publication.name,
        signer=_signer(own),
    )
    waits = tuple(timedelta(seconds=int(wait)) for wait in own.retry_waits.split())
    terms = Terms(
        chunk_size=own.chunk_size,
        batch_size=own.batch_size,
        lease=own.lease,
        patience=Patience(waits=waits, limit=timedelta(seconds=own.patience)),
    )
    return Dispatcher(
        app.database,
        relay,
        kept,
        composers=Composers(app.database, letterhead),
        worker=worker,
        relay_name=urlsplit(url).hostname or "",
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
        _relay_url(app),
        connections=min(4, own.connections),
        timeouts=Timeouts(reply=own.smtp_timeout, dot=own.dot_timeout),
        name=own.sender_domain,
    )
    return Sender(app.database, relay, Letters(stationery), key=key)


def _relay_url(app: Equipped) -> str:
    own = app.settings
    if own.smtp_url.startswith("inbox:"):
        return f"smtp://{own.inbox_host}:{app.inbox_port or own.inbox_port}"
    return own.smtp_url


def _signer(own: Settings) -> Signer | None:
    key = own.dkim_key.get_secret_value()
    if not own.dkim_selector and not key:
        return None
    if not own.dkim_selector or not key:
        raise Misconfigured("DIBAO_DKIM_SELECTOR and DIBAO_DKIM_KEY: set both, or neither")
    return Signer(own.dkim_selector, own.sender_domain, key)
