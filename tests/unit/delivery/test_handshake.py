"""TLS and AUTH, or nothing: a relay gets no letter and no password over less than was asked for."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from mailer.delivery.engine import relay_from_url
from mailer.delivery.exchange import Timeouts
from mailer.delivery.handshake import UPGRADE, Login, Setback, handshake, literal
from mailer.delivery.relay import Ending, Message, Reply, Unsent
from mailer.delivery.relay_address import relay_address
from tests import certificates
from tests.fakes.smtp import ScriptedSink, by_recipient
from tests.unit.delivery.wire import Wire

MESSAGE = Message(7, 1, 1, 1, 1, "ada@example.org", "b@example.com", b"Subject: x\r\n\r\ny\r\n")
ADA = Login("ada", "s3cret word")
LOGIN = "ada:s3cret%20word@"
PATIENT = Timeouts(connect=5, reply=2, dot=2, quit=0.5)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, with its key."""
    return certificates.certificate(tmp_path_factory.mktemp("tls") / "sink.pem")


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trust(certificate: Path) -> ssl.SSLContext | None:
    return relay_address(f"smtps://127.0.0.1?ca={certificate}").tls


def sent(sink: ScriptedSink, message: Message = MESSAGE, **options: Any) -> Wire:
    return Wire(sink, timeouts=PATIENT, patience=1, **options).send([message])


def verbs(sink: ScriptedSink) -> list[str]:
    return [command.split(" ")[0].split(":")[0] for command in sink.commands]


