"""A rule is read from JSON with everything wrong named by its place, and written back the same."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.rules import json_tree, tree
from subscribers.rules.tree import Combinator, Group, Leaf, Operator, Rule, RuleInvalid
from tests.unit.subscribers.rules import rules

LEAF = {"field": "country", "operator": "=", "value": "US"}


def refused(value: object) -> dict[str, str]:
    with pytest.raises(RuleInvalid) as wrong:
        json_tree.read(value)
    return {problem.place: problem.message for problem in wrong.value.problems}


@given(rule=rules.rules)
def test_a_rule_comes_back_from_json_as_it_was(rule: Rule) -> None:
    assert json_tree.read(json_tree.write(rule)) == rule
    assert json_tree.loads(json.dumps(json_tree.write(rule))) == rule


def test_a_group_of_one_rule_is_that_rule() -> None:
    alone = {"combinator": "or", "rules": [{"combinator": "and", "rules": [LEAF]}]}

    assert json_tree.read(alone) == json_tree.read(LEAF)


def test_to_deny_twice_says_nothing() -> None:
    denied = {"combinator": "or", "not": True, "rules": [LEAF]}
    twice = {"combinator": "and", "not": True, "rules": [denied]}

    assert json_tree.read(denied) == Group(Combinator.AND, (json_tree.read(LEAF),), negated=True)
    assert json_tree.read(twice) == json_tree.read(LEAF)


def test_everything_wrong_is_named_at_once_with_its_place() -> None:
    wrong = refused(
        {
            "combinator": "xor",
            "rules": [
                {"field": "country", "operator": "raw", "value": "1"},
                {"combinator": "and", "not": "yes", "rules": [{"field": 3, "operator": "="}]},
                {"field": "age", "operator": ">", "value": True},
                "US",
            ],
            "sql": "DROP",
        }
    )

    assert set(wrong) == {
        "the rule",
        "combinator",
        "rules[0].operator",
        "rules[1].not",
        "rules[1].rules[0].field",
        "rules[2].value",
        "rules[3]",
    }
    assert "must be one of: =, !=" in wrong["rules[0].operator"]
    assert wrong["rules[2].value"] == "must be a number"


@pytest.mark.parametrize(
    "leaf",
    [
        {"field": "id); DROP TABLE subscriber", "operator": "=", "value": "x"},
        {"field": "fields->>'a'", "operator": "=", "value": "x"},
        {"field": "a" * 64, "operator": "=", "value": "x"},
        {"field": "é", "operator": "=", "value": "x"},
        {"field": "and", "operator": "=", "value": "x"},
        {"field": "opened:ai", "operator": "ever"},
        {"field": "clicked:A I", "operator": "ever"},
        {"field": "country:ai", "operator": "=", "value": "x"},
        {"field": "country", "operator": "regex", "value": "(a+)+"},
        {"field": "country", "operator": ["="], "value": "x"},
        {"field": "country", "operator": "=", "value": "a\0b"},
        {"field": "country", "operator": "=", "value": "a\nb"},
        {"field": "country", "operator": "=", "value": "\ud800"},
        {"field": "country", "operator": "=", "value": ""},
        {"field": "country", "operator": "=", "value": "x" * 501},
        {"field": "country", "operator": "=", "value": None},
        {"field": "country", "operator": "=", "value": {"$gt": ""}},
        {"field": "country", "operator": "in", "value": []},
        {"field": "country", "operator": "in", "value": ["x"] * 51},
        {"field": "country", "operator": "in", "value": [["x"]]},
        {"field": "country", "operator": "known", "value": "x"},
        {"field": "age", "operator": ">", "value": 10**400},
        {"field": "age", "operator": ">", "value": float("nan")},
        {"field": "age", "operator": ">", "value": float("-inf")},
        {"field": "renewal", "operator": "on", "value": "2026-02-30"},
        {"field": "renewal", "operator": "on", "value": "20260228"},
        {"field": "renewal", "operator": "before", "value": {"days_ago": -1}},
        {"field": "renewal", "operator": "before", "value": {"days_ago": 10**9}},
        {"field": "opened", "operator": "in_last", "value": {"issues": 0}},
        {"field": "opened", "operator": "in_last", "value": {"issues": 101}},
        {"field": "opened", "operator": "in_last", "value": {"issues": 4, "days": 3}},
        {"field": "opened", "operator": "in_last", "value": {"issues": True}},
        {"field": "opened", "operator": "=", "value": "x"},
        {"field": "follows", "operator": "is", "value": "AI"},
        {"field": "follows", "operator": "=", "value": "ai"},
        {"field": "country", "operator": "is", "value": "ai"},
    ],
)
def test_what_no_condition_may_hold_is_refused(leaf: dict[str, Any]) -> None:
    assert refused(leaf)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[" * 100_000,
        '{"combinator":"and","rules":[' * 10_000 + "]}" * 10_000,
        json.dumps({"combinator": "or", "rules": [LEAF] * 10_000})[:500_000],
        '{"combinator":"or","rules":[' + ",".join([json.dumps(LEAF)] * 5_000) + "]}",
        '{"field":"age","operator":">","value":NaN}',
        '{"field":"age","operator":">","value":' + "9" * 5_000 + "}",
        '{"field":"country","operator":"=","value":"' + "x" * 500_000 + '"}',
    ],
    ids=range(9),
)
def test_hostile_json_is_refused_soon_and_shortly(text: str) -> None:
    before = time.perf_counter()

    with pytest.raises(RuleInvalid) as wrong:
        json_tree.loads(text)

    assert time.perf_counter() - before < 2
    assert len(str(wrong.value)) < 5_000


def test_groups_go_eight_deep_and_no_deeper() -> None:
    nested: dict[str, Any] = LEAF
    for n in range(tree.MAX_DEPTH):
        nested = {"combinator": ("and", "or")[n % 2], "rules": [nested, LEAF]}

    assert tree.depth(json_tree.read(nested)) == tree.MAX_DEPTH
    assert "deeper" in str(refused({"combinator": "and", "rules": [nested, LEAF]}))


def test_a_rule_has_two_hundred_conditions_and_no_more() -> None:
    read = json_tree.read({"combinator": "or", "rules": [LEAF] * tree.MAX_LEAVES})

    assert len(list(tree.leaves(read))) == tree.MAX_LEAVES
    assert refused({"combinator": "or", "rules": [LEAF] * 201}) == {
        "the rule": "has more than 200 conditions"
    }


def test_all_texts_together_have_a_limit() -> None:
    long = {"field": "town", "operator": "=", "value": "x" * 500}

    assert "20,000" in str(refused({"combinator": "or", "rules": [long] * 41}))


def test_a_text_is_kept_as_values_are_stored() -> None:
    read = json_tree.read({"field": "town", "operator": "=", "value": "E\u0301mile"})

    assert read == Leaf("town", Operator.EQUALS, "Émile")


@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_whatever_is_no_rule_is_refused(value: object) -> None:
    assert refused(value)
