"""What of a message goes into SMTP commands, and what cannot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.delivery.envelope import Outgoing, original_recipient, wire_path
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


def test_a_bad_return_path_is_our_bug_not_the_recipients_fault() -> None:
    with pytest.raises(ValueError, match="return path"):
        outgoing(back="b+1@ex\r\nample.com")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ada@example.org", b"rfc822;ada@example.org"),
        ("ada+news=x@example.org", b"rfc822;ada+2Bnews+3Dx@example.org"),
        ('"a{b"@example.org', b'rfc822;"a{b"@example.org'),
        ("jürgen@example.org", rb"utf-8;j\x{FC}rgen@example.org"),
        ("邸+\\@example.org", rb"utf-8;\x{90B8}\x{2B}\x{5C}@example.org"),
        ("a😀=@example.org", rb"utf-8;a\x{1F600}\x{3D}@example.org"),
    ],
)
def test_an_original_recipient_is_xtext(path: str, value: bytes) -> None:
    assert original_recipient(path.encode()) == value


@given(st.text(min_size=1, max_size=60))
def test_an_original_recipient_has_one_word_of_printable_ascii(local: str) -> None:
    path = wire_path(f"{local}@example.org")
    value = original_recipient(path or b"x@example.org")

    assert all(33 <= byte <= 126 for byte in value)
    assert b"=" not in value
