"""A message's envelope as the wire needs it: paths, parameters, and what no wire can carry.

RFC 5321 (paths, limits), RFC 1870 (SIZE), RFC 6531 (SMTPUTF8), RFC 5891 (A-labels).
"""

import re

import idna

from mailer.delivery.relay import Message, Reply

Features = dict[bytes, bytes]  # EHLO keyword -> its parameters, upper case

_PLAIN = re.compile(r"[\w!#$%&'*+/=?^`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,253}", re.ASCII).fullmatch
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0<>\u2028\u2029\ud800-\udfff]").search


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


def mail(outgoing: Outgoing, features: Features) -> bytes:
    """The MAIL command, with the parameters the relay understands."""
    options = b" SIZE=%d" % len(outgoing.data) if b"SIZE" in features else b""
    if outgoing.international:
        options += b" BODY=8BITMIME SMTPUTF8"
    return b"MAIL FROM:<%b>%b\r\n" % (outgoing.return_path, options)


def rcpt(outgoing: Outgoing) -> bytes:
    """The RCPT command."""
    return b"RCPT TO:<%b>\r\n" % outgoing.path


def unfit(outgoing: Outgoing, features: Features) -> Reply | None:
    """Why this message cannot even be offered to this relay; None where it can.

    None of these is a fault of the address as a mailbox, and the codes say so.
    """
    if not outgoing.path:
        return Reply(553, "5.1.3", "local: no SMTP command can carry this address", "rcpt")
    if outgoing.international and not {b"SMTPUTF8", b"8BITMIME"} <= features.keys():
        return Reply(553, "5.6.7", "local: the relay takes no addresses beyond ASCII", "rcpt")
    limit = features.get(b"SIZE", b"")
    if limit.isdigit() and 0 < int(limit) < len(outgoing.data):
        return Reply(552, "5.3.4", f"local: the relay takes at most {int(limit)} bytes", "data")
    return None
