"""A message is one reader's own, the same on every try, and nobody else's."""

import email
import email.policy
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from mailer.campaigns.campaign import CampaignId, EditionId
from mailer.campaigns.queries import EditionNotFound
from mailer.delivery.batch import Lease, Person
from mailer.delivery.compose import Composer, Composers, Letterhead
from mailer.delivery.dkim import Signer
from mailer.delivery.relay import Message
from mailer.delivery.return_path import token_of
from mailer.kit.database import Database
from mailer.kit.signing import Bearer, Keyring, Purpose
from tests.fakes import books
from tests.fakes.books import NOON

KEYS = Keyring.of("only for tests")
ADA = Person(1, "ada@example.org", "Ada Lovelace", None)
BEN = Person(2, "ben@example.net", "", None)
HELD = Lease(CampaignId(1), 3, EditionId(5), "other", 1, 10, 2, "one", 0, NOON)


@pytest.fixture
def composer(sqlite_database: Database) -> Composer:
    return made(sqlite_database, Letterhead(KEYS, "https://gazette.example", list_name="Gazette"))


def made(database: Database, letterhead: Letterhead) -> Composer:
    with database.transaction() as session:
        campaign = books.stored(session, books.campaign(session))
    return Composer(letterhead, campaign, books.edition(), EditionId(5), now=lambda: NOON)


def parsed(message: Message) -> EmailMessage:
    found = email.message_from_bytes(message.data, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def test_a_message_knows_its_place(composer: Composer) -> None:
    message = composer.compose(HELD, 4, ADA)

    place = (message.campaign, message.subscriber, message.batch, message.epoch, message.chunk)
    assert place == (1, 1, 3, 2, 4)
    assert message.recipient == "ada@example.org"
    token = token_of(message.return_path)
    assert token is not None
    assert KEYS.verify(Purpose.DELIVERY, token) == Bearer(campaign=1, subscriber=1)


def test_the_head_is_the_campaigns_and_the_readers(composer: Composer) -> None:
    head = parsed(composer.compose(HELD, 1, ADA))

    assert head["From"] == "The Digital Gazette <news@gazette.example>"
    assert head["To"] == "Ada Lovelace <ada@example.org>"
    assert head["Subject"] == "Fans for Ada"
    assert head["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "https://gazette.example/u/" in head["List-Unsubscribe"]
    assert head["Date"].datetime == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_who_gave_no_name_is_addressed_by_the_authors_word(composer: Composer) -> None:
    assert parsed(composer.compose(HELD, 1, BEN))["Subject"] == "Fans for you"


def test_every_try_is_the_same_message(composer: Composer) -> None:
    first = composer.compose(HELD, 1, ADA)
    composer.compose(HELD, 1, BEN)
    again = composer.compose(replace(HELD, number=9, attempt=2), 1, ADA)

    assert again.data == first.data


def test_nothing_of_one_reader_is_in_anothers_message(composer: Composer) -> None:
    adas, bens = composer.compose(HELD, 1, ADA), composer.compose(HELD, 1, BEN)
    token = token_of(adas.return_path)

    assert token is not None
    for canary in (b"ada", b"Ada", b"Lovelace", token.encode()):
        assert canary in adas.data + adas.return_path.encode()
        assert canary not in bens.data + bens.return_path.encode()


def test_no_line_needs_stuffing_and_all_end_in_crlf(composer: Composer) -> None:
    data = composer.compose(HELD, 1, ADA).data

    assert data.endswith(b"\r\n")
    assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
    assert b"\r\n." not in data


def test_a_signed_message_verifies(sqlite_database: Database) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    signer = Signer("s1", "gazette.example", pem)
    letterhead = Letterhead(KEYS, "https://gazette.example", signer=signer)
    data = made(sqlite_database, letterhead).compose(HELD, 1, ADA).data

    record = b"v=DKIM1; k=ed25519; p=" + b64encode(public)
    assert dkim.verify(data, dnsfunc=lambda *_, **__: record)
    assert not dkim.verify(data.replace(b"Fans", b"Pans"), dnsfunc=lambda *_, **__: record)


def test_return_paths_are_at_the_bounce_domain(sqlite_database: Database) -> None:
    letterhead = Letterhead(KEYS, "https://gazette.example", bounce_domain="b.gazette.example")

    message = made(sqlite_database, letterhead).compose(HELD, 1, ADA)

    assert message.return_path.endswith("@b.gazette.example")


def test_an_edition_is_prepared_once(sqlite_database: Database) -> None:
    campaign = books.sending(sqlite_database, 1)
    composers = Composers(sqlite_database, Letterhead(KEYS, "https://gazette.example"))

    first = composers.of(campaign, EditionId(1))

    assert composers.of(campaign, EditionId(1)) is first
    assert first.segments == books.SEGMENTS
    with pytest.raises(EditionNotFound):
        composers.of(campaign, EditionId(2))
