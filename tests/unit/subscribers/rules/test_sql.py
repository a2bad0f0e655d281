"""A rule compiled to SQL finds whom a slow reading of it finds, and no word of it becomes SQL."""

from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from subscribers import segment_sql
from subscribers.models import SubscriberRow
from subscribers.rules import queries, sql
from subscribers.rules.facts import Facts, facts
from subscribers.rules.language import parse
from subscribers.rules.schema import BUILT_IN, OPERATORS, Field, Kind
from subscribers.rules.tree import (
    Combinator,
    DaysAgo,
    Group,
    Leaf,
    Operator,
    Rule,
    Unit,
    Value,
    Window,
    group,
)
from tests.unit.subscribers.rules import population, rules
from tests.unit.subscribers.rules.population import NOW, People, found

shared_database = settings(
    max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
KEYS = (*population.FOLLOWED, *population.RULES)


@shared_database
@given(rule=rules.rules)
def test_a_rule_finds_whom_a_slow_reading_of_it_finds(
    settled: Session, people: People, rule: Rule
) -> None:
    expected = found(people, rule)
    listed = settled.scalars(sql.found(rule, facts(settled, NOW))).all()
    counted = queries.count(settled, rule, NOW)

    assert len(listed) == len(set(listed))
    assert set(listed) == expected
    assert counted.people == len(expected)
    assert counted.mailable == sum(
        human.state == "confirmed" for human in people if human.id in expected
    )


@shared_database
@given(rule=rules.rules)
def test_who_is_found_is_not_found_by_the_opposite(
    settled: Session, people: People, rule: Rule
) -> None:
    opposite = Group(Combinator.AND, (rule, rules.rule_of_nobody), negated=True)
    everybody = queries.count(settled, opposite, NOW).people

    assert everybody == sum(human.own != "erased" for human in people)


def _inside(people: People, key: str) -> set[int]:
    if key in population.RULES:
        return found(people, population.RULES[key])
    return {human.id for human in people if key in human.follows}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=6, unique=True))
def test_members_have_a_bit_for_each_segment_they_are_in(
    settled: Session, people: People, keys: list[str]
) -> None:
    members = segment_sql.members(settled, keys, NOW)
    masks: dict[int, int] = {}
    for n, key in enumerate(keys):
        for person in _inside(people, key):
            masks[person] = masks.get(person, 0) | 1 << n
    them = SubscriberRow.id
    any_of_them = select(them).where(segment_sql.in_any(settled, them, keys, NOW))

    assert {row.subscriber_id: row.mask for row in settled.execute(select(members))} == masks
    assert set(settled.scalars(any_of_them)) == set(masks)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=6, unique=True), some=st.booleans()
)
def test_an_overlap_is_what_sets_of_people_share(
    settled: Session, people: People, keys: list[str], some: bool
) -> None:
    sure = {human.id for human in people if human.state == "confirmed"}
    sets = [_inside(people, key) & sure if some else _inside(people, key) for key in keys]
    shared = queries.overlap(settled, keys, NOW, mailable=some)

    assert shared.together == tuple(tuple(len(a & b) for b in sets) for a in sets)
    assert shared.alone == tuple(
        len(each - set().union(*sets[:n], *sets[n + 1 :])) for n, each in enumerate(sets)
    )
    assert shared.people == len(set().union(*sets))
    assert shared.as_of == NOW


def test_every_segment_is_counted_with_its_mailable_people(
    settled: Session, people: People
) -> None:
    sure = {human.id for human in people if human.state == "confirmed"}
    sizes = {each.segment.key: each for each in queries.sizes(settled, NOW)}

    assert set(sizes) == set(KEYS)
    for key, size in sizes.items():
        inside = _inside(people, key)
        assert (size.followers, size.mailable) == (len(inside), len(inside & sure))


def test_a_sample_is_the_same_every_time_and_of_those_found(
    settled: Session, people: People
) -> None:
    rule = parse("follows:ai or tracking has opens")
    sampled = queries.sample(settled, rule, NOW, limit=7)

    assert len(sampled) == len(set(sampled)) == 7
    assert set(sampled) <= found(people, rule)
    assert queries.sample(settled, rule, NOW, limit=7) == sampled
    sure = queries.sample(settled, rule, NOW, limit=200, mailable=True)
    assert len(sure) == queries.count(settled, rule, NOW).mailable


