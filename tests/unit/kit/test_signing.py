"""A token names one recipient of one campaign; nobody else can make one, whatever they change."""

import base64
import hmac
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.kit import signing
from mailer.kit.signing import LENGTH, Bearer, Keyring, Purpose

ALPHABET = string.ascii_lowercase + "234567"
RING = Keyring.of("a secret of the house")

campaigns = st.integers(0, 2**24 - 1)
subscribers = st.integers(1, 2**32 - 1)
purposes = st.sampled_from(Purpose)


@given(purposes, campaigns, subscribers)
def test_a_token_says_again_what_was_signed(p: Purpose, campaign: int, subscriber: int) -> None:
    assert RING.verify(p, RING.sign(p, campaign, subscriber)) == Bearer(campaign, subscriber)


@given(purposes, campaigns, subscribers)
def test_a_token_fits_a_link_and_a_local_part(p: Purpose, campaign: int, subscriber: int) -> None:
    token = RING.sign(p, campaign, subscriber)

    assert len(token) == LENGTH == 24
    assert set(token) <= set(ALPHABET)
    assert RING.sign(p, campaign, subscriber) == token, "the same one for every link of a letter"


@given(purposes, campaigns, subscribers, st.data())
def test_a_relay_that_changes_the_case_does_no_harm(
    purpose: Purpose, campaign: int, subscriber: int, data: st.DataObject
) -> None:
    token = RING.sign(purpose, campaign, subscriber)
    upper = data.draw(st.lists(st.booleans(), min_size=LENGTH, max_size=LENGTH))
    mixed = "".join(c.upper() if up else c for c, up in zip(token, upper, strict=True))

    assert RING.verify(purpose, mixed) == Bearer(campaign, subscriber)


@given(purposes, campaigns, subscribers, st.integers(0, LENGTH - 1), st.sampled_from(ALPHABET))
def test_one_changed_character_makes_it_nobodys(
    purpose: Purpose, campaign: int, subscriber: int, place: int, other: str
) -> None:
    token = RING.sign(purpose, campaign, subscriber)
    forged = token[:place] + other + token[place + 1 :]

    assert (RING.verify(purpose, forged) is None) == (forged != token)


@given(st.text(max_size=40))
def test_whatever_else_is_offered_is_nobodys(token: str) -> None:
    assert RING.verify(Purpose.DELIVERY, token) is None


@given(st.binary(min_size=15, max_size=15))
def test_random_bytes_in_the_right_shape_are_nobodys(raw: bytes) -> None:
    assert RING.verify(Purpose.DELIVERY, base64.b32encode(raw).decode().lower()) is None


def test_a_token_serves_one_purpose_only() -> None:
    token = RING.sign(Purpose.CONFIRM, 0, 7)

    assert RING.verify(Purpose.CONFIRM, token) == Bearer(0, 7)
    assert RING.verify(Purpose.DELIVERY, token) is None


def test_a_new_secret_signs_and_the_old_one_still_verifies() -> None:
    old_letter = Keyring.of("old").sign(Purpose.DELIVERY, 3, 7)
    rotated = Keyring.of("new", "old")
    new_letter = rotated.sign(Purpose.DELIVERY, 3, 7)

    assert rotated.verify(Purpose.DELIVERY, old_letter) == Bearer(3, 7)
    assert rotated.verify(Purpose.DELIVERY, new_letter) == Bearer(3, 7)
    assert Keyring.of("old").verify(Purpose.DELIVERY, new_letter) is None


def test_sixteen_rotations_are_told_apart() -> None:
    secrets = [f"secret {n}" for n in range(16)]
    tokens = [Keyring.of(*secrets[n:]).sign(Purpose.DELIVERY, 1, n + 1) for n in range(16)]
    ring = Keyring.of(*secrets)

    assert [ring.verify(Purpose.DELIVERY, token) for token in tokens] == [
        Bearer(1, n + 1) for n in range(16)
    ]


@pytest.mark.parametrize("count", [0, 17])
def test_a_keyring_has_one_to_sixteen_secrets(count: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 16"):
        Keyring.of(*["secret"] * count)


@pytest.mark.parametrize(
    ("campaign", "subscriber"), [(-1, 1), (2**24, 1), (1, 0), (1, -1), (1, 2**32)]
)
def test_an_id_that_does_not_fit_is_a_bug(campaign: int, subscriber: int) -> None:
    with pytest.raises(ValueError, match="no token for"):
        RING.sign(Purpose.DELIVERY, campaign, subscriber)


@pytest.mark.parametrize("key", [b"k", b"k" * 32, b"k" * 64, b"k" * 65, b"k" * 200])
@pytest.mark.parametrize("message", [b"", b"m" * 8, b"m" * 300])
def test_the_quick_code_is_the_librarys(key: bytes, message: bytes) -> None:
    assert signing.mac(key, message) == hmac.digest(key, message, "sha256")


def test_a_token_is_base32() -> None:
    ring = Keyring.of("a secret")
    token = ring.sign(Purpose.DELIVERY, 7, 9)

    assert base64.b32encode(base64.b32decode(token.upper())).decode().lower() == token
