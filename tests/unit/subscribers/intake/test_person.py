"""Cells are parsed, names joined, marks of our own taken off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.fields import CustomField, Kind
from subscribers.intake.columns import understand
from subscribers.intake.person import Reader, RowInvalid, joined
from subscribers.intake.row import Row
from subscribers.segment import STARTING, Segment
from subscribers.subscriber import SegmentId, tidy_name

SEGMENTS = [
    Segment(SegmentId(n), each.key, each.name, each.names, "", "", n, None)
    for n, each in enumerate(STARTING, 1)
]


def reader(headings: str, *everybody: str) -> Reader:
    columns = understand(headings.split(","), [], (), told={})
    return Reader(columns, SEGMENTS, (), everybody=everybody, source="people.csv")


@pytest.mark.parametrize(
    ("first", "last", "name"),
    [
        ("Ada", "Lovelace", "Ada Lovelace"),
        ("小明", "王", "王小明"),
        ("민준", "김", "김민준"),
        ("Ming", "王", "Ming 王"),
        ("Ada", "", "Ada"),
        ("", "王", "王"),
        ("", "", ""),
    ],
)
def test_names_are_joined_as_their_script_has_them(first: str, last: str, name: str) -> None:
    assert joined(first, last) == name


@given(st.text(max_size=120))
def test_a_plain_name_is_what_tidying_leaves_of_it(name: str) -> None:
    cell = name.strip()
    row = Row(2, ["ada@example.org", cell])

    read = reader("email,name", "ai").read(row).person.name
    assert read == tidy_name(cell) or cell.startswith("'")


def test_a_neutralised_cell_is_what_it_was() -> None:
    person = reader("email,name", "ai").read(Row(2, ["ada@example.org", "'=SUM(A1)"])).person
    kept = reader("email,name", "ai").read(Row(2, ["ada@example.org", "'t Hart"])).person

    assert (person.name, kept.name) == ("=SUM(A1)", "'t Hart")


def test_a_short_row_lacks_its_last_cells() -> None:
    assert reader("email,name,language", "ai").read(Row(2, ["a@example.org"])).person.name == ""


def test_every_reason_is_said_and_none_repeats_the_address() -> None:
    with pytest.raises(RowInvalid) as invalid:
        reader("email,language,segments,timezone").read(
            Row(2, ["zaphod@@example.org", "martian", "sport", "Mars/Base"])
        )

    reasons = str(invalid.value).split("; ")
    assert [reason.partition(":")[0] for reason in reasons] == [
        "email",
        "language",
        "timezone",
        "segments",
    ]
    assert "zaphod" not in str(invalid.value)


def test_segments_may_be_called_by_key_or_name_in_any_language() -> None:
    read = reader("email,segments", "luxury").read
    cells = ["ada@example.org", "E-commerce; 人工智能"]

    assert read(Row(2, cells)).person.segments == ("luxury", "e-commerce", "ai")


@pytest.mark.parametrize(
    ("attributes", "value"),
    [
        ('{"score": 123456.78}', 123456.78),
        ('{"score": 12345678.5}', 12345678.5),
        ('{"score": 1e400}', None),
        ('{"score": NaN}', None),
    ],
)
def test_a_number_in_json_is_taken_to_the_last_digit_or_not_at_all(
    attributes: str, value: float | None
) -> None:
    schema = (CustomField("score", "Score", Kind.NUMBER),)
    headings = ("uuid", "email", "name", "attributes", "status")
    reader = Reader(understand(headings, (), schema, told={}), (), schema, everybody=("ai",))
    row = Row(2, ("1", "ada@example.org", "Ada", attributes, "enabled"))

    assert reader.read(row).person.fields.get("score") == value
