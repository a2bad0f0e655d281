"""What every page has to pass in a browser: no barrier, no foreign request, nothing cut off."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, ViewportSize

AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"
PHONE = ViewportSize(width=375, height=720)
DESK = ViewportSize(width=1280, height=900)


@contextmanager
def watched(page: Page, origin: str) -> Iterator[None]:
    """Fail where the page asks another host for anything, or says something is wrong."""
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text))
    yield
    ours = urlsplit(origin).netloc
    foreign = {url for url in asked if urlsplit(url).netloc not in {ours, ""}}
    assert foreign == set()
    assert said == []


def check(page: Page, url: str) -> None:
    """No barrier of weight, in light and dark, on a phone and at a desk; nothing sticks out."""
    if not AXE.exists():
        pytest.skip(
            "not tested here: barriers in pages, because axe-core is not installed (npm ci)"
        )
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for size in (DESK, PHONE):
            page.set_viewport_size(size)
            page.goto(url)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= size["width"], f"{url} sticks out at {size['width']}: {wide}"
            assert barriers(page) == [], f"{url}, {scheme}, {size['width']}"


def barriers(page: Page) -> list[str]:
    """What axe finds serious or critical, with the element."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))  # by the debugger: the page's policy holds
    found = page.evaluate("axe.run({resultTypes: ['violations'], iframes: false})")
    return [
        f"{violation['id']}: {node['html'][:200]}"
        for violation in found["violations"]
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]
