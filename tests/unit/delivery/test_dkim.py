"""What we sign, others can verify, and nobody can change."""

import base64
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial

import dkim
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)

from mailer.delivery.dkim import OVERSIGNED, SIGNED, Signer, canonical
from mailer.delivery.headers import HeaderTemplate
from mailer.kit.errors import Misconfigured
from tests.unit.delivery import verifiers
from tests.unit.delivery.canonical import is_canonical
from tests.unit.delivery.verifiers import Key, record

RSA = generate_rsa(65537, 2048)
ED25519 = Ed25519PrivateKey.generate()
KEYS = pytest.mark.parametrize("key", [RSA, ED25519], ids=["rsa", "ed25519"])
BODY = b"--=_part\r\nContent-Type: text/plain\r\n\r\nHello, =C3=A9.\r\n--=_part--\r\n"
PUBLISHED = {
    "s1._domainkey.dibao.example": record(RSA),
    "s2._domainkey.dibao.example": record(ED25519),
}


def pem(key: object, form: PrivateFormat = PrivateFormat.PKCS8, password: bytes = b"") -> str:
    hidden = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, hidden).decode()  # type: ignore[attr-defined,no-any-return]


def verifies(message: bytes, key: Key) -> bool:
    """As dkimpy sees it, with the key's DNS record at hand."""
    (verdict,) = verifiers.dkimpy([message], {"s1._domainkey.dibao.example": record(key)})
    assert verdict.keys() == {"s1"}
    return verdict["s1"]


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


def signed(key: Key, headers: bytes = b"", body: bytes = BODY) -> bytes:
    headers = headers or head()
    signature = Signer("s1", "dibao.example", pem(key)).header(headers, body)
    return signature + headers + b"\r\n" + body


@KEYS
def test_dkimpy_verifies_what_we_sign(key: Key) -> None:
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
def test_a_change_breaks_the_signature(key: Key, what: bytes, other: bytes) -> None:
    message = signed(key)
    assert what in message

    assert not verifies(message.replace(what, other), key)


@KEYS
@pytest.mark.parametrize("name", OVERSIGNED)
def test_no_second_field_can_be_added(key: Key, name: str) -> None:
    signature, _, rest = signed(key).partition(b"\r\nFrom:")
    added = signature + b"\r\n" + name.encode() + b": eve@example.org\r\nFrom:" + rest

    assert not verifies(added, key)


@KEYS
def test_refolding_on_the_way_does_no_harm(key: Key) -> None:
    message = signed(key)
    for old, new in ((b"MIME-Version: 1.0", b"mime-version:   1.0"), (b";\r\n ", b"; \r\n\t  ")):
        message = message.replace(old, new)

    assert verifies(message, key)


@KEYS
def test_the_signature_is_a_sound_header(key: Key) -> None:
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


def both(headers: bytes = b"", body: bytes = BODY) -> bytes:
    headers = headers or head()
    signer = Signer("s1 s2", "dibao.example", pem(RSA) + "\n" + pem(ED25519))
    return signer.header(headers, body) + headers + b"\r\n" + body


@pytest.mark.parametrize("verify", [verifiers.dkimpy, verifiers.mailauth])
def test_with_several_keys_each_signs(verify: verifiers.Verifier) -> None:
    assert verify([both()], PUBLISHED) == [{"s1": True, "s2": True}]


def test_each_of_several_keys_signs_what_it_would_alone() -> None:
    headers = head()
    one = Signer("s1", "dibao.example", pem(RSA)).header(headers, BODY)
    two = Signer("s2", "dibao.example", pem(ED25519)).header(headers, BODY)

    assert both(headers).startswith(one + two + b"From:")


def test_a_third_verifier_takes_the_rsa_signature() -> None:
    (verdict,) = verifiers.mail_dkim([both()], PUBLISHED)

    assert verdict["s1"] is True


def test_during_a_change_of_keys_old_and_new_both_count() -> None:
    """Publish the new record, sign with both, drop the old key, drop the old record."""
    new = generate_rsa(65537, 2048)
    records = {**PUBLISHED, "s9._domainkey.dibao.example": record(new)}
    signers = [
        Signer("s1", "dibao.example", pem(RSA)),
        Signer("s1 s9", "dibao.example", pem(RSA) + pem(new)),
        Signer("s9", "dibao.example", pem(new)),
    ]
    messages = [s.header(head(), BODY) + head() + b"\r\n" + BODY for s in signers]

    verdicts = verifiers.dkimpy(messages, records)
    assert verdicts == [{"s1": True}, {"s1": True, "s9": True}, {"s9": True}]


def test_heads_of_another_form_are_signed_as_what_they_are() -> None:
    signer = Signer("s1", "dibao.example", pem(RSA))
    heads = [
        head(),
        b"From: a@dibao.example\r\nSubject: a\r\n",
        b"From: a@dibao.example\r\nSubject: a\r\nX-One: b\r\nsubject:\tb  c\r\n\td \r\n",
        head(),
    ]
    messages = [signer.header(h, BODY) + h + b"\r\n" + BODY for h in heads]

    assert verifiers.dkimpy(messages, PUBLISHED) == [{"s1": True}] * 4


