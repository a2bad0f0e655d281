"""A message's envelope as the wire needs it: paths, and what no wire can carry.

RFC 5321 (paths, limits), RFC 6531 (SMTPUTF8), RFC 5891 (A-labels), RFC 3461 and 6533 (ORCPT).
"""

import re

import idna

from mailer.delivery.relay import Message

_PLAIN = re.compile(r"[\w!#$%&'*+/=?^`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,253}", re.ASCII).fullmatch
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0<>\u2028\u2029\ud800-\udfff]").search
_NO_XTEXT = re.compile(rb"[^!-*,-<>-~]").sub  # RFC 3461 section 4: not + and not =
_NO_UTF8_XTEXT = re.compile(r"[^!-*,-<>-\[\]-~]").sub  # RFC 6533 section 3: not \ either


class Outgoing:
    """A message on its way, with what the wire needs to know of it."""

    __slots__ = ("data", "international", "message", "path", "return_path", "tries")

    def __init__(self, message: Message, data: bytes) -> None:
        """`data` is the message's, dot-stuffed."""
        self.message = message
        self.data = data
        self.path = wire_path(message.recipient)  # empty where no SMTP command can carry it
        self.return_path = wire_path(message.return_path)  # empty where there is none
        if message.return_path and not self.return_path:
            raise ValueError("no SMTP command can carry this return path")
        self.international = not self.path.isascii()
        self.tries = 0


def wire_path(address: str) -> bytes:
    """An address as it stands between < and >; empty where it cannot.

    The local part is never touched; a domain beyond ASCII becomes A-labels (UTS 46,
    non-transitional), so only a local part beyond ASCII needs SMTPUTF8.
    """
    if _PLAIN(address) is not None:
        return address.encode()
    local, at, domain = address.rpartition("@")
    if not local or not at or _UNSAFE(address) or len(local.encode()) > 64:
        return b""
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode()
        except idna.IDNAError:
            return b""
    plain = _PLAIN(f"a@{domain}") is not None
    return f"{local}@{domain}".encode() if plain else b""


def original_recipient(path: bytes) -> bytes:
    """A path as the value of ORCPT: `rfc822;` and xtext, or `utf-8;` and its own (RFC 6533)."""
    if path.isascii():
        return b"rfc822;" + _NO_XTEXT(lambda found: b"+%02X" % ord(found[0]), path)
    escaped = _NO_UTF8_XTEXT(lambda found: f"\\x{{{ord(found[0]):02X}}}", path.decode())
    return b"utf-8;" + escaped.encode()
