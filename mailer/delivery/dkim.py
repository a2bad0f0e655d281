"""DKIM signatures (RFC 6376, 8301, 8463): relaxed/relaxed, RSA or Ed25519.

The body is hashed as it is: it is canonical by construction (CRLF only, no trailing white space,
no runs of it, one CRLF at the end), which `is_canonical` checks for tests and preflight.
"""

import base64
import hashlib
import re
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mailer.kit.errors import Misconfigured

OVERSIGNED = (  # listed once more than present, so that none can be added on the way
    *("from", "subject", "date", "message-id", "to", "reply-to", "list-id"),
    *("list-unsubscribe", "list-unsubscribe-post", "feedback-id"),
)
SIGNED = ("mime-version", "content-type", "content-transfer-encoding")  # where present

# RFC 6376 3.4.2 for the whole block at once: a regex per field would cost as much as the hash
_FOLD = re.compile(rb"\r\n(?=[ \t])").sub
_RUN = re.compile(rb"[ \t]+").sub
_SPACE = re.compile(rb"[ \t\r\n]+").sub
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_UNCANONICAL = re.compile(rb"[ \t][ \t\r]|\t|(?<!\r)\n|\r(?!\n)|\r\n\r\n\Z").search


class Signer:
    """Signs for one domain with one key."""

    def __init__(self, selector: str, domain: str, key: str) -> None:
        """`key` is the private key as PEM, unencrypted. Raises Misconfigured, never showing it."""
        self.selector, self.domain = selector.lower(), domain.lower()
        for name, value in (("selector", self.selector), ("domain", self.domain)):
            if not _NAME.fullmatch(value):
                raise Misconfigured(f"DKIM {name}: {value!r} is no name for the DNS")
        self._key = _load(key)
        self.algorithm = "rsa" if isinstance(self._key, RSAPrivateKey) else "ed25519"

    def header(self, headers: bytes, body: bytes) -> bytes:
        """The DKIM-Signature field, CRLF at its end, to stand before `headers`.

        `headers` are whole fields, CRLF after each, without the empty line; `body` is canonical.
        """
        present: dict[bytes, list[bytes]] = {}
        for field in _RUN(b" ", _FOLD(b"", headers)).split(b"\r\n")[:-1]:
            name, _, value = field.partition(b":")
            name = name.rstrip().lower()
            present.setdefault(name, []).append(b"%b:%b\r\n" % (name, value.strip()))
        names = _names(tuple((name, len(values)) for name, values in present.items()))
        digest = base64.b64encode(hashlib.sha256(body).digest())
        unsigned = (
            b"DKIM-Signature: v=1; a=%b-sha256; c=relaxed/relaxed; d=%b;\r\n s=%b;\r\n"
            b" h=%b;\r\n bh=%b;\r\n b="
        ) % (
            *(part.encode() for part in (self.algorithm, self.domain, self.selector)),
            b":\r\n  ".join(b":".join(names[i : i + 4]) for i in range(0, len(names), 4)),
            digest,
        )
        signed = [present[name].pop() for name in names if present.get(name)]  # from the last up
        signed.append(b"dkim-signature:" + _relaxed(unsigned.partition(b":")[2]))
        signature = base64.b64encode(self._sign(b"".join(signed)))
        lines = [signature[i : i + 72] for i in range(0, len(signature), 72)]
        return unsigned + b"\r\n  ".join(lines) + b"\r\n"

    def _sign(self, data: bytes) -> bytes:
        if isinstance(self._key, RSAPrivateKey):
            return self._key.sign(data, PKCS1v15(), SHA256())
        return self._key.sign(hashlib.sha256(data).digest())  # RFC 8463 section 3


def is_canonical(body: bytes) -> bool:
    """Whether hashing the body as it is equals hashing its relaxed form (RFC 6376 3.4.4)."""
    return body.endswith(b"\r\n") and body != b"\r\n" and _UNCANONICAL(body) is None


def _relaxed(value: bytes) -> bytes:
    return _SPACE(b" ", value).strip()


@lru_cache(maxsize=64)
def _names(present: tuple[tuple[bytes, int], ...]) -> list[bytes]:
    """What goes into h=, each name as often as it is listed."""
    counts = dict(present)
    names: list[bytes] = []
    for name in (field.encode() for field in OVERSIGNED):
        names += [name] * (counts.get(name, 0) + 1)
    for name in (field.encode() for field in SIGNED):
        names += [name] * counts.get(name, 0)
    return names


def _load(pem: str) -> RSAPrivateKey | Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem.strip().encode(), password=None)
    except TypeError:
        raise Misconfigured("DKIM key: it is encrypted; give it without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise Misconfigured(
            "DKIM key: no private key in PEM; it begins with -----BEGIN PRIVATE KEY-----"
        ) from None
    if isinstance(key, Ed25519PrivateKey):
        return key
    if not isinstance(key, RSAPrivateKey):
        raise Misconfigured("DKIM key: neither RSA nor Ed25519, and no receiver knows others")
    if not 2048 <= key.key_size <= 4096:
        raise Misconfigured(
            f"DKIM key: RSA of {key.key_size} bits; receivers want 2048 and take 4096 at most"
        )
    return key
