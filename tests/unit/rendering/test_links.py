"""Links are numbered, fixed when the edition is made, and lead only where a mail may."""

import pytest

from mailer.rendering.edition import RenderingRefused
from mailer.rendering.fields import TOKEN
from mailer.rendering.links import Links, checked


def href(links: Links, url: str, slot: str = "headline", *, tracked: bool = True) -> str:
    return links.href(url, place="item tea", item="tea", slot=slot, text="Tea", tracked=tracked)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,hello",
        "vbscript:x",
        "java\nscript:alert(1)",
        "java\x07script:alert(1)",
        "//evil.example",
        "/relative",
        "page.html",
        "",
        "http://user@host.example/",
        "https://user:secret@host.example/",
        "https://@host.example/",
        "https://",
        "https://host.example:port/",
        "https://[host/",
        "https://host.example/a b",
        "https://host.example/\\evil",
        'https://host.example/"onclick',
        "https://host.example/\u202etxt",
        "file:///etc/passwd",
        "mailto:",
        "mailto://host",
        "https://host.example/{{ email }}",
        "https://host.example/" + "a" * 2000,
    ],
)
def test_acceptance_9_an_unfit_address_is_refused_with_its_place(url: str) -> None:
    with pytest.raises(RenderingRefused, match="item tea"):
        checked(url, "item tea")


@pytest.mark.parametrize(
    ("url", "ascii_url"),
    [
        ("https://www.ft.com/content/a?b=c&d=%20#e", "https://www.ft.com/content/a?b=c&d=%20#e"),
        (" https://t.example/x ", "https://t.example/x"),
        ("https://小红书.example/路?q=茶", None),
        ("mailto:desk@dibao.example?subject=Tea", "mailto:desk@dibao.example?subject=Tea"),
        ("tel:+8610", "tel:+8610"),
        ("http://127.0.0.1:8000/archive", "http://127.0.0.1:8000/archive"),
    ],
)
def test_a_fit_address_is_kept_and_made_ascii(url: str, ascii_url: str | None) -> None:
    assert checked(url, "") == (ascii_url or checked(url, ""))
    assert checked(url, "").isascii()


def test_a_tracked_link_leads_through_us_and_its_target_is_in_the_table() -> None:
    links = Links("https://n.example.org", 3)

    assert href(links, "https://tea.example/") == f"https://n.example.org/c/{TOKEN}/1"
    assert href(links, "https://tea.example/", "source") == f"https://n.example.org/c/{TOKEN}/2"
    assert [(link.number, link.url, link.slot) for link in links.table] == [
        (1, "https://tea.example/", "headline"),
        (2, "https://tea.example/", "source"),
    ]


def test_the_same_link_in_both_parts_has_one_number() -> None:
    links = Links("https://n.example.org", 3)

    assert href(links, "https://tea.example/") == href(links, "https://tea.example/")
    assert len(links.table) == 1


@pytest.mark.parametrize("tracking", [0, 1])
def test_without_click_tracking_the_mail_holds_the_address_itself(tracking: int) -> None:
    links = Links("https://n.example.org", tracking)

    assert href(links, "https://tea.example/") == "https://tea.example/"
    assert links.table[0].number == 1
    assert not links.table[0].tracked


def test_letters_and_calls_are_never_tracked() -> None:
    links = Links("https://n.example.org", 3)

    assert href(links, "mailto:desk@dibao.example") == "mailto:desk@dibao.example"
    assert href(links, "tel:+8610") == "tel:+8610"
    assert href(links, "https://tea.example/", tracked=False) == "https://tea.example/"


@pytest.mark.parametrize(("tracking", "pixel"), [(0, False), (1, True), (2, False), (3, True)])
def test_opens_are_counted_only_where_allowed(tracking: int, pixel: bool) -> None:
    assert bool(Links("https://n.example.org", tracking).pixel()) is pixel
