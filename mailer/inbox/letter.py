"""A letter as a mail program would show it: headers, HTML, text, source."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.errors import MessageError
from email.message import EmailMessage
from email.parser import BytesParser


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came, with its envelope."""

    id: str
    recipients: tuple[str, ...]  # RCPT TO
    return_path: str  # MAIL FROM
    at: datetime
    source: bytes  # without dot-stuffing

    @property
    def recipient(self) -> str:
        """The first recipient; the only one of a newsletter's letter."""
        return self.recipients[0]


@dataclass(frozen=True, slots=True)
class Letter:
    """One message, read."""

    message: Message
    subject: str
    sender: str  # the From header
    headers: tuple[tuple[str, str], ...]  # decoded, in the order they came
    html: str  # "" where there is none
    text: str
    html_bytes: int  # decoded; Gmail clips HTML past 102 KB
    text_bytes: int
    unsubscribe: tuple[str, ...]  # targets of List-Unsubscribe (RFC 2369)
    one_click: bool  # List-Unsubscribe-Post asks for it (RFC 8058)


def parse(message: Message) -> Letter:
    """Read a message as far as it can be read; a broken part shows as it came, nothing raises."""
    read = BytesParser(policy=policy.default).parsebytes(message.source)
    headers = tuple(_headers(read))
    known = {name.lower(): value for name, value in reversed(headers)}  # the first of a name counts
    html, text = _body(read, "html"), _body(read, "plain")
    return Letter(
        message=message,
        subject=known.get("subject", ""),
        sender=known.get("from", ""),
        headers=headers,
        html=html,
        text=text,
        html_bytes=len(html.encode("utf-8", "replace")),
        text_bytes=len(text.encode("utf-8", "replace")),
        unsubscribe=_targets(known.get("list-unsubscribe", "")),
        one_click=known.get("list-unsubscribe-post", "").strip() == "List-Unsubscribe=One-Click",
    )


def _headers(message: EmailMessage) -> Iterator[tuple[str, str]]:
    for name, raw in message.raw_items():
        try:
            value = str(policy.default.header_fetch_parse(name, raw))
        except (MessageError, ValueError, IndexError, AttributeError):  # the parser's own bugs
            value = str(raw)
        yield name, value.encode("utf-8", "replace").decode()


def _body(message: EmailMessage, kind: str) -> str:
    try:
        part = message.get_body((kind,))
        content = part.get_content() if part is not None else ""
    except (MessageError, LookupError, ValueError, AttributeError):
        return ""
    return str(content).replace("\r\n", "\n").encode("utf-8", "replace").decode()


def _targets(header: str) -> tuple[str, ...]:
    parts = (part.strip() for part in header.split(","))
    return tuple(part[1:-1] for part in parts if part.startswith("<") and part.endswith(">"))
