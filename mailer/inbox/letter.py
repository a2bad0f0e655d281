"""A letter as a mail program would show it: headers, HTML, text, source."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.parser import BytesHeaderParser, BytesParser
from email.policy import EmailPolicy
from typing import Any, cast

_LONGEST = 8192  # characters of a header; our longest subject needs half
# The parser's own bugs, and headers nested deeper than it can follow.
_FAULTS = (MessageError, LookupError, ValueError, AttributeError, RecursionError)


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
    read = _read(message.source)
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


class _Bounded(EmailPolicy):
    """Headers are read up to a length: the standard library's parser takes the square of it."""

    def header_fetch_parse(self, name: str, value: str) -> Any:
        """The header's value, read."""
        return super().header_fetch_parse(name, value[:_LONGEST])


_POLICY = _Bounded()


def _read(source: bytes) -> EmailMessage:
    try:
        read = BytesParser(policy=_POLICY).parsebytes(source)
    except RecursionError:  # parts in parts in parts: all of it is one text, then
        read = BytesHeaderParser(policy=_POLICY).parsebytes(source)
    return cast("EmailMessage", read)  # as the policy has it


def _headers(message: EmailMessage) -> Iterator[tuple[str, str]]:
    for name, raw in message.raw_items():
        try:
            value = str(_POLICY.header_fetch_parse(name, raw))
        except _FAULTS:
            value = str(raw)
        yield name, value.encode("utf-8", "replace").decode()


def _body(message: EmailMessage, kind: str) -> str:
    try:
        part = message.get_body((kind,))
        content = part.get_content() if part is not None else ""
    except _FAULTS:
        return ""
    return str(content).replace("\r\n", "\n").encode("utf-8", "replace").decode()


def _targets(header: str) -> tuple[str, ...]:
    parts = (part.strip() for part in header.split(","))
    return tuple(part[1:-1] for part in parts if part.startswith("<") and part.endswith(">"))
