"""What the tables of delivery refuse, whoever asks."""

from contextlib import AbstractContextManager

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from mailer.campaigns.models import CampaignRow
from mailer.delivery import audience, guards
from mailer.delivery.models import (
    AttemptRow,
    AudienceRow,
    BatchRow,
    DeliveryRow,
    ResolutionRow,
)
from mailer.kit.database import Base, Database
from tests.fakes import books
from tests.fakes.books import NOON

RESULT = {"campaign_id": 1, "subscriber_id": 1, "at": NOON}
ROWS: dict[type[Base], dict[str, object]] = {
    DeliveryRow: RESULT | {"outcome": "accepted"},
    AttemptRow: RESULT | {"number": 1, "first_tried": NOON, "batch": 2, "position": 1},
    ResolutionRow: RESULT | {"number": 1, "outcome": "accepted", "evidence": "", "actor": ""},
}


def refused(sentence: str) -> AbstractContextManager[object]:
    return pytest.raises(DBAPIError, match=sentence)


@pytest.mark.parametrize("table", ROWS, ids=lambda table: str(table.__tablename__))
def test_what_was_recorded_is_never_changed_or_removed(
    database: Database, table: type[Base]
) -> None:
    with database.transaction() as session:
        session.execute(insert(table), [ROWS[table]])

    with refused("insert-only"), database.transaction() as session:
        session.execute(update(table).values(campaign_id=2))
    with refused("insert-only"), database.transaction() as session:
        session.execute(delete(table))


@pytest.mark.parametrize("table", ROWS, ids=lambda table: str(table.__tablename__))
def test_but_somebodys_words_may_be_emptied(database: Database, table: type[Base]) -> None:
    words, _ = guards.WORDS[str(table.__tablename__)]
    with database.transaction() as session:
        session.execute(insert(table), [ROWS[table] | {words: "550 Ada is away"}])

    with refused("insert-only"), database.transaction() as session:
        session.execute(update(table).values({words: "250 fine"}))
    with refused("insert-only"), database.transaction() as session:
        session.execute(update(table).values({words: "", "campaign_id": 2}))
    with database.transaction() as session:
        session.execute(update(table).values({words: ""}))
        assert session.scalar(select(table.__table__.c[words])) == ""


@pytest.mark.parametrize("table", ROWS, ids=lambda table: str(table.__tablename__))
def test_the_guards_know_every_column(table: type[Base]) -> None:
    words, others = guards.WORDS[str(table.__tablename__)]

    assert {words, *others} == set(table.__table__.c.keys())


def test_a_frozen_audience_takes_nobody_in_and_lets_nobody_go(database: Database) -> None:
    campaign = books.sending(database, 1)
    late = {"campaign_id": campaign, "subscriber_id": 2, "address_key": "two"}

    with refused("frozen"), database.transaction() as session:
        session.execute(insert(AudienceRow), [late])
    with refused("frozen"), database.transaction() as session:
        session.execute(delete(AudienceRow))
    with refused("insert-only"), database.transaction() as session:
        session.execute(update(AudienceRow).values(lane="gmail"))
    with refused("frozen"), database.transaction() as session:
        session.execute(delete(BatchRow))


def test_an_audience_may_be_thrown_away_until_it_is_frozen(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 2)
        campaign = books.campaign(session)
        audience.freeze(session, campaign, books.editions(session, campaign), now=NOON)

    with database.transaction() as session:
        audience.discard(session, campaign)


def test_one_mailbox_is_in_an_audience_once(database: Database) -> None:
    twins = [{"campaign_id": 1, "subscriber_id": n, "address_key": "one"} for n in (1, 2)]

    with pytest.raises(DBAPIError), database.transaction() as session:
        session.execute(insert(AudienceRow), twins)


def test_an_outcome_is_one_of_five(database: Database) -> None:
    with pytest.raises(DBAPIError), database.transaction() as session:
        session.execute(insert(DeliveryRow), [RESULT | {"outcome": "sent"}])


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": -1},
        {"size": 1},
        {"number": 9},
        {"attempt": 2},
        {"lane": "gmail"},
    ],
    ids=str,
)
def test_a_batch_moves_only_along_its_arrows(database: Database, change: dict[str, object]) -> None:
    books.sending(database, 2)

    with refused("not a move"), database.transaction() as session:
        session.execute(update(BatchRow).values(**change))


def test_a_batch_grows_until_somebody_leased_it_and_ends_for_good(database: Database) -> None:
    books.sending(database, 2)
    with database.transaction() as session:
        session.execute(update(BatchRow).values(size=3))
        session.execute(update(BatchRow).values(epoch=1))

    with refused("not a move"), database.transaction() as session:
        session.execute(update(BatchRow).values(size=4))
    with database.transaction() as session:
        session.execute(update(BatchRow).values(state="done"))
    with refused("not a move"), database.transaction() as session:
        session.execute(update(BatchRow).values(state="open"))


def test_a_campaign_is_not_finished_before_everybody_has_a_result(database: Database) -> None:
    campaign = books.sending(database, 2)
    accepted = RESULT | {"campaign_id": campaign, "outcome": "accepted"}
    results = [accepted | {"subscriber_id": n} for n in (1, 2)]
    finish = update(CampaignRow).values(state="finished")

    with database.transaction() as session:
        session.execute(insert(DeliveryRow), results[:1])
    with refused("add up"), database.transaction() as session:
        session.execute(finish)
    with database.transaction() as session:
        session.execute(insert(DeliveryRow), results[1:])
        session.execute(finish)


def test_every_guard_is_there(database: Database) -> None:
    catalogue = "sqlite_master WHERE type = 'trigger'" if database.is_sqlite else "pg_trigger"
    column = "name" if database.is_sqlite else "tgname"
    statements = [s for table in guards.STATEMENTS.values() for s in table]
    with database.reading() as session:
        there = set(session.scalars(text(f"SELECT {column} FROM {catalogue}")))  # noqa: S608

    dialect = "sqlite" if database.is_sqlite else "postgresql"
    wanted = {
        words[2]
        for kind, statement in statements
        if kind == dialect and (words := statement.split())[:2] == ["CREATE", "TRIGGER"]
    }
    assert wanted <= there
