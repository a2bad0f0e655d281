"""The issue file keeps every field of an issue, and says line by line what it cannot read."""

import datetime
import string
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.content.document import DocumentInvalid, decode, hash_of, read, write
from mailer.content.issue import (
    Figure,
    Image,
    Issue,
    IssueId,
    Item,
    Kind,
    Link,
    Numbering,
    Rating,
    Section,
    Source,
)
from mailer.content.slug import with_ids

HOSTILE = [
    *("# one", "## Two {#two .ai}", "### Three", "#### Four", "##### Five", "##", "###### six"),
    *("---", "...", "```", "````", "~~~", "```python", "    code", "key: value", "title: x"),
    *("{#id}", "{outro}", "a {.ai}", "{}", "- item", "* star", "> quote", "1. one", "| a | b |"),
    *("小红书", "🇨🇳", "💁🏻\u200d♀️", "a\u00a0b", "\u00a0", "é", "\u202f", "“q”", "\ufeff"),
    "\u2028",
    *("null", "~", "yes", "12", "2026-01-01", "!tag", "&a", "*a", "%", "@", "`", "'", '"', "\\"),
    *(": ", " #", "[", "]", "{", "}", ",", "?", "|", ">", "=", "<<", "\x85", "\t", "\x7f", "\x01"),
]
text_piece = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=8))
hostile = (
    st.lists(text_piece, max_size=6)
    .flatmap(
        lambda pieces: st.sampled_from(["\n", "\n\n", " ", ""]).map(lambda glue: glue.join(pieces))
    )
    .filter(lambda text: not any(0xD800 <= ord(c) < 0xE000 for c in text))
)
CONTROL = {*map(chr, range(32)), "\x7f", "\x85", "\u2028", "\u2029"}
one_line = hostile.map(lambda text: "".join(c for c in text if c not in CONTROL))
title = one_line.filter(lambda text: bool(text.strip()))
maybe_line = st.just("") | one_line
word = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=6)
urls = st.builds("https://{}.example/{}#?&=_*".format, word, word)
maybe_url = st.just("") | urls
language = st.sampled_from(["", "en", "zh-Hans"])
day = st.none() | st.dates()
number = st.integers(0, 999)
segments = st.lists(st.sampled_from(["ai", "luxury", "e-commerce"]), max_size=3).map(tuple)
pairs = st.lists(st.tuples(maybe_line, maybe_line), max_size=2).map(tuple)
lines = st.lists(maybe_line, max_size=2).map(tuple)
sources = st.builds(Source, urls, maybe_line, language, st.booleans(), maybe_line)
links = st.builds(Link, maybe_line, maybe_url, maybe_line)
images = st.builds(
    Image,
    *(maybe_url, maybe_line, maybe_line, maybe_line, maybe_url, number, number, st.booleans()),
    *(maybe_line, maybe_line, pairs),
)


def items(depth: int = 2) -> st.SearchStrategy[Item]:
    inner = st.lists(items(depth - 1), max_size=2).map(tuple) if depth else st.just(())
    return st.builds(
        Item,
        id=st.just(""),
        title=title,
        body=hostile,
        kind=st.sampled_from(Kind),
        url=maybe_url,
        label=maybe_line,
        number=number,
        segments=segments,
        sources=st.lists(sources, max_size=2).map(tuple),
        image=st.none() | images,
        related=st.lists(links, max_size=2).map(tuple),
        cta=st.none() | links,
        author=maybe_line,
        first_reported_by=maybe_line,
        language=language,
        country=maybe_line,
        tags=lines,
        figures=st.lists(st.builds(Figure, maybe_line, maybe_line, maybe_line), max_size=1).map(
            tuple
        ),
        feedback=st.booleans(),
        duplicate_of=st.just("") | word,
        embargo=day,
        expires=day,
        visible_if=maybe_line,
        correction=hostile,
        items=inner,
    )


sections = st.builds(
    Section,
    title=maybe_line,
    id=st.just("") | word,
    kind=st.sampled_from(Kind),
    segments=segments,
    restart_numbering=st.booleans(),
    item_cap=number,
    intro=hostile,
    items=st.lists(items(), max_size=2).map(tuple),
)
issues = st.builds(
    Issue,
    title=title,
    subject=maybe_line,
    id=st.none() | st.integers(1, 99).map(IssueId),
    number=number,
    slug=st.just("") | word,
    date=day,
    subjects=lines,
    preheader=maybe_line,
    language=st.sampled_from(["en", "zh-Hans"]),
    byline=maybe_line,
    byline_image=st.none() | images,
    greeting=hostile,
    sections=st.lists(sections, max_size=2).map(tuple),
    outro_title=maybe_line,
    outro=hostile,
    ctas=st.lists(links, max_size=2).map(tuple),
    contact=hostile,
    rating=st.none() | st.builds(Rating, maybe_line, number, maybe_line, maybe_line),
    comments_url=maybe_url,
    numbering=st.sampled_from(Numbering),
    extra=pairs,
)


