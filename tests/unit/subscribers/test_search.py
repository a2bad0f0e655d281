"""Search finds what a look at everybody would find, page by page, and by an index."""

import random
import sqlite3
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert, text, update

from mailer.kit import database as kit
from mailer.kit.database import Database
from subscribers import actions, search
from subscribers.models import CustomFieldRow, SubscriberRow, SuppressionRow
from subscribers.search import SEPARATORS, WINDOW
from subscribers.subscriber import State
from tests.unit.subscribers.people import NOON, Cast, confirmed, subscribed

Row = tuple[str, str]  # address, name


def stored(database: Database, people: Iterable[Row], *, first: int = 1) -> None:
    """People by address and name, numbered from `first`."""
    rows = [
        {
            "id": first + n,
            "address": address,
            "address_key": f"{first + n:032x}",
            "domain": address.rpartition("@")[2],
            "name": name,
            "state": "confirmed",
            "fields": {"city": "Lyon" if n % 2 else "Paris", "score": n, "tags": ["vip", f"t{n}"]},
            "created_at": NOON,
            "updated_at": NOON,
        }
        for n, (address, name) in enumerate(people)
    ]
    with database.transaction() as session:
        session.execute(insert(SubscriberRow), rows)


def found(database: Database, part: str = "", **asked: Any) -> list[int]:
    with database.reading() as session:
        return [one.id for one in search.page(session, part=part, now=NOON, **asked)]


def pages(database: Database, limit: int, **asked: Any) -> list[int]:
    """All pages, one after the other."""
    every: list[int] = []
    while page := found(database, limit=limit, after=every[-1] if every else None, **asked):
        every += page
    return every


def contains(value: str, part: str) -> bool:
    """What search promises, said in Python."""
    value, part = value.lower(), part.lower()
    if len(part) > 2 or not part.isascii() or part[0] in SEPARATORS:
        return part in value
    return any(value.startswith(part, at) for at in beginnings(value))


def beginnings(value: str) -> list[int]:
    return [0, *(at + 1 for at, character in enumerate(value) if character in SEPARATORS)]


ADA, BEN, WANG, ELODIE = (
    ("Ada.Byron@example.org", "Ada Byron"),
    ("ben+news@qq.com", "Benjamin O'Hara"),
    ("user77@163.com", "王志文"),
    ("e.dupre@example.fr", "Élodie Dupré"),
)


@pytest.mark.parametrize(
    ("part", "who"),
    [
        ("byron", {1}),
        ("BYR", {1}),
        ("example", {1, 4}),
        ("@qq", {2}),
        ("志文", {3}),
        ("文", {3}),
        ("王志文", {3}),
        ("élodie", {4}),
        ("ÉL", {4}),
        ("be", {2}),  # where a word begins
        ("ha", {2}),  # O'Hara
        ("qq", {2}),
        ("yr", set()),  # two letters inside a word are too few
        ("a", {1}),
        ("ada  BYRON", {1}),  # white space is one space, as in names
        ("%", set()),
        ("_", set()),
        ('"', set()),
        ("no such", set()),
        ("org ada", set()),  # not over the border of two values
        ("\u202e", set()),  # nothing is left of it
    ],
)
def test_a_part_is_found_in_address_or_name(database: Database, part: str, who: set[int]) -> None:
    stored(database, (ADA, BEN, WANG, ELODIE))

    assert set(found(database, part)) == who


def test_an_empty_part_finds_everybody(database: Database) -> None:
    stored(database, (ADA, BEN, WANG))

    assert found(database) == [1, 2, 3]
    assert found(database, newest=True) == [3, 2, 1]


LETTERS = st.sampled_from("abAB.@ +王文éÉ%_\\\"'(-")
NAMES = st.text(LETTERS, max_size=12)
PARTS = st.text(LETTERS, min_size=1, max_size=4)


@given(
    people=st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=12),
    part=PARTS,
    newest=st.booleans(),
    limit=st.integers(1, 5),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_answer_is_that_of_a_look_at_everybody(
    database: Database, people: list[Row], part: str, limit: int, *, newest: bool
) -> None:
    with database.transaction() as session:
        session.execute(text("DELETE FROM subscriber"))
    tidy = [
        (f"{n}{''.join(c for c in local if c.isascii())}@x.org", " ".join(name.split()))
        for n, (local, name) in enumerate(people)
    ]
    stored(database, tidy, first=WINDOW - 5)  # some within the walk, some beyond
    wanted = " ".join(part.split())

    naive = [
        WINDOW - 5 + n
        for n, values in enumerate(tidy)
        if wanted and any(contains(value, wanted) for value in values)
    ]

    assert pages(database, limit, part=part, newest=newest) == (naive[::-1] if newest else naive)


@pytest.fixture
def cast(database: Database) -> Cast:
    with database.transaction() as session:
        actions.ensure_segments(session)
        ada, ben = confirmed(session, "ada", "ai", "luxury"), subscribed(session, "ben")
        cleo, dan = confirmed(session, "cleo"), confirmed(session, "dan")
        actions.unsubscribe(session, cleo, segments=None, now=NOON, source="link")
        actions.suppress(session, Cast.key("dan"), "bounced", now=NOON)
        for name in ("eve", "fay", "gil"):
            confirmed(session, name)
        actions.suppress(session, Cast.key("eve"), "complained", now=NOON)
        actions.suppress(session, Cast.key("fay"), "operator", now=NOON)
        gil = search.page(session, part="gil", now=NOON)[0].id
        actions.erase(session, gil, now=NOON, source="test")
    return Cast(ada, ben, cleo, dan)


