"""Signed ids that travel in links and return paths: 24 characters, safe in any case.

A token is base32 (RFC 4648, lower case, no padding) of 15 bytes:

    1 byte    purpose (high 4 bits), key number (low 4 bits)
    3 bytes   campaign id, 0 where the token belongs to none
    4 bytes   subscriber id
    7 bytes   HMAC-SHA256 of the eight bytes before, cut to 56 bits

Cut to 56 bits a forgery takes some 2**55 requests to the service: out of reach for whoever has to
ask us each time. 24 characters keep a digest of many links under Gmail's clipping size and fit a
VERP local part (64 octets), and relays that lower-case addresses do no harm.
"""

import base64
import binascii
import hmac
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256

LENGTH = 24
_MAC = 7
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _LETTERS for second in _LETTERS]
_BLOCK = 64  # bytes of a block of SHA-256
_MAX_CAMPAIGN = 2**24 - 1
_MAX_SUBSCRIBER = 2**32 - 1


class Purpose(IntEnum):
    """What a token may be used for; part of what is signed, so none serves as another."""

    DELIVERY = 1  # one recipient of one campaign: click, open, unsubscribe, view, return path
    CONFIRM = 2  # one subscriber's double opt-in; in place of the campaign stands the notice
    NOTICE = 3  # the return path of one of our notices
    FORM = 4  # one sign-up form: a random number and the second it was made in


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom a token speaks of."""

    campaign: int
    subscriber: int


@dataclass(frozen=True, slots=True)
class Keyring:
    """The signing keys: the first signs, all verify, so that rotation breaks no old link."""

    keys: tuple[bytes, ...]  # at most 16, newest first; a key's number is its place from the end

    @classmethod
    def of(cls, *secrets: str) -> "Keyring":
        """Derive one key per secret, newest first. Raises ValueError without any or past 16."""
        if not 1 <= len(secrets) <= 16:
            raise ValueError("between 1 and 16 secrets")
        return cls(tuple(hmac.digest(s.encode(), b"dibao token key", "sha256") for s in secrets))

    def sign(self, purpose: Purpose, campaign: int, subscriber: int) -> str:
        """The token of one subscriber (in one campaign). Raises ValueError for ids out of range."""
        if not (0 <= campaign <= _MAX_CAMPAIGN and 0 < subscriber <= _MAX_SUBSCRIBER):
            raise ValueError(f"no token for campaign {campaign}, subscriber {subscriber}")
        number = len(self.keys) - 1
        head = (
            bytes([purpose << 4 | number])
            + campaign.to_bytes(3, "big")
            + subscriber.to_bytes(4, "big")
        )
        return _base32(head + mac(self.keys[0], head)[:_MAC])

    def verify(self, purpose: Purpose, token: str) -> Bearer | None:
        """Whom the token speaks of, or None where we did not make it for this purpose."""
        if len(token) != LENGTH or not token.isascii():
            return None
        try:
            raw = base64.b32decode(token.upper())
        except (binascii.Error, ValueError):
            return None
        head, code = raw[:-_MAC], raw[-_MAC:]
        index = len(self.keys) - 1 - (head[0] & 15)
        if index < 0:
            return None
        expected = hmac.digest(self.keys[index], head, "sha256")[:_MAC]
        if not hmac.compare_digest(code, expected) or head[0] >> 4 != purpose:
            return None
        return Bearer(int.from_bytes(head[1:4], "big"), int.from_bytes(head[4:8], "big"))


def mac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) of a short message: what `hmac.digest` gives.

    That one lets go of the interpreter's lock around a microsecond of work, and whoever makes
    thousands of messages a second beside another thread then waits for the lock each time.
    """
    inner, outer = _pads(key)
    return sha256(outer + sha256(inner + message).digest()).digest()


@lru_cache(maxsize=64)
def _pads(key: bytes) -> tuple[bytes, bytes]:
    block = (key if len(key) <= _BLOCK else sha256(key).digest()).ljust(_BLOCK, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


def _base32(raw: bytes) -> str:
    """RFC 4648, lower case, of a multiple of five bytes; ten bits at a time."""
    number, pairs = int.from_bytes(raw, "big"), _PAIRS
    return "".join([pairs[number >> at & 1023] for at in range(len(raw) * 8 - 10, -1, -10)])
