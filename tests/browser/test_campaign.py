"""The campaign's page in a browser: it keeps itself up to date and leaves nobody out."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from mailer.campaigns.campaign import State
from mailer.kit.database import Database
from mailer.web import site
from tests.browser.looks import check, watched
from tests.unit.web.stand_in import House, campaign, house, read, settle

pytestmark = pytest.mark.browser

LONG = "电商与人工智能周报：直播带货新规、跨境物流以及奢侈品牌在三线城市的扩张计划，第四十七期"
BUSY = ["accepted"] * 30 + ["refused", "skipped", "expired", "uncertain"] + [""] * 40


@pytest.fixture
def app(sqlite_database: Database, tmp_path: Path) -> House:
    return house(sqlite_database, tmp_path, web_port=0)


@pytest.fixture
def url(app: House) -> Iterator[str]:
    with site.serving(app) as url:
        yield url


def test_every_page_is_for_everybody(app: House, url: str, page: Page) -> None:
    busy = campaign(
        app, outcomes=BUSY, deferred=3, names=[f"{'a' * 60}{n}@x.example" for n in range(40)]
    )
    over = campaign(app, name=LONG, state=State.FINISHED, outcomes=["accepted"] * 40)
    draft = campaign(app, name="Draft", state=State.DRAFT)
    campaign(app, name="Late", state=State.MISSED)
    campaign(app, name="Gone", state=State.CANCELLED, outcomes=["skipped"])
    campaign(app, name="Held", state=State.PAUSED, outcomes=[""])
    read(app, over, range(80, 110))

    with watched(page, url):
        for path in ("", f"/{busy}", f"/{over}", f"/{draft}", f"/{busy}/cancel"):
            check(page, f"{url}/campaigns{path}")


def test_an_empty_studio_and_a_wrong_address_are_too(url: str, page: Page) -> None:
    check(page, f"{url}/campaigns")
    check(page, f"{url}/nothing")


def test_the_page_follows_the_campaign(app: House, url: str, page: Page) -> None:
    identity = campaign(app, outcomes=["accepted"] * 10 + [""] * 30)
    with watched(page, url):
        page.goto(f"{url}/campaigns/{identity}")
        accepted = page.locator(".sum .accepted dd")
        expect(accepted).to_have_text("10")
        expect(page.locator("[data-watched]")).to_have_count(1)

        settle(app, identity, "accepted", 25)

        expect(accepted).to_have_text("35")
        expect(page.locator(".figures").first).to_contain_text("87.5 % settled")


def test_pause_and_resume_are_buttons(app: House, url: str, page: Page) -> None:
    identity = campaign(app, outcomes=["accepted", "", ""])
    page.goto(f"{url}/campaigns/{identity}")

    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_contain_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("status")).to_contain_text("sending")


def test_what_another_does_changes_the_buttons_here(app: House, url: str, page: Page) -> None:
    identity = campaign(app, outcomes=["accepted", "", ""])
    page.goto(f"{url}/campaigns/{identity}")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()

    app.cancel(identity)

    expect(page.get_by_role("status")).to_contain_text("cancelled")
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    expect(page.locator(".sum .skipped dd")).to_have_text("2")


def test_cancelling_asks_first(app: House, url: str, page: Page) -> None:
    identity = campaign(app, outcomes=["accepted", ""])
    page.goto(f"{url}/campaigns/{identity}")

    page.get_by_role("link", name=re.compile("Cancel")).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Cancel")
    page.get_by_role("button", name="Cancel the campaign").click()

    expect(page).to_have_url(f"{url}/campaigns/{identity}")
    expect(page.get_by_role("status")).to_contain_text("cancelled")


def test_the_page_cannot_be_framed(app: House, url: str, page: Page) -> None:
    identity = campaign(app, outcomes=[""])
    page.goto(f"{url}/healthz")

    page.set_content(f'<iframe src="{url}/campaigns/{identity}"></iframe>')
    page.wait_for_timeout(300)

    assert "Couriers and carts" not in page.frames[-1].content()


def test_the_site_stops_at_once_with_a_page_open(app: House, page: Page) -> None:
    identity = campaign(app, outcomes=[""])
    with site.serving(app) as url:
        page.goto(f"{url}/campaigns/{identity}")
        expect(page.locator("[data-watched]")).to_have_count(1)
        begun = page.evaluate("performance.now()")

    assert page.evaluate("performance.now()") - begun < 2500
