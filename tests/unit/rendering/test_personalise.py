"""A reader's bytes are the edition's, joined around their own values."""

import binascii
import email
import random
import re
import statistics
import time
from collections.abc import Mapping
from email.message import Message

import pytest

from mailer.rendering import encode, fields, render
from mailer.rendering.edition import Edition
from mailer.rendering.fields import TOKEN
from mailer.rendering.personalise import Splicer, fill, reader
from tests.golden.rendering import samples

ADA = reader("a" * 24, name="Ada Lovelace", address="ada@example.org")
ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ-.'",
    "éàüßøłčñ aeiou",
    "абвгдежзийклмн оп",
    "ابتثجحخدذرزس ",
    "小红书即刻王明李华张伟",
    "हिन्दी नमस्ते ",
    "ひらがなカタカナ ー",
    '<>&"=\\{}[].F\t\r\n\x00\x92\u202e\u200d👩💻',
)


def edition(text: str, html: str) -> Edition:
    body = encode.body(text, html)
    return Edition(
        segments=("ai",),
        tracking=3,
        language="en",
        subject="",
        preheader="",
        html=html,
        text=text,
        links=(),
        content_type=body.content_type,
        pieces=body.pieces,
        slots=body.slots,
        sha256="",
        html_bytes=len(html.encode()),
        text_bytes=len(text.encode()),
    ).sealed()


def parts(made: Edition, body: bytes) -> list[str]:
    """Both parts as the standard library reads them."""
    head = f"Content-Type: {made.content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body)
    return [_decoded(part) for part in message.walk() if not part.is_multipart()]


def quick_parts(made: Edition, body: bytes) -> list[str]:
    """The same, ten times as fast: for a thousand readers."""
    boundary = made.content_type.partition('"')[2].removesuffix('"').encode()
    texts = []
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, payload = part.partition(b"\r\n\r\n")
        decode = binascii.a2b_base64 if b"base64" in head else binascii.a2b_qp
        texts.append(decode(payload.removesuffix(b"\r\n")).decode().replace("\r\n", "\n"))
    return texts


def _decoded(part: Message) -> str:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode().replace("\r\n", "\n")


def people(count: int) -> list[dict[str, str]]:
    """Readers with names in eight alphabets, some of them hostile, some empty."""
    dice = random.Random(31)  # noqa: S311  # the same thousand every time
    tokens = "abcdefghijklmnopqrstuvwxyz234567"
    return [
        reader(
            "".join(dice.choices(tokens, k=24)),
            name="".join(dice.choices(ALPHABETS[n % 8], k=dice.randrange(70))),
            address=f"reader{n}@example.org",
        )
        for n in range(count)
    ]


def both_kinds() -> list[Edition]:
    chinese = samples.chinese()
    return [
        render.render(
            issue,
            samples.PUBLICATION,
            followed=("e-commerce", "ai", "luxury"),
            tracking=3,
            public_url="https://n.example.org",
        )
        for issue in (samples.weekly(), chinese)
    ]


def in_base64(text: str = "") -> Edition:
    """Both parts in base64, with values side by side, at the ends, and one byte apart."""
    words = "慢一点的快递更受欢迎。" * 30
    name = fields.mark("{{ first_name|读者 }}/{{ name }}{{ email|x }}a{{ name }}")
    links = "".join(f'<a href="https://n.example.org/c/{TOKEN}/{n}">{words}</a>' for n in range(9))
    return edition(f"{name}{text}{words}{TOKEN}\n{TOKEN}{TOKEN}", f"{name}{links}{name}")


@pytest.mark.parametrize("made", [*both_kinds(), in_base64(), in_base64("!"), in_base64("!!")])
def test_acceptance_15_and_16_a_thousand_readers_get_what_the_preview_shows_in_clean_lines(
    made: Edition,
) -> None:
    splicer = Splicer(made)

    for number, person in enumerate(people(1000)):
        body = splicer.body(person)
        read = parts if number % 50 == 0 else quick_parts
        assert read(made, body) == [splicer.text(person), splicer.html(person)]
        _holds_the_rules(body)


