"""Plain text is wrapped by what a terminal shows, and addresses stay whole."""

import pytest

from mailer.rendering import plaintext
from mailer.rendering.fields import TOKEN, mark
from mailer.rendering.plaintext import Block, cells, laid_out, wrap


@pytest.mark.parametrize(
    ("text", "width"), [("tea", 3), ("茶", 2), ("e\u0301", 1), ("", 0), (f"/c/{TOKEN}", 15)]
)
def test_a_chinese_character_takes_two_cells(text: str, width: int) -> None:
    assert cells(text) == width


def test_lines_are_no_wider_than_asked_for() -> None:
    text = wrap("慢一点的快递更受欢迎，商家如此表示。" * 8 + " and more words " * 9)

    assert max(cells(line) for line in text.split("\n")) <= 72
    assert len(text.split("\n")) > 4


def test_closing_punctuation_does_not_begin_a_line() -> None:
    text = wrap("慢一点的快递更受欢迎，" * 30, width=22)

    assert not any(line.startswith("，") for line in text.split("\n"))


def test_an_address_is_never_broken() -> None:
    url = "https://example.org/" + "long/" * 40

    assert url in wrap(f"Read it at {url} today").split("\n")


def test_a_fields_default_is_never_broken() -> None:
    marked = mark("{{ name|dear reader of ours }} " * 12)

    assert all(line.count("\ufdd0") == line.count("\ufdd1") for line in wrap(marked).split("\n"))


def test_blocks_hang_and_lists_are_tight() -> None:
    blocks = [
        Block("", "", "Reasons:"),
        Block("- ", "  ", "one two three four", tight=True),
        Block("- ", "  ", "five", tight=True),
    ]

    assert laid_out(blocks, width=12) == "Reasons:\n\n- one two\n  three four\n- five"


def test_a_rule_is_as_wide_as_its_title() -> None:
    assert plaintext.rule("茶 tea") == "------"


def test_empty_lines_do_not_pile_up() -> None:
    assert plaintext.tidied("\n\na  \n\n\n\nb\n\n") == "a\n\nb\n"
