"""A pasted digest becomes an issue: nothing is lost, nothing invented."""

import contextlib
import re
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mailer.content import document
from mailer.content.issue import Issue, Item, Kind, Numbering, Source
from mailer.content.paste import Pasted, PasteEmpty, PasteTooLong, paste
from mailer.content.paste_building import Fate

P = "The company said on Monday that it would open four more depots, and that prices would stay."
Q = "Analysts had expected less. Two rivals declined to comment on the plan when they were asked."


def seed(shared: Path, prefix: str) -> str:
    (file,) = (shared / "seeds").glob(f"{prefix}_*.txt")
    return file.read_text(encoding="utf-8")


def shown(markdown: str) -> str:
    """The text a reader sees of a CommonMark text."""
    pieces: list[str] = []
    for token in MarkdownIt("commonmark").parse(markdown):
        pieces += [child.content or " " for child in token.children or []] + [" "]
        assert token.type not in {"html_block", "fence", "code_block", "hr", "heading_open"}
    return "".join(pieces)


def every(issue: Issue) -> list[Item]:
    return [item for top in issue.items for item in top.walk()]


def bodies(issue: Issue) -> str:
    pieces = []
    for section in issue.sections:
        pieces.append(shown(section.intro))
        for top in section.items:
            pieces += [shown(item.body) for item in top.walk()]
    return "".join(pieces)


def said(issue: Issue) -> str:
    """Everything an issue says, as one text."""
    pieces = [issue.title, issue.byline, shown(issue.greeting), issue.outro_title]
    pieces += [shown(issue.outro), shown(issue.contact), bodies(issue)]
    pieces += [cta.text for cta in issue.ctas] + [section.title for section in issue.sections]
    if issue.rating:
        pieces += [issue.rating.question, issue.rating.invitation, issue.rating.no_votes]
    for item in every(issue):
        pieces += [item.title, item.author, *(source.url for source in item.sources)]
        pieces += [source.note for source in item.sources]
        pieces += [link.emoji + link.text for link in (*item.related, *filter(None, [item.cta]))]
        pieces += [item.image.alt, item.image.caption] if item.image else []
    return "\n".join(pieces)


def squeezed(text: str) -> str:
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f\u200b\u2060\ufeff]+", "", text)


def unmarked(line: str) -> str:
    """A line without number or bullet, which the structure holds."""
    line = re.sub(r"[\x00-\x1f\x7f-\x9f\u200b\u2060\ufeff]", " ", line)
    return re.sub(r"^\s*(?:#?\d{1,3}\s*[.)、．:]?|[^\w\s“\"‘'(]{1,3})\s*(?=\S)", "", line)


LOOSE = {Fate.SOURCE, Fate.RATING, Fate.DATE, Fate.DROPPED, Fate.LOST_LINK, Fate.NOT_UNDERSTOOD}


def check_every_line_is_accounted_for(text: str, pasted: Pasted) -> None:
    lines = re.split(r"\r\n|\n|\r", text)
    filled = [n for n, line in enumerate(lines, start=1) if squeezed(line)]
    assert [number for number, _ in pasted.fates] == filled
    everything = squeezed(said(pasted.issue))
    for number, fate in pasted.fates:
        line = lines[number - 1]
        if fate in LOOSE or (fate is Fate.TITLE and re.search(r"\d", line)):
            continue
        if fate is Fate.BYLINE:
            assert pasted.issue.byline or any(item.author for item in every(pasted.issue))
            continue
        forms = (line, unmarked(line), line.strip(" :\uff1a"), line.strip(" *_"))
        assert any(squeezed(form) in everything for form in forms)


# The seeds


@pytest.mark.parametrize("prefix", ["000", "001", "002", "003", "004"])
def test_nothing_of_a_seed_is_lost_and_its_text_stays_the_same(shared: Path, prefix: str) -> None:
    text = seed(shared, prefix)
    pasted = paste(text)
    fates = dict(pasted.fates)
    lines = [line for n, line in enumerate(text.split("\n"), 1) if fates.get(n) is Fate.BODY]

    check_every_line_is_accounted_for(text, pasted)
    assert not pasted.not_understood
    plain = "".join(line.removeprefix("- ") for line in lines)
    assert squeezed(bodies(pasted.issue)) == squeezed(plain)
    assert document.read(document.write(pasted.issue)) == pasted.issue


