"""The lines of a pasted digest: cleaned, numbered, re-joined, and what each looks like by itself.

A form is what a line looks like on its own; what it is for is decided with its neighbours, in
`paste_headlines`. No word here is taken from any one digest: the lists hold what pages and
newsletters in general say.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from mailer.content import paste_words as words
from mailer.content.document_rules import broken


class Form(StrEnum):
    """What a line looks like."""

    PROSE = "prose"
    HEADLINE = "headline"  # short, capital first, no full stop: may be one
    FRAGMENT = "fragment"  # short, no capital, no full stop: a caption, or words cut off
    NUMBERED = "numbered"
    BULLET = "bullet"
    LABEL = "label"  # "Context:"
    SOURCE = "source"  # nothing but addresses, perhaps with a word before and a note after
    POINTER = "pointer"  # "Read more": words of a link that lost its address
    RELATED = "related"  # starts with an emoji
    CALL = "call"  # "click here"
    CLOSING = "closing"  # "Wrapping up"
    CAPTION = "caption"  # "Photo: ..."
    BYLINE = "byline"
    DATE = "date"
    RATING = "rating"
    CHROME = "chrome"  # belongs to the page it was copied from
    RULE = "rule"  # a line of signs


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank."""

    number: int  # in the input, from 1
    text: str
    gap: int = 0  # blank lines before it
    form: Form = Form.PROSE
    rest: str = ""  # the text without number, bullet, emoji, label of a link
    ordinal: int = 0  # of a numbered line
    emoji: str = ""
    urls: tuple[str, ...] = ()
    note: str = ""  # behind an address: "in Chinese"
    publisher: str = ""  # before one: "Source: The Journal (https://...)"
    joined: tuple[int, ...] = ()  # numbers of further input lines that were cut off this one
    markdown: str = ""  # where the input knew links and emphasis (HTML)
    level: int = 0  # of a heading the input marked as such
    image: tuple[str, str] = ("", "")  # address and alt of a picture in the input

    @property
    def numbers(self) -> tuple[int, ...]:
        """All input lines in it."""
        return (self.number, *self.joined)


def lines_of(text: str) -> list[Line]:
    """The lines of a text that hold something, each with the form it has."""
    lines = _without_stars(_rejoined(_unwrapped(list(_raw(text)))))
    marked = [words.MARKDOWN.match(line.text) for line in lines]
    if sum(map(bool, marked)) < 2:  # a lone one may be "# 1" or a hash tag
        return [formed(line) for line in lines]
    return [
        headed(replace(line, text=found[2]), len(found[1])) if found else formed(line)
        for line, found in zip(lines, marked, strict=True)
    ]


def headed(line: Line, level: int) -> Line:
    """A line the input marked as a heading."""
    found = formed(line)
    form = Form.NUMBERED if found.form is Form.NUMBERED else Form.HEADLINE
    return replace(found, form=form, level=level)


def formed(line: Line) -> Line:
    """The line with its form and what belongs to that."""
    text = line.text
    for form, fits in _FIXED:
        if fits(text):
            return replace(line, form=form, rest=text)
    if urls := _urls(text):
        return replace(line, form=Form.SOURCE, urls=urls[0], note=urls[1], rest=text)
    if (found := words.CREDITED.match(text)) and not broken("url", found[2]):
        return replace(line, form=Form.SOURCE, urls=(_url(found[2]),), publisher=found[1].strip())
    if len(text) < 120 and (found := words.DATED.match(text)):
        return replace(line, form=Form.DATE, rest=found[2], note=found[1].strip())
    return _marked(line, text) or replace(line, form=_by_shape(text), rest=text)


def _marked(line: Line, text: str) -> Line | None:
    """The line where it starts with a mark: a number, a bullet, an emoji, "By"."""
    if found := words.BYLINE.match(text):
        return replace(line, form=Form.BYLINE, rest=(found[1] or found[2]).strip())
    if found := words.NUMBERED.match(text):
        return replace(line, form=Form.NUMBERED, ordinal=int(found[1] or found[2]), rest=found[3])
    if found := words.BULLET.match(text):
        return replace(line, form=Form.BULLET, rest=found[1])
    if (found := words.EMOJI.match(text)) and found[2]:
        return replace(line, form=Form.RELATED, emoji=found[1].strip(), rest=found[2])
    return None


def title_case(text: str) -> bool:
    """Whether nearly every longer word starts with a capital."""
    found = words.WORD.findall(text)
    long = [w for w in found if len(w) > 3 and w.lower() not in words.SMALL]  # not "a", "the"
    capital = sum(not word[0].islower() for word in long)
    return bool(long) and capital >= 0.8 * len(long)  # one slip in five


def ends_sentence(text: str) -> bool:
    """Whether the text ends as sentences do."""
    bare = text.rstrip("\"'”’)]»」』）")  # noqa: RUF001  # the quotes people use
    return bare.endswith(_STOPS) and not words.ABBREVIATED.search(bare)


_STOPS = (".", "!", "?", "…", "。", "！", "？")  # noqa: RUF001


def _without_stars(lines: list[Line]) -> list[Line]:
    """Lines that are bold as a whole, Markdown's way, where there are several: headlines."""
    bold = [words.BOLD.match(line.text) for line in lines]
    if sum(map(bool, bold)) < 2:
        return lines
    return [
        replace(line, text=found[2].strip() or line.text) if found else line
        for line, found in zip(lines, bold, strict=True)
    ]


