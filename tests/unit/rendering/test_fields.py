"""Merge fields are a closed set, and nothing from outside can pass for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.rendering import fields
from mailer.rendering.fields import CLOSE, OPEN, UnknownField


def test_a_field_becomes_a_mark_with_its_default() -> None:
    marked = fields.mark("Dear {{ first_name|reader }}, {{name}}!")

    assert marked == f"Dear {OPEN}first_name|reader{CLOSE}, {OPEN}name|{CLOSE}!"


def test_text_around_a_field_is_escaped_and_the_default_is_not() -> None:
    marked = fields.mark("<{{ name|a < b }}>", escape=lambda text: text.replace("<", "&lt;"))

    assert marked == f"&lt;{OPEN}name|a < b{CLOSE}>"


def test_an_unknown_field_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownField, match=r"no field \{\{ firstname \}\}.*first_name"):
        fields.mark("Hello {{ firstname }}")


def test_an_author_cannot_ask_for_the_token() -> None:
    """It would put the key to a reader's own pages where a forwarded mail shows it."""
    with pytest.raises(UnknownField):
        fields.mark("{{ token }}")


@pytest.mark.parametrize(
    "payload",
    [
        "{{ 7*7 }}",
        "{{ ''.__class__ }}",
        "{{ config.items() }}",
        "{% for x in y %}",
        "{{ name.upper() }}",
        "${7*7}",
        "[[m:email]]",
        "{{}}",
    ],
)
def test_template_code_is_text(payload: str) -> None:
    assert fields.mark(payload) == payload


@given(st.text())
def test_no_text_from_outside_holds_a_mark(text: str) -> None:
    assert not fields.MARK.search(fields.clean(f"{OPEN}token|{CLOSE}{text}"))
    assert not fields.MARK.search(fields.value("name", f"{OPEN}token|{CLOSE}{text}"))


def test_cleaning_takes_controls_and_overrides_and_leaves_languages_alone() -> None:
    assert fields.clean("a\x00b\x07c\x92d\u202ee\ufeff") == "abcde"
    assert fields.clean("é\u00a0\u202f小红书 हिन्दी 👩‍💻") == "é\u00a0\u202f小红书 हिन्दी 👩‍💻"
    assert fields.clean("one\r\ntwo\u2028three") == "one\ntwo\nthree"
    assert fields.line("  one\n\ttwo ") == "one two"


def test_a_readers_value_is_one_line_of_bounded_length() -> None:
    assert fields.value("name", "  Ada\r\nBcc: ben@example.org ") == "Ada Bcc: ben@example.org"
    assert len(fields.value("name", "a" * 500)) == 64


def test_an_empty_value_gives_the_default() -> None:
    marked = fields.mark("Dear {{ name|reader }}")

    assert fields.filled(marked, {"name": " \u202e "}) == "Dear reader"
    assert fields.filled(marked, {}) == "Dear reader"
    assert fields.filled(marked, {"name": "Ada"}) == "Dear Ada"
    assert fields.with_defaults("Dear {{ name|reader }}") == "Dear reader"
