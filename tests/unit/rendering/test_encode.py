"""What travels is ASCII in short lines, and decodes to exactly the text."""

import email
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.rendering import encode
from mailer.rendering.fields import TOKEN

LATIN = "Déjà vu : les prix des colis baissent encore en été, disent les marchands. " * 40
CYRILLIC = "Посылки стали медленнее, а покупатели довольнее. " * 40
ARABIC = "الطرود أبطأ والمشترون أكثر رضا. " * 40
CHINESE = "慢一点的快递更受欢迎，商家如此表示。" * 40


@pytest.mark.parametrize(
    ("text", "base64"), [(LATIN, False), (CYRILLIC, True), (ARABIC, True), (CHINESE, True)]
)
def test_acceptance_18_the_smaller_encoding_is_chosen_and_always_utf_8(
    text: str, base64: bool
) -> None:
    assert encode.choose_base64(text) is base64

    head = "".join(encode.body(text, text).pieces)
    assert head.count("charset=utf-8") == 2
    assert head.count(f"Encoding: {'base64' if base64 else 'quoted-printable'}") == 2


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r")))
def test_quoted_printable_decodes_to_the_text_and_keeps_every_rule(text: str) -> None:
    encoded = encode.quoted(text.encode())

    assert quopri.decodestring(encoded).replace(b"\r\n", b"\n") == text.encode()
    _holds_the_rules(encoded)


@pytest.mark.parametrize(
    "text",
    [" ", "  x  y  ", "\t", ".", "..\n.\n", "From here\nFrom there", "=" * 200, "x" * 500],
)
def test_lines_that_mail_servers_change_are_not_made(text: str) -> None:
    encoded = encode.quoted(text.encode())

    assert quopri.decodestring(encoded).replace(b"\r\n", b"\n") == text.encode()
    _holds_the_rules(encoded)


def test_base64_lines_are_whole() -> None:
    assert encode.base64_lines(b"") == b""
    assert encode.base64_lines(b"abc") == b"YWJj\r\n"
    assert max(map(len, encode.base64_lines(bytes(500)).split(b"\r\n"))) == 76


def test_equal_parts_give_equal_bodies_and_the_boundary_is_in_neither() -> None:
    html = f'<a href="https://n.example.org/u/{TOKEN}">out</a>'
    first, second = encode.body("out\n", html), encode.body("out\n", html)

    assert first == second
    message = email.message_from_string(f"Content-Type: {first.content_type}\r\n\r\n")
    boundary = message.get_boundary()
    assert boundary is not None
    assert boundary not in html
    assert "".join(first.pieces).count(boundary) == 3


def _holds_the_rules(encoded: bytes) -> None:
    lines = encoded.split(b"\r\n")
    assert encoded.isascii()
    assert b"\n" not in encoded.replace(b"\r\n", b"")
    assert all(len(line) <= 76 for line in lines)
    assert not any(line.startswith((b".", b"F", b" ", b"\t")) for line in lines)
    assert not any(line.endswith((b" ", b"\t")) for line in lines)
    assert b"  " not in encoded
