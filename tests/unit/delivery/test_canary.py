"""The first letters of a campaign decide whether the rest follows."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, update

from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import Campaign, CampaignId, State
from mailer.campaigns.models import CampaignRow
from mailer.delivery import brakes, canary
from mailer.delivery.canary import Fared, Judgement, concern
from mailer.delivery.models import AttemptRow, BatchRow, DeliveryRow
from mailer.delivery.plan import BrakePlan
from mailer.kit.database import Database
from tests.fakes.books import NOON, sending

PLAN = BrakePlan()
SIZE = 20
LATER = NOON + timedelta(seconds=61)


def launched(database: Database) -> CampaignId:
    campaign = sending(database, SIZE * 2)
    with database.transaction() as session:
        mine = update(CampaignRow).where(CampaignRow.id == campaign)
        session.execute(mine.values(canary_size=SIZE, canary_started=SIZE))
    return campaign


def results(
    database: Database,
    campaign: CampaignId,
    *,
    accepted: int = 0,
    skipped: int = 0,
    refused: tuple[int, str] = (0, ""),
    uncertain: int = 0,
) -> None:
    outcomes = [
        *[("accepted", "")] * accepted,
        *[("skipped", "unsubscribed")] * skipped,
        *[("refused", refused[1])] * refused[0],
        *[("uncertain", "")] * uncertain,
    ]
    rows = [
        {
            "campaign_id": campaign,
            "subscriber_id": number,
            "outcome": outcome,
            "reason": reason,
            "at": NOON,
        }
        for number, (outcome, reason) in enumerate(outcomes, 1)
    ]
    with database.transaction() as session:
        session.execute(insert(DeliveryRow), rows)


def deferred(database: Database, campaign: CampaignId, people: int, *, first: int) -> None:
    rows = [
        {
            "campaign_id": campaign,
            "subscriber_id": number,
            "number": 1,
            "code": 451,
            "at": NOON,
            "first_tried": NOON,
            "batch": 9,
            "position": number,
        }
        for number in range(first, first + people)
    ]
    with database.transaction() as session:
        session.execute(insert(AttemptRow), rows)


def judge(database: Database, campaign: CampaignId, now: datetime = LATER) -> Judgement:
    with database.transaction() as session:
        return canary.judge(session, campaign, PLAN, now)


def stored(database: Database, campaign: CampaignId) -> Campaign:
    with database.reading() as session:
        return campaign_queries.campaign(session, campaign)


def test_a_campaign_without_a_canary_goes(database: Database) -> None:
    campaign = sending(database, 3)

    assert judge(database, campaign) is Judgement.PASSED
    assert stored(database, campaign).canary_passed_at is None


def test_the_rest_waits_until_all_of_the_canary_are_known(database: Database) -> None:
    campaign = launched(database)
    results(database, campaign, accepted=SIZE - 1)
    with database.transaction() as session:
        on_the_way = update(BatchRow).where(BatchRow.number == 1)
        session.execute(on_the_way.values(chunks_started=1, started_to=1))

    assert judge(database, campaign) is Judgement.WAITS
    assert stored(database, campaign).canary_passed_at is None


def test_it_waits_for_replies_that_come_late(database: Database) -> None:
    campaign = launched(database)
    results(database, campaign, accepted=SIZE)

    assert judge(database, campaign, NOON + timedelta(seconds=59)) is Judgement.WAITS
    assert judge(database, campaign, NOON + timedelta(seconds=60)) is Judgement.PASSED
    assert stored(database, campaign).canary_passed_at == NOON + timedelta(seconds=60)
    assert judge(database, campaign) is Judgement.PASSED


def test_who_was_skipped_or_put_off_is_known_too(database: Database) -> None:
    campaign = launched(database)
    results(database, campaign, accepted=SIZE - 6, skipped=3)
    deferred(database, campaign, 3, first=SIZE - 2)
    deferred(database, campaign, 1, first=1)  # put off at first, accepted since

    assert judge(database, campaign) is Judgement.PASSED


def test_too_many_dead_addresses_pause_the_campaign_with_the_figures(database: Database) -> None:
    campaign = launched(database)
    results(database, campaign, accepted=SIZE - 4, skipped=1, refused=(3, "address"))

    assert judge(database, campaign) is Judgement.PAUSED
    found = stored(database, campaign)
    assert found.state is State.PAUSED
    assert found.reason == (
        "3 of the first 19 letters went to addresses that do not exist (15.8 %; the limit is 5 %)"
    )
    assert found.canary_passed_at is None
    assert judge(database, campaign) is Judgement.PAUSED  # asked again it stays so


def test_two_dead_addresses_are_no_reason(database: Database) -> None:
    campaign = launched(database)
    results(database, campaign, accepted=SIZE - 2, refused=(2, "address"))

    assert judge(database, campaign) is Judgement.PASSED


def test_whoever_resumes_it_lets_the_rest_go(database: Database) -> None:
    campaign = launched(database)
    results(database, campaign, accepted=SIZE - 5, refused=(5, "address"))
    judge(database, campaign)
    with database.transaction() as session:
        was = brakes.resume(session, campaign, by="Ada", now=LATER)

    assert was is not None
    assert was.cause == "canary"
    assert stored(database, campaign).canary_passed_at == LATER
    assert judge(database, campaign) is Judgement.PASSED


def test_a_pause_by_hand_does_not_pass_the_canary(database: Database) -> None:
    campaign = launched(database)
    with database.transaction() as session:
        campaigns.pause(session, campaign)
    assert judge(database, campaign) is Judgement.PAUSED
    with database.transaction() as session:
        assert brakes.resume(session, campaign, by="Ada", now=LATER) is None

    assert stored(database, campaign).canary_passed_at is None


def test_places_of_people_who_came_back_unsent_are_free_again(database: Database) -> None:
    campaign = launched(database)
    results(database, campaign, accepted=5)

    assert judge(database, campaign) is Judgement.WAITS
    assert stored(database, campaign).canary_started == 5


def test_campaigns_that_wait_for_their_canary_are_named(database: Database) -> None:
    campaign = launched(database)
    with database.reading() as session:
        assert canary.waiting(session) == (campaign,)
    results(database, campaign, accepted=SIZE)
    judge(database, campaign)
    with database.reading() as session:
        assert canary.waiting(session) == ()


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (Fared(sent=100, bounced=5), ""),
        (Fared(sent=100, bounced=6), "6 of the first 100 letters went to addresses"),
        (Fared(sent=100, blocked=6), "refused for our sake"),
        (Fared(sent=100, broken=6), "could not be made"),
        (Fared(sent=100, uncertain=6), "got no answer"),
        (Fared(sent=100, deferred=30), ""),
        (Fared(sent=100, deferred=31), "31 of the first 100 letters were put off (31 %"),
        (Fared(), ""),
    ],
)
def test_each_concern_has_its_words(seen: Fared, words: str) -> None:
    found = concern(seen, PLAN)

    assert words in found
    assert bool(found) is bool(words)
