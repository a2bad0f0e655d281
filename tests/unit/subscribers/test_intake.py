"""An import stores what it can, refuses the rest with line and reason, and may be run again."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailer.kit.database import Database
from subscribers import actions, bulk, intake, queries
from subscribers.consent import BasisMissing
from subscribers.intake import Plan, Progress, take
from subscribers.merge import Policy
from subscribers.segment import SegmentNotFound
from subscribers.spreadsheet import FileInvalid
from subscribers.subscriber import State
from subscribers.suppression import Reason
from tests.unit.subscribers.people import KEY, NOON, Cast, confirmed, subscribed

PLAN = Plan("Agreed at the fair in March.", "people.csv")


@pytest.fixture
def stocked(database: Database) -> Database:
    """Ada confirmed, Ben pending, Cleo unsubscribed, Dan confirmed and suppressed."""
    with database.transaction() as session:
        actions.ensure_segments(session)
        confirmed(session, "ada", "ai")
        subscribed(session, "ben", "ai")
        cleo = confirmed(session, "cleo", "ai")
        actions.unsubscribe(session, cleo, segments=None, now=NOON, source="link")
        confirmed(session, "dan", "ai")
        actions.suppress(session, Cast.key("dan"), Reason.OPERATOR, now=NOON)
    return database


def taking(database: Database, text: str, plan: Plan = PLAN) -> Iterator[Progress]:
    return take(database, io.BytesIO(text.encode()), plan, key=KEY, now=NOON)


def run(database: Database, text: str, plan: Plan = PLAN) -> tuple[Progress, dict[int, str]]:
    """The last progress, and all refusals by line."""
    every = list(taking(database, text, plan))
    return every[-1], {one.line: one.reason for progress in every for one in progress.refusals}


def everything(database: Database) -> Any:
    """All that is stored about anybody."""
    with database.reading() as session:
        people = queries.search(session, limit=10_000)
        return [
            (one, queries.following(session, one.id), queries.history(session, one.id))
            for one in people
        ]


FILE = """email,name,segments,language
eve@example.org,Eve,ai luxury,en
finn@example.org,Finn,"E-commerce; 奢侈品",zh_CN
ada@example.org,Ada L.,luxury,
ben@example.org,Ben,ai,
cleo@example.org,Cleo,ai,
dan@example.org,Dan,ai,
EVE@Example.org,Eve again,e-commerce,
gus(at)example.org,Gus,ai,
hal@example.org,Hal,sport food,martian
ida@example.org,Ida,,
,Nobody,ai,
"""


def test_each_row_is_added_merged_or_refused_with_its_reason(stocked: Database) -> None:
    total, refusals = run(stocked, FILE)

    assert (total.rows, total.added, total.updated, total.duplicates) == (11, 2, 1, 1)
    assert (total.refused, total.line) == (7, 12)
    assert refusals[5] == "has been asked to confirm and has not yet"
    assert refusals[6] == "has unsubscribed; only they can subscribe again"
    assert refusals[7] == "is suppressed and stays so"
    assert refusals[9].startswith("email: ")
    assert "there is no 'sport', 'food'" in refusals[10]
    assert "language" in refusals[10]
    assert refusals[11].startswith("segments: is empty")
    assert refusals[12] == "email: is empty"
    assert set(refusals) == {5, 6, 7, 9, 10, 11, 12}


def test_what_is_stored_is_what_the_file_says(stocked: Database) -> None:
    run(stocked, FILE)
    stored = {one.name: (one, follows) for one, follows, _ in everything(stocked)}

    assert stored["Eve"][1] == ("ai", "luxury")
    assert stored["Finn"][1] == ("e-commerce", "luxury")
    assert stored["Finn"][0].language == "zh-CN"
    assert stored["Ada L."][1] == ("ai", "luxury")
    assert stored["Cleo"][0].state is State.UNSUBSCRIBED
    assert stored["Dan"][0].state is State.SUPPRESSED
    assert set(stored) == {"Ada L.", "Ben", "Cleo", "Dan", "Eve", "Finn"}


def test_importing_twice_is_importing_once(stocked: Database) -> None:
    run(stocked, FILE)
    once = everything(stocked)
    again, _ = run(stocked, FILE)

    assert everything(stocked) == once
    assert (again.added, again.updated, again.unchanged) == (0, 0, 3)


def test_a_dry_run_says_the_same_and_stores_nothing(stocked: Database) -> None:
    before = everything(stocked)
    dry = run(stocked, FILE, Plan("A test.", "people.csv", dry_run=True))

    assert everything(stocked) == before
    real = run(stocked, FILE)
    assert dry == real


@pytest.mark.parametrize(
    ("policy", "skipped", "reason"),
    [(Policy.SKIP, 1, None), (Policy.INSERT, 0, "is a subscriber already")],
)
def test_people_there_already_are_left_or_refused_by_policy(
    stocked: Database, policy: Policy, skipped: int, reason: str | None
) -> None:
    total, refusals = run(stocked, FILE, Plan("A test.", "people.csv", policy=policy))
    names = [one.name for one, _, _ in everything(stocked)]

    assert (total.added, total.updated, total.skipped) == (2, 0, skipped)
    assert refusals.get(4) == reason
    assert names[0] == "Ada"


def test_segments_for_everybody_come_before_those_of_the_row(stocked: Database) -> None:
    plan = Plan("A test.", "people.csv", ("luxury",))
    run(stocked, "email\neve@example.org\n", plan)
    run(stocked, "email,segments\nfinn@example.org,ai\n", plan)

    assert [follows for _, follows, _ in everything(stocked)[-2:]] == [
        ("luxury",),
        ("ai", "luxury"),
    ]


def test_an_import_needs_a_ground_segments_and_a_table(stocked: Database) -> None:
    for error, text, plan in [
        (BasisMissing, FILE, Plan("  ", "people.csv")),
        (SegmentNotFound, FILE, Plan("A test.", "people.csv", ("sport",))),
        (FileInvalid, "email\neve@example.org\n", PLAN),
        (FileInvalid, "", PLAN),
    ]:
        with pytest.raises(error):
            run(stocked, text, plan)
    assert len(everything(stocked)) == 4


def lines(number: int) -> str:
    rows = (f"p{n % 40}@example.org,P{n % 40},ai" for n in range(number))
    return "email,name,segments\n" + "\n".join(rows) + "\n"


def test_an_interrupted_import_keeps_what_was_stored_and_goes_on_when_run_again(
    stocked: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BATCH", 10)
    begun = taking(stocked, lines(60))
    progress = [next(begun), next(begun), next(begun)][-1]
    del begun

    assert (progress.line, progress.added) == (21, 20)
    assert len(everything(stocked)) == 24
    total, _ = run(stocked, lines(60))
    assert (total.added, total.unchanged, total.duplicates) == (20, 20, 20)


def test_a_batch_that_fails_is_not_stored_and_those_before_it_are(
    stocked: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BATCH", 10)
    noted: list[int] = []
    note = bulk._note  # noqa: SLF001  # the last thing written of a batch

    def failing(*args: Any) -> None:
        noted.append(1)
        if len(noted) == 2:
            raise ConnectionError
        note(*args)

    monkeypatch.setattr(bulk, "_note", failing)
    seen: list[Progress] = []
    with pytest.raises(ConnectionError):
        seen.extend(taking(stocked, lines(40)))

    assert len(everything(stocked)) == 4 + 10
    assert all(follows or one.name == "Cleo" for one, follows, _ in everything(stocked))


def test_the_first_word_comes_before_anything_is_stored(stocked: Database) -> None:
    progress = next(taking(stocked, "email,segments,phone\neve@example.org,ai,1\n"))

    assert (progress.rows, progress.ignored) == (0, ("phone",))
    assert len(everything(stocked)) == 4


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
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(rows=ROWS)
def test_hostile_cells_end_up_stored_as_text_or_refused(
    sqlite_database: Database, rows: list[tuple[str, str, str]]
) -> None:
    with sqlite_database.transaction() as session:
        actions.ensure_segments(session)
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    text = "email,name,segments\n" + "\n".join(quoted) + "\n"
    data = text.encode("utf-8", "surrogatepass")
    *_, total = take(sqlite_database, io.BytesIO(data), PLAN, key=KEY, now=NOON)

    assert total.rows == sum(
        (
            total.added,
            total.updated,
            total.unchanged,
            total.skipped,
            total.duplicates,
            total.refused,
        )
    )
    for one, follows, _ in everything(sqlite_database):
        assert one.name == " ".join(one.name.split())
        assert not set(one.address) & set("\r\n <>\0")
        assert follows