def test_a_scraped_page_with_numbered_headlines(shared: Path) -> None:
    pasted = paste(seed(shared, "000"))
    issue = pasted.issue

    assert [len(section.items) for section in issue.sections] == [11]
    assert issue.numbering is Numbering.ISSUE
    assert not any(re.match(r"\d+\.", item.title) for item in issue.items)
    assert (issue.title[:20], issue.byline) == ("China Digital Digest", "ClickInsights")
    assert issue.greeting.startswith("Hi folks")
    assert (issue.outro_title, len(issue.ctas)) == ("Wrapping Up", 1)
    assert [line.number for line in pasted.dropped] == [1, 146, 149]
    assert "on JD.com. All of" in issue.items[4].body  # was cut around a link
    assert not any(item.image for item in issue.items)  # a gap is no picture


def test_numbered_headlines_without_a_single_blank_line(shared: Path) -> None:
    issue = paste(seed(shared, "001")).issue

    assert len(issue.items) == 10
    assert [len(item.body.split("\n\n")) for item in issue.items] == [2, 3, 3, 2, 2, 2, 3, 2, 2, 3]
    assert issue.outro_title == "Wrapping Up"


def test_stories_that_end_with_their_address_a_tip_and_an_article(shared: Path) -> None:
    pasted = paste(seed(shared, "002"))
    first, updates, article = pasted.issue.sections
    summary = pasted.summary()

    assert [item.kind for item in first.items] == [Kind.NEWS] * 8 + [Kind.TIP]
    assert (updates.title, len(updates.items)) == ("Chinese Marketing Updates", 5)
    (trends,) = article.items
    assert (trends.kind, len(trends.items)) == (Kind.DEEP_DIVE, 20)
    assert [part.number for part in trends.items] == list(range(1, 21))
    assert (summary["sources"], summary["domains"]) == (11, 8)
    assert (summary["related"], summary["without_address"]) == (7, 7)
    assert [line.number for line in pasted.lost_links] == [94, 130]
    sources = [source.url for item in updates.items for source in item.sources]
    assert not any(url.endswith((".", " ")) for url in sources)
    assert pasted.issue.outro_title == "Conclusion"
    assert "<contact@thewechatagency.com>" in pasted.issue.contact


def test_emoji_links_and_picture_captions_are_not_prose(shared: Path) -> None:
    parts = every(paste(seed(shared, "002")).issue)
    related = [link for item in parts for link in item.related]

    assert [link.emoji for link in related] == [
        *("\U0001f6cd", "\U0001f30f", "\U0001f6d2", "\U0001f1e8\U0001f1f3"),
        *("\U0001f481\U0001f3fb\u2640\ufe0f", "\U0001f4fd", "\U0001f96e"),
    ]
    assert max(len(item.related) for item in parts) == 2
    assert [item.image.alt for item in parts if item.image] == [
        "Gen z China luxury",
        "taikoo li chengdu china localization",
        "WeChat Channels Live Streaming",
    ]


def test_labels_bullets_a_quote_and_a_source_twice(shared: Path) -> None:
    pasted = paste(seed(shared, "003"))
    first, *rest = pasted.issue.items
    summary = pasted.summary()

    assert len(rest) == 5
    assert first.body.startswith("**Current situation:**\n\n- 450 million DAU\n- ")
    assert "\n\n**Context:** The rise" in first.body
    assert any("\n\n> “The culture" in item.body for item in rest)
    assert (summary["sources"], summary["distinct_sources"]) == (4, 3)
    assert [len(item.sources) for item in pasted.issue.items] == [1, 1, 0, 0, 1, 1]


def test_sections_and_a_rating_nobody_has_used(shared: Path) -> None:
    pasted = paste(seed(shared, "004"))
    issue = pasted.issue

    assert [len(section.items) for section in issue.sections] == [3, 5]
    assert all(section.title for section in issue.sections)
    assert "This week" in issue.greeting
    assert issue.rating is not None
    assert (issue.rating.question, issue.rating.scale) == ("How useful was this post?", 5)
    assert issue.rating.no_votes.startswith("No votes so far!")
    assert [line.text for line in pasted.lost_links] == ["Source link"]
    assert sum(item.body.count("(in Chinese") for item in issue.items) == 3
    assert "即刻" in bodies(issue)


