"""A rule is held to the fields and segments there are, and said back in words."""

import pytest
from hypothesis import given

from subscribers.rules import language, words
from subscribers.rules.schema import BUILT_IN, OPERATORS, Field, Kind, NamedSegment, Schema, check
from subscribers.rules.tree import Rule
from tests.unit.subscribers.rules import population, rules

SCHEMA = Schema(
    {
        each.name: each
        for each in (
            Field("country", Kind.CHOICE, "country", ("US", "FR", "DE")),
            Field("town", Kind.TEXT, "town"),
            Field("age", Kind.NUMBER, "age"),
            Field("renewal", Kind.DATE, "renewal"),
            Field("interests", Kind.TAGS, "interests"),
            Field("shoe", Kind.NUMBER, "shoe size", archived=True),
        )
    },
    {
        each.key: each
        for each in (
            NamedSegment("ai", "AI"),
            NamedSegment("luxury", "Luxury"),
            NamedSegment("vip", "VIP buyers", by_rule=True),
            NamedSegment("old", "Old", archived=True),
        )
    },
)


def problems(text: str) -> str:
    written = language.read(text)
    found = check(written.rule, SCHEMA, written.places)
    return "\n".join(f"{each.place}: {each.message}" for each in found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("contry = US", "line 1, column 1: there is no field contry; did you mean country?"),
        ("opened and zzz = 1", "line 1, column 12: there is no field zzz"),
        ("shoe > 40", "the field shoe is archived"),
        ("country = USA", "USA is no value of country; did you mean US?"),
        ("country = Mars", "Mars is no value of country; there are: US, FR, DE"),
        ("country in (US, UK)", "UK is no value of country"),
        ("country > 3", "country is a choice and knows no >; it knows: =, !=, in, known, unknown"),
        ("country contains U", "country is a choice and knows no contains"),
        ('age = "eighteen"', "age is a number, and eighteen is a text"),
        ("age before 2026-01-01", "age is a number and knows no before"),
        ("town = 3", "town is a text: put its value in quotes"),
        ("town > 3", "town is a text and knows no >"),
        ("renewal = 2026", "renewal is a date and knows no ="),
        ("renewal in last 3 issues", "renewal is measured in days, not in issues"),
        ("interests = vip", "interests is a list of tags and knows no =; it knows: has, has any"),
        ("created in next 3 days", "created is a point in time and knows no in next"),
        ("state = confirm", "confirm is no value of state; did you mean confirmed?"),
        ("state = erased", "erased is no value of state"),
        ("tracking has open", "open is no value of tracking; did you mean opens?"),
        ("provider = google", "google is no value of provider; there are: gmail, microsoft"),
        ("follows:lux", "there is no segment lux; did you mean luxury?"),
        ("follows:old", "the segment old is archived"),
        ("follows:vip", "vip is given by a rule: write in:vip"),
        ("in:ai", "people follow ai: write follows:ai"),
        ("clicked:vip", "items are marked with segments that people follow"),
        ("clicked:a1", "there is no segment a1"),
    ],
)
def test_what_there_is_not_is_refused_with_what_was_perhaps_meant(text: str, said: str) -> None:
    assert said in problems(text)


def test_every_problem_is_named() -> None:
    assert len(problems("contry = US and age = x and follows:nobody").splitlines()) == 3


def test_without_a_text_a_problem_has_its_place_in_the_tree() -> None:
    rule = language.parse("opened or (clicked and contry = US)")

    assert [each.place for each in check(rule, SCHEMA)] == ["rules[1].rules[1]"]
    assert [each.place for each in check(language.parse("contry = US"), SCHEMA)] == ["the rule"]


@given(rule=rules.rules)
def test_a_rule_over_what_there_is_has_no_problem_and_can_be_said(rule: Rule) -> None:
    custom = {
        name: Field(name, kind, name, population.COUNTRIES if kind is Kind.CHOICE else ())
        for name, kind in rules.CUSTOM.items()
    }
    named = {key: NamedSegment(key, key.title()) for key in population.FOLLOWED}
    named |= {key: NamedSegment(key, key.title(), by_rule=True) for key in population.RULES}
    schema = Schema(custom, named)

    assert not check(rule, schema)
    assert words.say(rule, schema).startswith("People ")


def test_every_field_has_operators_that_fit() -> None:
    for each in BUILT_IN.values():
        assert OPERATORS[each.kind]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'follows:ai and clicked in last 4 issues and not country = "US"',
            "People who follow AI, clicked in the last 4 issues, and whose country is not US.",
        ),
        ("follows:ai", "People who follow AI."),
        ("not follows:ai or in:vip", "People who do not follow AI or are in VIP buyers."),
        (
            "opened and (clicked:ai in last 1 issue or age >= 18)",
            (
                "People who have ever opened and"
                " (who clicked on AI in the last issue or whose age is at least 18)."
            ),
        ),
        (
            "not (follows:ai or country in (US, FR))",
            "People who are not among those who follow AI or whose country is US or FR.",
        ),
        (
            "never opened in last 30 days",
            "People who could have opened in the last 30 days and never did.",
        ),
        (
            "confirmed before 2026-01-31 and created in last 7 days",
            "People who confirmed before 31 January 2026 and came to us in the last 7 days.",
        ),
        ('not town starts with "a b"', 'People whose town does not start with "a b".'),
        ("renewal on 1 day ago", "People whose renewal is 1 day ago."),
        ("name is unknown", "People whose name is unknown."),
        ("not interests has any (a, b)", "People who do not have a or b among their interests."),
    ],
)
def test_a_rule_is_said_back_in_plain_words(text: str, said: str) -> None:
    rule = language.parse(text)

    assert not check(rule, SCHEMA)
    assert words.say(rule, SCHEMA) == said
