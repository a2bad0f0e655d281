"""The language reads what people write, prints what it reads back, and says where it is lost."""

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.rules import language, printing
from subscribers.rules.language import parse
from subscribers.rules.tree import (
    MAX_TEXT_IN_ALL,
    Combinator,
    DaysAgo,
    Group,
    Leaf,
    Operator,
    Rule,
    RuleInvalid,
    Unit,
    Window,
    depth,
    group,
)
from tests.unit.subscribers.rules import rules

PRINTABLE = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1)


def refusal(text: str) -> str:
    with pytest.raises(RuleInvalid) as wrong:
        parse(text)
    return str(wrong.value)


@given(rule=rules.rules)
def test_a_printed_rule_reads_back_as_the_same_tree(rule: Rule) -> None:
    printed = printing.text(rule)

    assert parse(printed) == rule
    assert printing.text(parse(printed)) == printed


@given(value=PRINTABLE)
def test_any_text_can_be_a_value(value: str) -> None:
    leaf = language.parse(printing.text(Leaf("town", Operator.EQUALS, value[:400])))

    assert parse(printing.text(leaf)) == leaf


@given(value=st.floats(-1e15, 1e15))
def test_any_number_can_be_a_value(value: float) -> None:
    leaf = Leaf("age", Operator.AT_MOST, value + 0.0)

    assert parse(printing.text(leaf)) == leaf


def test_the_longest_rule_there_may_be_can_be_printed_and_read() -> None:
    texts = tuple('"' + chr(0x4E00 + n) for n in range(50))  # each quote needs another sign
    widest = Leaf("t" * 63, Operator.ONE_OF, texts)
    rule = group(Combinator.OR, [widest] * (MAX_TEXT_IN_ALL // 100))

    assert parse(printing.text(rule)) == rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("follows:ai", Leaf("follows", Operator.IS, "ai")),
        ("in:e-commerce", Leaf("in", Operator.IS, "e-commerce")),
        ("opened", Leaf("opened", Operator.EVER)),
        (
            "CLICKED:AI In The Last 1 Day",
            Leaf("clicked:ai", Operator.IN_LAST, Window(1, Unit.DAYS)),
        ),
        (
            "never opened in last 4 issues",
            Leaf("opened", Operator.NEVER_IN_LAST, Window(4, Unit.ISSUES)),
        ),
        ("country is US", Leaf("country", Operator.EQUALS, "US")),
        ("country is not 'US'", Leaf("country", Operator.DIFFERS, "US")),
        ("country is not known", Leaf("country", Operator.UNKNOWN)),
        ("country is not unknown", Leaf("country", Operator.KNOWN)),
        ("age >= -1.5e1", Leaf("age", Operator.AT_LEAST, -15.0)),
        ("opened_at before 0 days ago", Leaf("opened_at", Operator.BEFORE, DaysAgo(0))),
        ('town = "a \\"b\\" \\\\ c"', Leaf("town", Operator.EQUALS, 'a "b" \\ c')),
        ("town starts with a and not on in (b)", None),
        ("((not (not (country = US))))", Leaf("country", Operator.EQUALS, "US")),
    ],
)
def test_what_people_write_is_understood(text: str, rule: Rule | None) -> None:
    found = parse(text)

    assert rule is None or found == rule


def test_and_binds_closer_than_or_and_not_closest() -> None:
    a, b, c = (Leaf(name, Operator.KNOWN) for name in "abc")
    read = parse("not a is known or b is known and c is known")

    assert read == Group(
        Combinator.OR,
        (Group(Combinator.AND, (a,), negated=True), Group(Combinator.AND, (b, c))),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1, column 1: the rule ends here; expected: "),
        ("follows:ai and\n  ]", 'line 2, column 3: "]" is not expected here; expected: '),
        ("country ~ US", "=, !=, <, <=, > or >=, before, after or on, contains, ends with, has,"),
        ('a = "US', "line 1, column 5: a quote is opened here and never closed"),
        ("never opened", "line 1, column 13: the rule ends here; expected: in last 4 issues"),
        ("(a = 1", 'expected: ")"'),
        ("a = 1)", "line 1, column 6"),
        ("a = and", 'if it is "and", put it in quotes'),
        ("a on 3 issues ago", "line 1, column 8: days are expected here"),
        ("x before 2026-13-01", "must be a day of the calendar, which 2026-13-01 is not"),
        ("opened in last 0 days", "must be a whole number from 1 to 36,500"),
        ("and = 3", "is a word of the language"),
        ('id); DROP TABLE subscriber; -- = "x"', 'line 1, column 3: ")" is not expected here'),
        ("country = 'US' or 1=1", 'line 1, column 19: "1" is not expected here'),
        ('a = "\0"', "has a control character"),
        ("“a” = 1", "is not expected here"),
    ],
)
def test_an_error_says_where_and_what_was_expected(text: str, said: str) -> None:
    assert said in refusal(text)


def test_each_condition_knows_where_it_stands() -> None:
    written = language.read("not (a = 1\n  or b = 2)\nand c = 3")

    assert written.places == ("line 1, column 6", "line 2, column 6", "line 3, column 5")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000,
        "(" * 5_000 + "a" + ")" * 5_000,
        "not " * 2_500,
        "a=1 and " * 1_250 + "a=1",
        "a=1 or not (b=1 and (" * 500,
        "(" * 9 + "a=1" + " or a=1)" * 9 + " and (" * 100,
        '"' * 10_001,
        "\\" * 10_000,
        "a in (" + ",".join(["x"] * 3_000) + ")",
        "9" * 10_000,
        "a = " + "9" * 10_000,
        "a = 1e999999",
        "\u202e" * 10_000,
        "\0" * 10_000,
        "x" * 200_000,
        'a = "' + "x" * 9_000 + '"',
        " or ".join('a = "' + "x" * 490 + '"' for _ in range(60)),
    ],
    ids=range(17),
)
def test_hostile_text_is_refused_soon_and_shortly(text: str) -> None:
    before = time.perf_counter()
    said = refusal(text)

    assert time.perf_counter() - before < 2
    assert len(said) < 1_000
    assert said.isprintable()


def test_deep_parentheses_are_no_depth() -> None:
    assert depth(parse("(" * 3_000 + "a = 1" + ")" * 3_000)) == 0


@given(text=st.text(max_size=80) | st.text("()aonrdt=\"' 1:<>\\", max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(RuleInvalid):
        rule = parse(text)
        assert parse(printing.text(rule)) == rule
