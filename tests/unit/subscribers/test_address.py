"""An address is parsed once, refused where two parsers could disagree, and known by one key."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from subscribers.address import AddressInvalid, EmailAddress, address_key, key_from, masked

TAKEN = {"ISEMAIL_VALID_CATEGORY", "ISEMAIL_DNSWARN"}
ON_PURPOSE = {
    "5": "test@io is valid and cannot be reached by anybody we could send through",
    "157": "a space in front is what copying leaves; it is dropped",
    "158": "a space behind, too",
}
LOCAL_CHARACTERS = "abzABZ019!#$%&'*+/=?^_`{|}~.-"
ADDRESSES = st.one_of(
    st.emails(),
    st.from_regex(r"[a-zA-Z0-9.+'-]{1,66}@[a-zA-Z0-9.-]{1,40}", fullmatch=True),
    st.builds(
        "{}@{}.{}".format,
        st.text(LOCAL_CHARACTERS, min_size=1, max_size=66),
        st.text("abzABZ09-.", min_size=1, max_size=64),
        st.sampled_from(["org", "ORG", "example", "c", "co.uk", "x1"]),
    ),
    st.builds("{}@{}.org".format, st.text(max_size=10), st.text(max_size=10)),
    st.text(max_size=40),
)


def parsed(text: str) -> EmailAddress | None:
    try:
        return EmailAddress.parse(text)
    except AddressInvalid:
        return None


def test_the_isemail_corpus_is_taken_where_valid_and_refused_where_odd_or_wrong(
    shared: Path,
) -> None:
    tests = ET.parse(shared / "corpora/addresses/isemail/tests.xml").getroot().iter("test")  # noqa: S314
    wrong = []
    for test in tests:
        symbols = test.findtext("address") or ""
        address = "".join(chr(ord(c) - 0x2400) if 0x2400 <= ord(c) < 0x2440 else c for c in symbols)
        expected = test.findtext("category") in TAKEN
        if (parsed(address) is not None) is not expected:
            wrong.append(test.get("id"))

    assert set(wrong) == set(ON_PURPOSE)


@given(ADDRESSES)
def test_parsing_the_result_again_changes_nothing(text: str) -> None:
    once = parsed(text)

    assert once is None or EmailAddress.parse(once.address) == once


@given(ADDRESSES)
def test_the_short_way_for_plain_addresses_agrees_with_the_long_one(text: str) -> None:
    stripped = text.strip(" ")
    try:
        long = validate_email(
            stripped, check_deliverability=False, globally_deliverable=False
        ).ascii_domain
    except (EmailNotValidError, ValueError):
        long = None
    short = parsed(text)

    if short is not None:
        assert long == short.domain


@given(ADDRESSES)
def test_an_address_is_safe_to_write_to_the_wire(text: str) -> None:
    address = parsed(text)

    if address is not None:
        assert not set(address.address) & set(' \t\r\n\0<>"(),:;[]\\\x7f')
        assert address.address.count("@") == 1
        assert not address.address.startswith(".")
        assert len(address.address.encode()) <= 254
        assert len(address.address.rpartition("@")[0].encode()) <= 64
        assert address.domain.isascii()
        assert "." in address.domain


@pytest.mark.parametrize(
    "text",
    [
        "a@b.example>\r\nRCPT TO:<v@t.example>",
        "a@b.example\r\nBcc: c@d.example",
        "a@b.example\n",
        '"x@gmail.com x"@int.test',
        'user"@e.example(x)evil.example',
        "a(b(c)d)@e.example",
        "g: a@b.example, c@d.example;",
        "Ada <ada@example.org>",
        "a@b@c.example",
        "a@[127.0.0.1]",
        "a@127.0.0.1",
        "a@b..example",
        "a..b@example.org",
        ".a@example.org",
        "a.@example.org",
        "a@example.org.",
        "a@localhost",
        "a@-b.example",
        "a@b-.example",
        "a@b_c.example",
        "a" * 65 + "@example.org",
        "a@" + "b" * 64 + ".example",
        "a@" + ".".join(["b" * 50] * 5) + ".example",
        "a\0@example.org",
        "a@exam\u200bple.org\ud800",
        "",
        "@",
    ],
)
def test_what_could_mean_a_second_recipient_or_none_is_refused(text: str) -> None:
    with pytest.raises(AddressInvalid):
        EmailAddress.parse(text)


@pytest.mark.parametrize(
    ("text", "wire", "key"),
    [
        ("Ada@Example.ORG", "Ada@example.org", "ada@example.org"),
        ("  ada@example.org ", "ada@example.org", "ada@example.org"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("ada@ｅｘａｍｐｌｅ.org", "ada@example.org", "ada@example.org"),  # full width, as typed
        ("ada+news@example.org", "ada+news@example.org", "ada+news@example.org"),
        ("邮箱@example.org", "邮箱@example.org", "邮箱@example.org"),
    ],
)
def test_spellings_of_one_mailbox_have_one_key(text: str, wire: str, key: str) -> None:
    address = EmailAddress.parse(text)

    assert (address.address, address.key) == (wire, key)
    assert address.domain == wire.partition("@")[2]
    assert str(address) == wire


def test_the_longest_address_is_taken() -> None:
    domain = ".".join(["b" * 60] * 3) + ".example"
    local = "a" * (254 - len(domain) - 1)

    assert len(local) <= 64
    assert EmailAddress.parse(f"{local}@{domain}").address == f"{local}@{domain}"


@given(st.text("abcdefgh", min_size=6, max_size=9))
def test_a_refusal_does_not_repeat_the_address(local: str) -> None:
    with pytest.raises(AddressInvalid) as refused:
        EmailAddress.parse(f"{local}@{local} {local}.example")

    assert local not in str(refused.value)


def test_the_hash_is_the_same_for_every_spelling_and_needs_the_key() -> None:
    ada, again = EmailAddress.parse("Ada@example.org"), EmailAddress.parse("aDA@EXAMPLE.org")
    one = address_key(b"one", ada)

    assert one == address_key(b"one", again)
    assert len(one) == 32
    assert int(one, 16) >= 0
    assert one != address_key(b"two", ada)
    assert one != address_key(b"one", EmailAddress.parse("ada@example.com"))


def test_a_new_secret_in_front_changes_no_hash() -> None:
    assert key_from(["new", "old"]) == key_from(["old"])
    assert key_from(["old", "new"]) != key_from(["old"])


def test_a_masked_address_shows_its_first_letter_and_domain() -> None:
    assert masked("ada.lovelace@example.org") == "a***@example.org"
