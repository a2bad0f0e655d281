"""A letter is shown as a mail program would show it, however broken it is."""

import time
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.inbox.letter import Letter, Message, parse

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def read(raw: bytes) -> Letter:
    return parse(Message("1-1", ("ada@example.com",), "b@x.example", NOON, raw))


def digest() -> bytes:
    message = EmailMessage()
    message["From"] = "Die Zeitung für alle <news@dibao.example>"
    message["To"] = "ada@example.com"
    message["Subject"] = "电商周报"
    message["List-Unsubscribe"] = "<https://x.example/u/abc>, <mailto:u@x.example>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content("Guten Morgen, 早上好\n")
    message.add_alternative("<p>Guten Morgen, 早上好</p>\n", subtype="html")
    return bytes(message).replace(b"\n", b"\r\n")


def test_both_bodies_and_the_headers_are_decoded() -> None:
    letter = read(digest())

    assert letter.subject == "电商周报"
    assert letter.sender == "Die Zeitung für alle <news@dibao.example>"
    assert letter.html == "<p>Guten Morgen, 早上好</p>\n"
    assert letter.text == "Guten Morgen, 早上好\n"
    assert letter.html_bytes == 31
    assert ("To", "ada@example.com") in letter.headers


def test_the_ways_to_unsubscribe_are_found() -> None:
    letter = read(digest())

    assert letter.unsubscribe == ("https://x.example/u/abc", "mailto:u@x.example")
    assert letter.one_click


def test_a_letter_without_html_has_none() -> None:
    letter = read(b"Subject: Hi\r\n\r\nHello\r\n")

    assert (letter.html, letter.text, letter.unsubscribe, letter.one_click) == (
        "",
        "Hello\n",
        (),
        False,
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no headers at all",
        b"Content-Type: text/html; charset=no-such\r\n\r\n<p>\xff",
        b"Content-Type: multipart/alternative\r\n\r\nno boundary",
        b"Content-Transfer-Encoding: base64\r\n\r\n%%%",
        b"From: \xff\xfe <\r\nSubject: =?utf-8?b?/w==?=\r\nTo: ;;;<>,\r\n\r\n",
        b"Content-Type: ;;;\r\nContent-Disposition: =\r\nDate: never\r\n\r\nx",
    ],
)
def test_a_broken_letter_shows_as_far_as_it_can_be_read(raw: bytes) -> None:
    assert read(raw).message.source == raw


@given(st.binary(max_size=400))
def test_no_bytes_upset_the_reader(raw: bytes) -> None:
    letter = read(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + raw)

    letter.html.encode()
    letter.text.encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"From: " + b"(a" * 2000 + b"\r\nTo: " + b"<" * 2000 + b"\r\n\r\nGood morning",
        b"Content-Type: message/rfc822\r\n\r\n" * 3000 + b"Good morning",
        b"MIME-Version: 1.0\r\n"
        + b"".join(
            b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n)
            for n in range(3000)
        )
        + b"\r\nGood morning",
    ],
)
def test_no_nesting_is_too_deep(raw: bytes) -> None:
    assert read(raw).headers


@pytest.mark.parametrize(
    "header",
    [
        b"From: " + b"\r\n ".join([b'"' * 900] * 200),
        b"Content-Type: text/html" + b"".join(b";\r\n a%d*0*=utf-8''%%ff" % n for n in range(9000)),
    ],
)
def test_a_long_header_costs_no_more_than_a_short_one(header: bytes) -> None:
    began = time.process_time()

    read(header + b"\r\n\r\nGood morning")

    assert time.process_time() - began < 5  # unbounded: minutes
