"""The commands of one message as one relay takes them, by what it offers and what we want of it.

RFC 5321, 1870 (SIZE), 2920 (PIPELINING), 3030 (CHUNKING), 3461 (DSN), 6531 (SMTPUTF8).
"""

from typing import Literal

from mailer.delivery.envelope import Outgoing, original_recipient
from mailer.delivery.relay import Reply
from mailer.delivery.return_path import token_of

Features = dict[bytes, bytes]  # EHLO keyword -> its parameters, upper case
Notify = Literal["none", "never", "failure"]  # which notifications to ask for; none: ask nothing

_BLOCK = 65536  # bytes; of a longer body only what is left leaves with its end


class Dialect:
    """How to talk to one relay; made once per connection."""

    def __init__(
        self, features: Features, *, notify: Notify = "none", chunking: bool = False
    ) -> None:
        """`features` is what it offers; `notify` and `chunking` hold where it offers them."""
        self.pipelining = b"PIPELINING" in features
        self.chunking = chunking and b"CHUNKING" in features
        self._sized = b"SIZE" in features
        limit = features.get(b"SIZE", b"")
        self._limit = int(limit) if limit.isdigit() else 0
        self._international = {b"SMTPUTF8", b"8BITMIME"} <= features.keys()
        self._notify: Notify = notify if b"DSN" in features else "none"
        self._data = b"" if self.chunking else b"DATA\r\n"

    def unfit(self, outgoing: Outgoing) -> Reply | None:
        """Why this message cannot even be offered to this relay; None where it can.

        None of these is a fault of the address as a mailbox, and the codes say so.
        """
        if not outgoing.path:
            return Reply(553, "5.1.3", "local: no SMTP command can carry this address", "rcpt")
        if outgoing.international and not self._international:
            return Reply(553, "5.6.7", "local: the relay takes no addresses beyond ASCII", "rcpt")
        if 0 < self._limit < len(outgoing.message.data):
            said = f"local: the relay takes at most {self._limit} bytes"
            return Reply(552, "5.3.4", said, "data")
        return None

    def mail(self, outgoing: Outgoing) -> bytes:
        """The MAIL command."""
        options = b" SIZE=%d" % len(outgoing.message.data) if self._sized else b""
        if outgoing.international:
            options += b" BODY=8BITMIME SMTPUTF8"
        if self._notify == "failure":
            token = token_of(outgoing.message.return_path)
            options += b" RET=HDRS" + (b" ENVID=" + token.encode() if token else b"")
        return b"MAIL FROM:<%b>%b\r\n" % (outgoing.return_path, options)

    def rcpt(self, outgoing: Outgoing) -> bytes:
        """The RCPT command."""
        if self._notify == "none":
            return b"RCPT TO:<%b>\r\n" % outgoing.path
        if self._notify == "never":
            return b"RCPT TO:<%b> NOTIFY=NEVER\r\n" % outgoing.path
        original = original_recipient(outgoing.path)
        return b"RCPT TO:<%b> NOTIFY=FAILURE ORCPT=%b\r\n" % (outgoing.path, original)

    def opening(self, outgoing: Outgoing) -> bytes:
        """All that may leave before the first answer: of a pipelining relay the whole envelope."""
        if not self.pipelining:
            return self.mail(outgoing)
        return self.mail(outgoing) + self.rcpt(outgoing) + self._data

    def ahead(self, outgoing: Outgoing) -> bytes:
        """What of the body leaves before its end does; empty for a short one. Ends nothing."""
        if not self.chunking:
            return outgoing.data if len(outgoing.data) > _BLOCK else b""
        data = outgoing.message.data
        return b"BDAT %d\r\n%b" % (len(data) - _BLOCK, data[:-_BLOCK]) if data[_BLOCK:] else b""

    def end(self, outgoing: Outgoing, following: Outgoing | None) -> bytes:
        """What hands the message over: the rest of the body, its end, the next one's opening."""
        opening = b"" if following is None else self.opening(following)
        if self.chunking:
            rest = outgoing.message.data[-_BLOCK:]
            if following is not None:  # a chunk refused leaves the relay in no known state
                opening = b"RSET\r\n" + opening
            return b"".join((b"BDAT %d LAST\r\n" % len(rest), rest, opening))
        rest = outgoing.data if len(outgoing.data) <= _BLOCK else b""
        return b"".join((rest, b".\r\n", opening))  # in one copy
