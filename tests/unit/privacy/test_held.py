"""The list of what is held on people leaves no table out."""

import importlib
from pathlib import Path

from mailer.kit.database import Base
from mailer.privacy.held import HELD, By, Fate

ROOT = Path(__file__).parents[3]
NAMING = {"subscriber_id", "address_key", "budget_key", "address"}
"""Columns by which a row is about somebody."""

for models in ROOT.glob("mailer/*/models.py"):
    importlib.import_module(f"mailer.{models.parent.name}.models")
importlib.import_module("subscribers.models")


def tables_about_people() -> set[str]:
    """Tables with such a column, and those that refer to a row of one of them."""
    every = Base.metadata.sorted_tables
    found = {table.name for table in every if NAMING & set(table.c.keys())} | {"subscriber"}
    while more := {
        table.name
        for table in every
        if table.name not in found
        and any(key.column.table.name in found for key in table.foreign_keys)
    }:
        found |= more
    return found


def test_every_table_about_people_is_covered() -> None:
    covered = {held.table for held in HELD}

    assert tables_about_people() <= covered
    assert covered <= set(Base.metadata.tables)


def test_what_refers_to_a_row_goes_before_it() -> None:
    order = [held.table for held in HELD]
    gone = {held.table for held in HELD if held.fate is Fate.GONE}
    for held in HELD:
        for key in Base.metadata.tables[held.table].foreign_keys:
            other = key.column.table.name
            if other in gone:
                assert order.index(held.table) < order.index(other), (held.table, other)


def test_what_is_kept_says_why_and_what_is_emptied_says_what() -> None:
    for held in HELD:
        columns = set(Base.metadata.tables[held.table].c.keys())
        assert held.why or held.fate is Fate.GONE
        assert bool(held.emptied) is (held.fate is Fate.EMPTIED)
        assert set(held.emptied) <= columns
        assert (held.through is not None) is (held.by is By.THROUGH)


def test_no_name_nor_wish_of_a_subscriber_is_left_in_their_row() -> None:
    row = next(held for held in HELD if held.table == "subscriber")
    kept = {"id", "address_key", "state", "tracking", "created_at", "confirmed_at", "updated_at"}

    assert set(row.emptied) | kept == set(Base.metadata.tables["subscriber"].c.keys())
