"""Bodies become clean HTML and readable text; what is not CommonMark stays visible text."""

import html
import re

import pytest

from mailer.rendering import prose
from mailer.rendering.plaintext import laid_out
from mailer.rendering.prose import BodyUnfit


def as_html(source: str, language: str = "en") -> str:
    return prose.dressed(
        prose.read(source),
        language=language,
        level=4,
        attributes={"p": 'style="margin:0"', "heading": 'class="x"'},
        href=lambda url, words: f"{url}?{len(words)}",
    )


def as_text(source: str) -> str:
    return laid_out(prose.read(source).blocks)


def test_tags_get_a_themes_attributes_and_links_go_through_the_table() -> None:
    assert as_html("A [shop](https://tea.example/ 'title') **now**") == (
        '<p style="margin:0">A <a href="https://tea.example/?4">shop</a> <strong>now</strong></p>'
    )


def test_headings_of_a_body_take_the_rank_that_does_not_skip() -> None:
    assert as_html("# One\n\n##### Two") == '<h4 class="x">One</h4><h4 class="x">Two</h4>'


@pytest.mark.parametrize(
    "source",
    [
        "</mj-text><mj-raw>",
        '<mj-include path="/etc/passwd"/>',
        "<![CDATA[x]]>",
        "a < b",
        "<p>unclosed",
        "<script>alert(1)</script>",
        '<img src=x onerror="alert(1)">',
        "<svg/onload=alert(1)>",
        "<!-- comment -->",
    ],
)
def test_html_in_a_body_is_shown_as_text(source: str) -> None:
    made = as_html(source)

    assert re.findall(r"<[^>]*>", made) in (['<p style="margin:0">', "</p>"], ["<p>", "</p>"])
    assert html.unescape(re.sub(r"<[^>]*>", "", made)).strip() == source


@pytest.mark.parametrize("target", ["javascript:alert(1)", "data:text/html,x", "vbscript:x"])
def test_acceptance_9_an_active_link_in_a_body_leads_nowhere(target: str) -> None:
    assert "href" not in as_html(f"[x](<{target}>)")


def test_a_picture_in_a_body_is_its_alt() -> None:
    assert as_html("![a cup](https://tea.example/cup.png)") == '<p style="margin:0">a cup</p>'


def test_fields_are_filled_in_text_and_never_inside_a_tag() -> None:
    assert as_html("Dear {{ first_name|reader }}, *{{ name }}*").count("\ufdd0") == 2
    assert "\ufdd0" not in as_html("[x](https://tea.example/{{email}})")


@pytest.mark.parametrize("source", ["<b>" * 20_000, "<div>" * 65 + "x" + "</div>" * 65])
def test_acceptance_6_a_body_nested_too_deep_is_refused_in_plain_words(source: str) -> None:
    with pytest.raises(BodyUnfit, match=r"are the most"):
        prose.read(source)


@pytest.mark.parametrize(
    "source", ["[" * 20_000, ">" * 5_000 + "x", "`" * 600 + "x", "[a](" * 9000]
)
def test_hostile_markdown_ends_in_time(source: str) -> None:
    assert prose.read(source).html


def test_text_has_lists_quotes_code_and_breaks_without_marks() -> None:
    source = (
        "First *line*\nsame line\\\nnext line\n\n- one\n- two\n  1. deep\n  2. er\n\n"
        "> quoted\n\n    code\n\n---\n\n3. three\n4. four"
    )

    assert as_text(source) == (
        "First line same line\nnext line\n\n- one\n- two\n  1. deep\n  2. er\n\n"
        "> quoted\n\ncode\n\n* * *\n\n3. three\n4. four"
    )


def test_links_in_text_are_numbered_and_listed() -> None:
    block = prose.read("A [shop](https://tea.example/) and <https://cup.example/>").blocks[0]

    text, links = prose.linked(block.text, lambda url, words: f"{url}#{words}", first=3)

    assert text == "A shop [3] and https://cup.example/ [4]"
    assert links == ("https://tea.example/#shop", "https://cup.example/#https://cup.example/")


def test_a_link_whose_words_say_where_it_leads_is_not_repeated() -> None:
    block = prose.read("[desk@dibao.example](mailto:desk@dibao.example)").blocks[0]

    assert prose.linked(block.text, lambda url, _: url) == ("desk@dibao.example", ())
