"""TLS and AUTH, or nothing: a relay gets no letter and no password over less than was asked for."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mailer.delivery.engine import relay_from_url
from mailer.delivery.handshake import UPGRADE, Login, Setback, handshake
from mailer.delivery.relay import Ending, Message, RelayDown, Reply
from mailer.delivery.smtp import Timeouts
from tests.fakes.smtp import ScriptedSink, by_recipient

MESSAGE = Message(7, 1, 1, 1, 1, "ada@example.org", "b@example.com", b"Subject: x\r\n\r\ny\r\n")
LOGIN = "ada:s3cret%20word@"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, with its key."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sink")])
    start = datetime.now(UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "sink.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return file


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def sent(
    sink: ScriptedSink, scheme: str, login: str = "", query: str = "", **options: Any
) -> Ending:
    given: dict[str, Any] = {"connections": 1, "timeouts": Timeouts(connect=5, reply=2, dot=2)}
    way = relay_from_url(f"{scheme}://{login}127.0.0.1:{sink.port}{query}", **(given | options))
    try:
        ((_, ending),) = way.send([MESSAGE])
        return ending
    finally:
        way.close()


def verbs(sink: ScriptedSink) -> list[str]:
    return [command.split(" ")[0].split(":")[0] for command in sink.commands]


def test_starttls_then_everything_again(tls: ssl.SSLContext, certificate: Path) -> None:
    with ScriptedSink(tls=tls) as sink:
        ending = sent(sink, "smtp+starttls", query=f"?ca={certificate}")

    assert isinstance(ending, Reply)
    assert verbs(sink) == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


def test_tls_from_the_first_byte(tls: ssl.SSLContext, certificate: Path) -> None:
    with ScriptedSink(immediate_tls=tls) as sink:
        ending = sent(sink, "smtps", query=f"?ca={certificate}")

    assert isinstance(ending, Reply)


def test_a_long_body_over_tls(tls: ssl.SSLContext, certificate: Path) -> None:
    body = b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 20_000
    message = Message(7, 1, 1, 1, 1, "ada@example.org", "b@example.com", body)
    with ScriptedSink(tls=tls) as sink:
        way = relay_from_url(f"smtp+starttls://127.0.0.1:{sink.port}?ca={certificate}")
        ((_, ending),) = way.send([message])
        way.close()

    assert isinstance(ending, Reply)
    assert sink.received[0].data == body


def test_plain_text_behind_starttls_is_thrown_away(tls: ssl.SSLContext, certificate: Path) -> None:
    """CVE-2011-0411: what came before the handshake must not be taken for the TLS server's."""
    evil = b"250-evil\r\n250 SIZE 1\r\n250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 swallowed\r\n"
    with ScriptedSink(tls=tls, injected=evil) as sink:
        try:
            ending: Ending | None = sent(sink, "smtp+starttls", query=f"?ca={certificate}")
        except RelayDown:  # where the bytes reach the TLS layer, which will not have them
            ending = None

    assert ending is None or ending == Reply(250, "2.0.0", "Ok: queued as 4XYZ")
    assert len(sink.received) == (ending is not None)


def test_no_starttls_no_letter() -> None:
    with ScriptedSink() as sink, pytest.raises(RelayDown, match="STARTTLS"):
        sent(sink, "smtp+starttls", LOGIN)

    assert verbs(sink) == ["EHLO"]


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_an_unknown_certificate_is_refused(tls: ssl.SSLContext, scheme: str) -> None:
    options: dict[str, Any] = {"immediate_tls": tls} if scheme == "smtps" else {"tls": tls}
    with ScriptedSink(**options) as sink, pytest.raises(RelayDown, match="TLS"):
        sent(sink, scheme, LOGIN)

    assert "AUTH" not in verbs(sink)
    assert not sink.received


def test_a_certificate_of_another_name_is_refused(tls: ssl.SSLContext, certificate: Path) -> None:
    with ScriptedSink(immediate_tls=tls) as sink:
        way = relay_from_url(f"smtps://localhost:{sink.port}?ca={certificate}")
        with pytest.raises(RelayDown, match="TLS"):
            list(way.send([MESSAGE]))
        way.close()


@pytest.mark.parametrize("ways", ["AUTH PLAIN LOGIN", "AUTH LOGIN", "AUTH CRAM-MD5 PLAIN"])
def test_we_say_who_we_are_once_it_is_safe(
    ways: str, tls: ssl.SSLContext, certificate: Path
) -> None:
    with ScriptedSink(tls=tls, offers=("PIPELINING", ways)) as sink:
        ending = sent(sink, "smtp+starttls", LOGIN, f"?ca={certificate}")

    assert isinstance(ending, Reply)
    assert verbs(sink)[:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]


def test_a_wrong_password_is_the_relays_word_to_all_of_us_and_never_shown() -> None:
    with (
        ScriptedSink(offers=("AUTH PLAIN",)) as sink,
        pytest.raises(RelayDown, match=r"535 5\.7\.8") as down,
    ):
        sent(sink, "smtp", "eve:guess@", connections=5)

    assert "guess" not in str(down.value)
    assert not sink.received


def test_what_the_relay_repeats_of_our_login_is_cut_out() -> None:
    script = by_recipient(auth={"1": "535 5.7.8 ada with s3cret word is wrong"})
    with (
        ScriptedSink(offers=("AUTH LOGIN",), script=script) as sink,
        pytest.raises(RelayDown) as down,
    ):
        sent(sink, "smtp", LOGIN)

    assert "s3cret" not in str(down.value)
    assert "ada" not in str(down.value)


@pytest.mark.parametrize("offers", [("AUTH CRAM-MD5",), ()])
def test_no_known_way_to_log_in(offers: tuple[str, ...]) -> None:
    with ScriptedSink(offers=offers) as sink, pytest.raises(RelayDown, match="neither"):
        sent(sink, "smtp", LOGIN)


def test_a_login_does_not_show_its_password() -> None:
    assert "s3cret" not in repr(Login("ada", "s3cret word"))


@pytest.mark.parametrize("code", [421, 454, 554])
def test_every_other_answer_than_expected_is_a_setback(code: int) -> None:
    for answers in ([(code, b"no")], [(220, b"hi"), (code, b"no")]):
        steps = handshake("x", starttls=True, login=None)
        next(steps)
        with pytest.raises(Setback, match=str(code)):
            for answer in answers:
                steps.send(answer)


def test_what_was_offered_before_tls_is_forgotten() -> None:
    steps = handshake("x", starttls=True, login=None)
    next(steps)
    assert steps.send((220, b"hi")) == b"EHLO x\r\n"
    assert steps.send((250, b"x\nPIPELINING\nSTARTTLS")) == b"STARTTLS\r\n"
    assert steps.send((220, b"go")) == UPGRADE
    assert steps.send((220, b"")) == b"EHLO x\r\n"
    with pytest.raises(StopIteration) as done:
        steps.send((250, b"x\nsize 10"))
    assert done.value.value == {b"SIZE": b"10"}
