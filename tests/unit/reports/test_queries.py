"""A report is live, exact, and says what is divided by what."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import delete

from mailer.campaigns.campaign import CampaignId
from mailer.campaigns.queries import CampaignNotFound
from mailer.delivery.models import AttemptRow
from mailer.kit.database import Database
from mailer.reports import actions, queries
from mailer.reports.measures import Classes, Hits, Line, Report
from mailer.reports.models import RollupRow
from mailer.tracking import queries as tracking
from mailer.tracking.models import EventRow
from tests.unit.tracking.scene import CAST, NOON, Scene, sent


def read(scene: Scene) -> Report:
    with scene.database.reading() as session:
        return queries.report(session, scene.campaign)


def segment(report: Report, key: str) -> Line:
    return next(line for line in report.segments if line.key == key)


def item(report: Report, key: str) -> Line:
    return next(line for line in report.items if line.key == key)


def rate(line: Line, name: str) -> tuple[int, int]:
    found = next(rate for rate in line.rates if rate.name == name)
    return found.numerator, found.denominator


def test_letters_are_counted_by_what_became_of_them(database: Database) -> None:
    scene = sent(database)
    with database.transaction() as session:
        session.add(
            AttemptRow(
                campaign_id=scene.campaign,
                subscriber_id=scene.people["Fay"],
                number=1,
                at=NOON,
                first_tried=NOON,
                batch=2,
                position=1,
            )
        )

    total = read(scene).total.mailing

    assert (total.audience, total.sent, total.accepted, total.refused) == (6, 6, 4, 1)
    assert (total.deferred, total.waiting, total.put_off) == (1, 0, 1)
    assert total.audience == total.accepted + total.refused + total.deferred


def test_who_follows_two_segments_counts_in_both_and_once_in_the_total(database: Database) -> None:
    scene = sent(database)
    scene.load(scene.hit("Ada"), scene.hit("Ben"), scene.hit("Ada", "models"))

    report = read(scene)

    assert [(one.key, one.mailing.accepted) for one in report.segments] == [
        ("e-commerce", 1),
        ("ai", 4),
        ("luxury", 2),
    ]
    assert report.total.mailing.accepted == 4
    assert [one.opens.person.people for one in report.segments] == [1, 2, 2]
    assert report.total.opens.person == Hits(2, 2)
    assert any("once in the total" in note for note in report.notes)


def test_rates_leave_out_who_cannot_be_seen(database: Database) -> None:
    scene = sent(database)
    scene.load(scene.hit("Ada"), scene.hit("Cleo", "models"))

    report = read(scene)

    assert report.total.mailing.accepted == 4  # with Dan, who allows nothing
    assert rate(report.total, "opened-person") == (1, 3)
    assert rate(segment(report, "ai"), "clicked-person") == (1, 3)
    assert rate(report.total, "accepted") == (4, 5)
    assert rate(report.total, "unsubscribed") == (0, 4)


def test_an_item_is_measured_by_those_whose_letter_held_it(database: Database) -> None:
    scene = sent(database)
    scene.load(
        scene.hit("Ada", "chips"),
        scene.hit("Ben", "chips", slot="source"),
        scene.hit("Ben", "chips", after=9000),
    )

    report = read(scene)
    chips = item(report, "chips")

    assert (chips.name, chips.mailing.accepted) == ("Chips with gold", 4)
    assert (chips.clicks.person, rate(chips, "clicked-person")) == (Hits(3, 2), (2, 3))
    assert item(report, "carts").mailing.accepted == 1
    assert item(report, "bridge").clicks == Classes()


def test_a_link_is_one_link_in_every_edition(database: Database) -> None:
    scene = sent(database)
    assert scene.link("Ada", "chips") != scene.link("Ben", "chips")
    scene.load(scene.hit("Ada", "chips"), scene.hit("Ben", "chips"))

    first = read(scene).links[0]

    assert (first.url, first.slot) == ("https://chips.example/story?a=1&b=2", "headline")
    assert first.clicks.person == Hits(2, 2)


def test_machines_stand_beside_people(database: Database) -> None:
    scene = sent(database)
    scene.load(
        scene.hit("Ada", agent="Mozilla/5.0"),
        scene.hit("Ada", after=7200),
        scene.hit("Ben", "chips", head=True),
    )

    total = read(scene).total

    assert (total.opens.person.people, total.opens.machine.people) == (1, 1)
    assert (total.clicks.person, total.clicks.machine) == (Hits(), Hits(1, 1))


def test_hours_add_up_to_people(database: Database) -> None:
    scene = sent(database)
    scene.load(*(scene.hit("Ada", after=hours * 3600) for hours in (1, 2, 5)))
    scene.load(scene.hit("Ben", after=2 * 3600), scene.hit("Ada", after=1800))

    report = read(scene)

    assert [(h.hour - NOON, h.opens.person) for h in report.hours] == [
        (timedelta(0), Hits(1, 1)),
        (timedelta(hours=1), Hits(1, 0)),
        (timedelta(hours=2), Hits(2, 1)),
        (timedelta(hours=5), Hits(1, 0)),
    ]
    assert report.total.opens.person == Hits(5, 2)


def test_counters_equal_a_recount_of_all_events(database: Database) -> None:
    scene = sent(database)
    scene.load(scene.hit("Ada", "carts", after=600), scene.hit("Ada", "models", after=600.4))
    scene.load(scene.hit("Ada", "watches", after=601), scene.hit("Ben"))
    scene.load(scene.hit("Cleo", "models"), scene.hit("Ada", after=60))
    with database.transaction() as session:
        actions.unsubscribe(
            session,
            scene.people["Ben"],
            campaign=scene.campaign,
            segments=["ai"],
            now=NOON,
            source="test",
        )
    before = scene.rollup()

    with database.transaction() as session:
        session.execute(delete(RollupRow))
        pairs = {(row.campaign_id, row.subscriber_id) for row in session.query(EventRow)}
        found = tracking.events(session, pairs)
        actions.count(session, [event for of in found.values() for event in of])

    assert scene.rollup() == before


def test_who_leaves_is_counted_in_the_segments_they_left(database: Database) -> None:
    scene = sent(database)
    for segments in (["ai"], ["luxury"]):
        with database.transaction() as session:
            actions.unsubscribe(
                session,
                scene.people["Ben"],
                campaign=scene.campaign,
                segments=segments,
                now=NOON,
                source="test",
            )

    report = read(scene)

    assert report.total.unsubscribes == 1
    assert [line.unsubscribes for line in report.segments] == [0, 1, 1]


def test_a_campaign_nobody_has_answered_has_no_rates_of_nothing(
    sqlite_database: Database,
) -> None:
    scene = sent(sqlite_database, CAST[5:])

    report = read(scene)

    assert report.total.mailing.waiting == 1
    assert {rate.share for rate in report.total.rates} == {None}
    assert report.hours == ()


def test_there_is_no_report_without_a_campaign(sqlite_database: Database) -> None:
    with sqlite_database.reading() as session, pytest.raises(CampaignNotFound):
        queries.report(session, CampaignId(7))


def test_two_loaders_at_once_count_one_reader_once(postgres_database: Database) -> None:
    scene = sent(postgres_database)
    opens = [scene.hit("Ada", after=600 + 20 * n) for n in range(40)]
    threads = [
        threading.Thread(target=scene.load, args=opens[start::4], daemon=True) for start in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert read(scene).total.opens.person == Hits(40, 1)
