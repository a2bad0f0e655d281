"""The head of a message holds what was put in, and nothing that anybody smuggled in."""

import email.policy
import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.utils import parseaddr, parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.delivery.headers import HeaderTemplate

NOON = datetime(2026, 3, 1, 12, 0, 5, 999, tzinfo=UTC)
TOKEN = "cewcaaaabyaaaaaavabcdefg"  # noqa: S105  # public: it stands in every link
FIELDS = [
    *("From", "Reply-To", "To", "Subject", "Date", "Message-ID", "List-Id", "List-Unsubscribe"),
    *("List-Unsubscribe-Post", "Feedback-ID", "Precedence", "MIME-Version", "Content-Type"),
]
HOSTILE = [
    "a\r\nBcc: eve@example.org",
    "a\nBcc: eve@example.org",
    "a\rBcc: eve@example.org",
    "a\0b",
    "a\u2028Bcc: eve@example.org",
    "a\u0085Bcc: eve@example.org",
    "a\x0b\x0cBcc: x",
    "\u202eevil\u2066",
    "\ud800lone",
    "=?utf-8?q?Bcc:_eve?=",
    'quote " and \\ slash <eve@example.org>, "b" <c@d>',
    "邸报 今日要闻 " * 30,
    "👩‍👩‍👧‍👦 🎉" * 40,
    "x" * 10_000,
    "word " * 2000,
    "日" * 10_000,
    " ",
    "",
    "é" + "x" * 900,
]


def template(**changes: Any) -> HeaderTemplate:
    values: dict[str, Any] = {
        "campaign": 7,
        "from_address": "news@dibao.example",
        "from_name": "The Digital Gazette",
        "reply_to": "desk@dibao.example",
        "content_type": 'multipart/alternative; boundary="=_part"',
        "public_url": "https://news.dibao.example",
        "key": b"k" * 32,
        "list_name": "The Digital Gazette",
        "list_label": "gazette",
    }
    return HeaderTemplate(**(values | changes))


def head(made: HeaderTemplate | None = None, **changes: Any) -> bytes:
    values: dict[str, Any] = {
        "subscriber": 42,
        "recipient": "ada@example.org",
        "subject": "Hello",
        "token": TOKEN,
        "date": NOON,
    }
    return (made or template()).head(**(values | changes))


def read(raw: bytes) -> EmailMessage:
    message = BytesHeaderParser(policy=email.policy.SMTPUTF8).parsebytes(raw + b"\r\n")
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def decoded(raw: bytes, field: str) -> str:
    value = BytesHeaderParser(policy=email.policy.compat32).parsebytes(raw)[field]
    return str(make_header(decode_header(value))).replace("\r\n", "")


def assert_sound(raw: bytes, fields: list[str] = FIELDS) -> None:
    """Only our fields, CRLF everywhere, no long lines, well-formed encoded-words."""
    assert raw.endswith(b"\r\n")
    assert re.search(rb"(?<!\r)\n|\r(?!\n)|\0", raw) is None
    names = re.findall(rb"(?m)^([!-9;-~]+):", raw)
    assert [name.decode() for name in names] == fields
    for line in raw.removesuffix(b"\r\n").split(b"\r\n"):
        assert len(line) <= 998
        assert line.strip()
        assert not line.startswith(b".")
        words = re.findall(rb"=\?utf-8\?[bq]\?[^?]*\?=", line)
        assert all(len(word) <= 75 for word in words)
        assert not words or len(line) <= 76


def test_the_fields_of_a_letter() -> None:
    raw = head(name="Ada Lovelace")
    message = read(raw)

    assert_sound(raw)
    assert message["From"] == "The Digital Gazette <news@dibao.example>"
    assert message["To"] == "Ada Lovelace <ada@example.org>"
    assert message["Reply-To"] == "desk@dibao.example"
    assert message["Subject"] == "Hello"
    assert message["Precedence"] == "bulk"
    assert message["MIME-Version"] == "1.0"
    assert message.get_content_type() == "multipart/alternative"
    assert message.get_boundary() == "=_part"
    assert b"Date: Sun, 01 Mar 2026 12:00:05 +0000\r\n" in raw


def test_optional_fields_may_be_missing() -> None:
    raw = head(template(reply_to="", list_name="", from_name=""))

    assert_sound(raw, [field for field in FIELDS if field != "Reply-To"])
    assert b"From: <news@dibao.example>\r\nTo: <ada@example.org>\r\n" in raw
    assert b"\r\nList-Id: <gazette.dibao.example>\r\n" in raw


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_subjects_and_names_stay_in_their_place(text: str) -> None:
    assert_sound(head(subject=text, name=text))
    assert_sound(head(template(from_name=text, list_name=text)))


@given(st.text(max_size=300), st.text(max_size=200))
def test_any_subject_and_name_stay_in_their_place(subject: str, name: str) -> None:
    raw = head(subject=subject, name=name)

    assert_sound(raw)
    to = BytesHeaderParser(policy=email.policy.compat32).parsebytes(raw)["To"]
    assert parseaddr(to)[1] == "ada@example.org"


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z", "M"]), max_size=200))
def test_a_subject_comes_back_as_it_was(subject: str) -> None:
    assert decoded(head(subject=subject), "Subject") == unicodedata.normalize("NFC", subject)


