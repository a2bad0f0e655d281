"""A relay's URL says it all, or the refusal does."""

import ssl
from pathlib import Path

import pytest

from mailer.delivery.handshake import Login
from mailer.delivery.relay_address import relay_address
from mailer.kit.errors import Misconfigured


@pytest.mark.parametrize(
    ("url", "host", "port", "security"),
    [
        ("smtp://mx.example.com", "mx.example.com", 25, "none"),
        ("smtp://127.0.0.1:2525", "127.0.0.1", 2525, "none"),
        ("smtp://[::1]:2525/", "::1", 2525, "none"),
        ("smtp+starttls://mx.example.com", "mx.example.com", 587, "starttls"),
        ("smtps://mx.example.com", "mx.example.com", 465, "tls"),
    ],
)
def test_where_and_how(url: str, host: str, port: int, security: str) -> None:
    address = relay_address(url)

    assert (address.host, address.port, address.security) == (host, port, security)
    assert address.login is None
    assert (address.tls is None) == (security == "none")


def test_a_login_may_hold_odd_characters() -> None:
    url = "smtp+starttls://ada%40example.org:p%3A%2F%40ss@mx.example.com"

    assert relay_address(url).login == Login("ada@example.org", "p:/@ss")
    assert relay_address("smtp://a:b@localhost").login == Login("a", "b")
    assert "p:/@ss" not in repr(relay_address(url))


def test_opportunistic_tls_asks_for_no_certificate() -> None:
    address = relay_address("smtp://mx.example.com?tls=opportunistic")

    assert address.security == "opportunistic"
    assert address.tls is not None
    assert address.tls.verify_mode is ssl.CERT_NONE
    assert address.tls.minimum_version is ssl.TLSVersion.TLSv1_2
    assert relay_address("smtp://mx.example.com?tls=none").security == "none"


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_any_other_tls_asks_for_one(scheme: str) -> None:
    context = relay_address(f"{scheme}://mx.example.com").tls

    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_what_else_a_url_may_ask_for(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("hush")
    address = relay_address(
        f"smtps://ada@mx.example.com?auth=xoauth2&secret={file}&dsn=failure&chunking=on"
    )

    assert address.login == Login("ada", "", "xoauth2", file)
    assert address.login.secret() == "hush"
    assert (address.notify, address.chunking) == ("failure", True)
    plain = relay_address("smtp://mx.example.com")
    assert (plain.notify, plain.chunking) == ("none", False)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "no way to a relay"),
        ("http://user:hush@mx.example.com", "no way to a relay"),
        ("smtp://", "a relay is"),
        ("smtp://:25", "a relay is"),
        ("smtp://user:hush@mx.example.com:many", "number"),
        ("smtp://user:hush@mx.example.com:99999", "number"),
        ("smtps://user:hu/hush@mx.example.com", "%2F"),
        ("smtps://user:hu#hush@mx.example.com", "%2F"),
        ("smtps://user:12?hush@mx.example.com", "%2F"),
        ("user:hush@mx.example.com", "no way to a relay"),
        ("smtp://user:hush@mx.example.com", "needs TLS"),
        ("smtp://user:hush@127.0.0.1.example.com", "needs TLS"),
        ("smtp://user:hush@localhost.example.com", "needs TLS"),
        ("smtps://user:hush@mx.example.com?verify=no", "no options but ca"),
        ("smtps://user:hush@mx.example.com?ca=/no/such/file.pem", "file.pem"),
        ("smtp://user:hush@mx.example.com?tls=opportunistic", "needs TLS that is certain"),
        ("smtp://mx.example.com?tls=required", "tls is one of none, opportunistic"),
        ("smtp://mx.example.com?tls=opportunistic&ca=/etc/passwd", "ca needs"),
        ("smtp://mx.example.com?ca=/etc/passwd", "ca needs"),
        ("smtps://user:hush@mx.example.com?tls=opportunistic", "of smtp:// only"),
        ("smtps://user:hush@mx.example.com?auth=cram-md5", "auth is one of plain, login, xoauth2"),
        ("smtps://mx.example.com?auth=plain", "need a user"),
        ("smtps://mx.example.com?secret=/dev/null", "need a user"),
        ("smtps://user:hush@mx.example.com?secret=/etc/passwd", "the URL has none"),
        ("smtps://user@mx.example.com?secret=/no/such/file", "names a file"),
        ("smtps://user:hu%00sh@mx.example.com", "control characters"),
        ("smtps://user:hu%01sh@mx.example.com?auth=xoauth2", "control characters"),
        ("smtp://mx.example.com?dsn=success", "dsn is one of none, never, failure"),
        ("smtp://mx.example.com?dsn=never&dsn=never", "each option once"),
        ("smtp://mx.example.com?chunking=yes", "chunking is one of off, on"),
    ],
)
def test_anything_else_is_refused_without_the_password(url: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why) as refused:
        relay_address(url)
    assert "hush" not in str(refused.value)
    assert "DIBAO_SMTP_URL" in str(refused.value)
