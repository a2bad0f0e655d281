"""Plain text laid out: wrapped by display width, where a Chinese character takes two cells.

A line holds at most 72 cells, an address or a field's mark is never broken.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wcwidth import wcswidth

from mailer.rendering import fields

WIDTH = 72  # cells
_FIELD_CELLS = 12  # kept free for a reader's value

_WIDE = (  # two cells each: Hangul, CJK, full-width forms
    "\u1100-\u115f\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60"
    "\U00020000-\U0003ffff"
)
_NOT_FIRST = (
    "\u3001\u3002\uff0c\uff0e\uff1b\uff1a\uff1f\uff01\uff09\u300b\u300d\u300f\u3011\u2019\u201d"
)
_UNIT = re.compile(  # a wide character with the closing punctuation after it, or a word
    f"[{_WIDE}][{_NOT_FIRST}]*| +|(?:{fields.MARK.pattern}|[^ {_WIDE}])+"
)


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph and what its first and its other lines begin with."""

    first: str  # "- "
    rest: str  # "  "
    text: str  # \\n is a break the author made
    tight: bool = False  # no empty line before it when another tight one went before


def cells(text: str) -> int:
    """How many cells the text takes in a fixed-width font."""
    if text.isascii() and text.isprintable():
        return len(text)
    if fields.OPEN in text:
        count = len(fields.MARK.findall(text))
        return count * _FIELD_CELLS + cells(fields.MARK.sub("", text))
    return max(wcswidth(text), 0) or len(text)


def wrap(text: str, *, first: str = "", rest: str | None = None, width: int = WIDTH) -> str:
    """The text in lines of at most `width` cells, an overlong word on a line of its own."""
    hanging = first if rest is None else rest
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lead = hanging if lines else first
        line, left = "", width - cells(lead)
        for found in _UNIT.finditer(paragraph):
            unit = found[0]
            size = cells(unit)
            if line and size > left and not unit.isspace():
                lines.append(lead + line.rstrip(" "))
                lead, line, left = hanging, "", width - cells(hanging)
            if line or not unit.isspace():
                line += unit
                left -= size
        lines.append((lead + line).rstrip(" "))
    return "\n".join(lines)


def laid_out(blocks: Iterable[Block], *, width: int = WIDTH) -> str:
    """Blocks one below the other: an empty line between paragraphs, none inside a tight list."""
    out: list[str] = []
    before: Block | None = None
    for block in blocks:
        if before is not None and not (before.tight and block.tight):
            out.append("")
        out.append(wrap(block.text, first=block.first, rest=block.rest, width=width))
        before = block
    return "\n".join(out)


def rule(text: str, sign: str = "-") -> str:
    """A line under the text, as wide as it is."""
    return sign * min(cells(text), WIDTH)


def indented(text: str, cells_of_space: int) -> str:
    """Each line but the empty ones moved to the right."""
    space = " " * cells_of_space
    return "\n".join(_moved(text.split("\n"), space))


def _moved(lines: Iterable[str], space: str) -> Iterator[str]:
    return (space + line if line else line for line in lines)


def tidied(text: str) -> str:
    """No trailing spaces, no two empty lines in a row, one break at the end."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip("\n") + "\n"