@pytest.mark.parametrize("prefix", ["000", "001", "002", "003", "004"])
@pytest.mark.parametrize("lines", ["\n", "\n\n", "\n \n\n"])
def test_headlines_do_not_depend_on_blank_lines(shared: Path, prefix: str, lines: str) -> None:
    text = seed(shared, prefix)
    other = lines.join(line for line in text.split("\n") if line.strip())

    assert [item.title for item in every(paste(other).issue)] == [
        item.title for item in every(paste(text).issue)
    ]


@pytest.mark.parametrize(("prefix", "count"), [("000", 11), ("001", 10)])
def test_headlines_of_a_numbered_seed_are_found_without_their_numbers(
    shared: Path, prefix: str, count: int
) -> None:
    assert len(paste(re.sub(r"(?m)^\d+\. ", "", seed(shared, prefix))).issue.items) == count


def test_headlines_are_found_without_the_addresses_between_them(shared: Path) -> None:
    text = re.sub(r"(?m)^.*https?://.*$", "", seed(shared, "003"))

    assert len(paste(text).issue.items) == 6


# Other digests of the same kinds


def titles(text: str) -> list[str]:
    pasted = paste(text)
    check_every_line_is_accounted_for(text, pasted)
    return [item.title for item in pasted.issue.items]


A = "https://a.example"
KIOSK, TOYS, SCENT = "Kiosk chain opens four depots", "Toy maker counts on robots", "Scent sells"


@pytest.mark.parametrize(
    "text",
    [
        f"1. {KIOSK}\n{P}\n2. {TOYS}\n{P}\n{Q}\n3. {SCENT}\n{Q}\n",
        f"1) {KIOSK}\n\n{P}\n\n2) {TOYS}\n\n{P}\n\n{Q}\n\n3) {SCENT}\n\n{Q}\n",
        f"#1 {KIOSK}\n{P}\n\n#2 {TOYS}\n{P}\n\n#3 {SCENT}\n{Q}\n",
        f"{KIOSK}\n{P}\n{A}/1\n{TOYS}\n{P}\n{A}/2\n{SCENT}\n{Q}\n{A}/3",
        f"{KIOSK}\n\n{P}\n\nSource: https://a.example/1.\n\n{TOYS}\n\n{P}\n\n{SCENT}\n\n{Q}\n",
        f"{KIOSK}\n{P}\n{Q}\n\n{TOYS}\n{P}\n\n{SCENT}\n{Q}\n{P}\n",
        f"{KIOSK}\nWhat: more.\nWhy: rent.\n- one\n- two\n{TOYS}\nWhat: toys.\n{SCENT}\n{Q}",
        f"{KIOSK}\n{P}\nRead more\n{TOYS}\n{P}\nRead more\n{SCENT}\n{Q}\nRead more\n",
        f"{KIOSK}\nhttps://a.example/1\n\n{TOYS}\nhttps://a.example/2\n\n{SCENT}\nhttps://a.example/3\n",
        f"Paper Weekly\n\nHello all.\n\n{KIOSK}\n\n{P}\n\n{TOYS}\n\n{P}\n\n{SCENT}\n\n{Q}\n",
        f"<h2>{KIOSK}</h2>\n<p>{P}</p>\n<h2>{TOYS}</h2>\n<p>{P}</p><h2>1. {SCENT}</h2><p>{Q}</p>",
        (
            f"<h1>Paper</h1><h2>Shops</h2><h3>{KIOSK}</h3><p>{P}<h3>{TOYS}</h3>{P}<h2>Luxury</h2>"
            f"<h3>{SCENT}</h3><p>{Q}</p>"
        ),
        f"# Paper\n## Shops\n### {KIOSK}\n{P}\n### {TOYS}\n{P}\n## Luxury\n### {SCENT}\n{Q}\n",
        f"**{KIOSK}**\n\n{P}\n\n**{TOYS}**\n\n{P}\n\n**{SCENT}**\n\n{Q}\n",
        "".join(f"<div>{line}</div>" for line in (KIOSK, P, TOYS, P, SCENT, Q)),
    ],
)
def test_the_same_three_stories_are_found_however_they_are_set(text: str) -> None:
    if text.startswith("<"):
        assert [item.title for item in paste(text).issue.items] == [KIOSK, TOYS, SCENT]
    else:
        assert titles(text) == [KIOSK, TOYS, SCENT]