def test_threads_may_sign_at_once() -> None:
    signer = Signer("s1 s2", "dibao.example", pem(RSA) + pem(ED25519))
    subjects = [f"Number {number}" for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        fields = list(pool.map(lambda s: signer.header(head(s), BODY), subjects))

    assert fields == [signer.header(head(s), BODY) for s in subjects]


@pytest.mark.parametrize(
    ("selectors", "keys", "why"),
    [
        ("s1 s2", pem(RSA), "1 keys for the selectors s1 s2"),
        ("s1", pem(RSA) + pem(ED25519), "2 keys for the selectors s1"),
        ("s1 s1", pem(RSA) + pem(ED25519), "a selector of its own"),
    ],
)
def test_each_key_has_a_selector_of_its_own(selectors: str, keys: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        Signer(selectors, "dibao.example", keys)


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
    ("selector", "domain"), [("s_1", "x.org"), ("s1", "x;.org"), ("", "x.org")]
)
def test_names_have_to_fit_the_dns(selector: str, domain: str) -> None:
    with pytest.raises(Misconfigured, match="DNS"):
        Signer(selector, domain, pem(ED25519))


@pytest.mark.parametrize(
    ("body", "sound"),
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
def test_a_canonical_body_can_be_told(body: bytes, *, sound: bool) -> None:
    assert is_canonical(body) is sound
    assert (dkim.canonicalization.Relaxed.canonicalize_body(body) == body) >= sound


def test_fields_are_made_canonical_as_rfc_6376_shows() -> None:
    """The example of section 3.4.5."""
    names, fields = canonical(b"A: X\r\nB : Y\t\r\n\tZ  \r\n")

    assert names == (b"a", b"b")
    assert fields == [b"a:X\r\n", b"b:Y Z\r\n"]


VECTOR = """\
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>
"""
VECTOR_BODY = "Hi.\n\nWe lost the game. Are you hungry yet?\n\nJoe.\n"
VECTOR_SIGNATURES = {  # RFC 8463 appendix A.3
    "brisbane": """\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
""",
    "test": """\
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
""",
}
VECTOR_KEYS = {  # the same appendix, A.2
    "brisbane": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "test": (
        "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi"
        "Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZy"
        "VYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
    ),
}


def wire(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


@pytest.mark.parametrize("selector", VECTOR_SIGNATURES)
def test_what_rfc_8463_signed_is_what_we_would_have_signed(selector: str) -> None:
    """Its published signatures verify over the fields as `canonical` gives them."""
    field = VECTOR_SIGNATURES[selector]
    unsigned, _, signature = field.partition(" b=")
    _, fields = canonical(wire(VECTOR))
    _, (last,) = canonical(wire(f"{unsigned} b=\n"))
    sender, to, subject, date, number = fields
    data = b"".join((sender, to, subject, date, number)) + last.removesuffix(b"\r\n")
    raw = base64.b64decode("".join(signature.split()))

    for signed, right in ((data, True), (data.replace(b"dinner", b"supper"), False)):
        if selector == "test":
            key = load_der_public_key(base64.b64decode(VECTOR_KEYS[selector]))
            assert isinstance(key, RSAPublicKey)
            check = partial(key.verify, raw, signed, PKCS1v15(), SHA256())
        else:
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(VECTOR_KEYS[selector]))
            check = partial(public.verify, raw, hashlib.sha256(signed).digest())
        with nullcontext() if right else pytest.raises(InvalidSignature):
            check()


ALL = pytest.mark.parametrize("verify", [verifiers.dkimpy, verifiers.mailauth, verifiers.mail_dkim])


@ALL
def test_our_verifiers_know_the_vectors(verify: verifiers.Verifier) -> None:
    message = "".join(VECTOR_SIGNATURES.values()) + VECTOR + "\n" + VECTOR_BODY
    records = {
        f"{selector}._domainkey.football.example.com": f"v=DKIM1; k={kind}; p={key}"
        for (selector, key), kind in zip(VECTOR_KEYS.items(), ("ed25519", "rsa"), strict=True)
    }
    (verdict,) = verify([wire(message)], records)

    knows_ed25519 = verify is not verifiers.mail_dkim
    assert verdict["test"] is True
    assert verdict.get("brisbane", False) is knows_ed25519


@ALL
def test_our_verifiers_know_the_example_of_rfc_6376(verify: verifiers.Verifier) -> None:
    """Appendix A.2, simple/simple, which we never write."""
    records = {"brisbane._domainkey.example.com": f"v=DKIM1; p={OLDER_KEY}"}
    received = """\
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
"""
    message = wire(OLDER_SIGNATURE + received + VECTOR + "\n" + VECTOR_BODY)

    assert verify([message], records) == [{"brisbane": True}]
    assert verify([message.replace(b"dinner", b"supper")], records) == [{"brisbane": False}]


OLDER_KEY = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFC"
    "jxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9"
    "tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"
)
OLDER_SIGNATURE = """\
DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
        4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
        KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
        4bmp/YzhwvcubU4=;
"""


@KEYS
@pytest.mark.parametrize("name", [*OVERSIGNED, *SIGNED])
def test_each_field_is_covered(key: Key, name: str) -> None:
    """Take it away, or change its last letter."""
    headers = b"Content-Transfer-Encoding: 7bit\r\nReply-To: <desk@dibao.example>\r\n" + head()
    message = signed(key, headers)
    field = re.search(rb"(?ims)^" + name.encode() + rb":.*?(?=\r\n[^ \t])", message)
    assert field is not None
    assert verifies(message, key)

    without = message[: field.start()] + message[field.end() + 2 :]
    assert not verifies(without, key)
    last = field.end() - 1
    changed = message[:last] + bytes([message[last] ^ 1]) + message[last + 1 :]
    assert not verifies(changed, key)
