"""The head of a message: prepared once per edition, completed per recipient by joining bytes.

RFC 5322, 2047 (encoded-words), 2369 and 2919 (List-*), 8058 (one-click). Our own folding, since the
standard library encodes List-Unsubscribe where receivers want it literal. Whatever comes in, what
goes out is one field per line: nothing a subscriber or an author writes can start another.
"""

import base64
import re
import unicodedata
from datetime import UTC, datetime
from functools import lru_cache

from mailer.delivery.envelope import wire_path
from mailer.kit.signing import mac

_FOLD = 78  # characters of a line, where it can be (RFC 5322 2.1.1)
_WORD = 75  # characters of an encoded-word (RFC 2047 section 2)
_FRAME = len("=?utf-8?q??=")
_NAME = 100  # characters of a display name we carry; nobody shows more
_SUBJECT = 500  # characters of a subject
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*").fullmatch
_PLAIN_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # could fake a sender
_BREAKING = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, lone surrogates, line separators
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*").fullmatch
_PUBLIC = re.compile(r"https?://[A-Za-z0-9._~:/\[\]@%-]+").fullmatch


class HeaderTemplate:
    """The head of one edition's messages, but for what is the recipient's."""

    def __init__(  # what an edition fixes, each by its name
        self,
        *,
        campaign: int,
        from_address: str,
        from_name: str,
        content_type: str,
        public_url: str,
        key: bytes,
        reply_to: str = "",
        list_name: str = "",
        list_label: str = "news",
        sender_id: str = "dibao",
        edition: str = "0",
        mailto_domain: str = "",
    ) -> None:
        """`key` makes Message-IDs: the same key, the same ids. `content_type` is the edition's.

        `list_label` with the sender's domain is the List-Id; `sender_id` (5 to 15 characters) the
        constant part of Feedback-ID; with `mailto_domain` List-Unsubscribe has a mailto besides.
        Raises ValueError for a value that no header can carry.
        """
        self.campaign, self._key = campaign, key
        self._domain = _address(from_address).rpartition(b"@")[2]
        if not _PUBLIC(public_url) or not 5 <= len(sender_id) <= 15:
            raise ValueError(f"no header can carry {public_url!r} or {sender_id!r}")
        head = [b"From: " + _mailbox("From", from_name, _address(from_address))]
        if reply_to:
            head.append(b"\r\nReply-To: <%b>" % _address(reply_to))
        self._head = b"".join(head) + b"\r\nTo: "
        self._list = b"\r\nList-Id: %b\r\nList-Unsubscribe: <%b/u/" % (
            _list_id(list_name, list_label, self._domain),
            public_url.encode(),
        )
        self._mailto = b"+%b@%b?subject=unsubscribe>" % (b"%b", _domain(mailto_domain))
        self._mailto = self._mailto if mailto_domain else b""
        tail = [
            b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click",
            b"\r\nFeedback-ID: " + _feedback(campaign, edition, sender_id),
            b"\r\nPrecedence: bulk\r\nMIME-Version: 1.0\r\nContent-Type: ",
            _structured(content_type),
            b"\r\n",
        ]
        self._tail = b"".join(tail)

    def head(
        self,
        *,
        subscriber: int,
        recipient: str,
        subject: str,
        token: str,
        date: datetime,
        name: str = "",
    ) -> bytes:
        """All fields for one recipient, CRLF after each, without the empty line.

        7-bit, unless the recipient's local part is not (RFC 6532; the wire then asks for
        SMTPUTF8). Lines are at most 998 octets. An aware `date`; its microseconds do not show.
        """
        secret = token.encode("ascii")
        to = wire_path(recipient)
        parts = [
            self._head,
            _mailbox("To", name, to) if to else b"undisclosed-recipients:;",
            b"\r\nSubject: ",
            _subject(subject),
            b"\r\nDate: ",
            _date(int(date.timestamp())),
            b"\r\nMessage-ID: ",
            self.message_id(subscriber),
            self._list,
            secret,
            b">",
        ]
        if self._mailto:
            parts += [b",\r\n <mailto:u", self._mailto % secret]
        parts.append(self._tail)
        return b"".join(parts)

    def message_id(self, subscriber: int, generation: int = 0) -> bytes:
        """The Message-ID, < and > included: the same on every retry, not to be guessed."""
        return message_id(self._key, self.campaign, subscriber, self._domain, generation)


def message_id(
    key: bytes, campaign: int, subscriber: int, domain: bytes, generation: int = 0
) -> bytes:
    """`<32 characters@domain>`: an HMAC of whose message it is; holds no personal data."""
    about = b"message-id|%d|%d|%d" % (campaign, subscriber, generation)
    return b"<%b@%b>" % (mac(key, about)[:16].hex().encode(), domain)


