"""The sign-up pages in a browser: by keyboard, on a phone, in the dark, and with work to do."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Page

from mailer.kit import clock
from mailer.kit.database import Database
from mailer.web import site as sites
from tests.browser.looks import check, watched
from tests.unit.web.gate import Site, opened
from tests.unit.web.stand_in import House

pytestmark = pytest.mark.browser


@pytest.fixture
def served(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[Site, str]]]:
    """Serves a site with settings of its own; gives its address."""
    servers: list[tuple[uvicorn.Server, threading.Thread]] = []
    now = clock.now

    def serve(**settings: Any) -> tuple[Site, str]:
        found = opened(sqlite_database, tmp_path, monkeypatch, **settings)
        monkeypatch.setattr(clock, "now", now)
        monkeypatch.setattr(House, "now", lambda _: now())
        server = uvicorn.Server(uvicorn.Config(sites.create(found.app), port=0, log_config=None))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        servers.append((server, thread))
        while not server.started:
            time.sleep(0.01)
        return found, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield serve
    for server, thread in servers:
        server.should_exit = True
        thread.join()


def fill_in(page: Page, address: str) -> None:
    page.locator("[name=segment][value=ai]").check()
    page.get_by_label("Your e-mail address").fill(address)
    time.sleep(2.1)


@pytest.mark.parametrize("bits", [0, 14])
def test_a_reader_signs_up_and_confirms(
    page: Page, served: Callable[..., tuple[Site, str]], bits: int
) -> None:
    site, address = served(sign_up_work=bits)
    with watched(page, address):
        page.goto(f"{address}/archive")
        page.get_by_role("link", name="Get it by mail").click()
        fill_in(page, "ada@example.org")
        page.get_by_role("button", name="Subscribe").click()
        page.get_by_role("heading", name="Look into your mailbox").wait_for()
        site.sender.work()
        page.goto(f"{address}/confirm/{site.tokens()[0]}")
        page.get_by_role("button", name="Confirm").click()
        page.get_by_role("heading", name="You are subscribed").wait_for()

    assert site.follows() == ("ai",)


def test_no_page_has_a_barrier_and_chinese_fits(
    page: Page, served: Callable[..., tuple[Site, str]]
) -> None:
    site, address = served()
    site.known("Ada", "ai")
    page.goto(f"{address}/subscribe")
    fill_in(page, "bob@example.org")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Look into your mailbox").wait_for()
    site.sender.work()
    paths = ("subscribe", "subscribe?language=zh", f"confirm/{site.tokens()[0]}", "archive")
    for path in paths:
        check(page, f"{address}/{path}")


def test_the_field_that_nobody_sees_is_not_reached_by_keyboard(
    page: Page, served: Callable[..., tuple[Site, str]]
) -> None:
    _, address = served()
    page.goto(f"{address}/subscribe")
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.name || ''"))

    assert {"segment", "address", "name", "language", "tracking"} <= reached
    assert "website" not in reached
    assert not page.get_by_label("Leave this empty").is_visible() or page.evaluate(
        "document.getElementById('website').getBoundingClientRect().right < 0"
    )
