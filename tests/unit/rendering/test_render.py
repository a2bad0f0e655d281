"""An issue becomes an edition: both parts in step, nothing unfinished, nothing foreign in it."""

import os
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mailer.content.issue import Image, Issue, Item, Kind, Link, Publication, Section, Source
from mailer.rendering import prose, theme
from mailer.rendering.edition import Edition
from mailer.rendering.fields import MARK
from mailer.rendering.personalise import Splicer, reader
from mailer.rendering.plaintext import cells
from mailer.rendering.render import RenderingRefused, render
from tests.golden.rendering import samples

ADA = reader("a" * 24, name="Ada Lovelace", address="ada@example.org")
ALL = ("e-commerce", "ai", "luxury")
OURS = "https://n.example.org"
GOLDEN = Path(__file__).parents[2] / "golden/rendering"
HARD = (  # acceptance 4: what the MJML engine spoils in attributes
    "हिन्दी नमस्ते",
    "no\u00a0break and 1\u202f000",
    "family 👨‍👩‍👧 and heart ❤️",
    'say "x"',
    "back\\slash \\n \\u{41}",
    "<b>bold</b> & more",
    "{{ braces }} {% and %} [[brackets]]",
    "ไทย e\u0301\u3000\u00adsoft",
)


class Page(HTMLParser):
    """What a mail program would see: tags with attributes, and the text inside some of them."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.text = ""
        self._open: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag in {"h1", "h2", "h3", "h4", "title", "style"}:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        if self._open and tag == self._open[-1]:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        for tag in self._open:
            self.texts[tag][-1] += data
        if "style" not in self._open:
            self.text += data

    def all(self, tag: str, attribute: str) -> list[str]:
        return [attrs[attribute] for name, attrs in self.tags if name == tag and attribute in attrs]


def made(issue: Issue, *, followed: tuple[str, ...] = ALL, tracking: int = 3) -> Edition:
    return render(issue, samples.PUBLICATION, followed=followed, tracking=tracking, public_url=OURS)


def page(edition: Edition) -> Page:
    return Page(Splicer(edition).html(ADA))


def issue_of(*items: Item, **more: object) -> Issue:
    section = Section(title="Tea", items=items)
    return Issue(title="Tea time", slug="tea", sections=(section,), **more)  # type: ignore[arg-type]


def tea(**more: object) -> Item:
    return Item(**({"id": "tea", "title": "Tea", "body": "Hot."} | more))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["weekly", "chinese"])
def test_the_look_changes_only_on_purpose(name: str) -> None:
    """DIBAO_TEST_GOLDEN=write makes a new golden: look at it before you keep it."""
    splicer = Splicer(made(getattr(samples, name)()))

    for suffix, content in (("html", splicer.html(ADA)), ("txt", splicer.text(ADA))):
        golden = GOLDEN / f"{name}.{suffix}"
        if os.environ.get("DIBAO_TEST_GOLDEN") == "write":
            golden.write_text(content, encoding="utf-8")
        assert content == golden.read_text(encoding="utf-8")


def test_acceptance_3_forty_five_items_stay_below_80_kb() -> None:
    edition = made(samples.many(45))

    assert edition.html_bytes <= 80_000
    assert edition.findings == ()


def test_acceptance_3_past_90_kb_there_is_a_finding() -> None:
    (finding,) = made(samples.many(56)).findings

    assert finding.code == "html-large"


def test_acceptance_3_past_100_kb_is_refused_with_what_to_shorten() -> None:
    long = tea(id="novel", title="A novel", body="It was a dark and stormy night. " * 1600)

    with pytest.raises(RenderingRefused, match=r"item novel \(\d+\.\d kB\); item story"):
        made(issue_of(long, tea(), *samples.many(30).items))


@pytest.mark.parametrize("words", HARD)
def test_acceptance_4_titles_and_alts_reach_the_reader_as_they_were_written(words: str) -> None:
    picture = Image(url="https://images.example.org/x.png", alt=words)
    title = words.replace("{{ braces }} ", "")  # in a title that is an unknown field

    seen = page(made(issue_of(tea(title=title, image=picture, url="https://tea.example/"))))

    assert words in seen.all("img", "alt")
    assert seen.texts["h3"] == [title]


def test_acceptance_4_a_line_break_in_a_title_is_a_space() -> None:
    assert page(made(issue_of(tea(title="one\ntwo")))).texts["h3"] == ["one two"]


@pytest.mark.parametrize(
    "body",
    [
        "</mj-text><mj-raw>",
        '<mj-include path="/etc/passwd">',
        "<![CDATA[x]]>",
        "a < b",
        "<p>unclosed",
        "</td></tr></table>",
        "{% raw %}{{ x.y }}",
    ],
)
def test_acceptance_5_no_body_can_change_the_layout(body: str) -> None:
    layout = [tag for tag, _ in page(made(issue_of(tea(body="Hot.")))).tags]
    seen = page(made(issue_of(tea(body=body))))

    assert [tag for tag, _ in seen.tags] == layout
    assert body in seen.text


@pytest.mark.parametrize(
    ("issue", "place"),
    [
        (issue_of(tea(body="<b>" * 20_000)), "item tea: tags nested"),
        (issue_of(tea(body="x" * 60_001)), "item tea: 60001 characters"),
        (issue_of(tea(url="javascript:alert(1)")), "item tea: only http"),
        (issue_of(tea(body="[x](//evil.example)")), "item tea: write the whole address"),
        (issue_of(tea(body="[x](http://user@host.example)")), "item tea: a name or password"),
        (issue_of(tea(body="[x](<java&#10;script:alert>)")), "item tea: write the whole"),
        (issue_of(tea(sources=(Source("data:x"),))), "item tea: only http"),
        (issue_of(tea(related=(Link("x", "vbscript:x"),))), "item tea: only http"),
        (issue_of(tea(image=Image(url="data:image/png,x", alt="x"))), "item tea: only http"),
        (issue_of(tea(image=Image(url="mailto:a@b.example"))), "picture needs an https"),
        (issue_of(tea(title="{{ nom }}")), "item tea: there is no field"),
        (issue_of(tea(body="{{ nom }}")), "item tea: there is no field"),
        (issue_of(tea(), greeting="{{ nom }}"), "greeting: there is no field"),
        (issue_of(tea(), outro="[x](ftp://x)"), "outro: only http"),
        (issue_of(tea(), subject="{{ nom }}"), "subject: there is no field"),
        (issue_of(tea(), preheader="{{ nom }}"), "preheader: there is no field"),
        (issue_of(tea(), ctas=(Link("x", "nowhere"),)), "call to action: write the whole"),
        (issue_of(tea(), comments_url="//x"), "comments: write the whole"),
        (issue_of(tea(), language="en <b>"), "issue: .* no language tag"),
        (issue_of(tea(segments=("luxury",))), "issue: no item for ai"),
    ],
)
def test_acceptance_9_what_is_unfit_is_refused_with_its_place(issue: Issue, place: str) -> None:
    with pytest.raises(RenderingRefused, match=place):
        made(issue, followed=("ai",))


def test_acceptance_9_active_addresses_in_bodies_are_no_links_in_either_part() -> None:
    edition = made(issue_of(tea(body="[x](javascript:alert) [y](data:text/html,x)")))

    assert edition.links == ()
    assert not any("script" in href for href in page(edition).all("a", "href"))
    assert "[1]" not in edition.text


@pytest.mark.parametrize("forged", ["[[m:email]]", "{{ email }}", "\ufdd0email|\ufdd1"])
def test_acceptance_13_no_value_is_ever_filled_into_an_attribute(forged: str) -> None:
    picture = Image(url="https://images.example.org/x.png", alt=f"alt {forged}")
    edition = made(issue_of(tea(image=picture, body=f'[x](https://evil.example/?u=1 "{forged}")')))

    for _, attributes in page(edition).tags:
        assert not any("ada@example.org" in value for value in attributes.values())
    assert not any(slot.field == "email" for slot in edition.slots)


def test_acceptance_13_a_field_in_an_address_is_refused() -> None:
    with pytest.raises(RenderingRefused, match="never filled in an address"):
        made(issue_of(tea(url="https://evil.example/?u={{email}}")))


@pytest.mark.parametrize("issue", [samples.weekly(), samples.chinese(), samples.many(9)])
def test_acceptance_14_nothing_unfinished_is_left(issue: Issue) -> None:
    edition = made(issue)
    bare = MARK.sub("", edition.html + edition.text)

    assert not re.search(r'\{\{|\{%|\[\[|\\u\{|\\n"|z[0-9a-f]{12}x\d', bare)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufdd0-\ufdef]", bare)


def test_acceptance_14_a_theme_that_leaves_something_over_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    digest = theme.load("digest")
    files = {
        "theme.toml": "[words.en]\n" + "\n".join(f'{k}="{v}"' for k, v in _phrases(digest)),
        "layout.mjml": '<mjml lang="en" dir="ltr"><mj-body><mj-section><mj-column><mj-text>'
        "{{ '{{ oops }}' }}</mj-text></mj-column></mj-section></mj-body></mjml>",
        "text.txt": "",
    }
    monkeypatch.setattr(theme, "load", lambda _: theme.made("trial", files))

    with pytest.raises(RenderingRefused, match=r"'\{\{' is left in the mail"):
        made(issue_of(tea()))


def _phrases(found: theme.Theme) -> list[tuple[str, str]]:
    return [(k, v) for k, v in found.words["en"].items() if isinstance(v, str)]


@pytest.mark.parametrize("issue", [samples.weekly(), samples.chinese(), samples.many(9)])
def test_acceptance_26_both_parts_have_the_same_titles_and_targets_in_order(issue: Issue) -> None:
    edition = made(issue)
    text, seen = Splicer(edition).text(ADA), page(edition)
    flat = re.sub(r"\s+", "", text)

    places = [flat.find(re.sub(r"\s+", "", title)) for title in seen.texts["h3"]]
    assert all(place >= 0 for place in places)
    assert places == sorted(places)
    assert _targets(edition, re.findall(r"(?:https|mailto):\S+", text)) == _targets(
        edition, seen.all("a", "href")
    )
    assert f"{OURS}/u/{ADA['token']}" in text
    for line in text.split("\n"):
        assert cells(line) <= 76 or re.fullmatch(r" *(?:\[\d+\] )?https?://\S+", line), line


def _targets(edition: Edition, hrefs: list[str]) -> set[str]:
    """Where links lead in the end; a picture's target is its headline's."""
    table = {f"{OURS}/c/{ADA['token']}/{link.number}": link.url for link in edition.links}
    return {table.get(href, href) for href in hrefs if not href.startswith("mailto:")}


def test_every_link_of_the_mail_is_in_the_table_or_one_of_the_readers_pages() -> None:
    edition = made(samples.weekly())
    token = ADA["token"]
    known = {f"{OURS}/c/{token}/{link.number}" for link in edition.links if link.tracked}
    known |= {link.url for link in edition.links if not link.tracked}
    known |= {f"{OURS}/{name}/{token}" for name in "upv"}

    assert set(page(edition).all("a", "href")) == known
    assert [link.number for link in edition.links] == list(range(1, len(edition.links) + 1))


def test_links_know_their_item_and_slot() -> None:
    slots = {(link.item, link.slot) for link in made(samples.weekly()).links}

    assert slots >= {
        ("slow-parcels", "headline"),
        ("slow-parcels", "image"),
        ("slow-parcels", "source"),
        ("slow-parcels", "related"),
        ("small-model", "cta"),
        ("red-book-shop", "more"),
        ("loyalty-1", "body"),
        ("", "greeting"),
        ("", "rating-5"),
        ("", "comments"),
        ("", "contact"),
    }


@pytest.mark.parametrize("tracking", [0, 1, 2, 3])
def test_nothing_is_tracked_that_the_reader_did_not_allow(tracking: int) -> None:
    edition = made(samples.weekly(), tracking=tracking)

    assert ("/o/" in edition.html) is bool(tracking & 1)
    assert ("/c/" in edition.html) is ("/c/" in edition.text) is bool(tracking & 2)
    assert ("How was this issue?" in edition.html) is bool(tracking & 2)
    assert f"{OURS}/u/" in edition.html


@pytest.mark.parametrize("issue", [samples.weekly(), samples.chinese(), samples.many()])
def test_acceptance_27_nothing_is_fetched_from_a_third_party(issue: Issue) -> None:
    seen = page(made(issue))
    style = "".join(seen.texts["style"])
    hosts = {urlsplit(address).hostname for address in seen.all("img", "src")}

    assert hosts <= {"images.dibao.example", "n.example.org"}
    assert not [tag for tag, _ in seen.tags if tag in {"link", "script", "iframe", "form"}]
    assert "url(" not in style
    assert "@import" not in style


def test_acceptance_28_forty_five_items_compile_in_time() -> None:
    """Two hundred editions in 10 s; twice the 60 ms of one fail, since machines differ."""
    issue = samples.many(45)
    made(issue)
    taken = []
    for _ in range(4):
        prose.read.cache_clear()
        start = time.process_time()
        made(issue)
        taken.append(time.process_time() - start)

    assert min(taken) < 0.12


def test_acceptance_30_the_style_block_is_small_and_flat() -> None:
    styles = page(made(samples.weekly())).texts["style"]

    assert sum(len(style) for style in styles) <= 12_000
    for style in styles:
        for block in re.findall(r"@media[^{]*\{((?:[^{}]*\{[^{}]*\})*)[^{}]*\}", style):
            assert "@" not in block


@pytest.mark.parametrize("language", ["en", "zh-Hans", "ar"])
def test_acceptance_23_structure_is_said_not_only_shown(language: str) -> None:
    seen = page(made(replace(samples.weekly(), language=language)))
    ranks = [int(tag[1]) for tag, _ in seen.tags if re.fullmatch("h[1-6]", tag)]

    assert ranks.count(1) == 1
    assert ranks[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(ranks))
    assert seen.all("html", "lang") == [language]
    assert seen.all("html", "dir") == ["rtl" if language == "ar" else "ltr"]
    assert len(seen.all("img", "alt")) == sum(tag == "img" for tag, _ in seen.tags)
    tables = [attributes for tag, attributes in seen.tags if tag == "table"]
    assert all(attributes.get("role") == "presentation" for attributes in tables)


def test_chinese_words_in_an_english_issue_carry_their_language() -> None:
    assert '<span lang="zh">小红书</span> opens a shop' in made(samples.weekly()).html


def test_emoji_survive_and_are_hidden_from_screen_readers() -> None:
    source = made(samples.weekly()).html

    assert '<span aria-hidden="true">💁🏻&nbsp;</span>' in source
    assert '<span aria-hidden="true">🇫🇮&nbsp;</span>' in source


def test_contact_links_are_never_tracked() -> None:
    issue = issue_of(tea(), contact="[Desk](https://desk.example/) or [us](mailto:a@dibao.example)")

    assert [link.tracked for link in made(issue).links] == [False, False]


def test_a_reader_gets_the_items_of_their_segments_and_is_told_why() -> None:
    edition = made(samples.weekly(), followed=("luxury",))
    seen = page(edition)

    assert "You receive The Digital Gazette because you follow Luxury." in seen.text
    assert re.findall(r"\d\.", " ".join(seen.texts["h3"])) == ["1.", "2.", "3.", "1."]
    assert "Merchants discover" not in seen.text
    assert edition.segments == ("luxury",)


def test_who_follows_several_is_shown_why_they_get_an_item() -> None:
    assert "E-commerce &middot; AI" in made(samples.weekly()).html
    assert "E-commerce &middot; AI" not in made(samples.weekly(), followed=("ai",)).html


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (tea(number=7), "7. Tea"),
        (tea(label="Exclusive"), "Exclusive"),
        (tea(author="Mei"), "By Mei"),
        (tea(correction="It is cold."), "Correction: It is cold."),
        (tea(first_reported_by="The Cup"), "First reported by The Cup"),
        (tea(sources=(Source("https://www.tea.example/x"),)), "Source: tea.example"),
        (
            tea(sources=(Source("https://t.example/", "Tea", "zh-Hant", paywall=True),)),
            "Source: Tea (in Chinese, paywall)",
        ),
        (tea(sources=(Source("https://t.example/", language="xx"),)), "(in xx)"),
        (tea(kind=Kind.SPONSOR), "Sponsored"),
        (tea(kind=Kind.TIP, title=""), "Tip"),
    ],
)
def test_what_an_item_says_is_in_both_parts(item: Item, words: str) -> None:
    edition = made(issue_of(item))

    assert words in re.sub(r"\s+", " ", page(edition).text)
    assert words in edition.text


def test_an_issue_of_a_letter_alone_needs_no_items() -> None:
    edition = made(Issue(title="A word", greeting="We move house."), followed=())

    assert "We move house." in edition.text
    assert "because you subscribed to it" in edition.text


def test_a_missing_preheader_is_made_of_the_first_titles() -> None:
    assert made(issue_of(tea(), tea(id="cup", title="Cup"))).preheader == "Tea · Cup"


def test_the_subject_keeps_its_fields_open() -> None:
    edition = made(samples.weekly())

    assert edition.subject == "{{ first_name|Reader }}, the parcel that learned to wait"
    assert page(edition).texts["title"] == ["Reader, the parcel that learned to wait"]


def test_a_long_mail_offers_the_way_out_at_the_top_too() -> None:
    assert made(samples.many(50)).html.count(f"{OURS}/u/") == 2
    assert made(samples.many(9)).html.count(f"{OURS}/u/") == 1


def test_a_public_address_that_is_none_is_refused() -> None:
    with pytest.raises(RenderingRefused, match="public address"):
        render(issue_of(tea()), Publication(name="x"), followed=(), tracking=0, public_url="here")


def test_a_segment_that_readers_do_not_know_is_never_named_to_them() -> None:
    items = tuple(Item(key, f"About {key}", segments=(key, "lapsed")) for key in ("ai", "luxury"))
    issue = Issue(title="Weekly", slug="weekly", sections=(Section(items=items),))
    house = Publication(
        name="The Gazette",
        from_address="news@example.org",
        segments=(("ai", "AI"), ("luxury", "Luxury")),
    )

    both = render(issue, house, followed=("ai", "luxury"), tracking=0, public_url=OURS)
    by_rule = render(issue, house, followed=("ai", "luxury", "lapsed"), tracking=0, public_url=OURS)

    assert "because you follow AI and Luxury" in both.text
    for part in (by_rule.text, by_rule.html):
        assert "because you subscribed to it" in part
        assert "lapsed" not in part