def test_an_emoji_before_every_headline_is_part_of_it() -> None:
    text = f"🚀 {KIOSK}\n\n{P}\n\n🤖 {TOYS}\n\n{P}\n\n👜 {SCENT}\n\n{Q}\n"

    assert titles(text) == [f"🚀 {KIOSK}", f"🤖 {TOYS}", f"👜 {SCENT}"]


def test_chinese_headlines_with_and_without_numbers() -> None:
    stories = [
        ("快递柜进入乡村", "今年秋天将开设新的仓库。"),
        ("玩具厂押注机器人", "竞争对手正在观望。"),
    ]
    plain = "\n".join(f"{title}\n{text}" for title, text in stories)
    numbered = "\n".join(f"{n}、{title}\n{text}" for n, (title, text) in enumerate(stories, 1))

    assert titles(plain) == titles(numbered) == [title for title, _ in stories]


@pytest.mark.parametrize("second", ["1. {} \n", "3. {}\n"])
def test_sections_over_numbered_stories(second: str) -> None:
    text = (
        f"The Paper Weekly\nHello there.\n\nShops\n\n1. {KIOSK}\n{P}\n\n2. {TOYS}\n{P}\n\n"
        f"Luxury\n\n{second.format(SCENT)}{Q}\n"
    )
    issue = paste(text).issue

    assert [section.title for section in issue.sections] == ["Shops", "Luxury"]
    assert [len(section.items) for section in issue.sections] == [2, 1]
    restarts = second.startswith("1")
    assert issue.numbering is (Numbering.SECTION if restarts else Numbering.ISSUE)
    assert issue.sections[1].restart_numbering is restarts


def test_numbers_that_skip_stay_as_they_were() -> None:
    issue = paste(f"1. {KIOSK}\n{P}\n2. {TOYS}\n{P}\n4. {SCENT}\n{Q}\n").issue

    assert [item.number for item in issue.items] == [1, 2, 4]


def test_a_list_inside_a_numbered_story_stays_a_list() -> None:
    listed = "1. Rent is low.\n2. Roads are good.\n3. Staff live near."
    first, second = paste(f"1. {KIOSK}\n{P}\n{listed}\n{Q}\n2. {TOYS}\n{P}\n").issue.items

    assert f"\n\n{listed}\n\n" in first.body
    assert second.title == TOYS


def test_the_frame_of_a_newsletter_is_told_from_its_stories() -> None:
    pasted = paste(
        f"The Paper Lantern Weekly\nIssue 31\nBy Ada Lovelace\nMarch 3, 2026 · 4 min read\n\n"
        f"Hi there.\n\n{KIOSK}\n\nPhoto: Ben Example\n\n{P}\n\n{TOYS}\n\n{P}\n\n"
        f"https://a.example/2 (in Chinese)\n\nThat's all for now. See you!\n\n"
        f"To go on, click here.\n\n* * *\n\nUnsubscribe\n"
    )
    issue = pasted.issue
    first, second = issue.items

    assert (issue.title, issue.byline) == ("The Paper Lantern Weekly", "Ada Lovelace")
    assert (issue.number, str(issue.date)) == (31, "2026-03-03")
    assert first.image is not None
    assert first.image.caption == "Photo: Ben Example"
    assert second.sources == (Source("https://a.example/2", language="zh"),)
    assert issue.outro.startswith("That's all")
    assert [cta.text for cta in issue.ctas] == ["To go on, click here."]
    assert [line.text for line in pasted.dropped] == ["* * *", "Unsubscribe"]


def test_a_source_may_be_named_before_its_address() -> None:
    (item,) = paste(f"{KIOSK}\n\n{P}\n\nSource: The Journal ({A}/1)\n").issue.items

    assert item.sources == (Source(f"{A}/1", "The Journal"),)


