"""The examples of docs/segments.md are what they claim to be."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from subscribers.rules import json_tree, language, printing, words
from subscribers.rules.facts import Facts, KnownSegment
from subscribers.rules.schema import BUILT_IN, Field, Kind, NamedSegment, Schema, require
from subscribers.rules.sql import find
from subscribers.rules.tree import Operator, RuleInvalid

GUIDE = (Path(__file__).parents[4] / "docs/segments.md").read_text(encoding="utf-8")
SCHEMA = Schema(
    {
        "country": Field("country", Kind.CHOICE, "country", ("US", "FR")),
        "town": Field("town", Kind.TEXT, "town"),
        "age": Field("age", Kind.NUMBER, "age"),
        "renewal": Field("renewal", Kind.DATE, "renewal"),
        "interests": Field("interests", Kind.TAGS, "interests"),
    },
    {
        "ai": NamedSegment("ai", "AI"),
        "luxury": NamedSegment("luxury", "Luxury"),
        "regulars": NamedSegment("regulars", "Regular readers", by_rule=True),
    },
)
FACTS = Facts(
    now=datetime(2026, 3, 1, tzinfo=UTC),
    is_sqlite=True,
    segments={
        "ai": KnownSegment(1, None),
        "regulars": KnownSegment(2, language.parse("opened in last 4 issues")),
    },
    issues=(),
)


def block(kind: str) -> str:
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return str(found)


def pairs(kind: str) -> list[tuple[str, str]]:
    lines = block(kind).splitlines()
    return [(rule, said.strip()) for rule, said in zip(lines[::2], lines[1::2], strict=True)]


@pytest.mark.parametrize(("text", "said"), pairs("rules"))
def test_an_example_is_in_the_printed_form_and_said_back_as_shown(text: str, said: str) -> None:
    rule = language.parse(text)
    require(rule, SCHEMA)

    assert printing.text(rule) == text
    assert words.say(rule, SCHEMA) == said
    assert find(rule, FACTS)


@pytest.mark.parametrize(("text", "said"), pairs("refused"))
def test_a_refused_example_is_refused_as_shown(text: str, said: str) -> None:
    with pytest.raises(RuleInvalid) as refused:
        require(language.parse(text), SCHEMA, language.read(text).places)

    assert str(refused.value).startswith(said)


def test_the_tree_shown_is_a_rule() -> None:
    rule = json_tree.loads(block("json"))

    assert printing.text(rule) == ('follows:ai and clicked in last 4 issues and not country = "US"')


def test_the_guide_names_every_field_and_operator() -> None:
    for name in BUILT_IN:
        assert f"`{name}`" in GUIDE
    for operator in Operator:
        assert operator in GUIDE
