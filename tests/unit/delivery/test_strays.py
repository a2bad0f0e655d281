"""Whatever no honest run leaves behind is named, and what an honest one leaves is not."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId
from mailer.campaigns.models import CampaignRow
from mailer.delivery import batch, chunk, ledger, queries
from mailer.delivery.ledger import Result
from mailer.delivery.models import BatchRow, BrakeRow, DeliveryRow, ResolutionRow
from mailer.delivery.strays import LONGEST, strays
from mailer.kit.database import Database
from subscribers.models import SuppressionRow
from tests.fakes import books
from tests.fakes.books import NOON

MINUTE = timedelta(minutes=1)


def sent(database: Database, *outcomes: str, at: datetime = NOON) -> CampaignId:
    campaign = books.sending(database, len(outcomes))
    with database.transaction() as session:
        held = batch.lease(session, "one", seconds=60)
        assert held is not None
        chunk.start(session, held, 1, held.size, flushed=0, seconds=60)
        results = [Result(n, word, at, chunk=1) for n, word in enumerate(outcomes, 1)]
        ledger.record(session, held, results)
    return campaign


def found(session: Session, campaign: CampaignId) -> dict[str, int]:
    named = {sentence: people for sentence, people in strays(session, campaign) if people}
    said = queries.verify(session, campaign).breaches
    assert all(f"{people} {sentence}" in said for sentence, people in named.items())
    return named


def resolution(campaign: CampaignId, subscriber: int, number: int, outcome: str) -> dict[str, Any]:
    return {
        "campaign_id": campaign,
        "subscriber_id": subscriber,
        "number": number,
        "outcome": outcome,
        "evidence": "",
        "actor": "ada",
        "at": NOON,
    }


def test_honest_books_hold(database: Database) -> None:
    campaign = sent(database, "accepted", "uncertain", "refused")
    with database.transaction() as session:
        session.execute(insert(ResolutionRow), [resolution(campaign, 2, 1, "accepted")])
        assert found(session, campaign) == {}


def test_results_from_before_the_freeze_are_named(database: Database) -> None:
    campaign = sent(database, "accepted", at=NOON - 2 * MINUTE)
    with database.reading() as session:
        assert found(session, campaign) == {"results from before the audience was frozen": 1}


def test_two_letters_to_one_mailbox_are_named_what_was_learnt_included(database: Database) -> None:
    campaign = sent(database, "accepted", "uncertain")
    with database.transaction() as session:
        if database.is_sqlite:
            session.execute(text("DROP TRIGGER audience_keeps_values"))
            session.execute(text("DROP INDEX uq_audience_address"))
        else:
            session.execute(text("DROP TRIGGER audience_keeps_values ON audience"))
            session.execute(text("DROP INDEX uq_audience_address"))
        session.execute(text("UPDATE audience SET address_key = 'same'"))
        twice = "mailboxes that two letters were accepted for"
        assert twice not in found(session, campaign)
        session.execute(insert(ResolutionRow), [resolution(campaign, 2, 1, "accepted")])
        assert found(session, campaign)[twice] == 1
        session.rollback()


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([(1, 1, "accepted")], "resolutions of letters that were not uncertain"),
        (
            [(2, 1, "accepted"), (2, 2, "refused")],
            "resolutions after what became of the letter was known",
        ),
    ],
)
def test_resolutions_that_nobody_may_enter_are_named(
    database: Database, rows: list[tuple[int, int, str]], what: str
) -> None:
    campaign = sent(database, "accepted", "uncertain")
    with database.transaction() as session:
        session.execute(insert(ResolutionRow), [resolution(campaign, *row) for row in rows])
        assert found(session, campaign)[what] == 1


@pytest.mark.parametrize(("place", "wrong"), [((2, 1), 0), ((1, 1), 1), ((2, 2), 1), ((7, 1), 1)])
def test_a_resend_without_a_place_in_its_batch_is_named(
    database: Database, place: tuple[int, int], wrong: int
) -> None:
    campaign = sent(database, "uncertain")
    batch_number, position = place
    with database.transaction() as session:
        first = session.get_one(BatchRow, (campaign, 1))
        again = {"edition_id": first.edition_id, "lane": first.lane, "not_before": NOON}
        again |= {"campaign_id": campaign, "number": 2, "size": 1, "resend": True}
        session.execute(insert(BatchRow), [again])
        row = resolution(campaign, 1, 1, "resend") | {"batch": batch_number, "position": position}
        session.execute(insert(ResolutionRow), [row])
        assert sum(found(session, campaign).values()) == wrong


@pytest.mark.parametrize(
    ("suppressed", "lifted", "wrong"),
    [
        (NOON - LONGEST - MINUTE, None, 1),
        (NOON - LONGEST + MINUTE, None, 0),  # the letter may have been on the wire
        (NOON - LONGEST - MINUTE, NOON - MINUTE, 0),
        (NOON - LONGEST - MINUTE, NOON + MINUTE, 1),
        (NOON + MINUTE, None, 0),
    ],
)
def test_letters_to_an_address_that_was_suppressed_are_named(
    database: Database, suppressed: datetime, lifted: datetime | None, wrong: int
) -> None:
    campaign = sent(database, "accepted", "refused")
    with database.transaction() as session:
        keys = session.execute(text("SELECT address_key FROM audience ORDER BY subscriber_id"))
        for key in keys.scalars().all():
            session.add(
                SuppressionRow(address_key=key, reason="asked", at=suppressed, lifted_at=lifted)
            )
        session.flush()
        named = found(session, campaign)
        assert named.get("letters accepted though the address was suppressed", 0) == wrong


@pytest.mark.parametrize(
    ("scope", "name", "on", "off", "wrong"),
    [
        ("all", "", NOON - LONGEST - MINUTE, None, 1),
        ("all", "", NOON - LONGEST - MINUTE, NOON + MINUTE, 1),
        ("all", "", NOON - LONGEST - MINUTE, NOON - MINUTE, 0),
        ("all", "", NOON - MINUTE, None, 0),
        ("campaign", "1", NOON - LONGEST - MINUTE, None, 1),
        ("campaign", "2", NOON - LONGEST - MINUTE, None, 0),
        ("lane", "gmail", NOON - LONGEST - MINUTE, None, 0),
    ],
)
def test_letters_that_left_under_hold_are_named(  # a row of the table each
    database: Database, scope: str, name: str, on: datetime, off: datetime | None, wrong: int
) -> None:
    campaign = sent(database, "accepted", "refused")
    with database.transaction() as session:
        session.add(
            BrakeRow(
                scope=scope,
                name=name,
                cause="hand",
                reason="a drill",
                actor="ada",
                on_at=on,
                off_at=off,
            )
        )
        session.flush()
        assert found(session, campaign).get("letters accepted while sending was held", 0) == wrong


def test_results_of_a_campaign_without_an_audience_are_named(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 1)
        campaign = books.campaign(session)
        row = {"campaign_id": campaign, "subscriber_id": 1, "at": NOON, "outcome": "skipped"}
        session.execute(insert(DeliveryRow), [row])
        session.execute(update(CampaignRow).values(frozen_at=None))
        named = found(session, campaign)

    assert named["results from before the audience was frozen"] == 1
    assert named["results of people outside the audience"] == 1
