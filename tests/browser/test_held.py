"""What holds letters up is shown to everybody, and leaves the page by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import update

from mailer.campaigns.models import CampaignRow
from mailer.delivery import brakes
from mailer.delivery.brakes import HOLD, RESTORE
from mailer.delivery.breakers import Trip
from mailer.kit.database import Database
from mailer.web import site
from tests.browser.looks import check, watched
from tests.unit.web.stand_in import NOON, House, campaign, house

pytestmark = pytest.mark.browser

BUSY = ["accepted"] * 30 + [""] * 90
TRIPS = (
    Trip(
        *HOLD,
        RESTORE,
        "The database is older than what this host saw of it (sign of life 1,200 of 2026-11-20 "
        "09:30 UTC, and here 1,944): was it restored? Read docs/brakes.md, RB8",
    ),
    Trip(
        "relay",
        "smtp.relay.example",
        "auth",
        "The relay smtp.relay.example refuses our login: 535 5.7.8 authentication failed",
        probe_after=60,
    ),
    Trip("relay", "backup", "connect", "The relay backup takes no connection", probe_after=60),
)


@pytest.fixture
def app(sqlite_database: Database, tmp_path: Path) -> House:
    return house(sqlite_database, tmp_path, web_port=0)


@pytest.fixture
def url(app: House) -> Iterator[str]:
    with site.serving(app) as url:
        yield url


def held(app: House) -> int:
    number = campaign(app, outcomes=BUSY)
    with app.database.transaction() as session:
        for trip in TRIPS:
            brakes.put_on(session, trip, actor="a worker", now=NOON)
        mine = update(CampaignRow).where(CampaignRow.id == number)
        session.execute(mine.values(canary_size=100, canary_started=30))
    return number


def test_pages_that_say_what_is_held_are_for_everybody(app: House, url: str, page: Page) -> None:
    number = held(app)
    with watched(page, url):
        for path in ("", f"/{number}", f"/{number}/cancel"):
            check(page, f"{url}/campaigns{path}")


def test_a_lifted_hold_leaves_the_page_by_itself(app: House, url: str, page: Page) -> None:
    number = held(app)
    page.goto(f"{url}/campaigns/{number}")
    expect(page.get_by_role("region", name="Everything is stopped")).to_be_visible()
    expect(page.locator("[data-watched]")).to_have_count(1)
    with app.database.transaction() as session:
        hold = brakes.seen(session).hold
        assert hold is not None
        brakes.take_off(session, hold, by="Ada", now=NOON)

    expect(page.get_by_role("region", name="Everything is stopped")).to_have_count(0)
    expect(page.get_by_role("region", name="Some letters wait")).to_be_visible()
