"""Notices are plain letters in two languages, signed, and answered by no machine."""

import base64
import re
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from mailer.delivery.dkim import Signer
from mailer.delivery.return_path import token_of
from mailer.kit.paths import TEMPLATES
from mailer.kit.signing import Purpose
from mailer.notices.letters import LANGUAGES, Letters, Stationery, spoken
from mailer.notices.notice import Kind, Leased, NoticeId
from mailer.notices.queries import Addressed
from subscribers.segment import STARTING, Segment
from subscribers.subscriber import SegmentId, State, Subscriber, SubscriberId
from tests.unit.delivery.canonical import is_canonical
from tests.unit.notices.books import KEYRING, LETTERS, NOON, PUBLICATION

SEGMENTS = tuple(
    Segment(SegmentId(n), s.key, s.name, s.names, s.description, s.color, n, None)
    for n, s in enumerate(STARTING)
)


def leased(kind: Kind = Kind.CONFIRM, language: str = "en", number: int = 12) -> Leased:
    return Leased(NoticeId(number), 1, kind, SubscriberId(5), "0" * 32, language, 1, NOON, False)


def addressed(name: str = "Ada", address: str = "ada@example.org") -> Addressed:
    person = Subscriber(
        id=SubscriberId(5),
        address=address,
        address_key="0" * 32,
        domain="example.org",
        name=name,
        language="",
        timezone="",
        state=State.PENDING,
        tracking=0,
        created_at=NOON,
        confirmed_at=None,
        updated_at=NOON,
    )
    return Addressed(person, SEGMENTS[1:])


def written(*about: Any, letters: Letters = LETTERS, **of: Any) -> Any:
    message = letters.write(leased(*about), addressed(**of), now=NOON)
    return message_from_bytes(message.data, policy=policy.default)


def parts(mail: Any) -> tuple[str, str]:
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    return text.get_content(), html.get_content()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", Kind)
def test_every_notice_is_written_in_every_language(kind: Kind, language: str) -> None:
    mail = written(kind, language)
    text, html = parts(mail)

    for content in (text, html):
        assert "AI" in content or "人工智能" in content
        assert "Luxury" in content or "奢侈品" in content
        assert "1 Courier Lane" in content
        assert "{" not in re.sub(r"<style>.*?</style>", "", content, flags=re.DOTALL)
    assert ("订阅" in text) is (language == "zh")
    assert f'<html lang="{language}">' in html
    assert max(len(line) for line in text.split("\n")) <= 76
    assert ("/confirm/" in text and "/confirm/" in html) is (kind is Kind.CONFIRM)
    assert ("/u/" in text and "/p/" in text) is (kind is not Kind.CONFIRM)


def test_its_head_keeps_machines_from_answering() -> None:
    mail = written()

    assert mail["From"] == "The Digital Gazette <news@dibao.example>"
    assert mail["To"] == "ada@example.org"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Auto-Response-Suppress"] == "All"
    assert mail["Date"] == "Fri, 20 Nov 2026 12:00:00 +0000"
    assert mail["List-Unsubscribe"] is None, "nobody is subscribed yet"
    assert mail["Precedence"] is None


def test_who_is_subscribed_can_leave_in_one_click() -> None:
    mail = written(Kind.WELCOME)
    found = re.fullmatch(r"<https://news\.example/u/([a-z2-7]{24})>", mail["List-Unsubscribe"])

    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert found is not None
    bearer = KEYRING.verify(Purpose.DELIVERY, found[1])
    assert bearer is not None
    assert (bearer.campaign, bearer.subscriber) == (0, 5)


def test_the_message_id_is_the_notices_whenever_it_is_written() -> None:
    later = datetime(2026, 12, 1, tzinfo=UTC)
    first, again = (LETTERS.write(leased(), addressed(), now=at).data for at in (NOON, later))
    ids = {message_from_bytes(data)["Message-ID"] for data in (first, again)}
    other = message_from_bytes(LETTERS.write(leased(number=13), addressed(), now=NOON).data)

    assert len(ids) == 1
    assert re.fullmatch(r"<[a-z2-7]{32}@dibao\.example>", ids.pop())
    assert other["Message-ID"] not in ids


def test_bounces_come_back_with_a_token_that_confirms_nothing() -> None:
    message = LETTERS.write(leased(), addressed(), now=NOON)
    token = token_of(message.return_path)

    assert token is not None
    assert KEYRING.verify(Purpose.CONFIRM, token) is None
    bearer = KEYRING.verify(Purpose.NOTICE, token)
    assert bearer is not None
    assert (bearer.campaign, bearer.subscriber) == (12, 5)


def test_it_is_signed_like_any_other_letter() -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    signer = Signer("one", "dibao.example", pem)
    letters = Letters(Stationery(KEYRING, PUBLICATION, "https://news.example", 7, signer=signer))
    data = letters.write(leased(Kind.WELCOME, "zh"), addressed(name="李明"), now=NOON).data

    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    record = b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw)
    assert dkim.verify(data, dnsfunc=lambda *_, **__: record)
    assert is_canonical(data.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize(
    "name", ["<b>Ada</b>", "ada.example", "https://evil.example", "{{ confirm }}", "a" * 300]
)
@pytest.mark.parametrize("kind", Kind)
def test_no_name_brings_markup_or_a_link(kind: Kind, name: str) -> None:
    text, html = parts(written(kind, "en", name=name))

    assert "<b>" not in html
    assert "evil" not in text + html
    assert "ada.example" not in text + html
    assert "a" * 101 not in text


def test_a_publication_is_escaped_where_it_stands() -> None:
    odd = replace(PUBLICATION, name='Bits & "Bobs" <x>')
    letters = Letters(Stationery(KEYRING, odd, "https://news.example", 7))
    mail = written(Kind.CONFIRM, "en", letters=letters)
    text, html = parts(mail)

    assert mail["Subject"] == 'Please confirm: Bits & "Bobs" <x>'
    assert 'Bits & "Bobs" <x>' in text
    assert "Bits &amp; &#34;Bobs&#34; &lt;x&gt;" in html


@pytest.mark.parametrize(
    ("tag", "language"), [("zh-Hans-CN", "zh"), ("ZH", "zh"), ("fr", "en"), ("", "en")]
)
def test_a_reader_gets_the_nearest_language(tag: str, language: str) -> None:
    assert spoken(tag) == language


def test_an_address_beyond_ascii_is_written_to() -> None:
    message = LETTERS.write(leased(), addressed(address="用户@xn--fsq.example"), now=NOON)

    assert message.recipient == "用户@xn--fsq.example"
    assert message.data.endswith(b"\r\n")


def test_every_folder_of_templates_is_complete() -> None:
    files = {"subject.txt", "body.txt", "body.html"}
    for language in LANGUAGES:
        for kind in Kind:
            folder = TEMPLATES / "notices" / language / kind.value
            assert {path.name for path in folder.iterdir()} == files