def test_a_line_with_author_time_and_day_is_no_headline() -> None:
    when = "Ada Example@ada / 6:00 PM GMT+2•May 12, 2023"
    issue = paste(f"Retail Roundup\n\n{when}\n\nWelcome back.\n\n{KIOSK}\n\n{P}\n").issue

    assert (issue.byline, str(issue.date)) == ("Ada Example", "2023-05-12")
    assert [item.title for item in issue.items] == [KIOSK]


def test_stories_go_on_after_an_article_with_numbered_parts() -> None:
    parts = "".join(f"{n}. Use {stuff}\n\n{Q}\n\n" for n, stuff in enumerate(["tape", "string"], 1))
    text = f"{KIOSK}\n\n{P}\n\n{A}/1\n\n{TOYS}\n\n{P}\n\n{parts}{SCENT}\n\n{Q}\n\n{A}/2\n"
    kiosk, toys, scent = paste(text).issue.items

    assert [item.kind for item in (kiosk, toys, scent)] == [Kind.NEWS, Kind.DEEP_DIVE, Kind.NEWS]
    assert [part.title for part in toys.items] == ["Use tape", "Use string"]


def test_lines_cut_at_a_margin_become_paragraphs_again() -> None:
    cut = textwrap.fill(f"{P} {Q}", 66)
    issue = paste(f"{KIOSK}\n\n{cut}\n\n{TOYS}\n\n{cut}\n\n{SCENT}\n\n{cut}\n").issue

    assert [item.body for item in issue.items] == [f"{P} {Q}"] * 3


def test_what_was_cut_around_a_link_is_joined_again() -> None:
    cut = f"{P[:-1]} and the plan is shown on\n\nDepots.example\n\n, said a man."
    (item,) = paste(f"{KIOSK}\n\n{cut}\n").issue.items

    assert item.body.endswith("shown on Depots.example, said a man.")


def test_html_keeps_links_pictures_and_lists() -> None:
    issue = paste(
        f"<html><head><title>no</title><style>p {{}}</style></head><body><h1>Paper &amp; Co</h1>"
        f'<h2><a href="https://a.example/1">{KIOSK}</a></h2>'
        f'<img src="https://a.example/p.png" alt="A kiosk">'
        f'<p>See <a href="https://b.example/x_y">the *plan*</a> &lt;now&gt;.</p>'
        f"<ul><li>one</li><li>two</li></ul>"
        f'<p><a href="https://a.example/1">Read more</a></p><p><a href="javascript:x">bad</a></p>'
        f'<img src="https://t.example/o.gif" width="1" height="1">'
    ).issue
    (item,) = issue.items

    assert (issue.title, item.title, item.url) == ("Paper & Co", KIOSK, "https://a.example/1")
    assert item.image is not None
    assert (item.image.url, item.image.alt) == ("https://a.example/p.png", "A kiosk")
    first, *rest = item.body.split("\n\n")
    assert first == "See [the \\*plan\\*](<https://b.example/x_y>) \\<now>."
    assert rest == ["- one\n- two", "bad"]
    assert [source.url for source in item.sources] == ["https://a.example/1"]
    assert "javascript" not in document.write(issue)


def test_a_title_is_taken_from_the_text_or_said_to_be_missing() -> None:
    stories = f"1. {KIOSK}\n{P}\n2. {TOYS}\n{P}\n"
    named = paste(f"Welcome to Paper Lantern, our weekly look.\n\n{stories}")
    unnamed = paste(stories)
    nothing = paste("just a few words, and a full stop.")

    assert (named.issue.title, named.title_from) == ("Paper Lantern", "greeting")
    assert (unnamed.issue.title, unnamed.title_from) == (KIOSK, "first headline")
    assert (nothing.issue.title, nothing.title_from) == ("Untitled", "nothing")


def test_a_line_we_cannot_place_is_named_with_its_number() -> None:
    pasted = paste(f"{KIOSK}\n\n{P}\n\nhttps://a.example/1\n\nTagged Depots\n")

    assert [(line.number, line.text) for line in pasted.not_understood] == [(7, "Tagged Depots")]


# Anything at all

