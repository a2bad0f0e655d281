"""Many people at once are the same people as one at a time."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from subscribers import actions, bulk, queries, search
from subscribers.address import EmailAddress
from subscribers.consent import Act, BasisMissing, Origin
from subscribers.intake.merge import Outcome, Policy
from subscribers.segment import SegmentNotFound
from subscribers.subscriber import NewPerson, State, SubscriberId
from subscribers.suppression import Reason
from tests.unit.subscribers.people import KEY, NOON, Cast


def person(name: str, *segments: str, called: str = "") -> NewPerson:
    return NewPerson(EmailAddress.parse(f"{name}@example.org"), called, segments or ("ai",))


def add(session: Session, *people: NewPerson, wording: str = "Agreed at the fair.") -> int:
    return bulk.add_confirmed(
        session, people, now=NOON, key=KEY, source="demo", wording=wording, actor="us"
    )


def store(session: Session, *people: NewPerson, dry_run: bool = False) -> tuple[Outcome, ...]:
    return bulk.store(
        session,
        people,
        policy=Policy.UPDATE,
        now=NOON,
        key=KEY,
        wording="Agreed at the fair.",
        origin=Origin("people.csv", "us"),
        dry_run=dry_run,
    )


def test_people_are_stored_confirmed_with_follows_and_consent(session: Session) -> None:
    assert add(session, person("ada", "luxury", "ai", called="Ada"), person("eve")) == 2
    (ada, _) = search.page(session, now=NOON)
    (entry,) = queries.history(session, ada.id)

    assert (ada.name, ada.state, ada.confirmed_at) == ("Ada", State.CONFIRMED, NOON)
    assert (ada.tracking, ada.address_key) == (3, Cast.key("ada"))
    assert queries.following(session, ada.id) == ("ai", "luxury")
    assert (entry.act, entry.segments) == (Act.IMPORTED, ("luxury", "ai"))
    assert (entry.wording, entry.source, entry.actor) == ("Agreed at the fair.", "demo", "us")
    assert actions.follow(session, ada.id, ["ai"], now=NOON, source="page") == ()


def test_a_stream_longer_than_a_chunk_is_stored_whole(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "CHUNK", 7)

    def crowd() -> Iterator[NewPerson]:
        yield from (person(f"p{n % 30}") for n in range(45))

    assert (
        bulk.add_confirmed(session, crowd(), now=NOON, key=KEY, source="demo", wording="Agreed.")
        == 30
    )
    assert queries.counts(session).by_state[State.CONFIRMED] == 30


def test_who_is_there_or_must_not_be_mailed_is_passed_over(session: Session, cast: Cast) -> None:
    actions.suppress(session, Cast.key("eve"), Reason.ASKED, now=NOON)
    people = [person(name, "luxury") for name in ("ada", "ben", "cleo", "dan", "eve", "finn")]

    assert add(session, *people) == 1
    assert queries.counts(session).total == 5
    assert queries.following(session, cast.ben) == ("ai",)
    assert queries.following(session, cast.cleo) == ()


def test_each_outcome_is_reported_in_the_order_given(session: Session, cast: Cast) -> None:
    people = [
        person("dan"),
        person("eve"),
        person("ada", "e-commerce"),
        person("ada2"),
        person("ben"),
    ]
    expected = (
        Outcome.SUPPRESSED,
        Outcome.ADDED,
        Outcome.UPDATED,
        Outcome.ADDED,
        Outcome.PENDING,
    )

    assert store(session, *people, dry_run=True) == expected
    assert queries.counts(session).total == 4
    assert store(session, *people) == expected
    assert queries.following(session, cast.ada) == ("e-commerce", "ai", "luxury")
    assert queries.history(session, cast.ada)[-1].segments == ("e-commerce",)
    assert store(session, *people)[1:4] == (Outcome.UNCHANGED,) * 3


def test_a_name_is_updated_where_one_is_given(session: Session, cast: Cast) -> None:
    store(session, person("ada", called="Ada L."), person("eve"))
    store(session, person("ada"), person("eve", called="Eve"))

    assert [one.name for one in search.page(session, now=NOON)] == [
        "Ada L.",
        "Ben",
        "Cleo",
        "Dan",
        "Eve",
    ]
    assert len(queries.history(session, cast.ada)) == 3


def test_nobody_is_stored_without_a_ground_or_for_no_segment(session: Session) -> None:
    with pytest.raises(BasisMissing):
        add(session, person("ada"), wording=" ")
    with pytest.raises(SegmentNotFound):
        add(session, person("ada", "sport"))
    assert queries.counts(session).total == 0
    assert add(session) == 0


def test_names_that_look_like_arrays_or_sql_are_names(session: Session) -> None:
    odd = ['{"a",NULL}', "Robert'); DROP TABLE subscriber;--", "NULL", "\\", '"', "{}", "%s :now"]
    add(session, *(person(f"p{n}", called=name) for n, name in enumerate(odd)))

    assert [one.name for one in search.page(session, now=NOON)] == odd
    assert (
        queries.subscriber(session, SubscriberId(search.page(session, now=NOON)[0].id)).name
        == odd[0]
    )
