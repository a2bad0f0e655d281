"""Five hundred messages that want to break out of their place, from the composer to the relay.

Real editions, real readers' values, the real engine, a real socket; what arrived is looked at byte
by byte and verified by verifiers that know nothing of each other.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_string, policy

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from mailer.campaigns.campaign import Campaign, CampaignId, EditionId, Mode, State
from mailer.content.issue import Issue, IssueId, Item, Link, Publication, Section
from mailer.delivery.batch import Lease, Person
from mailer.delivery.compose import Composer, Letterhead
from mailer.delivery.dkim import OVERSIGNED, SIGNED, Signer
from mailer.delivery.engine import relay_from_url
from mailer.delivery.relay import Ending, Message, Reply
from mailer.delivery.return_path import token_of
from mailer.kit.signing import Keyring, Purpose
from mailer.rendering.render import render
from tests.fakes.smtp import Received, ScriptedSink
from tests.unit.delivery import verifiers

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEYS = Keyring.of("only for tests")
RSA, ED25519 = generate_private_key(65537, 2048), Ed25519PrivateKey.generate()
PUBLISHED = {
    "r._domainkey.gazette.example": verifiers.record(RSA),
    "e._domainkey.gazette.example": verifiers.record(ED25519),
}
BOTH = {"r": True, "e": True}
HELD = Lease(CampaignId(1), 3, EditionId(5), "other", 1, 10, 2, "one", 0, NOON)
PUBLIC = (
    "https://" + "a-very-long-host-name." * 11 + "example/news/and/more/news"
)  # 300 with the token

WORDS = [
    "plain words",
    "a\r\nBcc: eve@evil.example",
    "a\nBcc: eve@evil.example",
    "a\rBcc: eve@evil.example",
    "a\r\n\r\n<b>another body</b>",
    "a\r\n.\r\nMAIL FROM:<eve@evil.example>",
    "a\n.\nRCPT TO:<eve@evil.example>",
    "\0nul\0",
    "tab\tvertical\x0bfeed\x0c",
    "a\u2028Bcc: eve@evil.example\u2029b",
    "a\u0085Bcc: eve@evil.example",
    "\u202eright to left\u202c \u2067isolate\u2069",
    "\ud800lone surrogate\udfff",
    "=?utf-8?q?Bcc:_eve@evil.example?= =?utf-8?b?AA==?=",
    '"quote" <eve@evil.example>, \\back\\slash; (comment) :colon',
    ".leading dot",
    "..",
    ".",
    "From the start of a line",
    "邸报今日要闻头条新闻速递" * 40,
    "Größe: äöü ß éèê — naïve façade " * 12,
    "👩‍👩‍👧‍👦🎉🇨🇳" * 60,
    "x" * 3000,
    "日" * 3000,
    "é" + "x" * 990,
    "مرحبا بالعالم שלום עולם",
    "=3D =20 = =\r",
    "trailing space \t ",
    " ",
    "-- \r\n--=_part",
]
ADDRESSES = [
    "reader{n}@example.org",
    "o'neil+{n}=x@example.org",
    '"quo.ted{n}"@example.org',
    ".dot{n}@example.org",
    "reader{n}@bücher.example",
    "jürgen{n}@bücher.example",
    "读者{n}@例子.example",
    "x" * 50 + "{n}@" + "long-domain." * 15 + "example",
]
UNSENDABLE = [
    "a{n}@example.org\r\nBcc: eve@evil.example",
    "a{n}@example.org>\r\nRCPT TO:<eve@evil.example",
    "a {n}@example.org",
    "a{n}\0@example.org",
    "a{n}@evil\u2028.example",
    "\ud800{n}@example.org",
]
UNIQUE = {
    *("date", "from", "to", "subject", "message-id", "reply-to", "list-id", "list-unsubscribe"),
    *("list-unsubscribe-post", "feedback-id", "mime-version", "content-type", "precedence"),
    "content-transfer-encoding",
}


@dataclass(frozen=True)
class Sent:
    """What went in, what came back, what arrived."""

    messages: list[Message]
    endings: dict[Message, Ending]
    sink: ScriptedSink

    def pairs(self) -> Iterator[tuple[Message, Received]]:
        composed = {message.return_path: message for message in self.messages}
        return ((composed[received.return_path], received) for received in self.sink.received)

    def wire(self) -> list[bytes]:
        return [received.data for received in self.sink.received]


def campaign(from_name: str) -> Campaign:
    return Campaign(
        id=CampaignId(1),
        name="",
        issue=IssueId(1),
        issue_revision=1,
        issue_hash="",
        mode=Mode.MERGED,
        segments=("ai",),
        state=State.SENDING,
        subject="",
        preheader="",
        from_name=from_name,
        from_address="news@gazette.example",
        reply_to="desk@gazette.example",
        tracking=3,
        scheduled_for=None,
        send_not_after=None,
        frozen_at=None,
        started_at=None,
        finished_at=None,
        reason="",
        stop_epoch=0,
        candidate_count=0,
        excluded_count=0,
        audience_count=0,
        uncertain_count=0,
        created_at=NOON,
    )


def composers() -> list[Composer]:
    """One for each hostile text an author, or whoever feeds the author, may put in."""
    signer = Signer("r e", "gazette.example", verifiers.pem(RSA) + verifiers.pem(ED25519))
    made = []
    for number, text in enumerate(WORDS):
        url = "https://news.example/" + "path/" * 60 + f"?{number}"
        item = Item("one", f"Story {text}", f"{text}\n\nFor {{{{ name|you }}}}.", url=url)
        issue = Issue(
            title=f"{text} {number}",
            slug="hostile",
            subject=f"{text} for {{{{ first_name|you }}}}",
            preheader=text,
            sections=(Section(segments=("ai",), items=(item,)),),
            ctas=(Link(f"More {text}", url),),
        )
        edition = render(
            issue, Publication("Gazette"), followed=("ai",), tracking=3, public_url=PUBLIC
        )
        letterhead = Letterhead(KEYS, PUBLIC, list_name=text, signer=signer)
        made.append(Composer(letterhead, campaign(text), edition, EditionId(5), now=lambda: NOON))
    return made


@pytest.fixture(scope="module")
def sent() -> Iterator[Sent]:
    """500 that can be sent, and some that cannot, over four connections."""
    with ScriptedSink() as sink:
        made = itertools.cycle(composers())
        addresses = itertools.cycle(ADDRESSES)
        wanted = [next(addresses).format(n=n) for n in range(500)]
        wanted += [address.format(n=n) for n, address in enumerate(UNSENDABLE, 500)]
        people = [
            Person(n, address, WORDS[(n * 7 + n // 30) % len(WORDS)], None)
            for n, address in enumerate(wanted, 1)
        ]
        messages = [next(made).compose(HELD, 1, person) for person in people]
        way = relay_from_url(f"smtp://127.0.0.1:{sink.port}", connections=4)
        endings = dict(way.send(messages))
        way.close()
        yield Sent(messages, endings, sink)


def head(data: bytes) -> bytes:
    return data.partition(b"\r\n\r\n")[0] + b"\r\n"


def values(data: bytes, name: str) -> list[bytes]:
    """The fields of a name, unfolded."""
    found = re.findall(rb"(?ims)^" + name.encode() + rb": ?(.*?)\r\n(?![ \t])", head(data))
    return [re.sub(rb"\r\n(?=[ \t])", b"", value) for value in found]


def test_everyone_who_can_be_mailed_is_and_nobody_else(sent: Sent) -> None:
    sendable = [m for m in sent.messages if m.subscriber <= 500]
    refused = [sent.endings[m] for m in sent.messages if m.subscriber > 500]

    assert len(sent.sink.received) == len(sendable) == 500
    assert {r.return_path for r in sent.sink.received} == {m.return_path for m in sendable}
    assert "eve" not in "".join(sent.sink.recipients)
    assert len(refused) == len(UNSENDABLE)
    assert {(r.code, r.enhanced) for r in refused if isinstance(r, Reply)} == {(553, "5.1.3")}


def test_what_was_composed_arrives_octet_for_octet(sent: Sent) -> None:
    assert all(received.data == message.data for message, received in sent.pairs())


def test_no_line_is_too_long_or_ends_in_anything_but_crlf(sent: Sent) -> None:
    for data in sent.wire():
        assert max(map(len, data.split(b"\r\n"))) <= 998
        assert data.count(b"\r") == data.count(b"\n") == data.count(b"\r\n")
        assert b"\0" not in data
        assert not re.search(rb"(?m)^\.", data)
        assert not re.search(rb"(?m)^[ \t]+\r$", head(data))


def test_everything_is_7_bit_but_addresses_that_are_not(sent: Sent) -> None:
    for message, received in sent.pairs():
        local = message.recipient.rpartition("@")[0]
        if local.isascii():
            assert received.data.isascii()
        else:
            assert received.data.replace(local.encode(), b"").isascii()
    wanted = [c for c in sent.sink.commands if "SMTPUTF8" in c]
    assert len(wanted) == sum(not m.recipient.rpartition("@")[0].isascii() for m, _ in sent.pairs())


def test_encoded_words_keep_to_their_length_and_their_place(sent: Sent) -> None:
    for data in sent.wire():
        for line in head(data).split(b"\r\n"):
            words = re.findall(rb"=\?utf-8\?[bq]\?[^? ]*\?=", line)
            assert all(len(word) <= 75 for word in words)
            assert not words or len(line) <= 76
        for name in ("List-Id", "List-Unsubscribe", "Feedback-ID", "Message-ID", "Reply-To"):
            assert b"=?" not in values(data, name)[0]
        for name in ("From", "To"):  # in the name, never in the address
            assert b"=?" not in values(data, name)[0].rpartition(b"<")[2]


def test_every_field_is_ours_and_there_once(sent: Sent) -> None:
    for data in sent.wire():
        names = [n.decode().lower() for n in re.findall(rb"(?m)^([!-9;-~]+):", head(data))]
        assert names.count("dkim-signature") == 2
        rest = [name for name in names if name != "dkim-signature"]
        assert len(rest) == len(set(rest))
        assert set(rest) <= UNIQUE


def test_what_must_be_literal_is(sent: Sent) -> None:
    """List-Unsubscribe with 300 characters, Feedback-ID, Message-ID, List-Id, byte for byte."""
    for message, received in sent.pairs():
        token = token_of(message.return_path)
        assert token is not None
        assert KEYS.verify(Purpose.DELIVERY, token) is not None
        data = received.data
        (unsubscribe,) = values(data, "List-Unsubscribe")
        assert unsubscribe.decode() == (
            f"<{PUBLIC}/u/{token}>, <mailto:u+{token}@gazette.example?subject=unsubscribe>"
        )
        assert len(f"{PUBLIC}/u/{token}") >= 300
        assert f"List-Unsubscribe: <{PUBLIC}/u/{token}>,\r\n <mailto:".encode() in data
        assert values(data, "List-Unsubscribe-Post") == [b"List-Unsubscribe=One-Click"]
        assert values(data, "Feedback-ID") == [b"c1:e5:newsletter:dibao"]
        (number,) = values(data, "Message-ID")
        assert re.fullmatch(rb"<[0-9a-f]{32}@gazette\.example>", number)
        assert values(data, "List-Id")[0].endswith(b"<news.gazette.example>")
        assert len(values(data, "List-Id")[0]) <= 255


def test_a_parser_of_mail_finds_the_same_recipient_and_two_parts(sent: Sent) -> None:
    for message, received in sent.pairs():
        parsed = message_from_string(received.data.decode(), policy=policy.SMTPUTF8)
        assert not parsed.defects
        (to,) = parsed["To"].addresses
        assert to.username == message.recipient.rpartition("@")[0].strip('"')
        kinds = [part.get_content_type() for part in parsed.walk()]
        assert kinds == ["multipart/alternative", "text/plain", "text/html"]


@pytest.mark.parametrize("verify", [verifiers.dkimpy, verifiers.mailauth])
def test_both_signatures_of_all_verify(sent: Sent, verify: verifiers.Verifier) -> None:
    verdicts = verify(sent.wire(), PUBLISHED)

    assert len(verdicts) == 500
    assert all(verdict == BOTH for verdict in verdicts)


def test_a_third_verifier_takes_the_rsa_signatures(sent: Sent) -> None:
    """Of one message per kind of address and text: it is slow."""
    verdicts = verifiers.mail_dkim(sent.wire()[::11], PUBLISHED)

    assert all(verdict["r"] for verdict in verdicts)


@pytest.mark.parametrize("verify", [verifiers.dkimpy, verifiers.mailauth])
@pytest.mark.parametrize("name", [*OVERSIGNED, *SIGNED])
def test_a_change_to_any_covered_field_breaks_both(
    sent: Sent, verify: verifiers.Verifier, name: str
) -> None:
    changed = []
    for data in sent.wire()[::25]:
        field = re.search(rb"(?ims)^" + name.encode() + rb":.*?(?=\r\n[^ \t])", data)
        if field is None:
            assert name == "content-transfer-encoding"  # each part has its own
            continue
        end = field.end() - 1
        changed.append(
            data[:end] + (b"x" if data[end : end + 1] != b"x" else b"y") + data[end + 1 :]
        )

    assert all(not any(verdict.values()) for verdict in verify(changed, PUBLISHED))


@pytest.mark.parametrize("verify", [verifiers.dkimpy, verifiers.mailauth])
def test_a_second_field_added_breaks_both(sent: Sent, verify: verifiers.Verifier) -> None:
    added = [
        message.replace(b"\r\nFrom: ", b"\r\n" + name.encode() + b": eve@evil.example\r\nFrom: ", 1)
        for message in sent.wire()[::50]
        for name in OVERSIGNED
    ]

    assert all(not any(verdict.values()) for verdict in verify(added, PUBLISHED))
