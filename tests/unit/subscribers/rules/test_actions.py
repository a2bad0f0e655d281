"""Segments with rules are made, changed by versions, and archived when nothing needs them."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from mailer.kit.database import Database
from subscribers import actions as people
from subscribers import queries as stored
from subscribers.rules import actions, queries
from subscribers.rules.language import parse
from subscribers.rules.tree import RuleInvalid
from subscribers.segment import (
    NewSegment,
    SegmentExists,
    SegmentHasNoRule,
    SegmentInUse,
    SegmentNotFound,
    SegmentStale,
)
from tests.unit.subscribers.people import NOON, Cast

GMAIL = "provider = gmail"


def make(session: Session, key: str, rule: str) -> None:
    actions.create(session, NewSegment(key, key.title()), parse(rule), now=NOON, actor="Eve")


def test_a_rule_finds_people_at_once(session: Session, cast: Cast) -> None:
    make(session, "here", "follows:ai and state = confirmed")
    segment = stored.segment(session, "here")

    assert segment.rule
    assert segment.revision == 1
    assert queries.sample(session, queries.meaning(session, "here"), NOON) == (cast.ada,)
    assert queries.count(session, queries.meaning(session, "ai"), NOON).people == 3


def test_each_version_of_a_rule_is_kept_with_who_made_it_and_when(session: Session) -> None:
    make(session, "g", GMAIL)
    later = NOON + timedelta(days=1)
    new = parse("provider = qq")

    assert actions.revise(session, "g", new, seen=1, now=later, actor="Finn") == 2
    assert [(v.number, v.rule, v.actor, v.at) for v in queries.revisions(session, "g")] == [
        (2, new, "Finn", later),
        (1, parse(GMAIL), "Eve", NOON),
    ]
    assert queries.meaning(session, "g") == new


def test_the_same_rule_again_makes_no_version(session: Session) -> None:
    make(session, "g", GMAIL)

    assert actions.revise(session, "g", parse(f"({GMAIL})"), seen=1, now=NOON) == 1
    assert len(queries.revisions(session, "g")) == 1


def test_who_has_seen_an_older_version_changes_nothing(session: Session) -> None:
    make(session, "g", GMAIL)
    actions.revise(session, "g", parse("provider = qq"), seen=1, now=NOON)

    with pytest.raises(SegmentStale, match="at version 2, not 1"):
        actions.revise(session, "g", parse("provider = yahoo"), seen=1, now=NOON)


def test_versions_are_never_changed(database: Database) -> None:
    with database.transaction() as session:
        make(session, "g", GMAIL)
    with pytest.raises(DBAPIError, match="insert-only"), database.transaction() as session:
        session.execute(text("UPDATE segment_revision SET actor = 'nobody'"))


def test_a_rule_never_leads_back_to_itself(session: Session) -> None:
    make(session, "a", GMAIL)
    make(session, "b", "in:a")
    make(session, "c", "not in:b")

    with pytest.raises(RuleInvalid, match="in:a to in:c to in:b to in:a"):
        actions.revise(session, "a", parse("in:c or opened"), seen=1, now=NOON)
    with pytest.raises(RuleInvalid, match="no segment d"):
        make(session, "d", "in:d")


def test_rules_lead_on_over_eight_segments_and_no_more(session: Session) -> None:
    make(session, "s1", GMAIL)
    for n in range(2, 9):
        make(session, f"s{n}", f"in:s{n - 1} and opened")

    assert queries.count(session, queries.meaning(session, "s8"), NOON).people == 0
    with pytest.raises(RuleInvalid, match="more than 8 segments"):
        make(session, "s9", "in:s8")


def test_rules_do_not_grow_without_end_through_each_other(session: Session) -> None:
    make(session, "wide", " or ".join(["opened"] * 150))
    make(session, "wider", " or ".join(["in:wide"] * 6))

    with pytest.raises(RuleInvalid, match="more than 1,000 conditions"):
        make(session, "widest", "in:wider or in:wide")
    with pytest.raises(RuleInvalid, match="more than 1,000 conditions"):
        actions.revise(session, "wide", parse(" or ".join(["opened"] * 180)), seen=1, now=NOON)


def test_a_rule_over_what_there_is_not_makes_no_segment(session: Session) -> None:
    with pytest.raises(RuleInvalid, match="there is no field contry"):
        make(session, "g", "contry = US")
    with pytest.raises(SegmentExists):
        make(session, "ai", GMAIL)
    with pytest.raises(SegmentHasNoRule):
        actions.revise(session, "ai", parse(GMAIL), seen=1, now=NOON)


def test_what_a_rule_names_is_not_archived(session: Session) -> None:
    people.create_segment(session, NewSegment("tea", "Tea"))
    make(session, "g", "follows:tea or clicked:luxury")
    make(session, "h", "in:g")
    for key, by in (("tea", "g"), ("luxury", "g"), ("g", "h")):
        with pytest.raises(SegmentInUse, match=f"those of {by}"):
            actions.archive(session, key, now=NOON)

    actions.archive(session, "h", now=NOON)
    actions.archive(session, "g", now=NOON)
    actions.archive(session, "tea", now=NOON)
    actions.archive(session, "tea", now=NOON + timedelta(days=1))
    assert stored.segment(session, "tea").archived_at == NOON
    with pytest.raises(SegmentNotFound, match="archived"):
        actions.revise(session, "g", parse(GMAIL), seen=1, now=NOON)
    with pytest.raises(RuleInvalid, match="the segment g is archived"):
        make(session, "i", "in:g")
    with pytest.raises(SegmentNotFound):
        actions.archive(session, "gone", now=NOON)
