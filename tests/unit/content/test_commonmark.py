"""Plain text turned into CommonMark shows the same text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mailer.content import commonmark

ODD = [
    *("# a", "- a", "+ a", "* a", "1. a", "12) a", "> a", "---", "===", "~~~", "```", "_a_"),
    *("a_b_c", "*a*", "[a](b)", "![a](b)", "<b>", "<!-- a -->", "&amp;", "&#65;", "a\\b", "\\"),
    *("~~a~~", "https://a.example/b_c_d", "http://a.example/%E4", "ada@dibao.example", "| a | b |"),
    *("a  b", "[^1]: a", "[a]: b", "<https://a.example>", "https://a.example/<b>", "__a__"),
    *("www.a.example", "*", "`a`"),
]
words = st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_categories=["Cc", "Cs"])))
lines = st.lists(words, max_size=5).map(" ".join).map(str.strip)


def shown(text: str) -> str:
    (block,) = [token for token in MarkdownIt("commonmark").parse(text) if token.children]
    return "".join(child.content for child in block.children or [])


@given(lines.filter(bool))
def test_any_line_is_one_paragraph_with_the_same_text(text: str) -> None:
    written = commonmark.line(text)

    assert MarkdownIt("commonmark").parse(written)[0].type == "paragraph_open"
    assert shown(written) == text
    assert shown(f"**Label:** {commonmark.inline(text)}") == f"Label: {text}"
    assert shown(f"- {written}") == text


@pytest.mark.parametrize(
    ("text", "href"),
    [
        ("see https://a.example/b_c.", "https://a.example/b_c"),
        ("write to ada@dibao.example!", "mailto:ada@dibao.example"),
    ],
)
def test_addresses_in_a_text_become_links(text: str, href: str) -> None:
    assert f'href="{href}"' in MarkdownIt("commonmark").render(commonmark.line(text))


def test_words_that_lead_somewhere() -> None:
    html = MarkdownIt("commonmark").render(commonmark.link("a [b]", "https://a.example/(x)?y=<z>"))

    assert html == '<p><a href="https://a.example/(x)?y=%3Cz%3E">a [b]</a></p>\n'
