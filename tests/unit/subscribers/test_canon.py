"""Which addresses are one person: case and domains always, dots and plus tags by choice."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from subscribers import actions, bulk, queries
from subscribers.address import Canon, EmailAddress, address_key, key_from
from subscribers.subscriber import NewPerson, SubscriberId
from subscribers.suppression import Reason
from tests.unit.subscribers.people import NOON

SECRET = b"a secret for tests"
PLAIN, DOTS, PLUS = Canon(SECRET), Canon(SECRET, dots=True), Canon(SECRET, plus=True)
BOTH = Canon(SECRET, dots=True, plus=True)


def same(canon: Canon, one: str, other: str) -> bool:
    return canon.key(EmailAddress.parse(one)) == canon.key(EmailAddress.parse(other))


@pytest.mark.parametrize("canon", [PLAIN, DOTS, PLUS, BOTH])
@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        ("Ada@Example.ORG", "ada@example.org", True),
        ("ada@bücher.example", "ADA@xn--bcher-kva.EXAMPLE", True),
        ("ada@bücher.example", "ada@BÜCHER.example", True),
        ("ada@example.org", "ada@example.com", False),
        ("a.da@example.org", "ada@example.org", False),
        ("émile@example.org", "Émile@example.org", False),
        ("+ada@example.org", "+ben@example.org", False),
    ],
)
def test_what_is_one_person_whatever_was_chosen(
    canon: Canon, one: str, other: str, is_one: bool
) -> None:
    assert same(canon, one, other) is is_one


@pytest.mark.parametrize(
    ("one", "other", "those"),
    [
        ("a.d.a@gmail.com", "ada@gmail.com", {DOTS, BOTH}),
        ("a.da@GoogleMail.com", "ada@gmail.com", {DOTS, BOTH}),
        ("ada@googlemail.com", "ada@gmail.com", {DOTS, BOTH}),
        ("ada+news@example.org", "ada@example.org", {PLUS, BOTH}),
        ("ada+news+more@gmail.com", "ADA+x@gmail.com", {PLUS, BOTH}),
        ("a.da+news@gmail.com", "ada@googlemail.com", {BOTH}),
        ("a.da@outlook.com", "ada@outlook.com", set()),
    ],
)
def test_dots_and_tags_only_where_they_were_chosen(one: str, other: str, those: set[Canon]) -> None:
    assert {canon for canon in (PLAIN, DOTS, PLUS, BOTH) if same(canon, one, other)} == those


def test_folding_nothing_hashes_as_before_and_every_choice_otherwise() -> None:
    ada = EmailAddress.parse("ada@example.org")

    assert PLAIN.key(ada) == address_key(SECRET, ada) == address_key(PLAIN, ada)
    assert len({canon.key(ada) for canon in (PLAIN, DOTS, PLUS, BOTH)}) == 4
    assert len({canon.proof for canon in (PLAIN, DOTS, PLUS, BOTH, Canon(b"other"))}) == 5
    assert Canon.of(["new", "old"], "dots plus") == Canon(key_from(["old"]), dots=True, plus=True)
    assert [canon.folds for canon in (PLAIN, DOTS, PLUS, BOTH)] == ["", "dots", "plus", "dots plus"]


@given(
    st.lists(st.sampled_from("abcXYZ019"), min_size=1, max_size=12),
    st.lists(st.booleans(), min_size=12, max_size=12),
    st.sampled_from(["", "+a", "+b.c", "+"]),
    st.sampled_from(["gmail.com", "GMAIL.com", "googlemail.com"]),
)
def test_every_spelling_of_a_gmail_address_has_one_key(
    letters: Sequence[str], dotted: Sequence[bool], tag: str, domain: str
) -> None:
    spelt = "".join(c + ("." if dot else "") for c, dot in zip(letters, dotted, strict=False))

    assert same(BOTH, spelt.strip(".") + tag + f"@{domain}", "".join(letters) + "@gmail.com")


def asked(session: Session, address: str, canon: Canon) -> SubscriberId:
    return actions.subscribe(
        session,
        EmailAddress.parse(address),
        key=canon,
        segments=["ai"],
        source="form",
        wording="Send me the news.",
        now=NOON,
    )


def test_two_spellings_are_stored_once_and_found_by_either(session: Session) -> None:
    ada = asked(session, "A.da+News@gmail.com", BOTH)

    assert asked(session, "ada@googlemail.com", BOTH) == ada
    assert queries.find(session, "a.d.a@gmail.com", key=BOTH) == ada
    assert queries.subscriber(session, ada).address == "A.da+News@gmail.com", "as first written"
    people = [NewPerson(EmailAddress.parse(f"ada+{n}@gmail.com")) for n in range(3)]
    assert not bulk.add_confirmed(session, people, now=NOON, key=BOTH, source="x", wording="x")


def test_without_the_setting_they_are_two(session: Session) -> None:
    assert asked(session, "a.da@gmail.com", PLAIN) != asked(session, "ada@gmail.com", PLAIN)
    assert asked(session, "ada+1@gmail.com", PLAIN) != asked(session, "ada@gmail.com", PLAIN)


def test_a_suppression_holds_for_every_spelling(session: Session) -> None:
    actions.suppress(session, BOTH.key(EmailAddress.parse("ada@gmail.com")), Reason.ASKED, now=NOON)
    people = [NewPerson(EmailAddress.parse("A.D.A+x@googlemail.com"))]

    assert not bulk.add_confirmed(session, people, now=NOON, key=BOTH, source="x", wording="x")


def test_another_choice_than_the_stored_one_is_noticed(session: Session) -> None:
    asked(session, "ada@example.org", DOTS)

    assert [queries.key_fits(session, canon) for canon in (DOTS, PLAIN, BOTH)] == [
        *(True, False, False)
    ]


def test_the_choice_is_noticed_even_where_nobody_has_an_address(session: Session) -> None:
    assert queries.key_fits(session, PLAIN)
    assert queries.folded(session) is None
    actions.remember_key(session, DOTS)
    actions.remember_key(session, PLAIN)

    assert queries.folded(session) == "dots"
    assert queries.key_fits(session, DOTS)
    assert not queries.key_fits(session, PLAIN)
    assert not queries.key_fits(session, Canon(b"another secret", dots=True))