def _holds_the_rules(body: bytes) -> None:
    lines = body.split(b"\r\n")
    assert body.isascii()
    assert max(map(len, lines)) <= 76
    assert body.count(b"\n") == body.count(b"\r") == body.count(b"\r\n")
    for unwanted in (b"\0", b"\t", b"\r\n.", b" \r\n", b"  "):
        assert unwanted not in body
    assert body.endswith(b"--\r\n")
    assert not body.endswith(b"\r\n\r\n")


def test_no_control_character_of_a_name_reaches_a_reader() -> None:
    made = in_base64()
    text, html = parts(made, Splicer(made).body(reader("a" * 24, name="A\x00\x92\u202e\r\nB: c")))

    assert not re.search("[\x00\x0d\x80-\x9f\u202e]", text + html)


def test_a_name_is_escaped_in_html_and_plain_in_text() -> None:
    made = edition(fields.mark("Hi {{ name }}"), fields.mark("<p>Hi {{ name }}</p>"))

    text, html = parts(made, Splicer(made).body({"token": "", "name": "<b>Ada & Co</b>"}))

    assert text == "Hi <b>Ada & Co</b>"
    assert html == "<p>Hi &lt;b&gt;Ada &amp; Co&lt;/b&gt;</p>"


def test_a_name_that_looks_like_a_field_stays_a_name() -> None:
    made = edition(fields.mark("{{ name }}"), "")

    assert parts(made, Splicer(made).body({"name": "{{ email }}", "email": "x@y.z"}))[0] == (
        "{{ email }}"
    )


def test_readers_do_not_bleed_into_one_another() -> None:
    splicer = Splicer(in_base64())
    first = splicer.body(ADA)
    splicer.body(reader("b" * 24, name="Ben Bitfiddle", address="ben@example.org"))

    assert splicer.body(ADA) == first


def test_an_edition_without_gaps_is_the_same_for_all() -> None:
    splicer = Splicer(edition("words\n", "<p>words</p>"))

    assert splicer.body(ADA) == splicer.body({})


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("{{ first_name|Reader }}, news", "Ada, news"),
        ("小红书 for {{ name }}", "小红书 for Ada Lovelace"),
        ("No\r\nBcc: gaps", "No Bcc: gaps"),
    ],
)
def test_a_subject_takes_a_readers_values(subject: str, expected: str) -> None:
    assert fill(subject, ADA) == expected


def test_a_subject_falls_back_to_its_default() -> None:
    assert fill("{{ first_name|Reader }}, news", reader("")) == "Reader, news"


@pytest.mark.parametrize("words", ["Parcels are slow, and buyers happy. ", "慢一点的快递受欢迎。"])
def test_acceptance_19_a_body_of_60_kb_and_60_points_takes_microseconds(words: str) -> None:
    """The budget is 25 µs; twice that fails, since machines differ."""
    filler = (words * 40)[: 900 if words.isascii() else 330]
    points = "".join(
        f'<a href="https://n.example.org/c/{TOKEN}/{n}">{filler}</a>' for n in range(58)
    )
    splicer = Splicer(edition("", fields.mark("{{ first_name|you }}") + points + TOKEN))
    assert 55_000 < len(splicer.html(ADA).encode()) < 66_000

    assert min(_microseconds(splicer, ADA) for _ in range(7)) < 50


def _microseconds(splicer: Splicer, values: Mapping[str, str]) -> float:
    """The median of many, in processor time: others run on this machine too."""
    taken = []
    for _ in range(30):
        start = time.process_time_ns()
        for _ in range(10):
            splicer.body(values)
        taken.append((time.process_time_ns() - start) / 10_000)
    return statistics.median(taken)
