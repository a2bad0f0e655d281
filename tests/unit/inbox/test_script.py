"""Rehearsal recipients answer as their name or a rule says."""

import pytest

from mailer.inbox.script import Answer, Drop, Rule, Script, Stage


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("refuse@example.com", 550),
        ("Refuse.Ada@example.com", 550),
        ("defer+7@example.com", 451),
        ("defer-anything@example.com", 451),
        ("full@example.com", 552),
        ("blocked@example.com", 550),
    ],
)
def test_a_name_answers_at_the_recipient(address: str, code: int) -> None:
    answer = Script().at_recipient(address)

    assert answer is not None
    assert answer.code == code


@pytest.mark.parametrize("address", ["ada@example.com", "refused@example.com", "x@refuse.example"])
def test_everybody_else_takes_their_mail(address: str) -> None:
    script = Script()

    answers = [script.at_recipient(address), script.at_data([address]), script.at_dot([address])]
    assert answers == [None, None, None]


def test_a_deferral_may_last_for_some_tries_only() -> None:
    script = Script()

    codes = [script.at_recipient("defer-twice@example.com") for _ in range(3)]

    assert [code is None for code in codes] == [False, False, True]


def test_tries_are_counted_per_person() -> None:
    script = Script()
    script.at_recipient("defer-once.ada@example.com")

    assert script.at_recipient("defer-once.ben@example.com") is not None
    assert script.at_recipient("defer-once.ada@example.com") is None


def test_one_may_answer_at_the_dot() -> None:
    script = Script()

    assert script.at_recipient("refuse-dot@example.com") is None
    answer = script.at_dot(["ada@example.com", "refuse-dot@example.com"])
    assert isinstance(answer, Answer)
    assert answer.code == 554


def test_a_drop_comes_before_or_after_the_dot() -> None:
    script = Script()

    assert script.at_data(["drop-before@example.com"]) is not None
    assert script.at_dot(["drop-before@example.com"]) is None
    assert script.at_data(["drop@example.com"]) is None
    assert script.at_dot(["drop@example.com"]) == Drop()
    assert script.at_dot(["lose@example.com"]) == Drop(keeps=False)


def test_a_rule_beats_a_name_and_the_first_fitting_rule_wins() -> None:
    script = Script(
        [
            Rule("refuse@example.com", Answer(421, "4.3.2 closing", stage=Stage.DOT)),
            Rule("*@example.com", Answer(450, "4.2.1 later", times=1)),
        ]
    )

    assert script.at_recipient("refuse@example.com") is None
    first = script.at_recipient("Ada@Example.com")
    assert first is not None
    assert first.code == 450
    assert script.at_recipient("ada@example.org") is None