WORDS = (
    "a on https://a.example/x Big. News, so: 1. - * # ~~~ _x_ `y` [z](w) <b> &amp; 小红书 🛍 \\ |"
)
fragment = st.sampled_from([*WORDS.split(), KIOSK, P, Q]) | st.text(max_size=6)
garbage = st.lists(
    st.one_of(
        st.lists(fragment, max_size=6).map(" ".join),
        st.sampled_from(["", "", " ", KIOSK, TOYS, P, f"1. {SCENT}", f"2. {TOYS}", "3. x"]),
        st.sampled_from(["Comments", f"Link: {A}/1", "Wrapping Up", "Context:", "- bullet"]),
        st.sampled_from(["By Ada Example", "🛍 More on this", "Read more", "Useful?", "---"]),
        st.sampled_from(["Average rating 0 / 5. Vote count: 0", "photo by Ada", "click here"]),
    ),
    max_size=14,
).map("\n".join)


@given(garbage.filter(lambda text: not any(0xD800 <= ord(c) < 0xE000 for c in text)))
@settings(deadline=None, max_examples=200)
def test_no_line_is_lost_whatever_is_pasted(text: str) -> None:
    try:
        pasted = paste(text)
    except PasteEmpty:
        assert not re.search(r"[^\W_]{20}", text)
        return
    if not text.lstrip().startswith("<"):
        check_every_line_is_accounted_for(text, pasted)
    assert document.read(document.write(pasted.issue)) == pasted.issue


@given(st.text(alphabet="<>/ abhp123ulidrsc='\"=&;\n", max_size=80))
@settings(deadline=None, max_examples=200)
def test_broken_markup_is_read_like_a_browser_would(text: str) -> None:
    try:
        issue = paste("<p>" + text + "</p>").issue
    except PasteEmpty:
        return
    assert document.read(document.write(issue)) == issue


TITLE_WORDS = ["Red", "Paper", "Kite", "Shop", "Opens", "Again", "In", "Town", "小店", "AI"]
name = st.lists(st.sampled_from(TITLE_WORDS), min_size=2, max_size=7)
story = st.tuples(name.map(" ".join), st.lists(st.sampled_from([P, Q]), min_size=1, max_size=3))


@given(
    st.lists(story, min_size=2, max_size=12), st.sampled_from(["\n", "\n\n"]), st.sampled_from(".)")
)
@settings(deadline=None, max_examples=100)
def test_headlines_of_any_numbered_digest_are_found(
    stories: list[tuple[str, list[str]]], glue: str, dot: str
) -> None:
    lines = ["Hello and welcome to the paper."]
    for number, (title, paragraphs) in enumerate(stories, start=1):
        lines += [f"{number}{dot} {title}", *paragraphs]

    issue = paste(glue.join(lines)).issue

    assert [item.title for item in issue.items] == [title for title, _ in stories]
    assert [item.body for item in issue.items] == ["\n\n".join(texts) for _, texts in stories]


def test_a_text_too_long_or_empty_is_refused_with_a_sentence() -> None:
    with pytest.raises(PasteTooLong, match="5,000,000 characters"):
        paste("x" * 5_000_000)
    with pytest.raises(PasteTooLong, match="more than 50,000 lines"):
        paste("a\n" * 200_000)
    for nothing in ("", " \n\u200b\n", "top of page\n---\n"):
        with pytest.raises(PasteEmpty, match="paste a digest"):
            paste(nothing)


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "1. a b\nc d.\n",
            "1. a\n",
            "2. x\n",
            "Big News\n",
            "Big News\n\nText here.\n\n",
            "a",
            " ",
        ),
        *(
            "(",
            "[[",
            "https://a.example/",
            "http ",
            "🇨🇳",
            "- b\n",
            "By A",
            "x\n",
            "<p>",
            "<p>a</p>",
        ),
        *("<b", "*_`", "a:\n", ". ", "Aa. B", "9", ".", "\n", "\u00a0", "@a.", "(aa)"),
        *("1. a\n2. b\n", "x\nhttps://a.example/1\n"),
    ],
)
def test_reading_takes_time_in_proportion_to_the_text(unit: str) -> None:
    def seconds(length: int) -> float:
        text = "Word " + (unit * (length // len(unit) + 1))[:length]
        text = text[5:] if unit.startswith("<") else text
        started = time.perf_counter()
        with contextlib.suppress(PasteEmpty):
            paste(text)
        return time.perf_counter() - started

    # Four times the text in four times the time; sixteen would be the square of it.
    assert min(seconds(60_000), seconds(60_000)) < max(12 * seconds(15_000), 0.5)
