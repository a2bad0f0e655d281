"""The page of a campaign shows where the trouble is: which provider, and what its relay said."""

from datetime import timedelta

from sqlalchemy import insert, update

from mailer.delivery import trouble
from mailer.delivery.models import AttemptRow, BatchRow
from mailer.delivery.trouble import Deferrals, Wait
from mailer.kit.database import Database
from tests.fakes import books
from tests.fakes.books import NOON
from tests.unit.delivery.settled import settled


def test_lanes_show_how_far_each_provider_is(database: Database) -> None:
    campaign = books.sending(database, 4)
    with database.transaction() as session:
        settled(session, "accepted", 1, 2)
        settled_lanes = trouble.lanes(session, campaign)

    assert sum(lane.audience for lane in settled_lanes) == 4
    assert sum(lane.accepted for lane in settled_lanes) == 2
    assert sum(lane.settled for lane in settled_lanes) == 2
    assert sum(lane.refused for lane in settled_lanes) == 0


def test_deferrals_are_counted_by_what_the_relay_said(database: Database) -> None:
    campaign = books.sending(database, 4)
    tried = {
        "campaign_id": campaign,
        "number": 1,
        "code": 451,
        "enhanced": "4.3.0",
        "reply": "later",
        "at": NOON,
        "first_tried": NOON,
        "batch": 2,
    }
    with database.transaction() as session:
        rows = [tried | {"subscriber_id": n, "position": n} for n in (1, 2, 3)]
        session.execute(insert(AttemptRow), rows)
        session.execute(
            insert(AttemptRow),
            [tried | {"subscriber_id": 4, "position": 4, "code": 452, "enhanced": "4.2.2"}],
        )
        settled(session, "accepted", 1)

        found = trouble.deferrals(session, campaign)

    assert found == (
        Deferrals(451, "4.3.0", "later", tries=3, open=2),
        Deferrals(452, "4.2.2", "later", tries=1, open=1),
    )


def test_who_waits_is_said_with_the_reason_and_until_when(database: Database) -> None:
    campaign = books.sending(database, 4)
    with database.transaction() as session:
        assert trouble.waits(session, campaign, now=NOON) == ()
        later = update(BatchRow).values(not_before=NOON + timedelta(hours=1))
        session.execute(later)
        (wait,) = trouble.waits(session, campaign, now=NOON)
        assert wait == Wait("outside its hours", 4, NOON + timedelta(hours=1))

        session.execute(later.values(reason="warm-up: 20 today"))
        assert trouble.waits(session, campaign, now=NOON)[0].reason == "warm-up: 20 today"