def test_an_explanation_says_which_conditions_hold(settled: Session, people: People) -> None:
    rule = parse("follows:ai and not (provider = gmail or in:near)")
    human = people[3]
    answers = queries.explain(settled, rule, human.id, NOW)  # type: ignore[arg-type]

    assert answers[-1].rule == rule
    for each in answers:
        assert each.holds is (human.own != "erased" and population.finds(human, each.rule))


def two_hundred_acts() -> Rule:
    acts = [
        Leaf(act, Operator.IN_LAST, Window(number, unit))
        for number in range(1, 51)
        for unit in Unit
        for act in ("opened", "clicked")
    ]
    return group(Combinator.OR, acts)


def test_two_hundred_ways_to_be_found_are_one_statement(settled: Session, people: People) -> None:
    rule = two_hundred_acts()

    assert queries.count(settled, rule, NOW, patience=60).people == len(found(people, rule))


@pytest.mark.parametrize("word", ["before", "on", "after"])
@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_the_calendar_has_a_first_and_a_last_day(settled: Session, word: str, day: str) -> None:
    everybody = queries.count(settled, parse("created before 9999-12-31"), NOW).people
    all_of_them = (word, day) in {("before", "9999-12-31"), ("after", "0001-01-01")}

    counted = queries.count(settled, parse(f"created {word} {day}"), NOW)
    assert counted.people == (everybody if all_of_them else 0)


def test_what_takes_too_long_is_given_up(settled: Session) -> None:
    with pytest.raises(queries.TooSlow):
        queries.count(settled, two_hundred_acts(), NOW, patience=0)

    settled.rollback()
    assert settled.scalar(select(func.count()).select_from(SubscriberRow))


MARK = "zqxj"  # in no word of SQL, and in no name of a table
MARKED = 776_655_443


def _marked(found: Field, operator: Operator) -> Value:
    if operator in {Operator.KNOWN, Operator.UNKNOWN}:
        return None
    if operator in {Operator.ONE_OF, Operator.HAS_ANY}:
        return found.choices or (MARK, MARK + "'; DROP TABLE subscriber; --")
    if operator in {Operator.IN_LAST, Operator.IN_NEXT}:
        return Window(7_654, Unit.DAYS)
    if operator in {Operator.BEFORE, Operator.AFTER, Operator.ON}:
        return date(1987, 6, 5)
    if found.kind is Kind.NUMBER:
        return float(MARKED)
    return found.choices[0] if found.choices else MARK


def marked_leaves() -> list[Leaf]:
    fields = [*BUILT_IN.values(), *(Field(f"{MARK}_{kind}", kind, kind) for kind in Kind)]
    own = [each for each in fields if each.name in BUILT_IN or each.kind in rules.CUSTOM.values()]
    return [
        Leaf(each.name, operator, _marked(each, operator))
        for each in own
        for operator in OPERATORS[each.kind]
    ] + [
        Leaf("clicked:ai", Operator.IN_LAST, Window(7_654, Unit.DAYS)),
        Leaf("opened", Operator.NEVER_IN_LAST, Window(4, Unit.ISSUES)),
        Leaf("renewal", Operator.BEFORE, DaysAgo(7_654)),
        Leaf("follows", Operator.IS, "ai"),
        Leaf("in", Operator.IS, "keen"),
    ]


@pytest.mark.parametrize("leaf", marked_leaves(), ids=lambda leaf: f"{leaf.field} {leaf.operator}")
def test_no_word_of_a_rule_becomes_sql(settled: Session, leaf: Leaf) -> None:
    both = Group(Combinator.OR, (leaf, Leaf("opened", Operator.EVER)), negated=True)
    known = facts(settled, NOW)
    for rule in (leaf, both):
        written = _text(rule, known)
        for word in _words(leaf):
            assert word not in written


def _text(rule: Rule, known: Facts) -> str:
    dialect: Any = (sqlite if known.is_sqlite else postgresql).dialect()
    compiled = sql.found(rule, known).compile(
        dialect=dialect, compile_kwargs={"render_postcompile": True}
    )
    return str(compiled)


def _words(leaf: Leaf) -> list[str]:
    """What the rule brought in: names of fields, texts, numbers, days."""
    name = [MARK] if leaf.field.startswith(MARK) else []
    match leaf.value:
        case str() if leaf.value not in {"ai", "opens"} and len(leaf.value) > 4:
            return [*name, leaf.value]
        case tuple():
            return [*name, *(word for word in leaf.value if len(word) > 6)]
        case float():
            return [*name, str(MARKED)]
        case date():
            return [*name, "1987"]
    return [*name, "7654"]
