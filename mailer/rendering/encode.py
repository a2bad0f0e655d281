"""From text to what travels: quoted-printable or base64 (RFC 2045), whichever is smaller.

Whatever comes out of here holds for every reader: ASCII, CRLF only, lines of at most 76, none
beginning with a full stop (no dot-stuffing, RFC 5321 4.5.2) or with an F ("From "), and no space
at a line's end or beside another: what DKIM's relaxed body canonicalisation (RFC 6376 3.4.4) would
change is not there, so a signature needs no pass over it.
"""

import hashlib
import re
from base64 import b64encode
from dataclasses import dataclass
from typing import Final

from mailer.rendering import fields
from mailer.rendering.edition import Slot

SOFT: Final = b"=\r\n"
_ROOM = 73  # characters of a line: 76, less the "=" and two more if the first one is escaped
_UNSAFE = re.compile(rb"[^\n -<>-~]| (?= |\n|\Z)")
_CHUNK = re.compile(rb".{1,%d}(?<!=)(?<!=.)" % _ROOM)
_FIRST = re.compile(rb"(?m)^[.F ]")
_LINE = 57  # bytes that make a line of 76 in base64


def choose_base64(text: str) -> bool:
    """Whether base64 is smaller; quoted-printable is taken up to 1.37 times the text."""
    raw = text.encode()
    return len(raw) + 2 * len(_UNSAFE.findall(raw)) > 1.37 * len(raw)


def quoted(raw: bytes) -> bytes:
    """UTF-8 with bare line feeds as quoted-printable; begins at a line's start."""
    escaped = _UNSAFE.sub(lambda found: b"=%02X" % found[0][0], raw)
    lines = (SOFT.join(_CHUNK.findall(line)) for line in escaped.split(b"\n"))
    return _FIRST.sub(lambda found: b"=%02X" % found[0][0], b"\r\n".join(lines))


def quoted_fragments(texts: list[str]) -> list[bytes]:
    """Texts between values, each value at the start of a line and followed by a soft break."""
    last = len(texts) - 1
    out = []
    for number, text in enumerate(texts):
        raw = text.encode()
        before = SOFT if number and not raw.startswith(b"\n") else b""
        after = SOFT if number < last and raw and not raw.endswith(b"\n") else b""
        out.append(before + quoted(raw) + after)
    return out


def base64_lines(raw: bytes) -> bytes:
    """Base64 in lines of 76, each with its CRLF; nothing for nothing."""
    if len(raw) <= _LINE:
        return b64encode(raw) + b"\r\n" if raw else b""
    encoded = b64encode(raw)
    lines = [encoded[at : at + 76] for at in range(0, len(encoded), 76)]
    return b"\r\n".join((*lines, b""))


@dataclass(frozen=True, slots=True)
class Body:
    """A multipart/alternative body (RFC 2046) in pieces, the gaps for a reader's values between."""

    content_type: str
    pieces: tuple[str, ...]
    slots: tuple[Slot, ...]


def body(text: str, html: str) -> Body:
    """Both parts, marks for values and all, encoded; equal parts give equal bodies."""
    digest = hashlib.sha256(f"{text}\0{html}".encode()).hexdigest()
    boundary = f"=_{digest[:24]}"  # quoted-printable never has "=_", base64 neither sign
    pieces: list[str] = []
    slots: list[Slot] = []
    end = ""
    for kind, content in (("plain", text), ("html", html)):
        in_base64 = choose_base64(fields.MARK.sub("", content))
        name = "base64" if in_base64 else "quoted-printable"
        pieces.append(
            f"{end}--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\n"
            f"Content-Transfer-Encoding: {name}\r\n\r\n"
        )
        _add(content, pieces, slots, markup=kind == "html", in_base64=in_base64)
        end = "" if in_base64 else "\r\n"
    pieces.append(f"{end}--{boundary}--\r\n")
    content_type = f'multipart/alternative; boundary="{boundary}"'
    return Body(content_type, tuple(pieces), tuple(slots))


def _add(
    content: str, pieces: list[str], slots: list[Slot], *, markup: bool, in_base64: bool
) -> None:
    """One part's fragments and slots; a base64 part without slots is ready lines."""
    texts = fields.MARK.split(content)
    fragments, names, defaults = texts[0::3], texts[1::3], texts[2::3]
    if not in_base64:
        encoded = quoted_fragments(fragments)
    elif names:
        encoded = [b64encode(text.encode()) for text in fragments]
    else:
        encoded = [base64_lines(content.encode())]
    first = len(pieces)
    pieces += (fragment.decode("ascii") for fragment in encoded)
    slots += (
        Slot(first + number, name, default, markup=markup, base64=in_base64)
        for number, (name, default) in enumerate(zip(names, defaults, strict=True), 1)
    )