def test_starttls_then_everything_again(tls: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    with ScriptedSink(tls=tls) as sink:
        wire = sent(sink, starttls=True, tls=trust)

    assert isinstance(wire.outcome()["ada"], Reply)
    assert verbs(sink) == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


def test_a_long_body_over_tls(tls: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    body = b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 20_000
    message = Message(7, 1, 1, 1, 1, "ada@example.org", "b@example.com", body)
    with ScriptedSink(tls=tls) as sink:
        sent(sink, message, starttls=True, tls=trust)

    assert sink.received[0].data == body


def test_plain_text_behind_starttls_is_thrown_away(
    tls: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    """CVE-2011-0411: what came before the handshake must not be taken for the TLS server's."""
    evil = b"250-evil\r\n250 SIZE 1\r\n250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 swallowed\r\n"
    with ScriptedSink(tls=tls, injected=evil) as sink:
        wire = sent(sink, starttls=True, tls=trust)

    ended = wire.outcome()  # none where the bytes reach the TLS layer, which will not have them
    assert ended in ({}, {"ada": Reply(250, "2.0.0", "Ok: queued as 4XYZ")})
    assert len(sink.received) == len(ended)


@pytest.mark.parametrize("login", [None, ADA])
def test_no_starttls_no_letter(login: Login | None) -> None:
    with ScriptedSink(offers=("AUTH PLAIN",)) as sink:
        wire = sent(sink, starttls=True, login=login)

    assert verbs(sink) == ["EHLO"]
    assert (wire.setback().cause, wire.setback().everyone) == ("tls", True)
    assert wire.endings == []


def test_an_unknown_certificate_gets_neither_password_nor_letter(tls: ssl.SSLContext) -> None:
    with ScriptedSink(tls=tls, offers=("AUTH PLAIN",)) as sink:
        wire = sent(sink, starttls=True, login=ADA, tls=relay_address("smtps://x.example").tls)

    assert wire.setback().cause == "tls"
    assert verbs(sink) == ["EHLO", "STARTTLS"]


def handed_over(url: str) -> Ending:
    way = relay_from_url(url, connections=1, timeouts=PATIENT)
    try:
        ((_, ending),) = way.send([MESSAGE])
        return ending
    finally:
        way.close()


def test_tls_from_the_first_byte(tls: ssl.SSLContext, certificate: Path) -> None:
    with ScriptedSink(immediate_tls=tls) as sink:
        ending = handed_over(f"smtps://127.0.0.1:{sink.port}?ca={certificate}")

    assert isinstance(ending, Reply)


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_unknown_certificate_or_one_of_another_name_is_refused(
    tls: ssl.SSLContext, certificate: Path, scheme: str, host: str
) -> None:
    options: dict[str, Any] = {"immediate_tls": tls} if scheme == "smtps" else {"tls": tls}
    known = "" if host == "127.0.0.1" else f"?ca={certificate}"  # whose only name is 127.0.0.1
    with ScriptedSink(**options) as sink:
        ending = handed_over(f"{scheme}://{LOGIN}{host}:{sink.port}{known}")

    assert isinstance(ending, Unsent)
    assert (ending.trouble.cause, ending.trouble.everyone) == ("tls", True)
    assert "AUTH" not in verbs(sink)
    assert not sink.received


def test_opportunistic_tls_is_used_where_it_is_offered(tls: ssl.SSLContext) -> None:
    """RFC 7435: a certificate nobody can check is better than plain text."""
    with ScriptedSink(tls=tls) as sink:
        unchecked = relay_address("smtp://127.0.0.1?tls=opportunistic").tls
        wire = sent(sink, opportunistic=True, tls=unchecked)

    assert isinstance(wire.outcome()["ada"], Reply)
    assert verbs(sink) == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


def test_opportunistic_tls_goes_without_where_there_is_none() -> None:
    with ScriptedSink() as sink:
        assert sent(sink, opportunistic=True).outcome()
    refusing = by_recipient(starttls={"1": "454 4.7.0 not now"})
    with ScriptedSink(offers=("STARTTLS",), script=refusing) as sink:
        sink.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        sink.offers = ()
        assert not sent(sink, opportunistic=True).setbacks

    assert verbs(sink) == ["EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "QUIT"]


def test_opportunistic_tls_that_fails_is_no_setback_but_done_without(tls: ssl.SSLContext) -> None:
    tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_2
    ours = ssl.create_default_context()
    ours.minimum_version = ssl.TLSVersion.TLSv1_3
    with ScriptedSink(tls=tls) as sink:
        wire = sent(sink, opportunistic=True, tls=ours)

    assert isinstance(wire.outcome()["ada"], Reply)
    assert not wire.setbacks
    assert verbs(sink) == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
    assert sink.connections == 2


def test_421_instead_of_opportunistic_tls_closes() -> None:
    with ScriptedSink(script=by_recipient(starttls={"1": "421 4.3.2 no"})) as sink:
        sink.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        wire = sent(sink, opportunistic=True)

    assert wire.setback().cause == "spoke"


@pytest.mark.parametrize("ways", ["AUTH PLAIN LOGIN", "AUTH LOGIN", "AUTH CRAM-MD5 PLAIN"])
def test_we_say_who_we_are_once_it_is_safe(
    ways: str, tls: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    with ScriptedSink(tls=tls, offers=("PIPELINING", ways)) as sink:
        wire = sent(sink, starttls=True, login=ADA, tls=trust)

    assert isinstance(wire.outcome()["ada"], Reply)
    assert verbs(sink)[:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]


@pytest.mark.parametrize("mechanism", ["plain", "login", "xoauth2"])
def test_a_mechanism_may_be_insisted_on(mechanism: Any) -> None:
    login = Login("ada", "s3cret word", mechanism)
    with ScriptedSink(offers=("AUTH PLAIN LOGIN XOAUTH2",)) as sink:
        wire = sent(sink, login=login)

    assert isinstance(wire.outcome()["ada"], Reply)
    assert sink.commands[1].startswith(f"AUTH {mechanism.upper()}")


@pytest.mark.parametrize("mechanism", ["plain", "login", "xoauth2"])
def test_a_wrong_password_is_the_relays_word_to_all_of_us_and_never_shown(mechanism: Any) -> None:
    login = Login("eve", "guess", mechanism)
    with ScriptedSink(offers=("AUTH PLAIN LOGIN XOAUTH2",)) as sink:
        wire = sent(sink, login=login)

    assert (wire.setback().cause, wire.setback().everyone) == ("auth", True)
    assert "535 5.7.8" in str(wire.setback())
    assert "guess" not in str(wire.setback()) + repr(wire.setback())
    assert not sink.received


@pytest.mark.parametrize("code", [421, 454, 500, 530, 534, 535, 538])
def test_trouble_with_a_login_is_told_apart_by_its_code(code: int) -> None:
    script = by_recipient(auth={"1": f"{code} 4.7.0 ada with s3cret word may not"})
    with ScriptedSink(offers=("AUTH LOGIN",), script=script) as sink:
        wire = sent(sink, login=ADA)

    assert (wire.setback().cause, wire.setback().everyone) == ("auth", code >= 500)
    assert not {"s3cret", "ada"} & set(str(wire.setback()).split())


@pytest.mark.parametrize(
    "repeated", ["ada", "s3cret word", "AGFkYQBzM2NyZXQgd29yZA==", "YWRh", "czNjcmV0IHdvcmQ="]
)
def test_what_the_relay_repeats_of_our_login_is_cut_out(repeated: str) -> None:
    script = by_recipient(auth={"1": f"535 5.7.8 no <{repeated}> here"})
    with ScriptedSink(offers=("AUTH PLAIN",), script=script) as sink:
        wire = sent(sink, login=ADA)

    assert str(wire.setback()) == "the relay does not let us in: 535 5.7.8 no <…> here"


@pytest.mark.parametrize("mechanism", ["plain", "login", "xoauth2"])
def test_a_challenge_nobody_knows_is_called_off(mechanism: Any) -> None:
    steps = handshake("x", starttls=False, login=Login("ada", "word", mechanism))
    next(steps)
    steps.send((220, b"hi"))
    said = steps.send((250, b"x\nAUTH PLAIN LOGIN XOAUTH2"))
    for _ in range(4):
        if said == b"*\r\n":
            break
        said = steps.send((334, b"bW9yZQ=="))
    assert said == b"*\r\n"
    with pytest.raises(Setback, match="501"):
        steps.send((501, b"5.7.0 called off"))


@pytest.mark.parametrize("offers", [("AUTH CRAM-MD5",), ()])
@pytest.mark.parametrize(("mechanism", "named"), [(None, "PLAIN or LOGIN"), ("xoauth2", "XOAUTH2")])
def test_no_known_way_to_log_in(offers: tuple[str, ...], mechanism: Any, named: str) -> None:
    with ScriptedSink(offers=offers) as sink:
        wire = sent(sink, login=Login("ada", "word", mechanism))

    assert (wire.setback().cause, wire.setback().everyone) == ("auth", True)
    assert named in str(wire.setback())
    assert verbs(sink) == ["EHLO"]


def test_a_token_is_read_from_its_file_for_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    login = Login("ada", mechanism="xoauth2", file=file)
    with ScriptedSink(offers=("AUTH XOAUTH2",)) as sink:
        assert sent(sink, login=login).setback().cause == "auth"
        file.write_text("s3cret word\n")
        assert sent(sink, login=login).outcome()
        file.unlink()
        gone = sent(sink, login=login).setback()

    assert (gone.cause, gone.everyone) == ("auth", True)
    assert "token" in str(gone)


def test_a_login_does_not_show_its_password() -> None:
    assert "s3cret" not in repr(ADA)


def test_our_end_of_a_socket_is_a_name() -> None:
    assert literal(("192.0.2.1", 25)) == "[192.0.2.1]"
    assert literal(("2001:db8::1", 25)) == "[IPv6:2001:db8::1]"
    assert literal(None) == "[127.0.0.1]"


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
