"""Who may be mailed, with what, and why not."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers import actions, queries, search
from subscribers.address import EmailAddress
from subscribers.rules import queries as rules
from subscribers.segment import NewSegment
from subscribers.subscriber import State, SubscriberId, SubscriberNotFound
from tests.unit.subscribers.people import KEY, NOON, Cast


def candidates(session: Session, *segments: str) -> dict[int, Any]:
    rows = session.execute(queries.candidates(session, segments, now=NOON)).all()
    assert len({row.subscriber_id for row in rows}) == len(rows), "one row per subscriber"
    return {row.subscriber_id: row for row in rows}


def test_everybody_who_follows_one_of_the_segments_is_a_candidate_once(
    session: Session, cast: Cast
) -> None:
    found = candidates(session, "luxury", "e-commerce", "ai")
    ada = found[cast.ada]

    assert ada._fields == (
        "subscriber_id",
        "address_key",
        "domain",
        "mask",
        "tracking",
        "excluded",
    )
    assert tuple(ada) == (cast.ada, Cast.key("ada"), "example.org", 0b101, 3, None)
    assert {person: row.excluded for person, row in found.items()} == {
        cast.ada: None,
        cast.ben: "pending",
        cast.dan: "suppressed",
    }


def test_a_mask_counts_bits_in_the_order_given(session: Session, cast: Cast) -> None:
    assert candidates(session, "ai", "luxury")[cast.ada].mask == 0b11
    assert candidates(session, "e-commerce", "luxury")[cast.ada].mask == 0b10
    assert candidates(session, "ai")[cast.ada].mask == 0b1
    assert not candidates(session, "e-commerce")
    assert not candidates(session, "gone")


@pytest.mark.parametrize("segments", [(), ("ai", "ai"), tuple(f"s{n}" for n in range(17))])
def test_what_is_no_set_of_segments_is_a_bug(session: Session, segments: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="not a set of segments"):
        queries.candidates(session, segments, now=NOON)


@pytest.mark.parametrize("reason", ["bounced", "complained"])
def test_a_dead_address_and_a_complaint_are_reasons_of_their_own(
    session: Session, cast: Cast, reason: str
) -> None:
    actions.suppress(session, Cast.key("ada"), reason, now=NOON)

    assert candidates(session, "ai")[cast.ada].excluded == reason


def recipients(session: Session, *segments: str) -> dict[int, Any]:
    person = queries.recipients(segments or None).subquery("person")
    return {row.id: row for row in session.execute(select(person))}


def test_a_recipient_has_what_a_letter_needs_and_whether_they_may_be_mailed_now(
    session: Session, cast: Cast
) -> None:
    found = recipients(session)

    assert tuple(found[cast.ada]) == (cast.ada, "ada@example.org", "Ada", "", 3, None)
    assert found[cast.ben].unmailable == "pending"
    assert found[cast.cleo].unmailable == "unsubscribed"
    assert found[cast.dan].unmailable == "suppressed"


def test_an_erased_recipient_has_no_address(session: Session, cast: Cast) -> None:
    actions.erase(session, cast.ada, now=NOON, source="link")

    assert recipients(session)[cast.ada][1:] == ("", "", "", 3, "erased")


def test_who_follows_none_of_the_segments_any_more_is_no_recipient(
    session: Session, cast: Cast
) -> None:
    assert recipients(session, "ai", "e-commerce")[cast.ada].unmailable is None
    actions.unfollow(session, cast.ada, ["ai"], now=NOON, source="page")

    assert recipients(session, "ai", "e-commerce")[cast.ada].unmailable == "unfollowed"
    assert recipients(session, "luxury")[cast.ada].unmailable is None
    assert recipients(session, "ai")[cast.cleo].unmailable == "unsubscribed"


def test_an_address_is_found_however_it_is_spelt(session: Session, cast: Cast) -> None:
    assert queries.by_address(session, EmailAddress.parse("ADA@example.ORG"), key=KEY) == cast.ada
    assert queries.by_address(session, EmailAddress.parse("eve@example.org"), key=KEY) is None
    assert queries.by_key(session, Cast.key("ada")) == cast.ada
    assert queries.find(session, "Ada@Example.org", key=KEY) == cast.ada
    assert queries.find(session, str(cast.ada), key=KEY) == cast.ada
    with pytest.raises(SubscriberNotFound, match="Nobody"):
        queries.find(session, "eve@example.org", key=KEY)
    with pytest.raises(SubscriberNotFound):
        queries.find(session, "99", key=KEY)


def test_an_address_beyond_ascii_is_found_too(session: Session) -> None:
    actions.subscribe(
        session,
        EmailAddress.parse("Émile@example.org"),
        key=KEY,
        segments=["ai"],
        source="form",
        wording="",
        now=NOON,
    )

    assert queries.by_address(session, EmailAddress.parse("Émile@EXAMPLE.org"), key=KEY) is not None
    assert queries.by_address(session, EmailAddress.parse("émile@example.org"), key=KEY) is None


def names(session: Session, part: str = "", **narrowed: Any) -> list[str]:
    return [person.name for person in search.page(session, part=part, now=NOON, **narrowed)]


def test_people_are_searched_by_part_state_and_segment(session: Session, cast: Cast) -> None:
    assert names(session) == ["Ada", "Ben", "Cleo", "Dan"]
    assert names(session, "DA@") == ["Ada"]
    assert names(session, "dan@EXAMPLE") == ["Dan"]
    assert names(session, "ben@") == ["Ben"]
    assert names(session, "%") == []
    assert names(session, state=State.SUPPRESSED) == ["Dan"]
    assert names(session, state=State.CONFIRMED) == ["Ada"]
    assert names(session, segment="luxury") == ["Ada"]
    assert names(session, limit=2) == ["Ada", "Ben"]
    assert names(session, limit=2, after=cast.ben) == ["Cleo", "Dan"]


def test_everybody_is_counted_in_one_state(session: Session, cast: Cast) -> None:
    assert cast
    counts = queries.counts(session)

    assert counts.total == 4 == sum(counts.by_state.values())
    assert {state for state, number in counts.by_state.items() if number} == {
        State.CONFIRMED,
        State.PENDING,
        State.UNSUBSCRIBED,
        State.SUPPRESSED,
    }


def test_a_segment_counts_its_followers_and_those_it_reaches(session: Session, cast: Cast) -> None:
    assert cast
    actions.create_segment(session, NewSegment("new", "New"))
    counted = {each.segment.key: each for each in rules.sizes(session, NOON)}

    assert {key: (each.followers, each.mailable) for key, each in counted.items()} == {
        "e-commerce": (0, 0),
        "ai": (3, 1),
        "luxury": (1, 1),
        "new": (0, 0),
    }


def sentences(session: Session, person: SubscriberId) -> str:
    return " ".join(queries.explain(session, person, now=NOON).sentences)


def test_a_standing_says_why(session: Session, cast: Cast) -> None:
    assert "Has confirmed" in sentences(session, cast.ada)
    assert "Follows ai, luxury." in sentences(session, cast.ada)
    assert "not yet confirmed: ai" in sentences(session, cast.ben)
    assert "has unsubscribed" in sentences(session, cast.cleo)
    assert "since 2026-03-01: operator" in sentences(session, cast.dan)


def test_who_follows_nothing_is_not_mailable(session: Session, cast: Cast) -> None:
    assert queries.explain(session, cast.ada, now=NOON).mailable
    actions.unfollow(session, cast.ada, ["ai", "luxury"], now=NOON, source="page")

    assert not queries.explain(session, cast.ada, now=NOON).mailable
    assert not queries.explain(session, cast.dan, now=NOON).mailable
