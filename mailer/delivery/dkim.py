"""DKIM signatures (RFC 6376, 8301, 8463): relaxed/relaxed, RSA and Ed25519, several keys at once.

The body is hashed as it is, since bodies are made canonical: CRLF only, no trailing white space, no
runs of it, one CRLF at the end. What depends only on which fields a head has is made once for all
heads that have the same.

A key is changed without a gap: publish the new one's record, add its selector and PEM behind the
old ones (both sign), and take the old ones out once nobody asks for their record any more.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

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

_FORMS = 64  # kept: one per combination of fields
_RUN = re.compile(rb"[ \t]+").sub
_SPACE = re.compile(rb"[ \t\r\n]+").sub
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_PEM = re.compile(r"-----BEGIN [^-]+-----.*?-----END [^-]+-----", re.DOTALL)
_HASH = b"#"  # where the body's hash goes; no tag of ours holds one

_Key = RSAPrivateKey | Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class _Field:
    """A DKIM-Signature with one key for heads of one form, but for hash and signature."""

    key: _Key
    written: tuple[bytes, bytes]  # before and behind the body's hash, as it leaves
    canonical: tuple[bytes, bytes]  # the same, as it is signed


@dataclass(frozen=True, slots=True)
class _Form:
    """What all heads with the same fields in the same order have in common."""

    order: tuple[int, ...]  # places of the fields signed, as h= lists them
    fields: tuple[_Field, ...]


class Signer:
    """Signs for one domain, with every key it is given. For any number of threads."""

    def __init__(self, selectors: str, domain: str, keys: str) -> None:
        """`selectors` are parted by spaces; `keys` are as many private keys in that order.

        PEM, unencrypted. Raises Misconfigured for what cannot sign, never showing a key.
        """
        self.selectors, self.domain = tuple(selectors.lower().split()), domain.lower()
        for what, value in (
            *(("selector", selector) for selector in self.selectors or ("",)),
            ("domain", self.domain),
        ):
            if not _NAME.fullmatch(value):
                raise Misconfigured(f"DKIM {what}: {value!r} is no name for the DNS")
        blocks = _PEM.findall(keys) or [keys]
        if len({*self.selectors}) != len(blocks) or len(self.selectors) != len(blocks):
            raise Misconfigured(
                f"DKIM: {len(blocks)} keys for the selectors {' '.join(self.selectors)}; "
                "each key needs a selector of its own, in the same order"
            )
        self._keys = tuple(_load(block) for block in blocks)
        self._forms: dict[tuple[bytes, ...], _Form] = {}

    def header(self, headers: bytes, body: bytes) -> bytes:
        """The DKIM-Signature fields, CRLF at the end of each, to stand before `headers`.

        `headers` are whole fields, CRLF after each, without the empty line; `body` is canonical.
        Signing and hashing hold no lock of the interpreter: threads pay where cores are idle.
        """
        names, fields = canonical(headers)
        form = self._forms.get(names) or self._form(names)
        digest = base64.b64encode(hashlib.sha256(body).digest())
        signed = b"".join([fields[place] for place in form.order])
        return b"".join([_signature(field, signed, digest) for field in form.fields])

    def _form(self, names: tuple[bytes, ...]) -> _Form:
        listed: list[bytes] = []
        places: list[int] = []
        for name in (field.encode() for field in (*OVERSIGNED, *SIGNED)):
            found = [place for place, other in enumerate(names) if other == name]
            places += reversed(found)  # of several the last counts first (5.4.2)
            listed += [name] * (len(found) + (name.decode() in OVERSIGNED))
        pairs = zip(self.selectors, self._keys, strict=True)
        fields = tuple(self._field(selector, key, listed) for selector, key in pairs)
        if len(self._forms) >= _FORMS:
            self._forms.clear()
        form = self._forms[names] = _Form(tuple(places), fields)
        return form

    def _field(self, selector: str, key: _Key, listed: Sequence[bytes]) -> _Field:
        algorithm = b"rsa" if isinstance(key, RSAPrivateKey) else b"ed25519"
        written = (
            b"DKIM-Signature: v=1; a=%b-sha256; c=relaxed/relaxed; d=%b;\r\n s=%b;\r\n"
            b" h=%b;\r\n bh=%b;\r\n b="
        ) % (
            algorithm,
            self.domain.encode(),
            selector.encode(),
            b":\r\n  ".join(b":".join(listed[i : i + 4]) for i in range(0, len(listed), 4)),
            _HASH,
        )
        relaxed = b"dkim-signature:" + _SPACE(b" ", written.partition(b":")[2]).strip()
        return _Field(key, _halves(written), _halves(relaxed))


def canonical(headers: bytes) -> tuple[tuple[bytes, ...], list[bytes]]:
    """The names of the fields, and each as RFC 6376 3.4.2 has it signed, CRLF at its end."""
    unfolded = headers.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    if b"  " in unfolded or b"\t" in unfolded:
        unfolded = _RUN(b" ", unfolded)
    names, fields = [], []
    for field in unfolded.split(b"\r\n")[:-1]:
        name, _, value = field.partition(b":")
        name = name.rstrip().lower()
        names.append(name)
        fields.append(b"%b:%b\r\n" % (name, value.strip()))
    return tuple(names), fields


def _signature(field: _Field, signed: bytes, digest: bytes) -> bytes:
    before, behind = field.canonical
    data = b"%b%b%b%b" % (signed, before, digest, behind)
    if isinstance(field.key, RSAPrivateKey):
        raw = field.key.sign(data, PKCS1v15(), SHA256())
    else:
        raw = field.key.sign(hashlib.sha256(data).digest())  # RFC 8463 section 3
    text = base64.b64encode(raw)
    lines = b"\r\n  ".join([text[i : i + 72] for i in range(0, len(text), 72)])
    before, behind = field.written
    return b"%b%b%b%b\r\n" % (before, digest, behind, lines)


def _halves(template: bytes) -> tuple[bytes, bytes]:
    before, _, behind = template.partition(_HASH)
    return before, behind


def _load(pem: str) -> _Key:
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
