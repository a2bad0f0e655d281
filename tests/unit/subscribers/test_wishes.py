"""How often people want letters, when not at all, and what is written down of it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers import actions, queries
from subscribers.consent import Act
from subscribers.models import SubscriberRow
from subscribers.preferences import PAUSES, Wanted
from subscribers.subscriber import (
    APART,
    Frequency,
    FrequencyInvalid,
    PauseInvalid,
    SubscriberId,
    SubscriberNotFound,
    TimezoneInvalid,
    parse_frequency,
    parse_timezone,
)
from tests.unit.subscribers.people import NOON, Cast

DAY = timedelta(days=1)
EVERYBODY = select(SubscriberRow.id)


def excluded(
    session: Session,
    person: SubscriberId,
    *,
    issue: int | None = 2,
    now: datetime = NOON,
    **more: Any,
) -> str | None:
    rows = session.execute(queries.candidates(session, ["ai"], issue=issue, now=now, **more))
    why: dict[int, str | None] = {row.subscriber_id: row.excluded for row in rows}
    return why[person]


def acts(session: Session, person: SubscriberId) -> list[tuple[Act, str]]:
    return [(each.act, each.evidence) for each in queries.history(session, person)][2:]


@pytest.mark.parametrize("often", APART)
def test_who_wants_fewer_letters_gets_the_next_one_after_that_time(
    session: Session, cast: Cast, often: Frequency
) -> None:
    actions.set_frequency(session, cast.ada, often, now=NOON, source="page")
    assert excluded(session, cast.ada, issue=1) is None, "never mailed yet"
    actions.note_mailed(session, 1, EVERYBODY, NOON)
    again = NOON + APART[often]

    assert excluded(session, cast.ada, now=again - DAY) == "frequency"
    assert excluded(session, cast.ada, now=again) is None
    assert excluded(session, cast.ada, issue=None, now=again - DAY) == "frequency"


def test_other_letters_of_the_same_issue_are_no_second_issue(session: Session, cast: Cast) -> None:
    actions.set_frequency(session, cast.ada, Frequency.MONTHLY, now=NOON, source="page")
    actions.note_mailed(session, 1, EVERYBODY, NOON)
    actions.note_mailed(session, 1, EVERYBODY, NOON + DAY)

    assert excluded(session, cast.ada, issue=1, now=NOON + DAY) is None
    assert queries.subscriber(session, cast.ada).mailed_at == NOON, "the first of them counts"


def test_only_those_with_a_frequency_are_written_to(session: Session, cast: Cast) -> None:
    actions.note_mailed(session, 1, EVERYBODY, NOON)
    assert queries.subscriber(session, cast.ada).mailed_at is None
    actions.set_frequency(session, cast.ada, Frequency.MONTHLY, now=NOON, source="page")
    actions.note_mailed(session, 1, EVERYBODY.where(SubscriberRow.id != cast.ada), NOON)
    assert queries.subscriber(session, cast.ada).mailed_at is None
    actions.note_mailed(session, 1, EVERYBODY, NOON)
    assert queries.subscriber(session, cast.ada).mailed_at == NOON
    actions.set_frequency(session, cast.ada, Frequency.EVERY, now=NOON, source="page")

    assert queries.subscriber(session, cast.ada).mailed_at is None
    assert excluded(session, cast.ada) is None


def test_a_frequency_is_noted_once(session: Session, cast: Cast) -> None:
    for _ in range(2):
        actions.set_frequency(session, cast.ada, Frequency.MONTHLY, now=NOON, source="page")
    actions.set_frequency(session, cast.ada, Frequency.EVERY, now=NOON, source="page", actor="Eve")

    assert acts(session, cast.ada) == [
        (Act.FREQUENCY_CHANGED, "every to monthly"),
        (Act.FREQUENCY_CHANGED, "monthly to every"),
    ]
    assert queries.history(session, cast.ada)[-1].actor == "Eve"


@pytest.mark.parametrize("length", PAUSES.values())
def test_nothing_is_sent_during_a_break_and_all_goes_on_after_it(
    session: Session, cast: Cast, length: timedelta
) -> None:
    actions.change_preferences(session, cast.ada, Wanted(pause=length), now=NOON, source="page")
    until = NOON + length
    person = queries.recipients(["ai"], now=until - DAY).subquery()
    late = queries.recipients(["ai"], now=until).subquery()

    assert excluded(session, cast.ada, now=until - DAY) == "paused"
    assert excluded(session, cast.ada, now=until) is None
    assert session.scalar(select(person.c.unmailable).where(person.c.id == cast.ada)) == "paused"
    assert session.scalar(select(late.c.unmailable).where(late.c.id == cast.ada)) is None
    assert not queries.explain(session, cast.ada, now=NOON).mailable
    assert queries.explain(session, cast.ada, now=until).mailable
    assert queries.preferences(session, cast.ada, now=until).paused_until is None
    assert queries.following(session, cast.ada) == ("ai", "luxury")


def test_a_break_is_ended_and_both_are_noted(session: Session, cast: Cast) -> None:
    actions.pause(session, cast.ada, NOON + DAY, now=NOON, source="page")
    actions.pause(session, cast.ada, NOON + DAY, now=NOON, source="page")
    resume = Wanted(pause=timedelta())
    assert not actions.change_preferences(
        session, cast.ada, resume, now=NOON, source="page"
    ).is_empty
    again = actions.change_preferences(session, cast.ada, resume, now=NOON, source="page")

    assert again.is_empty
    assert not actions.resume_mail(session, cast.ada, now=NOON, source="page")
    assert acts(session, cast.ada) == [(Act.PAUSED, "until 2026-03-02"), (Act.RESUMED, "")]
    with pytest.raises(PauseInvalid):
        actions.pause(session, cast.ada, NOON, now=NOON, source="page")


def test_a_suppression_and_a_state_come_before_a_break(session: Session, cast: Cast) -> None:
    for person in (cast.ben, cast.dan):
        actions.pause(session, person, NOON + DAY, now=NOON, source="page")

    assert excluded(session, cast.ben, exclude=["ai"]) == "pending"
    assert excluded(session, cast.dan, exclude=["ai"]) == "suppressed"


def test_who_is_in_a_segment_to_leave_out_is_left_out(session: Session, cast: Cast) -> None:
    actions.pause(session, cast.ada, NOON + DAY, now=NOON, source="page")

    assert excluded(session, cast.ada, exclude=["luxury"]) == "excluded"
    assert excluded(session, cast.ada, exclude=["luxury", "e-commerce"]) == "excluded"
    assert excluded(session, cast.ada, exclude=["e-commerce"]) == "paused"
    assert excluded(session, cast.ada, exclude=["gone"]) == "paused"
    rows = session.execute(queries.candidates(session, ["ai"], exclude=["luxury"], now=NOON)).all()
    assert len(rows) == len({row.subscriber_id for row in rows})


def test_an_erased_person_wishes_nothing(session: Session, cast: Cast) -> None:
    actions.set_frequency(session, cast.ada, Frequency.MONTHLY, now=NOON, source="page")
    actions.pause(session, cast.ada, NOON + DAY, now=NOON, source="page")
    actions.erase(session, cast.ada, now=NOON, source="link")
    gone = queries.subscriber(session, cast.ada)

    assert (gone.frequency, gone.paused_until, gone.source) == (Frequency.EVERY, None, "")
    for person in (cast.ada, SubscriberId(99)):
        with pytest.raises(SubscriberNotFound):
            actions.pause(session, person, NOON + DAY, now=NOON, source="x")
        with pytest.raises(SubscriberNotFound):
            actions.resume_mail(session, person, now=NOON, source="x")
        with pytest.raises(SubscriberNotFound):
            actions.set_frequency(session, person, Frequency.EVERY, now=NOON, source="x")


def test_a_standing_says_what_somebody_wants(session: Session, cast: Cast) -> None:
    actions.set_frequency(session, cast.ada, Frequency.FORTNIGHTLY, now=NOON, source="page")
    assert "has had none since" in " ".join(queries.explain(session, cast.ada, now=NOON).sentences)
    actions.note_mailed(session, 1, EVERYBODY, NOON)
    actions.pause(session, cast.ada, NOON + 9 * DAY, now=NOON, source="page")
    said = " ".join(queries.explain(session, cast.ada, now=NOON).sentences)

    assert "after the last of 2026-03-01, from 2026-03-14 on" in said
    assert "no letters until 2026-03-10" in said


@pytest.mark.parametrize(
    ("text", "zone"), [("", ""), (" UTC ", "UTC"), ("Europe/Paris", "Europe/Paris")]
)
def test_a_time_zone_is_known_by_its_name(text: str, zone: str) -> None:
    assert parse_timezone(text) == zone


@pytest.mark.parametrize(
    "text", ["Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe", "a\0b", "+01:00"]
)
def test_what_is_no_time_zone_is_refused(text: str) -> None:
    with pytest.raises(TimezoneInvalid):
        parse_timezone(text)


def test_a_frequency_is_said_in_a_word() -> None:
    assert [parse_frequency(word) for word in ("every", "", " Monthly ", "fortnightly")] == [
        *(Frequency.EVERY, Frequency.EVERY, Frequency.MONTHLY, Frequency.FORTNIGHTLY)
    ]
    with pytest.raises(FrequencyInvalid):
        parse_frequency("daily")
