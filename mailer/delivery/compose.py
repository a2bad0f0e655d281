"""One recipient's message: the edition's body with their values in it, under a head of their own.

What an edition fixes is prepared once and kept; per recipient there is a token, a splice, a head
and, where a key is set, a signature. A composer gets one person and gives bytes; nothing of one
recipient is kept for the next.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import Campaign, CampaignId, EditionId
from mailer.delivery.batch import Lease, Person
from mailer.delivery.dkim import Signer
from mailer.delivery.headers import HeaderTemplate
from mailer.delivery.relay import Message
from mailer.delivery.return_path import return_path
from mailer.kit import clock
from mailer.kit.database import Database
from mailer.kit.signing import Keyring, Purpose
from mailer.rendering import edition as artifacts
from mailer.rendering.edition import Edition
from mailer.rendering.personalise import Splicer, fill, reader

_KEPT = 32  # composers; some hundred kilobytes each


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What every message of an installation has in common."""

    keyring: Keyring
    public_url: str  # base of the links
    bounce_domain: str = ""  # of the return paths; empty is the domain of From
    list_name: str = ""  # shown in List-Id
    signer: Signer | None = None  # None: the relay signs, or nobody


class Composer:
    """Makes the messages of one edition of one campaign. Cheap to call, not for two threads."""

    def __init__(
        self,
        letterhead: Letterhead,
        campaign: Campaign,
        edition: Edition,
        number: EditionId,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        """Raises ValueError for a sender or a content type that no header can carry."""
        self.segments = campaign.segments
        self._campaign, self._subject, self._now = campaign.id, edition.subject, now
        self._keyring, self._signer = letterhead.keyring, letterhead.signer
        domain = campaign.from_address.rpartition("@")[2]
        self._bounces = letterhead.bounce_domain or domain
        self._splicer = Splicer(edition)
        self._headers = HeaderTemplate(
            campaign=campaign.id,
            from_address=campaign.from_address,
            from_name=campaign.from_name,
            reply_to=campaign.reply_to,
            content_type=edition.content_type,
            public_url=letterhead.public_url,
            key=letterhead.keyring.keys[-1],  # the oldest: rotation changes no Message-ID
            list_name=letterhead.list_name,
            edition=str(number),
            mailto_domain=self._bounces,
        )

    def compose(self, held: Lease, chunk: int, person: Person, way: str = "") -> Message:
        """The message for one person, signed; equal for equal values and second."""
        token = self._keyring.sign(Purpose.DELIVERY, self._campaign, person.subscriber)
        values = reader(token, name=person.name, address=person.address)
        body = self._splicer.pieces(values)
        head = self._headers.head(
            subscriber=person.subscriber,
            recipient=person.address,
            subject=fill(self._subject, values),
            token=token,
            date=self._now(),
            name=person.name,
        )
        signature = self._signer.header(head, b"".join(body)) if self._signer else b""
        return Message(
            campaign=held.campaign,
            subscriber=person.subscriber,
            batch=held.number,
            epoch=held.epoch,
            chunk=chunk,
            recipient=person.address,
            return_path=return_path(token, self._bounces),
            data=b"".join((signature, head, b"\r\n", *body)),
            way=way,
        )


class Composers:
    """The composers in use, made when first asked for."""

    def __init__(self, database: Database, letterhead: Letterhead) -> None:
        self._database, self._letterhead = database, letterhead
        self._lock = threading.Lock()
        self._made: dict[EditionId, Composer] = {}

    def of(self, campaign: CampaignId, edition: EditionId) -> Composer:
        """The composer of an edition. Raises EditionNotFound, or ValueError for a damaged one."""
        with self._lock:
            found = self._made.pop(edition, None) or self._make(campaign, edition)
            self._made[edition] = found  # the latest used last
            if len(self._made) > _KEPT:
                del self._made[next(iter(self._made))]
            return found

    def _make(self, campaign: CampaignId, edition: EditionId) -> Composer:
        with self._database.reading() as session:
            stored = campaigns.edition(session, edition)
            found = campaigns.campaign(session, campaign)
        return Composer(self._letterhead, found, artifacts.loads(stored.artifact), edition)
