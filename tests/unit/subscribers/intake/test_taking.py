"""An import stores what it can, refuses the rest with line and reason, and goes on where it was."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from mailer.kit.database import Database
from subscribers import actions, queries
from subscribers.consent import BasisMissing
from subscribers.intake import batch, runs
from subscribers.intake.merge import Policy
from subscribers.intake.plan import Plan, Progress
from subscribers.intake.row import FileInvalid
from subscribers.intake.run import RunTaken, State
from subscribers.intake.taking import preview, take
from subscribers.models import CustomFieldRow, FormerAddressRow
from subscribers.segment import SegmentNotFound
from subscribers.suppression import Reason
from tests.unit.subscribers.intake.stored import everything, people
from tests.unit.subscribers.people import KEY, NOON, Cast, confirmed, subscribed

PLAN = Plan("Agreed at the fair in March.", "people.csv")


@pytest.fixture
def stocked(database: Database) -> Database:
    """Ada confirmed, Ben pending, Cleo unsubscribed, Dan confirmed and suppressed; two fields."""
    return stock(database)


def stock(database: Database) -> Database:
    with database.transaction() as session:
        actions.ensure_segments(session)
        confirmed(session, "ada", "ai")
        subscribed(session, "ben", "ai")
        cleo = confirmed(session, "cleo", "ai")
        actions.unsubscribe(session, cleo, segments=None, now=NOON, source="link")
        confirmed(session, "dan", "ai")
        actions.suppress(session, Cast.key("dan"), Reason.OPERATOR, now=NOON)
        fields = [
            {"key": "city", "label": "City", "kind": "text"},
            {"key": "score", "label": "Points", "kind": "number"},
        ]
        session.execute(insert(CustomFieldRow), fields)
    return database


def taking(database: Database, text: str, plan: Plan = PLAN) -> Iterator[Progress]:
    return take(database, io.BytesIO(text.encode()), plan, key=KEY, now=NOON)


def run(database: Database, text: str, plan: Plan = PLAN) -> tuple[Progress, dict[int, str]]:
    """The last progress, and all refusals by line."""
    every = list(taking(database, text, plan))
    return every[-1], {one.line: one.reason for progress in every for one in progress.refusals}


FILE = """email,name,segments,language,city,Points
eve@example.org,Eve,ai luxury,en,Paris,3
finn@example.org,Finn,"E-commerce; 奢侈品",zh_CN,北京,
ada@example.org,Ada L.,luxury,,Rome,-1.5
ben@example.org,Ben,ai,,,
cleo@example.org,Cleo,ai,,,
dan@example.org,Dan,ai,,,
EVE@Example.org,Eve again,e-commerce,,,
gus(at)example.org,Gus,ai,,,
hal@example.org,Hal,sport food,martian,,
ida@example.org,Ida,,,,
,Nobody,ai,,,
joe@example.org,Joe,ai,,,many
"""


def test_each_row_is_added_merged_or_refused_with_its_reason(stocked: Database) -> None:
    total, refusals = run(stocked, FILE)
    sums = total.counts

    assert (sums.rows, sums.added, sums.updated, sums.duplicates) == (12, 2, 1, 1)
    assert (sums.refused, sums.line) == (8, 13)
    assert refusals[5] == "has been asked to confirm and has not yet"
    assert refusals[6] == "has unsubscribed; only they can subscribe again"
    assert refusals[7] == "is suppressed and stays so"
    assert refusals[9].startswith("email: ")
    assert "there is no 'sport', 'food'" in refusals[10]
    assert "language" in refusals[10]
    assert refusals[11].startswith("segments: is empty")
    assert refusals[12] == "email: is empty"
    assert refusals[13].startswith("score: ")
    assert set(refusals) == {5, 6, 7, 9, 10, 11, 12, 13}


def test_what_is_stored_is_what_the_file_says(stocked: Database) -> None:
    run(stocked, FILE)
    there = people(stocked)

    assert there["Eve"]["follows"] == ["ai", "luxury"]
    assert json.loads(there["Eve"]["fields"]) == {"city": "Paris", "score": 3}
    assert there["Finn"]["follows"] == ["e-commerce", "luxury"]
    assert there["Finn"]["language"] == "zh-CN"
    assert there["Finn"]["source"] == "people.csv"
    assert there["Ada L."]["follows"] == ["ai", "luxury"]
    assert "Rome" in there["Ada L."]["fields"]
    assert there["Cleo"]["state"] == "unsubscribed"
    assert there["Dan"]["name"] == "Dan"
    assert set(there) == {"Ada L.", "Ben", "Cleo", "Dan", "Eve", "Finn"}


def test_the_same_import_again_does_nothing_and_says_the_same(stocked: Database) -> None:
    first, _ = run(stocked, FILE)
    once = everything(stocked)
    again, _ = run(stocked, FILE)

    assert again.already
    assert again.counts == first.counts
    assert everything(stocked) == once


def test_asked_for_again_it_is_a_new_import_that_finds_everybody_there(stocked: Database) -> None:
    run(stocked, FILE)
    before = everything(stocked)
    again, _ = run(stocked, FILE, replace(PLAN, again=True))

    assert (again.counts.added, again.counts.updated, again.counts.unchanged) == (0, 0, 3)
    assert everything(stocked)["people"] == before["people"]
    assert len(everything(stocked)["runs"]) == 2


def test_another_plan_or_another_file_is_another_import(stocked: Database) -> None:
    first, _ = run(stocked, FILE)
    other, _ = run(stocked, FILE, replace(PLAN, policy=Policy.SKIP))
    longer, _ = run(stocked, FILE + "kim@example.org,Kim,ai,,,\n")

    assert len({first.run, other.run, longer.run}) == 3


def test_a_dry_run_says_the_same_and_stores_nothing(stocked: Database) -> None:
    before = everything(stocked)
    dry, refused = run(stocked, FILE, replace(PLAN, dry_run=True))

    assert everything(stocked) == before
    real, really = run(stocked, FILE)
    assert (dry.counts, refused) == (real.counts, really)


@pytest.mark.parametrize(
    ("policy", "skipped", "reason"),
    [(Policy.SKIP, 1, None), (Policy.INSERT, 0, "is a subscriber already")],
)
def test_people_there_already_are_left_or_refused_by_policy(
    stocked: Database, policy: Policy, skipped: int, reason: str | None
) -> None:
    total, refusals = run(stocked, FILE, replace(PLAN, policy=policy))

    assert (total.counts.added, total.counts.updated, total.counts.skipped) == (2, 0, skipped)
    assert refusals.get(4) == reason
    assert "Ada" in people(stocked)


def test_segments_for_everybody_come_before_those_of_the_row(stocked: Database) -> None:
    plan = replace(PLAN, segments=("luxury",))
    run(stocked, "email,name\neve@example.org,Eve\n", plan)
    run(stocked, "email,name,segments\nfinn@example.org,Finn,ai\n", plan)

    assert people(stocked)["Eve"]["follows"] == ["luxury"]
    assert people(stocked)["Finn"]["follows"] == ["ai", "luxury"]


def test_an_import_needs_a_ground_segments_and_a_table(stocked: Database) -> None:
    before = everything(stocked)
    for error, text, plan in [
        (BasisMissing, FILE, Plan("  ", "people.csv")),
        (SegmentNotFound, FILE, replace(PLAN, segments=("sport",))),
        (FileInvalid, "email\neve@example.org\n", PLAN),
        (FileInvalid, "", PLAN),
        (FileInvalid, FILE, replace(PLAN, told={"city": "nothing"})),
        (FileInvalid, FILE, replace(PLAN, encoding="klingon")),
    ]:
        with pytest.raises(error):
            run(stocked, text, plan)
    assert everything(stocked) == before


def lines(number: int) -> str:
    rows = (f"p{n % 40}@example.org,P{n % 40},ai" for n in range(number))
    return "email,name,segments\n" + "\n".join(rows) + "\n"


def test_an_interrupted_import_goes_on_where_it_was_and_ends_the_same(
    stocked: Database, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "SIZE", 10)
    broken = lines(60).replace("p7@example.org", "nobody")
    begun = taking(stocked, broken)
    progress = [next(begun), next(begun), next(begun)][-1]
    del begun

    assert (progress.counts.line, progress.counts.added) == (21, 19)
    assert len(people(stocked)) == 4 + 19
    first, *_ = resumed = list(taking(stocked, broken))
    assert (first.resumed, first.counts.added) == (21, 19)
    counts = resumed[-1].counts
    assert (counts.rows, counts.added, counts.duplicates, counts.refused) == (60, 39, 19, 2)
    refused = [one.line for each in resumed for one in each.refusals]
    assert refused == [9, 49], "what was refused before is refused again for the file of refusals"
    if stocked is not sqlite_database:  # else it is the same file
        clean = stock(sqlite_database)
        list(taking(clean, broken))
        assert people(clean).keys() == people(stocked).keys()


def test_a_batch_that_fails_is_not_stored_and_those_before_it_are(
    stocked: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "SIZE", 10)
    noted: list[int] = []
    note = runs.note

    def failing(*args: Any, **options: Any) -> None:
        noted.append(1)
        if len(noted) == 2:
            raise ConnectionError
        note(*args, **options)

    monkeypatch.setattr(runs, "note", failing)
    seen: list[Progress] = []
    with pytest.raises(ConnectionError):
        seen.extend(taking(stocked, lines(40)))

    assert len(people(stocked)) == 4 + 10
    with stocked.reading() as session:
        (left,) = runs.every(session)
    assert (left.state, left.counts.line) == (State.RUNNING, 11)


def test_two_cannot_go_on_with_one_import(
    stocked: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "SIZE", 10)
    one, other = taking(stocked, lines(40)), taking(stocked, lines(40))
    next(one)
    next(other)
    next(one)
    with pytest.raises(RunTaken):
        next(other)

    total = list(one)[-1].counts
    assert (total.rows, total.added) == (40, 40)


def test_the_first_word_comes_before_anything_is_stored(stocked: Database) -> None:
    progress = next(taking(stocked, "email,segments,phone\neve@example.org,ai,1\n"))

    assert (progress.counts.rows, progress.columns.ignored) == (0, ("phone",))
    assert len(people(stocked)) == 4


def test_a_pipe_is_imported_like_a_file(stocked: Database) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    *_, total = take(stocked, Pipe(FILE.encode()), PLAN, key=KEY, now=NOON)
    again, _ = run(stocked, FILE)

    assert total.counts.added == 2
    assert again.already


def test_opt_outs_of_elsewhere_are_refused_or_kept_as_suppressions(stocked: Database) -> None:
    text = (
        "email,name,status\n"
        "ada@example.org,Ada,Unsubscribed\n"
        "eve@example.org,Eve,bounced\n"
        "finn@example.org,Finn,pending\n"
        "gus@example.org,Gus,active\n"
        "eve@example.org,Eve,bounced\n"
    )
    plan = replace(PLAN, segments=("ai",))
    total, refusals = run(stocked, text, plan)

    assert (total.counts.added, total.counts.refused) == (1, 4)
    assert refusals[2] == "is unsubscribed where they come from"
    assert refusals[4] == "is pending where they come from: has not agreed"
    kept, _ = run(stocked, text, replace(plan, keep_opt_outs=True))
    counts = kept.counts
    assert (counts.opted_out, counts.refused, counts.duplicates) == (2, 1, 1)
    with stocked.reading() as session:
        assert queries.suppression(session, Cast.key("eve")) is not None
        ada = queries.suppression(session, Cast.key("ada"))
    assert ada is not None
    assert ada.reason is Reason.ASKED
    assert "Eve" not in people(stocked)


def test_a_preview_shows_ten_rows_and_stores_nothing(stocked: Database) -> None:
    before = everything(stocked)
    seen = preview(stocked, io.BytesIO((FILE + lines(40)).encode()), PLAN)

    assert everything(stocked) == before
    assert (seen.form.kind, seen.form.encoding, seen.form.delimiter) == ("CSV", "UTF-8", "comma")
    assert [column.target for column in seen.columns.each][-2:] == ["field:city", "field:score"]
    assert [one.person.name for one in seen.people][:2] == ["Eve", "Finn"]
    assert len(seen.people) + len(seen.refusals) == 10


def test_a_former_address_brings_nobody_back(stocked: Database) -> None:
    with stocked.transaction() as session:
        ada = queries.find(session, "ada@example.org", key=KEY)
        session.execute(
            insert(FormerAddressRow).values(
                subscriber_id=ada, address_key=Cast.key("old"), until=NOON
            )
        )
    total, refusals = run(stocked, "email,segments\nold@example.org,ai\n")

    assert total.counts.refused == 1
    assert "former address" in refusals[2]


def test_a_refusal_never_carries_the_address(stocked: Database) -> None:
    text = "email,segments\nzaphod@@example.org,ai\nzaphod <zaphod@example.org>,ai\n"
    _, refusals = run(stocked, text)

    assert len(refusals) == 2
    assert not [reason for reason in refusals.values() if "zaphod" in reason]


CELL = st.one_of(
    st.sampled_from(
        [
            "=cmd|' /C calc'!A0",
            "a@b.example>\r\nRCPT TO:<v@t.example>",
            "'; DROP TABLE x;--",
            "\u202e",
        ]
    ),
    st.text(max_size=12),
)
ROWS = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(["eve@example.org", "EVE@example.org", "ada@example.org"]), CELL),
        CELL,
        st.sampled_from(["ai", "ai,luxury", "", "sport", "AI 人工智能"]),
        CELL,
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(rows=ROWS)
def test_hostile_cells_end_up_stored_as_text_or_refused(
    sqlite_database: Database, rows: list[tuple[str, ...]]
) -> None:
    with sqlite_database.transaction() as session:
        actions.ensure_segments(session)
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    text = "email,name,segments,city\n" + "\n".join(quoted) + "\n"
    data = text.encode("utf-8", "surrogatepass")
    plan = replace(PLAN, again=True)
    *_, total = take(sqlite_database, io.BytesIO(data), plan, key=KEY, now=NOON)
    sums = total.counts

    assert sums.rows == sum(
        (
            *(sums.added, sums.updated, sums.unchanged, sums.skipped),
            *(sums.duplicates, sums.opted_out, sums.refused),
        )
    )
    for row in everything(sqlite_database)["people"]:
        address, name = row[1], row[3]
        assert name == " ".join(name.split())
        assert not set(address) & set("\r\n <>\0")
