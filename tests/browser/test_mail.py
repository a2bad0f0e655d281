"""The digest as a browser draws it: nothing sticks out, every word can be read, light and dark.

Set DIBAO_TEST_PICTURES to a folder to keep the screenshots and look at them.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route

from mailer.content.issue import Issue
from mailer.rendering.personalise import Splicer, reader
from mailer.rendering.render import render
from tests.golden.rendering import samples

pytestmark = pytest.mark.browser

ADA = reader("a" * 24, name="Ada Lovelace", address="ada@example.org")
ISSUES = {
    "weekly": samples.weekly(),
    "chinese": samples.chinese(),
    "rtl": replace(samples.weekly(), language="ar"),
}
PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="1024" height="560">'
    '<rect width="1024" height="560" fill="#9db4ab"/>'
    '<circle cx="760" cy="190" r="90" fill="#e8c9a0"/>'
    '<path d="M0 400 L280 300 L520 420 L800 330 L1024 410 V560 H0Z" fill="#4f6d6a"/></svg>'
)
UNREADABLE = """() => {
  const parse = c => c.match(/[\\d.]+/g).map(Number)
  const light = c => c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0)
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor)
      if (c.length < 4 || c[3] > 0) return c
    }
    return [255, 255, 255]
  }
  const found = []
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement
    if (!walker.currentNode.data.trim() || !element.getClientRects().length) continue
    if (getComputedStyle(element).visibility === 'hidden') continue
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))]
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    if (ratio < 4.5) found.push(walker.currentNode.data.trim().slice(0, 40) + ' ' + ratio)
  }
  return found
}"""


def opened(page: Page, issue: Issue) -> Page:
    def picture(route: Route) -> None:
        route.fulfill(body=PICTURE, content_type="image/svg+xml")

    edition = render(
        issue,
        samples.PUBLICATION,
        followed=("e-commerce", "ai", "luxury"),
        tracking=2,
        public_url="https://n.example.org",
    )
    page.route("https://images.dibao.example/**", picture)
    page.set_content(Splicer(edition).html(ADA))
    return page


@pytest.mark.parametrize("name", ISSUES)
def test_the_digest_fits_and_can_be_read_at_both_widths_and_in_both_schemes(
    page: Page, name: str
) -> None:
    opened(page, ISSUES[name])

    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (700, 375):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate(UNREADABLE) == []
            if folder := os.environ.get("DIBAO_TEST_PICTURES"):
                path = Path(folder) / f"mail-{name}-{width}-{scheme}.png"
                page.screenshot(path=path, full_page=True)


def test_without_pictures_their_words_stand_in(page: Page) -> None:
    opened(page, ISSUES["weekly"])

    assert page.get_by_alt_text("A parcel boat in a harbour at dawn").is_visible()


def test_without_styles_every_word_and_link_is_still_there(page: Page) -> None:
    """Gmail drops the style block of a mail it finds too long or too odd."""
    opened(page, ISSUES["weekly"])
    links = page.locator("a:visible").count()
    page.evaluate("document.querySelectorAll('style').forEach(style => style.remove())")

    assert page.locator("a:visible").count() == links
    assert page.locator("h1").is_visible()
    assert page.evaluate(UNREADABLE) == []
