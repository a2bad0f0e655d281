"""A reader's events as counters: every hit where and when it came, every person once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mailer.reports.rollup import Cell, tally
from mailer.tracking.event import Event, Kind
from mailer.tracking.machines import Verdict

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CLICK = Event(
    id=1,
    campaign=3,
    subscriber=7,
    kind=Kind.CLICK,
    at=NOON + timedelta(minutes=10),
    verdict=Verdict.PERSON,
    reason="",
    link=4,
    item="models",
    slot="headline",
    target="abc",
)


def cell(segment: str, item: str, link: str, *, hour: int = 12, measure: str = "click") -> Cell:
    return Cell(3, segment, item, link, measure, "person", NOON.replace(hour=hour))


def test_a_click_counts_for_its_link_its_item_and_the_campaign_in_each_segment() -> None:
    counted = tally([CLICK], ("ai", "luxury"))

    assert set(counted.hits) == {
        cell(segment, item, link)
        for segment in ("", "ai", "luxury")
        for item, link in (("", ""), ("models", ""), ("models", "abc"))
    }
    assert set(counted.hits.values()) == set(counted.people.values()) == {1}


def test_a_person_stands_in_the_hour_they_came_first() -> None:
    later = replace(CLICK, id=2, at=NOON + timedelta(hours=2))

    counted = tally([later, CLICK], ())

    assert counted.hits[cell("", "", "")] == counted.hits[cell("", "", "", hour=14)] == 1
    assert counted.people[cell("", "", "")] == 1
    assert counted.people[cell("", "", "", hour=14)] == 0


def test_two_links_of_an_item_are_one_person_for_the_item() -> None:
    source = replace(CLICK, id=2, slot="source", target="def")

    counted = tally([CLICK, source], ())

    assert counted.hits[cell("", "models", "")] == 2
    assert counted.people[cell("", "models", "")] == 1
    assert counted.people[cell("", "models", "abc")] == 1
    assert counted.people[cell("", "models", "def")] == 1


def test_classes_are_kept_apart() -> None:
    machine = replace(CLICK, id=2, verdict=Verdict.MACHINE)

    counted = tally([CLICK, machine], ())

    assert counted.people[cell("", "", "")] == 1
    assert counted.people[replace(cell("", "", ""), verdict="machine")] == 1


def test_a_link_outside_the_items_counts_for_the_campaign_and_itself() -> None:
    counted = tally([replace(CLICK, item="")], ())

    assert set(counted.hits) == {cell("", "", ""), cell("", "", "abc")}


def test_an_unsubscribe_counts_in_the_segments_it_ended() -> None:
    left = Event(1, 3, 7, Kind.UNSUBSCRIBE, NOON, Verdict.PERSON, "", segments=("ai",))

    counted = tally([left], ("ai", "luxury"))

    assert set(counted.people) == {
        cell("", "", "", measure="unsubscribe"),
        cell("ai", "", "", measure="unsubscribe"),
    }
