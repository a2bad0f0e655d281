"""States and their moves, names made tame, languages read."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.subscriber import (
    MOVES,
    OWN,
    LanguageInvalid,
    State,
    SubscriberNotFound,
    name_to_echo,
    parse_language,
    parse_number,
    tidy_name,
)


def test_every_state_has_its_moves_and_none_to_itself() -> None:
    assert set(MOVES) == set(State)
    assert not any(state in MOVES[state] for state in State)


def test_nobody_becomes_pending_again_but_after_an_erasure_or_a_lifted_suppression() -> None:
    back = {state for state in State if State.PENDING in MOVES[state]}

    assert back & OWN == {State.ERASED}


def test_whoever_left_comes_back_only_by_confirming() -> None:
    assert State.CONFIRMED in MOVES[State.UNSUBSCRIBED]
    assert State.CONFIRMED in MOVES[State.ERASED]  # imported again after an import was undone
    assert State.PENDING not in MOVES[State.CONFIRMED]


@pytest.mark.parametrize("state", [s for s in State if s is not State.ERASED])
def test_anybody_may_have_their_data_erased(state: State) -> None:
    assert State.ERASED in MOVES[state]


@given(st.text())
def test_a_tidy_name_is_one_short_line_without_tricks_and_stays_as_it_is(text: str) -> None:
    name = tidy_name(text)

    assert len(name) <= 100
    assert len(name.splitlines()) <= 1
    assert name == name.strip()
    assert all(unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"} for c in name)
    assert not set(name) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069")
    assert tidy_name(name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ada\r\nBcc: x@example.org", "Ada Bcc: x@example.org"),
        ("  Ada\t Lovelace ", "Ada Lovelace"),
        ("Ada\0\u202eecalevoL", "AdaecalevoL"),
        ("中书 门下", "中书 门下"),
        ("نامه\u200cها", "نامه\u200cها"),  # the joiner is spelling
        ("A" * 300, "A" * 100),
    ],
)
def test_names_keep_their_letters_and_lose_the_rest(text: str, name: str) -> None:
    assert tidy_name(text) == name


@pytest.mark.parametrize(
    "name",
    [
        *("Ada", "Ada Lovelace", "Dr. Ada L.", "J. R. R. Tolkien", "Anne-Marie O'Neill", "Łukasz"),
        *("Björk Guðmundsdóttir", "王小明", "محمد علي", "St. John", "Jean Paul II.", "Mary, Jr."),
    ],
)
def test_a_name_that_is_one_is_echoed(name: str) -> None:
    assert name_to_echo(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "http://evil.example/win",
        "You won! https://evil.example",
        "hTTps: //evil.example",
        "www evil example",
        "evil.example",
        "Visit evil.com now",
        "evil。com",
        "evil．com",  # full width
        "ev\u200bil.com",
        "ｈttp：//evil",
        "ada@example.org",
        "Ada <b>free</b>",
        "<script>",
        "[click](//evil)",
        "{{ token }}",
        "`rm`",
        "see t.me now",
        "call 0012345678",
        "MAILTO: ada",
        "//evil",
        "",
        " 	",
    ],
)
def test_what_is_more_than_a_name_is_not_echoed(name: str) -> None:
    assert name_to_echo(name) == ""


@given(st.text())
def test_an_echoed_name_is_a_tidy_one_and_holds_no_link(text: str) -> None:
    echoed = name_to_echo(text)

    assert echoed in {"", tidy_name(text)}
    assert not set(echoed) & set("@<>[]{}")
    assert "//" not in echoed


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("", ""),
        ("EN", "en"),
        ("zh_CN", "zh-CN"),
        ("ZH-hans-cn", "zh-Hans-CN"),
        (" fr ", "fr"),
        ("sl-rozaj", "sl-rozaj"),
    ],
)
def test_a_language_is_read_in_the_spellings_people_use(text: str, tag: str) -> None:
    assert parse_language(text) == tag
    assert parse_language(tag) == tag


@pytest.mark.parametrize("text", ["english", "e", "en-", "en-x", "en;q=1", "<b>", "en\nfr", "12"])
def test_what_is_no_language_tag_is_refused(text: str) -> None:
    with pytest.raises(LanguageInvalid):
        parse_language(text)


def test_a_number_is_read_as_far_as_anybody_can_have_it() -> None:
    assert parse_number("12") == 12
    assert parse_number("ada@example.org") is parse_number("٣") is parse_number("") is None
    with pytest.raises(SubscriberNotFound):
        parse_number("9" * 30)