@pytest.mark.parametrize("state", list(State))
def test_a_state_is_found_as_it_is_shown(database: Database, cast: Cast, state: State) -> None:
    assert cast.ada
    with database.reading() as session:
        everybody = search.page(session, now=NOON)
        there = search.page(session, state=state, now=NOON)

    assert there == tuple(one for one in everybody if one.state is state)
    assert len(there) == 1


def test_a_segment_is_found(database: Database, cast: Cast) -> None:
    assert found(database, segment="luxury") == [cast.ada]
    assert found(database, "ad", segment="luxury", state=State.CONFIRMED) == [cast.ada]
    assert found(database, segment="no-such") == []


def test_who_changed_address_or_name_is_found_by_the_new_one_only(
    database: Database, cast: Cast
) -> None:
    with database.transaction() as session:
        session.execute(
            update(SubscriberRow)
            .where(SubscriberRow.id == cast.ada)
            .values(address="lovelace@example.org", name="Countess")
        )

    assert found(database, "lovelace") == found(database, "countess") == [cast.ada]
    assert found(database, "ada") == []


def test_who_is_erased_is_found_by_nothing(database: Database, cast: Cast) -> None:
    with database.transaction() as session:
        actions.erase(session, cast.ada, now=NOON, source="test")

    assert found(database, "ada") == []


def test_a_field_is_found_by_its_value(database: Database) -> None:
    stored(database, (ADA, BEN, WANG))
    with database.transaction() as session:
        for key, kind in (("city", "text"), ("score", "number"), ("tags", "tags")):
            row = {"key": key, "label": key, "kind": kind, "choices": [], "position": 0}
            session.execute(insert(CustomFieldRow), [row])

    assert found(database, field=("city", "Paris")) == [1, 3]
    assert found(database, field=("score", "1")) == [2]
    assert found(database, field=("score", "one")) == []
    assert found(database, field=("tags", "t2")) == [3]
    assert found(database, field=("country", "FR")) == []
    assert found(database, "wang", field=("city", "Paris")) == []
    assert found(database, "志", field=("city", "Paris")) == [3]


def test_a_migration_indexes_those_who_are_there(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    database = Database(f"sqlite:///{file}")
    config = kit._alembic()  # noqa: SLF001  # a schema as it was
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    with sqlite3.connect(file) as old:
        old.execute(
            "INSERT INTO subscriber (address, address_key, domain, name, state, fields,"
            " created_at, updated_at) VALUES ('ada@example.org', 'k', 'example.org', 'Ada',"
            " 'confirmed', '{}', '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
        )
    old.close()

    kit.upgrade(database)

    assert found(database, "ada@") == [1]
    database.close()


@pytest.fixture
def crowd(postgres_database: Database) -> Database:
    """Twenty thousand people on PostgreSQL, as autovacuum would leave them."""
    dice = random.Random(3)  # noqa: S311  # the same crowd every time
    given, family = "志文伟丽红强", "王李张刘陈杨"
    people = [
        (
            f"reader.{n}@corp{n % 997}.example",
            dice.choice(family) + "".join(dice.choices(given, k=2)) if n % 3 else f"Reader {n}",
        )
        for n in range(20_000)
    ]
    stored(postgres_database, people)
    with postgres_database.transaction() as session:
        session.execute(
            insert(SuppressionRow),
            [
                {"address_key": f"{n:032x}", "reason": "bounced", "at": NOON}
                for n in range(1, 20_000, 400)
            ],
        )
        session.execute(
            update(SubscriberRow)
            .where(SubscriberRow.id % 500 == 7)
            .values(state="unsubscribed", updated_at=NOON + timedelta(days=1))
        )
    with postgres_database.engine.connect() as connection:
        outside = connection.execution_options(isolation_level="AUTOCOMMIT")
        outside.execute(text("VACUUM ANALYZE"))
    return postgres_database


def plans(database: Database, **asked: Any) -> str:
    """How the database goes about a search."""
    asks: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        asks.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    found(database, **asked)
    event.remove(database.engine, "before_cursor_execute", note)
    with database.engine.connect() as connection:
        return "\n".join(
            str(row[0])
            for statement, parameters in asks
            for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        )


def test_what_few_have_is_found_by_an_index(crowd: Database) -> None:
    with crowd.transaction() as session:
        row = {"key": "city", "label": "city", "kind": "text", "choices": [], "position": 0}
        session.execute(insert(CustomFieldRow), [row])

    for asked, index in (
        ({"part": "corp77.exam"}, "ix_subscriber_search"),
        ({"part": "reader 19999"}, "ix_subscriber_search"),
        ({"part": "zq"}, "ix_subscriber_search"),
        ({"part": "龘"}, "ix_subscriber_name_characters"),
        ({"part": "张强强"}, "ix_subscriber_name_characters"),
        ({"field": ("city", "Nowhere")}, "ix_subscriber_fields"),
        ({"state": State.UNSUBSCRIBED}, "ix_subscriber_unconfirmed"),
        ({"state": State.BOUNCED}, "uq_subscriber_address_key"),
    ):
        assert index in plans(crowd, **asked), asked