@pytest.mark.parametrize(
    "subject",
    [
        "Grüße aus Köln: 7 Dinge, die man wissen muss",
        "邸报 今日要闻 头条",
        "🎉 Party 🎉",
        "a  b",
        "Plain words " * 20,
        "=?utf-8?q?not_one?= of ours",
        "Ünïcödé " * 30,
    ],
)
def test_subjects_of_the_world(subject: str) -> None:
    assert decoded(head(subject=subject), "Subject") == " ".join(subject.split())


@pytest.mark.parametrize(
    "name", ["Ada", "Ada L.", 'A "Q" \\ B', "Žofie Nováková", "李明", "Ada, Ben"]
)
def test_names_come_back_as_they_were(name: str) -> None:
    message = read(head(name=name))

    assert [(a.display_name, a.addr_spec) for a in message["To"].addresses] == [
        (name, "ada@example.org")
    ]


def test_a_long_ascii_subject_is_folded_not_encoded() -> None:
    raw = head(subject="word " * 60)

    assert b"=?" not in raw
    assert max(len(line) for line in raw.split(b"\r\n")) <= 200
    assert all(len(line) <= 78 for line in raw.split(b"\r\n") if b"word" in line)


def test_one_click_as_rfc_8058_wants_it() -> None:
    raw = head(template(mailto_domain="bounce.dibao.example"))

    assert (
        f"\r\nList-Unsubscribe: <https://news.dibao.example/u/{TOKEN}>,\r\n"
        f" <mailto:u+{TOKEN}@bounce.dibao.example?subject=unsubscribe>\r\n"
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    ).encode() in raw
    assert f"\r\nList-Unsubscribe: <https://news.dibao.example/u/{TOKEN}>\r\n".encode() in head()


def test_an_unsubscribe_link_is_never_folded_or_encoded() -> None:
    raw = head(template(public_url="https://" + "a-very-long-name." * 12 + "example"))

    assert f"/u/{TOKEN}>\r\n".encode() in raw
    assert_sound(raw)


def test_list_headers_are_never_encoded() -> None:
    assert b"\r\nList-Id: <gazette.dibao.example>\r\n" in head(template(list_name="邸报"))
    assert b"\r\nList-Id: The Digital Gazette <gazette.dibao.example>\r\n" in head()


def test_feedback_ids_have_four_parts_and_name_no_person() -> None:
    value = read(head(template(edition="3", sender_id="gazette")))["Feedback-ID"]

    assert value == "c7:e3:newsletter:gazette"


def test_message_ids_are_stable_and_each_recipients_own() -> None:
    made = template()
    again = template()

    assert made.message_id(42) == again.message_id(42)
    assert b"Message-ID: " + made.message_id(42) + b"\r\n" in head(made)
    assert len({made.message_id(number) for number in range(100)}) == 100
    assert made.message_id(42) != template(campaign=8).message_id(42)
    assert made.message_id(42) != template(key=b"x").message_id(42)
    assert made.message_id(42) != made.message_id(42, generation=1)
    assert re.fullmatch(rb"<[0-9a-f]{32}@dibao\.example>", made.message_id(42))


def test_a_date_of_any_zone_is_told_in_utc() -> None:
    paris = datetime(2026, 7, 4, 1, 30, tzinfo=timezone(timedelta(hours=2)))

    assert parsedate_to_datetime(read(head(date=paris))["Date"]) == paris
    assert b"Date: Fri, 03 Jul 2026 23:30:00 +0000\r\n" in head(date=paris)


def test_an_international_domain_is_an_a_label_and_a_local_part_is_kept() -> None:
    assert b"\r\nTo: <ada@xn--bcher-kva.example>\r\n" in head(recipient="ada@bücher.example")
    assert "\r\nTo: <jürgen@example.org>\r\n".encode() in head(recipient="jürgen@example.org")
    assert head().isascii()


@pytest.mark.parametrize("recipient", ["a b@example.org", "a@b\r\nBcc: eve@example.org", ""])
def test_an_address_that_cannot_be_mailed_cannot_break_the_head(recipient: str) -> None:
    assert_sound(head(recipient=recipient))


@pytest.mark.parametrize(
    "wrong",
    [
        {"from_address": "news@dibao.example\r\nBcc: eve@example.org"},
        {"from_address": "jürgen@dibao.example"},
        {"reply_to": "nobody"},
        {"public_url": "https://x.example/>\r\n"},
        {"public_url": "javascript:alert(1)"},
        {"content_type": "text/html\r\nBcc: eve"},
        {"content_type": ""},
        {"list_label": "a b"},
        {"sender_id": "abc"},
        {"sender_id": "dibao:1"},
        {"edition": "a:b"},
        {"mailto_domain": "x>\r\n"},
    ],
)
def test_a_template_refuses_what_no_header_can_carry(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="no "):
        template(**wrong)
