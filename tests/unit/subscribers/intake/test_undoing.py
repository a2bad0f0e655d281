"""An import taken back leaves what people did themselves, and nothing else of its own."""

import io
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import insert

from mailer.kit.database import Database
from subscribers import actions, queries
from subscribers.intake import runs, undoing
from subscribers.intake.plan import Plan
from subscribers.intake.run import Run, RunNotFound, State, Undone
from subscribers.intake.taking import take
from subscribers.models import CustomFieldRow, SubscriberRow
from tests.unit.subscribers.intake.stored import everything, people
from tests.unit.subscribers.people import KEY, NOON, Cast, confirmed

PLAN = Plan("Agreed at the fair in March.", "people.csv", keep_opt_outs=True)
LATER = NOON + timedelta(hours=1)
FILE = """email,name,segments,language,city,status
ada@example.org,Ada L.,luxury,fr,Rome,
eve@example.org,Eve,ai luxury,en,Paris,
finn@example.org,Finn,ai,,,
gus@example.org,Gus,ai,,,
hal@example.org,Hal,ai,,,bounced
"""


@pytest.fixture
def stocked(database: Database) -> Database:
    """Ada confirmed, who lives in Oslo; then the file."""
    with database.transaction() as session:
        actions.ensure_segments(session)
        session.execute(insert(CustomFieldRow).values(key="city", label="City", kind="text"))
        ada = confirmed(session, "ada", "ai")
        person = session.get(SubscriberRow, ada)
        assert person is not None
        person.fields = {"city": "Oslo"}
    return database


def imported(database: Database, text: str = FILE, plan: Plan = PLAN) -> Run:
    *_, last = take(database, io.BytesIO(text.encode()), plan, key=KEY, now=LATER)
    assert last.run is not None
    with database.reading() as session:
        return runs.get(session, last.run)


def undo(database: Database, run: Run) -> Run:
    *_, last = undoing.undo(database, run.id, now=LATER + timedelta(hours=1), actor="us")
    return last


def test_whoever_came_goes_and_whoever_was_changed_is_as_before(stocked: Database) -> None:
    before = everything(stocked)
    undone = undo(stocked, imported(stocked))
    after = everything(stocked)

    assert undone.state is State.UNDONE
    assert undone.undone == replace(
        Undone(erased=3, restored=1, lifted=1), after=undone.undone.after if undone.undone else 0
    )
    kept = [row for row in after["people"] if row[6] != "erased"]
    assert kept == before["people"]
    assert after["follows"] == before["follows"]
    assert after["imported"] == []
    assert all(row[1] is None and row[3] == "" for row in after["people"] if row[6] == "erased")
    assert [row[1] for row in after["consent"]].count("undone") == 4


def test_nobody_is_suppressed_by_it_and_may_be_imported_again(stocked: Database) -> None:
    undo(stocked, imported(stocked))
    with stocked.reading() as session:
        assert queries.suppression(session, Cast.key("eve")) is None
        assert queries.suppression(session, Cast.key("hal")) is None
    again = imported(stocked)

    assert (again.counts.added, again.counts.updated) == (3, 1)
    assert again.id == 2
    assert people(stocked)["Eve"]["follows"] == ["ai", "luxury"]
    assert people(stocked)["Eve"]["state"] == "confirmed"
    assert undo(stocked, again).undone is not None
    assert set(people(stocked)) == {"Ada", ""}


def test_whoever_did_something_since_is_kept(stocked: Database) -> None:
    run = imported(stocked)
    with stocked.transaction() as session:
        eve = queries.by_key(session, Cast.key("eve"))
        finn = queries.by_key(session, Cast.key("finn"))
        assert eve is not None
        assert finn is not None
        actions.unsubscribe(session, eve, segments=None, now=LATER, source="link")
        actions.follow(session, finn, ["luxury"], now=LATER, source="page")
        ada = queries.by_key(session, Cast.key("ada"))
        assert ada is not None
        actions.unfollow(session, ada, ["luxury"], now=LATER, source="page")
    undone = undo(stocked, run).undone

    assert undone is not None
    assert (undone.erased, undone.restored, undone.kept) == (1, 0, 3)
    assert people(stocked)["Eve"]["state"] == "unsubscribed"
    assert people(stocked)["Finn"]["follows"] == ["ai", "luxury"]
    assert "Ada L." in people(stocked)


def test_twice_is_once(stocked: Database) -> None:
    run = imported(stocked)
    undo(stocked, run)
    once = everything(stocked)

    assert undo(stocked, run).state is State.UNDONE
    assert everything(stocked) == once


def test_interrupted_it_goes_on(stocked: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undoing, "BATCH", 1)
    run = imported(stocked)
    begun = undoing.undo(stocked, run.id, now=LATER)
    left = [next(begun), next(begun), next(begun)][-1]
    del begun

    assert left.state is State.UNDOING
    assert left.undone is not None
    assert left.undone.erased + left.undone.restored == 2
    whole = undo(stocked, run).undone
    assert whole is not None
    assert (whole.erased, whole.restored, whole.kept) == (3, 1, 0)


def test_a_later_import_of_the_same_people_is_something_done_since(stocked: Database) -> None:
    first = imported(stocked)
    imported(stocked, FILE.replace("Eve", "Eva"))
    undone = undo(stocked, first).undone

    assert undone is not None
    assert undone.kept == 1
    assert "Eva" in people(stocked)


def test_there_is_no_such_import(stocked: Database) -> None:
    with pytest.raises(RunNotFound):
        list(undoing.undo(stocked, 99, now=NOON))


def test_who_is_erased_is_forgotten_by_the_import_too(stocked: Database) -> None:
    imported(stocked)
    with stocked.transaction() as session:
        ada = queries.by_key(session, Cast.key("ada"))
        assert ada is not None
        actions.erase(session, ada, now=LATER, source="a letter")

    assert not [row for row in everything(stocked)["imported"] if row[0] == Cast.key("ada")]
