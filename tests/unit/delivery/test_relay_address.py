"""A relay's URL says it all, or the refusal does."""

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
        ("smtps://user:hush@mx.example.com?verify=no", "no option but ca"),
        ("smtps://user:hush@mx.example.com?ca=/no/such/file.pem", "file.pem"),
    ],
)
def test_anything_else_is_refused_without_the_password(url: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why) as refused:
        relay_address(url)
    assert "hush" not in str(refused.value)
    assert "DIBAO_SMTP_URL" in str(refused.value)