def _raw(text: str) -> Iterator[Line]:
    gap = 0
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        clean = words.INVISIBLE.sub(" ", line).strip(" \u200b\u2060\ufeff").strip()
        if not clean:
            gap += 1
            continue
        yield Line(number, clean, gap)
        gap = 0


def _unwrapped(lines: list[Line]) -> list[Line]:
    """Join lines that a mail program cut at a margin, where most of them were."""
    longest = max((len(line.text) for line in lines), default=0)
    inner = [line for line, after in pairwise(lines) if not after.gap]
    long = [line for line in inner if len(line.text) > 0.7 * longest]
    full = [line for line in long if not ends_sentence(line.text)]
    if not 40 <= longest <= 100 or len(inner) < 4 or len(full) < 0.5 * len(inner):
        return lines
    joined: list[Line] = []
    for line in lines:
        cut = joined and not line.gap and len(_last_line(joined[-1])) > 0.7 * longest
        if cut and not (_urls(line.text) or words.MARKED.match(line.text)):
            joined[-1] = _with(joined[-1], line, " ")
        else:
            joined.append(replace(line, rest=line.text))
    return [replace(line, rest="") for line in joined]


def _last_line(line: Line) -> str:
    return line.rest  # while unwrapping: the input line that was joined last


def _rejoined(lines: list[Line]) -> list[Line]:
    """Put back together what was cut around an inline link: "on JD.com" / ". All of it"."""
    joined: list[Line] = []
    for line in lines:
        before = joined[-1] if joined else None
        if before is None or not words.CONTINUED.match(line.text) or ends_sentence(before.text):
            joined.append(line)
            continue
        if len(joined) > 1 and _cut_off(joined[-2], before):
            joined[-2:] = [_with(joined[-2], before, " ")]
        joined[-1] = _with(joined[-1], line, "")
    return joined


def _cut_off(before: Line, link: Line) -> bool:
    """Whether a line stops in mid-sentence and the next is the short text of a link."""
    longer = len(before.text.split()) > 7 and before.text[-1].islower()
    return longer and len(link.text.split()) <= 6 and not _urls(link.text)


def _with(line: Line, more: Line, glue: str) -> Line:
    text = f"{line.text}{glue}{more.text}"
    return replace(line, text=text, rest=more.text, joined=(*line.joined, *more.numbers))


def _urls(text: str) -> tuple[tuple[str, ...], str] | None:
    """The addresses of a line that holds nothing else, and the note behind them."""
    start = text.find("http")
    label = text[:start].strip() if start >= 0 else ""
    if start < 0 or len(label) > 40 or (label and label[-1] not in ":：<"):  # noqa: RUF001
        return None
    tail, note = text[start:], ""
    if found := words.NOTE.search(tail):
        tail, note = tail[: found.start()], found[1]
    urls = [_url(word) for word in tail.split() if word.strip("<>,;|&.") not in {"", "and"}]
    if not urls or any(broken("url", url) or not url.startswith("http") for url in urls):
        return None
    return tuple(urls), note


def _url(word: str) -> str:
    url = word.strip("<>").rstrip(".,;:!?…。，；、>")  # noqa: RUF001
    return url[:-1] if url.endswith(")") and "(" not in url else url


def _by_shape(text: str) -> Form:
    count = len(text.split())
    if count <= 10 and text.endswith((":", "：")) and len(text) <= 90 and _single(text):  # noqa: RUF001
        return Form.LABEL
    wide = len(words.WIDE.findall(text))
    if count > 18 or len(text) > 140 or wide > 45 or not _single(text):  # long headlines
        return Form.PROSE
    stopped = ends_sentence(text) and not text.endswith(("?", "!"))
    if stopped or text[-1] in ",;:—–-，；、：（(":  # noqa: RUF001
        return Form.PROSE
    first = text.lstrip("\"'“‘(«「『（[¿¡")  # noqa: RUF001
    if not words.WORD.search(first):
        return Form.PROSE
    if first[0].islower() and not words.CAMEL.match(first):
        return Form.FRAGMENT if count <= 10 else Form.PROSE
    return Form.HEADLINE


def _single(text: str) -> bool:
    """Whether there is no full stop inside: one sentence, or none."""
    return not any(
        words.STOP.search(text[: found.end()]) and not words.ABBREVIATED.search(found[1])
        for found in words.INNER.finditer(text)
    )


def _is_chrome(text: str) -> bool:
    return len(text) < 60 and (
        text.casefold().strip(" .:!|>»→©").replace("’", "'") in words.CHROME  # noqa: RUF001
        or bool(words.CHROME_SHAPE.fullmatch(text))
    )


def _is_rule(text: str) -> bool:
    return not any(c.isalnum() for c in text) and not words.EMOJI.match(text)


_FIXED: tuple[tuple[Form, Callable[[str], bool]], ...] = (
    (Form.RULE, _is_rule),
    (Form.CHROME, _is_chrome),
    (Form.RATING, lambda text: len(text) < 120 and bool(words.RATING.search(text))),
    (Form.CLOSING, lambda text: bool(words.CLOSING.fullmatch(text))),
    (Form.POINTER, lambda text: bool(words.POINTER.fullmatch(text))),
    (Form.DATE, lambda text: bool(words.DATE.fullmatch(text))),
    (Form.CAPTION, lambda text: len(text) < 160 and bool(words.CAPTION.match(text))),
    (Form.CAPTION, lambda text: bool(words.FILE_NAME.fullmatch(text))),
    (Form.CALL, lambda text: len(text) < 240 and bool(words.CALL.search(text))),
)
