"""Segments have keys for programs and names for readers."""

import pytest
from sqlalchemy.orm import Session

from subscribers import actions, queries
from subscribers.segment import (
    STARTING,
    NewSegment,
    SegmentColorInvalid,
    SegmentExists,
    SegmentKeyInvalid,
    SegmentNotFound,
    parse_key,
)


def test_the_starting_segments_have_names_in_english_and_chinese(session: Session) -> None:
    found = queries.segments(session)

    assert [one.key for one in found] == ["e-commerce", "ai", "luxury"]
    assert [one.name_in("zh-Hans") for one in found] == ["电商", "人工智能", "奢侈品"]
    assert [one.name_in("fr") for one in found] == ["E-commerce", "AI", "Luxury"]


def test_making_sure_of_the_segments_again_changes_nothing(session: Session) -> None:
    before = queries.segments(session)

    assert actions.ensure_segments(session) == 0
    assert queries.segments(session) == before
    assert len(before) == len(STARTING)


def test_a_new_segment_comes_last(session: Session) -> None:
    actions.create_segment(session, NewSegment("deep-tech", "Deep tech"))

    assert queries.segments(session)[-1].key == "deep-tech"
    assert queries.segment(session, "deep-tech").name == "Deep tech"


def test_what_readers_see_of_a_segment_is_one_line(session: Session) -> None:
    names = {"en": "Deep\n\u202etech\0", "zh": "\0", "fr": "x" * 1000}
    actions.create_segment(session, NewSegment("deep-tech", "\0", names, "A\x1b\nline"))

    made = queries.segment(session, "deep-tech")
    assert made.name == "deep-tech"
    assert made.names == {"en": "Deep tech", "fr": "x" * 100}
    assert made.description == "A line"


@pytest.mark.parametrize("color", ["red", "#12345", "#1a7f37;x:url(//evil)", "#1a7f37\n"])
def test_a_colour_is_nothing_but_a_colour(session: Session, color: str) -> None:
    with pytest.raises(SegmentColorInvalid):
        actions.create_segment(session, NewSegment("deep-tech", "Deep tech", color=color))


def test_a_key_is_given_once(session: Session) -> None:
    with pytest.raises(SegmentExists, match="'ai'"):
        actions.create_segment(session, NewSegment("ai", "Again"))


@pytest.mark.parametrize("key", ["", "AI", "a b", "-a", "a-", "a--b", "a_b", "é", "a" * 41, "a\n"])
def test_a_key_that_would_need_quoting_is_refused(key: str) -> None:
    with pytest.raises(SegmentKeyInvalid):
        parse_key(key)


def test_missing_segments_are_named_with_those_there_are(session: Session) -> None:
    with pytest.raises(SegmentNotFound, match="'sport', 'food'; there are: e-commerce, ai, luxury"):
        queries.require_segments(session, ["sport", "ai", "food"])
    with pytest.raises(SegmentNotFound, match="'sport'"):
        queries.segment(session, "sport")
