"""Columns are known by whose export it is, by heading, by field, by content, or as told."""

import pytest

from subscribers.fields import CustomField, Kind
from subscribers.intake.columns import parse_told, understand
from subscribers.intake.row import FileInvalid

SCHEMA = (CustomField("city", "Town", Kind.TEXT), CustomField("vip", "VIP level", Kind.NUMBER))


def targets(headings: str, *sample: str, told: tuple[str, ...] = ()) -> list[str]:
    rows = [row.split(",") for row in sample]
    found = understand(headings.split(","), rows, SCHEMA, told=parse_told(told))
    return [column.target for column in found.each]


@pytest.mark.parametrize(
    ("headings", "expected"),
    [
        ("email,name,segments", ["email", "name", "segments"]),
        ("E-Mail Address,FULL_NAME,Topics", ["email", "name", "segments"]),
        ("邮箱,姓,名,分类,语言", ["email", "last_name", "first_name", "segments", "language"]),
        ("phone,EMAIL,Full  Name,notes", ["", "email", "name", ""]),
        ("email,Town,vip", ["email", "field:city", "field:vip"]),
        ("email,time zone,status", ["email", "timezone", "status"]),
    ],
)
def test_headings_say_what_a_column_is(headings: str, expected: list[str]) -> None:
    assert targets(headings) == expected


def test_a_column_of_addresses_is_one_whatever_it_is_called() -> None:
    assert targets("who,contact", "Ada,ada@example.org", "Ben,", "C,c@example.org") == ["", "email"]


def test_what_is_told_goes_before_what_is_guessed() -> None:
    told = ("Mail=", "Where=city", "Contact = email")
    assert targets("Mail,Where,Contact", told=told) == ["", "field:city", "email"]
    with pytest.raises(FileInvalid, match="none is called email"):
        targets("email,name", "a@example.org,A", told=("email=",))


@pytest.mark.parametrize(
    ("headings", "told", "message"),
    [
        ("name,phone", (), "none is called email"),
        ("ada@example.org,Ada", (), "first row is a person"),
        ("email,name,E-mail", (), "2 columns are the email"),
        ("email,city,town", (), "2 columns are the city"),
        ("email,name", ("phone=name",), "No column is called 'phone'"),
        ("email,name", ("name=shoe",), "There is no field 'shoe'"),
        ("email,name", ("name",), "--map takes"),
    ],
)
def test_columns_that_make_no_sense_are_refused(
    headings: str, told: tuple[str, ...], message: str
) -> None:
    with pytest.raises(FileInvalid, match=message):
        targets(headings, told=told)


def test_headings_that_nobody_reads_may_stand_twice() -> None:
    assert targets("email,x,x") == ["email", "", ""]
