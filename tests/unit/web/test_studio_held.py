"""The studio says what keeps letters from leaving, and how to lift it."""

from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from mailer.campaigns.campaign import CampaignId, State
from mailer.campaigns.models import CampaignRow
from mailer.delivery import brakes
from mailer.delivery.brakes import HOLD, RESTORE
from mailer.delivery.breakers import Trip
from mailer.delivery.models import BatchRow
from mailer.kit.database import Database
from mailer.web import site
from tests.unit.web.stand_in import LOCAL, NOON, House, campaign, house


@pytest.fixture
def app(sqlite_database: Database, tmp_path: Path) -> House:
    return house(sqlite_database, tmp_path)


def shown(app: House, path: str) -> str:
    with TestClient(site.create(app), client=("127.0.0.1", 1), headers=LOCAL) as client:
        response = client.get(path)
    assert response.status_code == 200
    return " ".join(response.text.split())


def put_on(app: House, *trips: Trip) -> None:
    with app.database.transaction() as session:
        for trip in trips:
            brakes.put_on(session, trip, actor="Ada", now=NOON)


def sending(app: House) -> CampaignId:
    return campaign(app, outcomes=["accepted", "", ""])


@pytest.mark.parametrize("page", ["/campaigns", "/campaigns/1", "/campaigns/1/cancel"])
def test_a_hold_is_on_every_page_with_its_reason(app: House, page: str) -> None:
    sending(app)
    assert "Everything is stopped" not in shown(app, page)
    put_on(app, Trip(*HOLD, "hand", "the <wrong> issue"))
    text = shown(app, page)

    assert "Everything is stopped" in text
    assert "the &lt;wrong&gt; issue" in text
    assert "<code>dibao go</code>" in text


def test_a_hold_after_a_restore_says_what_lifts_it(app: House) -> None:
    put_on(app, Trip(*HOLD, RESTORE, "the database is older"))

    assert "<code>dibao go --after-restore</code>" in shown(app, "/campaigns")


def test_the_file_holds_this_host(app: House) -> None:
    (app.settings.data_dir / "HOLD").write_text("says Ben")
    text = shown(app, "/campaigns")

    assert "says Ben" in text
    assert "By the file HOLD, on this host" in text


def test_a_campaign_shows_the_brakes_it_waits_for(app: House) -> None:
    put_on(
        app,
        Trip("relay", "main", "auth", "The relay main refuses our login: 535", probe_after=60),
        Trip("lane", "nobody-here", "rate", "of another lane", probe_after=600),
    )
    text = shown(app, f"/campaigns/{sending(app)}")

    assert "Waiting for the relay main" in text
    assert "The relay main refuses our login: 535" in text
    assert "dibao brake release relay main" in text
    assert "nobody-here" not in text


def test_a_campaign_that_is_over_waits_for_nothing(app: House) -> None:
    put_on(app, Trip("relay", "main", "auth", "refused", probe_after=60))
    over = campaign(app, state=State.FINISHED, outcomes=["accepted"])

    assert "Waiting for" not in shown(app, f"/campaigns/{over}")


def test_a_canary_says_that_the_rest_waits(app: House) -> None:
    number = sending(app)
    with app.database.transaction() as session:
        mine = update(CampaignRow).where(CampaignRow.id == number)
        session.execute(mine.values(canary_size=2, canary_started=1))
    text = shown(app, f"/campaigns/{number}")

    assert "The first 2 go alone" in text
    assert "1 of them are on their way or settled. The other 1 people wait" in text


def test_letters_that_leave_later_say_why_and_until_when(app: House) -> None:
    number = sending(app)
    with app.database.transaction() as session:
        later = {"not_before": NOON + timedelta(hours=1), "reason": "warm-up: 20 today"}
        mine = update(BatchRow).where(BatchRow.campaign_id == number, BatchRow.state == "open")
        session.execute(mine.values(**later))
        session.execute(update(CampaignRow).values(send_window="08:00-20:00"))
    text = shown(app, f"/campaigns/{number}")

    assert "people wait</strong> until" in text
    assert "warm-up: 20 today" in text
    assert "08:00-20:00" in text