@given(issues)
@settings(deadline=None, max_examples=100)
def test_every_field_survives_whatever_the_texts_look_like(issue: Issue) -> None:
    written = write(issue)

    assert read(written) == with_ids(issue)
    assert write(read(written)) == written


def test_the_property_above_speaks_of_every_field() -> None:
    """A field added to the model has to be added to the strategies."""
    named = {Issue: 21, Section: 8, Item: 25, Image: 11, Source: 5, Link: 3, Rating: 4, Figure: 3}

    assert {cls: len(fields(cls)) for cls in named} == named


@given(hostile)
@settings(deadline=None, max_examples=150)
def test_any_text_is_an_issue_or_is_refused_with_lines(text: str) -> None:
    for file in (text, f"---\ntitle: x\n---\n{text}", f"---\n{text}\n---\n"):
        places: list[int] = []
        try:
            issue = read(file)
        except DocumentInvalid as refused:
            places = [fault.line for fault in refused.faults if fault.message]
        else:
            assert write(read(write(issue))) == write(issue)
        assert all(place >= 1 for place in places)


def test_a_person_can_write_it_by_hand() -> None:
    issue = read(
        "---\ntitle: Yes\nnumber: 7\ndate: 2026-03-01\nctas:\n"
        "- text: Read on\n  url: https://dibao.example/on\n---\n"
        "Hello.\n\n## Shops {#shops .e-commerce}\n### A story\n"
        "sources: https://dibao.example/a\nsegments: [ai, luxury]\nfeedback: yes\n\n"
        "Told in\ntwo lines.\n\n### The long read\nkind: deep-dive\n\nIntro.\n"
        "#### Inside {#in}\nPart.\n## Bye {outro}\nTill then.\n"
    )

    assert issue.title == "Yes"
    assert (issue.number, issue.date) == (7, datetime.date(2026, 3, 1))
    assert issue.greeting == "Hello."
    (shops,) = issue.sections
    assert (shops.id, shops.segments) == ("shops", ("e-commerce",))
    story, read_on = shops.items
    assert (story.id, story.segments, story.feedback) == ("a-story", ("ai", "luxury"), True)
    assert story.sources == (Source("https://dibao.example/a"),)
    assert story.body == "Told in\ntwo lines."
    assert [(part.id, part.body) for part in read_on.items] == [("in", "Part.")]
    assert (issue.outro_title, issue.outro) == ("Bye", "Till then.")


def test_what_looks_like_a_heading_inside_a_code_fence_is_text() -> None:
    body = "See:\n\n```\n## not a section\n```\n\nSo."
    issue = Issue("T", sections=(Section(items=(Item("a", "A", body),)),))

    assert body in write(issue)
    assert read(write(issue)) == issue


def test_line_ends_and_a_byte_order_mark_of_other_systems_are_taken() -> None:
    file = "---\ntitle: T\n---\nHi.\n"

    assert read(decode(b"\xef\xbb\xbf" + file.replace("\n", "\r\n").encode())) == read(file)


HEAD = "---\ntitle: T\n---\n"


