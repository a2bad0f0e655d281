"""The inbox in a browser: another's HTML is seen and does nothing."""

from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from mailer.kit.database import Database
from mailer.web import site
from tests.browser.looks import check, watched
from tests.unit.web.stand_in import House, house

pytestmark = pytest.mark.browser

ATTACKS = """
<script>top.location = "https://evil.example/"</script>
<img src="x" onerror="top.document.title = 'owned'">
<svg onload="parent.document.body.innerHTML = 'owned'"></svg>
<iframe src="javascript:top.document.title = 'owned'"></iframe>
<iframe srcdoc="&lt;script&gt;top.document.title='owned'&lt;/script&gt;"></iframe>
<meta http-equiv="refresh" content="0;url=https://evil.example/">
<base href="https://evil.example/">
<link rel="stylesheet" href="https://evil.example/x.css">
<style>@import url(https://evil.example/y.css);</style>
<p style="background: url(https://evil.example/z)">Styled</p>
<form action="https://evil.example/"><input name="a" autofocus onfocus="top.x()"></form>
<object data="https://evil.example/"></object><embed src="https://evil.example/">
<img src="https://tracker.example/pixel.gif" alt="A pixel">
"""


@pytest.fixture
def app(sqlite_database: Database, tmp_path: Path) -> House:
    return house(sqlite_database, tmp_path, web_port=0)


@pytest.fixture
def url(app: House) -> Iterator[str]:
    with site.serving(app) as url:
        yield url


def land(app: House, html: str, subject: str = "Digest 7", to: str = "ada@example.com") -> None:
    message = EmailMessage()
    message["From"] = "The Gazette <news@dibao.example>"
    message["Subject"] = subject
    message.set_content("Good morning")
    message.add_alternative(html, subtype="html")
    raw = bytes(message).replace(b"\n", b"\r\n")
    app.letters.add(raw, return_path="b@x.example", recipients=[to])


def test_every_page_is_for_everybody(app: House, url: str, page: Page) -> None:
    for n in range(60):
        land(app, "<p>Hello</p>", f"Letter {n}")
    long = f"{'reader.' * 8}x@{'label.' * 20}example"
    land(app, "<p>Hello</p>", "电商与人工智能周报：直播带货新规、跨境物流以及奢侈品牌", long)

    with watched(page, url):
        for path in ("", "/1-61", "/1-61?view=text", "/1-61?view=headers", "/1-61?view=source"):
            check(page, f"{url}/inbox{path}")
        check(page, f"{url}/inbox/clear")


def test_an_empty_inbox_is_too(url: str, page: Page) -> None:
    check(page, f"{url}/inbox")


def test_a_letter_is_found_and_read(app: House, url: str, page: Page) -> None:
    land(app, "<h1>Hello Ada</h1>", "For Ada")
    land(app, "<h1>Hello Cleo</h1>", "For Cleo", "cleo@example.com")
    page.goto(f"{url}/inbox")

    page.get_by_label("Recipient or subject").fill("ada@")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("cleo@example.com")).to_have_count(0)
    assert "ada" not in page.url
    page.get_by_role("link", name="For Ada").click()

    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Hello Ada")).to_be_visible()
    page.get_by_label("Phone width").check()
    box = page.locator("iframe").bounding_box()
    assert box is not None
    assert box["width"] == 377
    page.get_by_role("link", name="Text").click()
    expect(page.locator("pre")).to_have_text("Good morning")


def test_hostile_html_neither_acts_nor_calls_home(app: House, url: str, page: Page) -> None:
    land(app, f"<html><head></head><body><p>Seen</p>{ATTACKS}</body></html>", "Hostile")
    asked: set[str] = set()
    held_back: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))
    page.on(
        "requestfailed",
        lambda request: held_back.add(request.url) if request.failure == "csp" else None,
    )

    page.goto(f"{url}/inbox/1-1")
    expect(page.frame_locator("iframe").first.get_by_text("Seen")).to_be_visible()
    page.wait_for_timeout(500)

    assert page.url == f"{url}/inbox/1-1"
    assert page.title() == "Hostile · Dibao"
    assert {place for place in asked - held_back if not place.startswith((url, "data:"))} == set()