def notice_head(  # one letter's fields, each by its name
    *,
    from_address: str,
    from_name: str,
    recipient: str,
    subject: str,
    date: datetime,
    message_id: bytes,
    content_type: str,
    reply_to: str = "",
    unsubscribe: str = "",
) -> bytes:
    """The head of one of our own letters: all fields, CRLF after each, without the empty line.

    Auto-Submitted (RFC 3834) and Exchange's X-Auto-Response-Suppress keep vacation programs still.
    `unsubscribe` is a URL that takes one click. Raises ValueError for a value no header can carry.
    """
    to = wire_path(recipient)
    fields = [
        b"From: " + _mailbox("From", from_name, _address(from_address)),
        *([b"Reply-To: <%b>" % _address(reply_to)] if reply_to else ()),
        b"To: " + (b"<%b>" % to if to else b"undisclosed-recipients:;"),
        b"Subject: " + _subject(subject),
        b"Date: " + _date(int(date.timestamp())),
        b"Message-ID: " + message_id,
    ]
    if unsubscribe:
        if not _PUBLIC(unsubscribe):
            raise ValueError(f"no header can carry {unsubscribe!r}")
        fields += [
            b"List-Unsubscribe: <%b>" % unsubscribe.encode(),
            b"List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        ]
    fields += [
        b"Auto-Submitted: auto-generated",
        b"X-Auto-Response-Suppress: All",
        b"MIME-Version: 1.0",
        b"Content-Type: " + _structured(content_type),
    ]
    return b"\r\n".join((*fields, b""))


def _clean(text: str, limit: int) -> str:
    """One line, white space single, nothing that breaks lines or turns the reading direction."""
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFC", text[: 4 * limit])
        kept = (" " if unicodedata.category(c) in _BREAKING else c for c in text if c not in _BIDI)
        text = "".join(kept)
    return " ".join(text.split())[:limit].rstrip()


@lru_cache(maxsize=256)
def _subject(text: str) -> bytes:
    text = _clean(text, _SUBJECT)
    longest = max(map(len, text.split(" ")))
    if text.isascii() and "=?" not in text and longest <= _FOLD - len("Subject: "):
        return _fold(text.split(" "), len("Subject: "))
    return _encoded_words(text, len("Subject: "))


@lru_cache(maxsize=4)
def _date(second: int) -> bytes:
    utc = datetime.fromtimestamp(second, UTC)
    day, month = _DAYS[utc.weekday()], _MONTHS[utc.month - 1]
    return f"{day}, {utc.day:02} {month} {utc.year:04} {utc:%H:%M:%S} +0000".encode()


def _mailbox(field: str, name: str, address: bytes) -> bytes:
    """`name <address>`, the address on a line of its own where both are too long for one."""
    used = len(field) + 2
    name = _clean(name, _NAME) if name else ""
    if not name:
        return b"<%b>" % address
    if not name.isascii() or "=?" in name:
        phrase = _encoded_words(name, used)
    elif _ATOMS(name):
        if used + len(name) + len(address) + 3 <= _FOLD:  # nearly all of them
            return b"%b <%b>" % (name.encode(), address)
        phrase = _fold(name.split(" "), used)
    else:
        phrase = b'"%b"' % name.replace("\\", "\\\\").replace('"', '\\"').encode()
    last = len(phrase) - phrase.rfind(b"\n") - 1 + (0 if b"\n" in phrase else used)
    gap = b" " if last + len(address) + 3 <= _WORD + 1 else b"\r\n "  # encoded: 76 at most
    return phrase + gap + b"<%b>" % address


def _fold(words: list[str], used: int) -> bytes:
    lines = [words[0]]
    room = _FOLD - used
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
            room = _FOLD - 1
    return "\r\n ".join(lines).encode()


def _encoded_words(text: str, used: int) -> bytes:
    """RFC 2047, B or Q, whichever is shorter; whole characters per word, lines of at most 76."""
    escaped = sum(byte != 0x20 and byte not in _PLAIN_BYTES for byte in text.encode())
    by_base64 = len(text.encode()) * 4 // 3 < len(text.encode()) + 2 * escaped
    words, word, size = [], "", 0
    room = _WORD + 1 - used - _FRAME
    for character in text:
        raw = character.encode()
        cost = len(raw) if by_base64 else sum(_cost(byte) for byte in raw)
        if size + cost > (room // 4 * 3 if by_base64 else room):
            words.append(word)
            word, size, room = "", 0, _WORD - _FRAME
        word += character
        size += cost
    words.append(word)
    return b"\r\n ".join(_encoded_word(word, by_base64=by_base64) for word in words if word)


def _cost(byte: int) -> int:
    return 1 if byte in _PLAIN_BYTES or byte == 0x20 else 3


def _encoded_word(word: str, *, by_base64: bool) -> bytes:
    raw = word.encode()
    if by_base64:
        return b"=?utf-8?b?%b?=" % base64.b64encode(raw)
    quoted = (bytes([b]) if b in _PLAIN_BYTES else b"_" if b == 0x20 else b"=%02X" % b for b in raw)
    return b"=?utf-8?q?%b?=" % b"".join(quoted)


def _address(address: str) -> bytes:
    path = wire_path(address)
    if not path or not path.isascii():
        raise ValueError(f"no header can carry the address {address!r}")
    return path


def _domain(domain: str) -> bytes:
    return _address(f"a@{domain}")[2:] if domain else b""


def _list_id(name: str, label: str, domain: bytes) -> bytes:
    """RFC 2919. Encoded-words are not for List-*, so a name beyond ASCII is left out."""
    if not _IDENTIFIER(label):
        raise ValueError(f"no List-Id can carry {label!r}")
    name = _clean(name, _NAME)
    if not _ATOMS(name) or "=?" in name:
        name = ""
    phrase = f"{name}\r\n " if len(name) > 40 else f"{name} "
    return (phrase if name else "").encode() + b"<%b.%b>" % (label.encode(), domain)


def _feedback(campaign: int, edition: str, sender_id: str) -> bytes:
    """Campaign, edition, kind, sender: Gmail reports complaints by each of them."""
    if not _IDENTIFIER(sender_id) or not _IDENTIFIER(edition):
        raise ValueError(f"no Feedback-ID can carry {sender_id!r} or {edition!r}")
    return f"c{campaign}:e{edition}:newsletter:{sender_id}".encode()


def _structured(value: str) -> bytes:
    if not (value.isascii() and value.isprintable() and value):
        raise ValueError(f"no header can carry {value!r}")
    return b";\r\n ".join(part.strip().encode() for part in value.split(";"))
