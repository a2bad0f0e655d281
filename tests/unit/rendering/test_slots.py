"""Words reach the mail after MJML, escaped for where they stand."""

import pytest

from mailer.rendering.edition import RenderingRefused
from mailer.rendering.slots import Kind, Slots

NONCE = "0123456789ab"


def test_slots_are_filled_in_one_pass_so_that_a_token_in_the_words_stays_words() -> None:
    slots = Slots(NONCE)
    forged = slots.add(Kind.PLAIN, f"z{NONCE}x1z")
    slots.add(Kind.PLAIN, "secret")

    assert slots.fill(f"<p>{forged}</p>") == f"<p>z{NONCE}x1z</p>"


def test_plain_words_may_stand_in_an_attribute() -> None:
    slots = Slots(NONCE)
    token = slots.add(Kind.PLAIN, 'say "x" <b> & {{ y }}')

    assert slots.fill(f'<img alt="{token}"/>') == (
        '<img alt="say &quot;x&quot; &lt;b&gt; &amp; &#123;{ y }}"/>'
    )


def test_html_in_an_attribute_is_refused() -> None:
    slots = Slots(NONCE)
    token = slots.add(Kind.HTML, "<p>words</p>")

    with pytest.raises(RenderingRefused, match="inside a tag"):
        slots.fill(f'<img alt="{token}"/>')


def test_an_address_between_tags_is_refused() -> None:
    slots = Slots(NONCE)
    token = slots.add(Kind.URL, "https://tea.example/")

    with pytest.raises(RenderingRefused, match="between tags"):
        slots.fill(f"<p>{token}</p>")


def test_nothing_gives_no_token_so_that_a_theme_can_ask() -> None:
    assert Slots(NONCE).add(Kind.HTML, "") == ""
