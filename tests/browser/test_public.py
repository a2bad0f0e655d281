"""Readers' pages in a browser: without script, by keyboard, on a phone, in the dark."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import Page

from mailer.kit.database import Database
from tests.unit.web.test_public import Door, opened

pytestmark = pytest.mark.browser
CONTRAST = """
() => {
  const light = c => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4 };
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const ground = node => {
    for (; node; node = node.parentElement) {
      const found = parts(getComputedStyle(node).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const node of document.querySelectorAll('main *, header *')) {
    if (![...node.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const pair = [luminance(parts(getComputedStyle(node).color)), luminance(ground(node))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4.5) poor.push([node.textContent.trim(), ratio]);
  }
  return poor;
}
"""


@pytest.fixture
def door(sqlite_database: Database, tmp_path: Path) -> Iterator[tuple[Door, str]]:
    """The pages of a sent campaign, served, and their address."""
    door = opened(sqlite_database, tmp_path)
    server = uvicorn.Server(uvicorn.Config(door.client.app, port=0, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield door, f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def test_leaving_takes_two_presses_and_no_typing(page: Page, door: tuple[Door, str]) -> None:
    house, address = door
    page.goto(f"{address}/u/{house.token('Ben')}")
    page.get_by_role("button", name="Unsubscribe").click()

    assert page.get_by_role("heading", level=1).inner_text() == "You are unsubscribed"
    assert "no more letters" in page.inner_text("main")
    assert house.scene.following("Ben") == ()


def test_a_reader_keeps_one_segment_by_keyboard_alone(page: Page, door: tuple[Door, str]) -> None:
    house, address = door
    page.goto(f"{address}/u/{house.token('Ben')}")
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Space")  # AI stays
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    page.get_by_text("You still get AI").wait_for()
    assert house.scene.following("Ben") == ("ai",)


def test_preferences_are_saved_and_shown_as_saved(page: Page, door: tuple[Door, str]) -> None:
    house, address = door
    page.goto(f"{address}/p/{house.token('Cleo')}")
    page.get_by_label("Luxury").check()
    page.get_by_label("Nothing").check()
    page.get_by_role("button", name="Save").click()

    assert "Saved" in page.get_by_role("status").inner_text()
    assert page.get_by_label("Luxury").is_checked()
    assert page.get_by_role("radio", name="Nothing").is_checked()
    assert house.scene.following("Cleo") == ("ai", "luxury")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 375, 1200])
def test_pages_fit_and_can_be_read(
    page: Page, door: tuple[Door, str], scheme: str, width: int
) -> None:
    house, address = door
    token = house.token("Ada")
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    for path in (f"/u/{token}", f"/p/{token}", "/archive", "/u/archive"):
        page.goto(address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate(CONTRAST) == [], path
        assert page.locator("h1").count() == 1
        for control in page.locator("input, button").all():
            assert control.evaluate("c => (c.labels?.[0] ?? c).offsetHeight") >= 44

    assert [text for text in complaints if "favicon" not in text and "404" not in text] == []


def test_a_link_works_from_the_letter_in_the_browser(page: Page, door: tuple[Door, str]) -> None:
    house, address = door
    token = house.token("Ben")
    page.goto(f"{address}/v/{token}")
    assert page.evaluate("window.origin") == "null"  # the sandbox holds
    with page.context.expect_page() as popup:
        link = page.locator(f"a[href*='/c/{token}/']").first
        link.evaluate("(a, address) => { a.target = '_blank'; }", address)
        path = urlsplit(link.get_attribute("href") or "").path
        link.evaluate("(a, url) => { a.href = url; }", address + path)
        link.click()
    popup.value.close()
    deadline = time.monotonic() + 5
    hits = house.hits()
    while not hits and time.monotonic() < deadline:
        time.sleep(0.05)
        hits = house.hits()

    assert "click" in {hit.kind for hit in hits}


def test_a_break_takes_one_press_and_ends_with_another(page: Page, door: tuple[Door, str]) -> None:
    house, address = door
    page.set_viewport_size({"width": 375, "height": 800})
    page.goto(f"{address}/p/{house.token('Ada')}")
    page.get_by_label("Every two weeks").check()
    page.get_by_label("Your language").select_option("中文")
    page.get_by_role("button", name="Save").click()
    assert page.get_by_label("Every two weeks").is_checked()
    page.get_by_role("button", name="1 month").click()
    assert page.get_by_text("You are on a break").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert page.evaluate(CONTRAST) == []
    page.get_by_role("button", name="End the break now").click()

    assert page.get_by_role("status").inner_text().startswith("Welcome back")
    assert page.get_by_label("Every two weeks").is_checked()
