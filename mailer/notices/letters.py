"""A notice as a message: words by language, a head of its own, signed like any other letter.

What a form brought is not in a confirmation: a stranger chose it, and the mailbox is somebody
else's. Other notices go to people who have confirmed, and greet them by a name without links.
"""

import base64
import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from mailer.content.issue import Publication
from mailer.delivery.dkim import Signer
from mailer.delivery.headers import notice_head
from mailer.delivery.relay import Message
from mailer.delivery.return_path import return_path
from mailer.kit.paths import TEMPLATES
from mailer.kit.signing import Keyring, Purpose
from mailer.notices.notice import IN_A_TOKEN, Kind, Leased, confirm_token
from mailer.notices.queries import Addressed
from mailer.rendering import encode, plaintext
from subscribers.subscriber import name_to_echo

LANGUAGES: Final = ("en", "zh")
"""What notices are written in; whoever reads another language gets the first."""

_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Stationery:
    """What all notices of an installation have in common."""

    keyring: Keyring
    publication: Publication
    public_url: str
    days: int  # that a confirmation link works
    bounce_domain: str = ""  # of the return paths; empty is the domain of From
    signer: Signer | None = None


class Letters:
    """Writes the notices of one installation."""

    def __init__(self, stationery: Stationery) -> None:
        self._own = stationery
        self._domain = stationery.publication.from_address.rpartition("@")[2]
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES / "notices"),
            autoescape=select_autoescape(("html",), default=False),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def write(self, leased: Leased, addressed: Addressed, *, now: datetime) -> Message:
        """The message for one person; the same Message-ID on every try."""
        own, person = self._own, addressed.person
        values = self._values(leased, addressed)
        kind, language = leased.kind.value, spoken(leased.language)
        subject = self._templates.get_template(f"{language}/{kind}/subject.txt").render(values)
        text = self._templates.get_template(f"{language}/{kind}/body.txt").render(values)
        html = self._templates.get_template(f"{language}/{kind}/body.html").render(values)
        body = encode.body(laid_out(text), html)
        head = notice_head(
            from_address=own.publication.from_address,
            from_name=own.publication.from_name or own.publication.name,
            reply_to=own.publication.reply_to,
            recipient=person.address,
            subject=_SPACE.sub(" ", subject).strip(),
            date=now,
            message_id=self.message_id(leased),
            content_type=body.content_type,
            unsubscribe=values["unsubscribe"],
        )
        octets = "".join(body.pieces).encode("ascii")
        signature = own.signer.header(head, octets) if own.signer else b""
        bounces = own.keyring.sign(Purpose.NOTICE, leased.id % IN_A_TOKEN, leased.subscriber)
        return Message(
            campaign=0,
            subscriber=leased.subscriber,
            batch=leased.id,
            epoch=leased.epoch,
            chunk=0,
            recipient=person.address,
            return_path=return_path(bounces, own.bounce_domain or self._domain),
            data=b"".join((signature, head, b"\r\n", octets)),
        )

    def message_id(self, leased: Leased) -> bytes:
        """`<32 characters@domain>`: the same for every try, not to be guessed."""
        key = self._own.keyring.keys[-1]  # the oldest: rotation changes no Message-ID
        digest = hmac.digest(key, b"message-id|notice|%d" % leased.id, "sha256")[:20]
        local = base64.b32encode(digest).lower().decode()
        return f"<{local}@{self._domain}>".encode("idna" if not self._domain.isascii() else "ascii")

    def _values(self, leased: Leased, addressed: Addressed) -> dict[str, Any]:
        own, person = self._own, addressed.person
        language = spoken(leased.language)
        unsubscribe, preferences = "", ""
        if leased.kind is not Kind.CONFIRM:
            token = own.keyring.sign(Purpose.DELIVERY, 0, person.id)
            unsubscribe, preferences = f"{own.public_url}/u/{token}", f"{own.public_url}/p/{token}"
        return {
            "publication": own.publication.name,
            "postal_address": own.publication.postal_address,
            "archive": f"{own.public_url}/archive" if own.publication.archive else "",
            "name": "" if leased.kind is Kind.CONFIRM else name_to_echo(person.name),
            "segments": [segment.name_in(language) for segment in addressed.segments],
            "confirm": f"{own.public_url}/confirm/"
            + confirm_token(own.keyring, leased.id, leased.subscriber),
            "unsubscribe": unsubscribe,
            "preferences": preferences,
            "days": own.days,
        }


def spoken(language: str) -> str:
    """The language of ours nearest to a tag: zh for zh-Hans-CN, en for what we do not speak."""
    primary = language.partition("-")[0].lower()
    return primary if primary in LANGUAGES else LANGUAGES[0]


def laid_out(text: str) -> str:
    """The text part: each line of a template is a paragraph, wrapped by display width."""
    return plaintext.tidied("\n".join(plaintext.wrap(line) for line in text.split("\n")))
