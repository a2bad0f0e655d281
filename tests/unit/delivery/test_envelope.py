"""What of a message goes into SMTP commands, and what cannot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.delivery.envelope import Outgoing, mail, rcpt, unfit, wire_path
from mailer.delivery.relay import Message


def outgoing(recipient: str = "ada@example.org", back: str = "b+1@example.com") -> Outgoing:
    return Outgoing(Message(7, 1, 1, 1, 1, recipient, back, b"A: b\r\n"), b"A: b\r\n")


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("Ada.L+news@Example.org", b"Ada.L+news@Example.org"),
        ("ada@bücher.example", b"ada@xn--bcher-kva.example"),
        ("ada@faß.example", b"ada@xn--fa-hia.example"),  # non-transitional: not fass
        ("ada@BÜCHER.example", b"ada@xn--bcher-kva.example"),
        ("jürgen@bücher.example", "jürgen@xn--bcher-kva.example".encode()),
        ("o'neil@example.org", b"o'neil@example.org"),
        ('"a@b"@example.org', b'"a@b"@example.org'),
        ("x" * 64 + "@example.org", b"x" * 64 + b"@example.org"),
    ],
)
def test_an_address_as_the_wire_wants_it(address: str, path: bytes) -> None:
    assert wire_path(address) == path


@pytest.mark.parametrize(
    "address",
    [
        "",
        "@",
        "ada",
        "ada@",
        "@example.org",
        "a b@example.org",
        "a>b@example.org",
        "a@b\r\nc.org",
        "a\x00@example.org",
        "a\u2028@example.org",
        "ada@ex ample.org",
        "ada@-́.org",
        "x" * 65 + "@example.org",
        "ü" * 33 + "@example.org",
        "ada@[1.2.3.4]",
        "ada@\ufffd.org",
    ],
)
def test_what_no_command_can_carry(address: str) -> None:
    assert wire_path(address) == b""


@given(st.text(max_size=80))
def test_no_text_can_break_out_of_the_command(text: str) -> None:
    for address in (text, f"{text}@example.org", f"ada@{text}"):
        path = wire_path(address)
        assert not set(path) & set(b"\r\n\0<> ")


def test_parameters_only_where_they_are_offered() -> None:
    assert mail(outgoing(), {}) == b"MAIL FROM:<b+1@example.com>\r\n"
    assert mail(outgoing(), {b"SIZE": b""}) == b"MAIL FROM:<b+1@example.com> SIZE=6\r\n"
    assert mail(outgoing("ü@example.org"), {b"SMTPUTF8": b"", b"8BITMIME": b""}).endswith(
        b"> BODY=8BITMIME SMTPUTF8\r\n"
    )
    assert rcpt(outgoing()) == b"RCPT TO:<ada@example.org>\r\n"


def test_a_null_return_path_is_one() -> None:
    assert mail(outgoing(back=""), {}) == b"MAIL FROM:<>\r\n"


def test_a_bad_return_path_is_our_bug_not_the_recipients_fault() -> None:
    with pytest.raises(ValueError, match="return path"):
        outgoing(back="b+1@ex\r\nample.com")


def test_what_this_relay_cannot_take_is_refused_here() -> None:
    assert unfit(outgoing(), {}) is None
    assert unfit(outgoing(), {b"SIZE": b"0"}) is None  # no fixed limit (RFC 1870)
    for who, features, enhanced in (
        (outgoing("a b@x.org"), {}, "5.1.3"),
        (outgoing("ü@example.org"), {b"SMTPUTF8": b""}, "5.6.7"),
        (outgoing(), {b"SIZE": b"5"}, "5.3.4"),
    ):
        refusal = unfit(who, features)
        assert refusal is not None
        assert (refusal.enhanced, refusal.text[:6]) == (enhanced, "local:")