@pytest.mark.parametrize(
    ("file", "line", "says"),
    [
        ("", 1, "starts with a line of ---"),
        ("title: T\n", 1, "starts with a line of ---"),
        ("---\ntitle: T\n", 1, "never ends"),
        ("---\nsubject: S\n---\n", 1, "`title` is missing"),
        ("---\ntitle: T\nsubjet: S\n---\n", 3, "did you mean `subject`?"),
        ("---\ntitle: T\npre-header: S\n---\n", 3, "did you mean `preheader`?"),
        ("---\ntitle: T\ntitle: U\n---\n", 3, "stands here twice"),
        ("---\ntitle: T: U\n---\n", 2, "quote a value"),
        ("---\ntitle: T\nctas:\n\t- x\n---\n", 4, "a tab; indent with spaces"),
        ("---\n- title\n---\n", 2, "lines like `title: My issue`"),
        ("---\ntitle: T\ndate: tomorrow\n---\n", 3, "a day like 2026-03-01"),
        ("---\ntitle: T\nnumber: -1\n---\n", 3, "a number without a sign"),
        ("---\ntitle: T\nnumber: [1]\n---\n", 3, "takes one value"),
        ("---\ntitle: T\nnumbering: roman\n---\n", 3, "one of: none, issue, section"),
        ("---\ntitle: T\nlanguage: english!\n---\n", 3, "a language tag"),
        ("---\ntitle: T\ncomments_url: javascript:alert(1)\n---\n", 3, "https:// or http://"),
        ("---\ntitle: T\nctas:\n- url: https://dibao.example\n---\n", 4, "`ctas` needs text"),
        ("---\ntitle: T\nctas: Read on\n---\n", 3, "lines like `name: value`"),
        ('---\ntitle: "a\\nb"\n---\n', 2, "has to be one line"),
        ("---\ntitle: " + "[" * 3000 + "\n---\n", 2, "nested too deep"),
        ("---\ntitle: \x07\n---\n", 2, "a character that YAML does not take"),
        (HEAD + "# Big\n", 4, "the title of the issue stands in the front matter"),
        (HEAD + "### \n", 4, "an item without a title"),
        (HEAD + "### A {#a}\n\n### B {#a}\n", 6, "the id 'a' is taken (line 4)"),
        (HEAD + "### A {#a #b}\n", 4, "two ids"),
        (HEAD + "### A {#a ai}\n", 4, "'ai' in the braces is neither"),
        (HEAD + "### A\ntitle: B\n\nx\n", 4, "given as a key and in the text"),
        (HEAD + "### A\nsources: ftp://x.example/y\n\nx\n", 5, "not ftp:"),
        (HEAD + "### A\nsources:\n- url: /relative\n\nx\n", 6, "not '/relative'"),
        (HEAD + "### A\nsources:\n- note: x\n\nx\n", 6, "`sources` needs url"),
        (HEAD + "### A\nsegments: [AI]\n\nx\n", 5, "keys like e-commerce"),
        (HEAD + "### A\nnote: the body begins\n", 5, "'note' is no key here"),
        (HEAD + "#### A\n", 4, "needs an item of ### above it"),
        (HEAD + "## A {outro}\nx\n### B\n", 6, "the outro (line 4) comes last"),
        (HEAD + "### B {outro}\n", 4, "belongs on a ## heading"),
        (HEAD + "### A\n\n```\nx\n", 6, "never closed"),
    ],
)
def test_a_refusal_says_the_line_and_what_to_do(file: str, line: int, says: str) -> None:
    with pytest.raises(DocumentInvalid) as refused:
        read(file)

    assert [fault for fault in refused.value.faults if fault.line == line and says in fault.message]


def test_every_reason_is_given_at_once_in_order() -> None:
    with pytest.raises(DocumentInvalid) as refused:
        read("---\nnumber: x\n---\n### A {#a}\nkind: new\n\n### B {#a}\n")

    assert [fault.line for fault in refused.value.faults] == [1, 2, 5, 7]
    assert str(refused.value).splitlines()[0].startswith("line 1: ")


def test_bytes_that_are_not_utf_8_are_refused_with_their_line() -> None:
    with pytest.raises(DocumentInvalid, match="line 2: not UTF-8"):
        decode("---\ntitle: é\n".encode("latin-1"))


def test_ids_are_kept_and_missing_ones_made_from_titles_the_same_way_each_time() -> None:
    names = ["Kept", "Caf\u00e9's Big Day", "Caf\u00e9's Big Day", "小红书"]
    file = HEAD + "### Kept {#mine}\n\n" + "".join(f"### {name}\n\n" for name in names[1:])

    ids = [item.id for item in read(file).items]

    assert ids[:3] == ["mine", "cafes-big-day", "cafes-big-day-2"]
    assert ids[3].startswith("item-")
    assert ids == [item.id for item in read(file).items]


def test_the_hash_speaks_of_what_is_said_and_of_nothing_else() -> None:
    issue = read(HEAD + "### A\n\nx\n")

    assert hash_of(issue) == hash_of(replace(issue, id=IssueId(4)))
    assert hash_of(issue) != hash_of(replace(issue, greeting="Hi"))


def test_items_nested_deeper_than_headings_go_are_a_bug() -> None:
    item = Item("d", "D")
    for name in "cba":
        item = Item(name, name, items=(item,))

    with pytest.raises(ValueError, match="three deep"):
        write(Issue("T", sections=(Section(items=(item,)),)))
