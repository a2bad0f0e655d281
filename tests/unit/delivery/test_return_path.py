"""A bounce comes back to an address that says whose it is."""

import pytest

from mailer.delivery.return_path import return_path, token_of
from mailer.kit.signing import Keyring, Purpose

TOKEN = Keyring.of("a secret").sign(Purpose.DELIVERY, 7, 42)


def test_the_token_comes_back() -> None:
    address = return_path(TOKEN, "bounce.example.com")

    assert token_of(address) == TOKEN
    assert len(address.partition("@")[0]) <= 64


@pytest.mark.parametrize(
    "mangled",
    [
        str.upper,
        str.title,
        lambda a: a.replace("+", "-"),
        lambda a: a.replace("+", "="),
        lambda a: f"<{a}>",
        lambda a: f" {a}\r\n",
    ],
)
def test_gateways_may_mangle_it(mangled: object) -> None:
    assert callable(mangled)
    assert token_of(mangled(return_path(TOKEN, "bounce.example.com"))) == TOKEN


@pytest.mark.parametrize(
    "address",
    [
        "",
        "<>",
        "news@example.com",
        "b+@x.org",
        "b+short@x.org",
        f"c+{TOKEN}@x.org",
        f"b+{TOKEN}",
        f"b+{TOKEN}1@x.org",
        f"b+{TOKEN[:-1]}!@x.org",
        f"b+{TOKEN[:-1]}1@x.org",
    ],
)
def test_other_addresses_hold_none(address: str) -> None:
    assert token_of(address) is None
