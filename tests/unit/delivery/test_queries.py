"""The books can be read and checked by anybody."""

import pytest
from sqlalchemy import insert, update

from mailer.campaigns.campaign import CampaignId
from mailer.campaigns.models import CampaignRow
from mailer.campaigns.queries import CampaignNotFound
from mailer.delivery import queries
from mailer.delivery.models import DeliveryRow
from mailer.kit.database import Database
from tests.fakes import books
from tests.fakes.books import NOON
from tests.unit.delivery.settled import settled

BOTH = ("ai", "luxury")


def test_progress_adds_up(database: Database) -> None:
    campaign = books.sending(database, 5)
    with database.transaction() as session:
        settled(session, "accepted", 1, 2)

        found = queries.progress(session, campaign, by_edition=True)

    assert (found.audience, found.accepted, found.open, found.settled) == (5, 2, 3, 2)
    assert sum(found.sums.values()) == found.audience
    assert [(e.audience, e.settled) for e in found.by_edition] == [(5, 2)]


def test_there_is_no_progress_of_no_campaign(database: Database) -> None:
    with pytest.raises(CampaignNotFound), database.reading() as session:
        queries.progress(session, CampaignId(7))


def test_the_needed_editions_are_those_somebody_would_get(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 3)
        books.people(session, 2, first=10, segments=BOTH)
        books.people(session, 1, first=20, segments=BOTH, tracking=1)
        books.people(session, 1, first=30, segments=("luxury",), state="pending")
        campaign = books.campaign(session)

        assert queries.needed(session, campaign, now=books.NOON) == [
            (1, 3, 3),
            (3, 1, 1),
            (3, 3, 2),
        ]

        session.execute(update(CampaignRow).values(tracking=2))
        assert queries.needed(session, campaign, now=books.NOON) == [
            (1, 2, 3),
            (3, 0, 1),
            (3, 2, 2),
        ]


def test_honest_books_hold(database: Database) -> None:
    campaign = books.sending(database, 3)
    with database.transaction() as session:
        settled(session, "accepted", 1)

        found = queries.verify(session, campaign)

    assert (found.holds, found.breaches) == (True, ())
    assert found.sums["candidates"] == found.sums["audience"] == 3
    assert found.sums["open"] == 2


def test_every_kind_of_dishonesty_is_named(database: Database) -> None:
    campaign = books.sending(database, 3)
    row = {"campaign_id": campaign, "at": NOON, "outcome": "accepted", "batch": 1, "epoch": 0}
    with database.transaction() as session:
        session.execute(insert(DeliveryRow), [row | {"subscriber_id": n} for n in (1, 8, 9)])
        session.execute(insert(DeliveryRow), [row | {"subscriber_id": 2, "chunk": 3}])
        session.execute(update(CampaignRow).values(candidate_count=4, audience_count=2))

        breaches = queries.verify(session, campaign).breaches

    assert breaches == (
        "4 candidates were counted, the rows say otherwise",
        "an audience of 2 was counted, the rows say otherwise",
        "2 more results than people, the rows say otherwise",
        "2 results of people outside the audience",
        "4 letters accepted without a started chunk",
    )


def test_a_ledger_has_a_line_for_every_candidate(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 2)
        books.people(session, 1, first=7, state="pending")
        campaign = books.campaign(session)
        books.launched(session, campaign)
        settled(session, "accepted", 2)

        lines = list(queries.ledger_lines(session, campaign))
        some = {
            name: [n.subscriber for n in queries.ledger_lines(session, campaign, outcome=name)]
            for name in ("accepted", "open", "excluded", "uncertain")
        }

    told = [(n.subscriber, n.outcome, n.reason, n.attempts) for n in lines]
    assert told == [
        (1, "open", "", 0),
        (2, "accepted", "", 1),
        (7, "excluded", "pending", 0),
    ]
    assert some == {"accepted": [2], "open": [1], "excluded": [7], "uncertain": []}


def test_the_books_know_nothing_of_a_stranger(database: Database) -> None:
    campaign = books.sending(database, 1)

    with database.reading() as session:
        assert queries.explain(session, campaign, 99) is None
        told = queries.explain(session, campaign, 1)

    assert told is not None
    assert (told.line.outcome, told.attempts, told.next_try) == ("open", (), NOON)
