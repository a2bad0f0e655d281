"""What we sign, others can verify, and nobody can change."""

import base64
import re
from datetime import UTC, datetime

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from mailer.delivery.dkim import OVERSIGNED, Signer, is_canonical
from mailer.delivery.headers import HeaderTemplate
from mailer.kit.errors import Misconfigured

RSA = generate_rsa(65537, 2048)
ED25519 = Ed25519PrivateKey.generate()
KEYS = pytest.mark.parametrize("key", [RSA, ED25519], ids=["rsa", "ed25519"])
BODY = b"--=_part\r\nContent-Type: text/plain\r\n\r\nHello, =C3=A9.\r\n--=_part--\r\n"

Key = RSAPrivateKey | Ed25519PrivateKey


def pem(key: object, form: PrivateFormat = PrivateFormat.PKCS8, password: bytes = b"") -> str:
    hidden = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, hidden).decode()  # type: ignore[attr-defined,no-any-return]


def record(key: "Key") -> bytes:
    if isinstance(key, Ed25519PrivateKey):
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw)
    raw = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(raw)


def verifies(message: bytes, key: "Key") -> bool:
    """As dkimpy sees it, with the key's DNS record at hand."""
    asked = []

    def lookup(name: bytes, timeout: int = 5) -> bytes:  # noqa: ARG001  # dkimpy's
        asked.append(name)
        return record(key)

    verified = dkim.verify(message, dnsfunc=lookup, minkey=1024)
    assert asked in ([], [b"s1._domainkey.dibao.example."])
    return bool(verified)


def head(subject: str = "Grüße " * 30) -> bytes:
    template = HeaderTemplate(
        campaign=7,
        from_address="news@dibao.example",
        from_name="邸报 The Digital Gazette",
        content_type='multipart/alternative; boundary="=_part"',
        public_url="https://news.dibao.example",
        key=b"k",
        mailto_domain="bounce.dibao.example",
    )
    return template.head(
        subscriber=42,
        recipient="ada@example.org",
        subject=subject,
        token="cewcaaaabyaaaaaavabcdefg",  # noqa: S106  # public: it stands in every link
        date=datetime(2026, 3, 1, tzinfo=UTC),
    )


def signed(key: "Key", headers: bytes = b"", body: bytes = BODY) -> bytes:
    headers = headers or head()
    signature = Signer("s1", "dibao.example", pem(key)).header(headers, body)
    return signature + headers + b"\r\n" + body


@KEYS
def test_dkimpy_verifies_what_we_sign(key: "Key") -> None:
    assert verifies(signed(key), key)
    assert verifies(signed(key, body=b"x" * 70 + b"\r\n"), key)


@KEYS
@pytest.mark.parametrize(
    ("what", "other"),
    [
        (b"From: ", b"From: Eve "),
        (b"Hello", b"Hullo"),
        (b"/u/cewc", b"/u/evil"),
        (b"One-Click", b"Two-Click"),
        (b"c7:", b"c8:"),
    ],
)
def test_a_change_breaks_the_signature(key: "Key", what: bytes, other: bytes) -> None:
    message = signed(key)
    assert what in message

    assert not verifies(message.replace(what, other), key)


@KEYS
@pytest.mark.parametrize("name", OVERSIGNED)
def test_no_second_field_can_be_added(key: "Key", name: str) -> None:
    signature, _, rest = signed(key).partition(b"\r\nFrom:")
    added = signature + b"\r\n" + name.encode() + b": eve@example.org\r\nFrom:" + rest

    assert not verifies(added, key)


@KEYS
def test_refolding_on_the_way_does_no_harm(key: "Key") -> None:
    message = signed(key)
    for old, new in ((b"MIME-Version: 1.0", b"mime-version:   1.0"), (b";\r\n ", b"; \r\n\t  ")):
        message = message.replace(old, new)

    assert verifies(message, key)


@KEYS
def test_the_signature_is_a_sound_header(key: "Key") -> None:
    field = Signer("s1", "Dibao.Example", pem(key)).header(head(), BODY)
    algorithm = b"rsa" if isinstance(key, RSAPrivateKey) else b"ed25519"

    assert field.startswith(b"DKIM-Signature: v=1; a=" + algorithm + b"-sha256; c=relaxed/relaxed;")
    assert b"d=dibao.example;" in field
    assert max(map(len, field.split(b"\r\n"))) <= 90
    names = re.sub(rb"\s", b"", field).split(b"h=")[1].split(b";")[0].split(b":")
    for name in OVERSIGNED:
        present = len(re.findall(rb"(?im)^" + name.encode() + rb":", head()))
        assert names.count(name.encode()) == present + 1
    assert b"return-path" not in names


def test_both_signatures_may_stand_on_one_message() -> None:
    headers = head()
    one = Signer("s1", "dibao.example", pem(RSA)).header(headers, BODY)
    two = Signer("s1", "dibao.example", pem(ED25519)).header(headers, BODY)

    assert verifies(one + two + headers + b"\r\n" + BODY, RSA)
    assert verifies(two + one + headers + b"\r\n" + BODY, ED25519)


def test_the_traditional_form_of_an_rsa_key_will_do() -> None:
    Signer("s1", "dibao.example", pem(RSA, PrivateFormat.TraditionalOpenSSL))


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "no private key in PEM"),
        ("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----", "no private key"),
        (pem(RSA, password=b"hush"), "encrypted"),
        (pem(generate_rsa(65537, 1024)), "1024 bits"),  # noqa: S505  # to be refused
        (pem(generate_private_key(SECP256R1())), "neither RSA nor Ed25519"),
    ],
    ids=["empty", "broken", "encrypted", "short", "elliptic"],
)
def test_a_key_that_cannot_sign_is_explained_but_not_shown(key: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why) as refused:
        Signer("s1", "dibao.example", key)
    assert "c2VjcmV0" not in str(refused.value)


@pytest.mark.parametrize(
    ("selector", "domain"), [("s 1", "x.org"), ("s1", "x;.org"), ("", "x.org")]
)
def test_names_have_to_fit_the_dns(selector: str, domain: str) -> None:
    with pytest.raises(Misconfigured, match="DNS"):
        Signer(selector, domain, pem(ED25519))


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (BODY, True),
        (b"a b\r\n\r\nc\r\n", True),
        (b"a  b\r\n", False),
        (b"a \r\n", False),
        (b"a\tb\r\n", False),
        (b"a\nb\r\n", False),
        (b"a\r\n\r\n", False),
        (b"a", False),
    ],
)
def test_a_canonical_body_can_be_told(body: bytes, *, canonical: bool) -> None:
    assert is_canonical(body) is canonical
    assert (dkim.canonicalization.Relaxed.canonicalize_body(body) == body) >= canonical
