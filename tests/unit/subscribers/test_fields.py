"""Custom fields have a kind; what does not fit is refused, and a value written reads the same."""

import string
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from subscribers import actions, queries
from subscribers.fields import (
    RESERVED,
    CustomField,
    FieldExists,
    FieldInvalid,
    FieldKeyInvalid,
    FieldNotFound,
    Kind,
    checked,
    parse,
    parse_all,
    written,
)
from subscribers.subscriber import SubscriberNotFound
from tests.unit.subscribers.people import NOON, Cast

CITY = CustomField("city", "City", Kind.TEXT)
SIZE = CustomField("size", "Size", Kind.NUMBER)
BORN = CustomField("born", "Born", Kind.DATE)
PLAN = CustomField("plan", "Plan", Kind.CHOICE, ("Free", "Paid"))
LIKES = CustomField("likes", "Likes", Kind.TAGS)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        (LIKES, "咖啡，读书、茶；vip", ["咖啡", "读书", "茶", "vip"]),
        (CITY, "  New\tYork\n", "New York"),
        (CITY, "北京", "北京"),
        (CITY, "a\0b", "ab"),
        (SIZE, "12", 12.0),
        (SIZE, " -3.50 ", -3.5),
        (SIZE, "-0", 0.0),
        (BORN, "1990-02-28", "1990-02-28"),
        (BORN, "19900228", "1990-02-28"),
        (PLAN, "paid", "Paid"),
        (LIKES, "jazz; tea ,jazz,Tea", ["jazz", "Tea"]),
    ],
)
def test_a_value_is_read_as_people_write_it(field: CustomField, text: str, value: object) -> None:
    assert parse(field, text) == value
    assert parse(field, written(parse(field, text))) == value


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (CITY, ""),
        (CITY, " \t"),
        (CITY, "x" * 501),
        *((SIZE, text) for text in ("1,5", "1e5", "nan", "inf", "0x10", "١٢", "1_000", "9" * 16)),
        *((BORN, text) for text in ("28.2.1990", "1990-02-30", "0000-01-01", "tomorrow")),
        (PLAN, "Gold"),
        (LIKES, ", ;"),
        (LIKES, "x" * 51),
        (LIKES, ",".join(map(str, range(51)))),
    ],
)
def test_what_is_not_of_the_kind_is_refused_and_not_repeated(field: CustomField, text: str) -> None:
    with pytest.raises(FieldInvalid) as refused:
        parse(field, text)
    assert str(refused.value).startswith(f"{field.key}: ")
    assert len(text) < 3 or text not in str(refused.value)


VALUES = {
    Kind.TEXT: st.text(max_size=80),
    Kind.NUMBER: st.floats(-1e12, 1e12).map(lambda number: f"{number:.4f}"),
    Kind.DATE: st.dates(date(1, 1, 1)).map(str),
    Kind.TAGS: st.lists(st.text(max_size=20), max_size=8).map(", ".join),
}


@given(st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind])))
def test_a_value_written_reads_the_same(given_: tuple[Kind, str]) -> None:
    kind, text = given_
    field = CustomField("x", "X", kind)
    try:
        value = parse(field, text)
    except FieldInvalid:
        return
    assert parse(field, written(value)) == value


@pytest.mark.parametrize(
    "key", ["", "City", "9lives", "a-b", "ä", "x" * 41, "a b", *sorted(RESERVED)]
)
def test_a_key_is_plain_and_means_nothing_else(key: str) -> None:
    with pytest.raises(FieldKeyInvalid):
        checked(CustomField(key, "", Kind.TEXT))


@given(st.text(string.ascii_lowercase, min_size=1, max_size=40).filter(lambda k: k not in RESERVED))
def test_any_other_plain_key_will_do(key: str) -> None:
    assert checked(CustomField(key, "", Kind.TEXT)).label == key


@pytest.mark.parametrize(
    "field",
    [
        CustomField("plan", "", Kind.CHOICE),
        CustomField("plan", "", Kind.CHOICE, ("", " ")),
        CustomField("plan", "", Kind.CHOICE, ("Free", "FREE")),
        CustomField("city", "", Kind.TEXT, ("Paris",)),
        CustomField("plan", "", Kind.CHOICE, tuple(map(str, range(301)))),
    ],
)
def test_choices_belong_to_choices(field: CustomField) -> None:
    with pytest.raises(FieldInvalid):
        checked(field)


def test_an_unknown_field_names_those_there_are() -> None:
    with pytest.raises(FieldNotFound, match="there are city"):
        parse_all({"city": CITY}, {"town": "Paris"})
    assert parse_all({"city": CITY, "size": SIZE}, {"city": "", "size": "3"}) == {
        "city": None,
        "size": 3.0,
    }


def test_a_schema_is_kept_in_order_and_archived_fields_come_back(session: Session) -> None:
    for field in (CITY, PLAN, LIKES):
        assert actions.define_field(session, field) == field
    actions.archive_field(session, "plan", now=NOON)

    assert queries.custom_fields(session) == (CITY, LIKES)
    assert [each.key for each in queries.custom_fields(session, archived=True)] == [
        *("city", "plan", "likes")
    ]
    with pytest.raises(FieldNotFound):
        actions.archive_field(session, "plan", now=NOON)
    with pytest.raises(FieldExists, match="of another kind"):
        actions.define_field(session, CustomField("plan", "Plan", Kind.TEXT))
    with pytest.raises(FieldExists):
        actions.define_field(session, CITY)
    wider = CustomField("plan", "Plan", Kind.CHOICE, ("Free", "Paid", "Gift"))
    actions.define_field(session, wider)
    assert queries.custom_fields(session) == (CITY, wider, LIKES)


def test_values_are_set_one_by_one_and_go_without_a_trace(session: Session, cast: Cast) -> None:
    actions.set_details(session, cast.ada, now=NOON, fields={"city": "Paris", "size": 3.0})
    actions.set_details(session, cast.ada, now=NOON, fields={"likes": ["tea"], "size": None})
    stored = queries.subscriber(session, cast.ada)

    assert stored.fields == {"city": "Paris", "likes": ["tea"]}
    assert queries.subscriber(session, cast.ben).fields == {}
    actions.erase(session, cast.ada, now=NOON, source="test")
    with pytest.raises(SubscriberNotFound):
        actions.set_details(session, cast.ada, now=NOON, fields={"city": "Rome"})
