"""X-Forwarded-For counts as far as our own proxies wrote it (row 55)."""

import pytest
from starlette.requests import Request

from mailer.kit.errors import Misconfigured
from mailer.kit.settings import read
from mailer.web.peer import Peers, parsed

PROXIES = "10.0.0.0/8 192.0.2.1 2001:db8:ffff::/48"


def asked(peer: str | None, *headers: str) -> Request:
    raw = [(b"x-forwarded-for", header.encode("latin-1")) for header in headers]
    client = (peer, 1) if peer else None
    return Request({"type": "http", "headers": raw, "client": client})


@pytest.mark.parametrize(
    ("peer", "headers", "found"),
    [
        ("203.0.113.5", (), "203.0.113.5"),
        ("203.0.113.5", ("198.51.100.1",), "203.0.113.5"),  # no proxy of ours: a lie
        ("10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("10.0.0.1", ("1.1.1.1, 198.51.100.1",), "198.51.100.1"),  # the left one is the asker's
        ("10.0.0.1", ("1.1.1.1", "198.51.100.1, 10.0.0.2"), "198.51.100.1"),
        ("10.0.0.1", ("10.9.9.9, 10.0.0.2",), "10.9.9.9"),  # only ours: the farthest
        ("10.0.0.1", ("nonsense",), "10.0.0.1"),
        ("10.0.0.1", ("198.51.100.1, nonsense",), "10.0.0.1"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("192.0.2.1", ("[2001:db8::7]:443",), "2001:db8::7"),
        ("192.0.2.1", ("198.51.100.1:5060",), "198.51.100.1"),
        ("2001:db8:ffff::1", ("2001:db8:1::1",), "2001:db8:1::1"),
        ("::ffff:10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("10.0.0.1", ("1.1.1.1, " * 5000 + "198.51.100.1",), "198.51.100.1"),
        (None, ("198.51.100.1",), ""),
        ("testclient", ("198.51.100.1",), ""),
    ],
)
def test_the_first_hop_that_is_not_ours_is_who_asks(
    peer: str | None, headers: tuple[str, ...], found: str
) -> None:
    assert Peers(PROXIES).of(asked(peer, *headers)) == found


def test_without_proxies_nobody_is_believed() -> None:
    assert Peers("").of(asked("10.0.0.1", "198.51.100.1")) == "10.0.0.1"


@pytest.mark.parametrize("text", ["", "x", "1.2.3", "[::1", "1.2.3.4.5", "::g", "999.1.1.1"])
def test_what_is_no_address_is_none(text: str) -> None:
    found = parsed(text)

    assert found is None or text == "[::1"


def test_a_proxy_that_is_no_address_stops_the_start() -> None:
    assert read({"DIBAO_TRUSTED_PROXIES": PROXIES}).trusted_proxies == PROXIES
    with pytest.raises(Misconfigured, match="DIBAO_TRUSTED_PROXIES"):
        read({"DIBAO_TRUSTED_PROXIES": "10.0.0.1 proxy.example"})
