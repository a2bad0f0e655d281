"""Simple HTML as lines of the same kind as pasted text; headings, links and pictures are known."""

import re
from dataclasses import replace
from html.parser import HTMLParser

from mailer.content import commonmark
from mailer.content import paste_words as words
from mailer.content.document_rules import broken
from mailer.content.paste_lines import Form, Line, formed, headed

_BLOCKS = {
    *("html", "body", "header", "footer", "main", "section", "article", "aside", "nav", "div"),
    *("center", "p", "pre", "br", "hr", "blockquote", "ul", "ol", "li", "table", "tr", "td", "th"),
    *("figure", "figcaption", "h1", "h2", "h3", "h4", "h5", "h6"),
}
_SILENT = {"script", "style", "head", "template", "svg", "noscript"}
_TAG = re.compile(
    r"<(?:html|body|h[1-6]|p|div|li|a|br|table|img|ul)\b[^<>]{0,2000}>", re.IGNORECASE
)
_CLOSED = re.compile(r"</(?:html|body|h[1-6]|p|div|li|a|table|ul)\s*>|<(?:br|img)\b", re.IGNORECASE)


def is_html(text: str) -> bool:
    """Whether a paste is markup rather than text that shows some."""
    start = text[:4000].lstrip()
    return start.startswith("<") and bool(_TAG.search(start)) and bool(_CLOSED.search(text))


def lines_of_html(text: str) -> list[Line]:
    """The lines a browser would show, each with the form it has."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    reader.end_line()
    return reader.lines


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[Line] = []
        self._pieces: list[tuple[str, str]] = []  # text, address it leads to
        self._start = 1  # input line of the first piece
        self._level = 0
        self._silent: list[str] = []
        self._href = ""
        self._lists: list[int] = []  # 0 for bullets, else the next number
        self._mark = 0  # of the line: 0 none, -1 bullet, else a number

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in _SILENT:
            self._silent.append(tag)
        if tag in _BLOCKS:
            self.end_line()
        if tag in {"ul", "ol"}:
            self._lists.append(1 if tag == "ol" else 0)
        elif tag == "li":
            self._mark = self._next_mark()
        elif re.fullmatch("h[1-6]", tag):
            self._level = int(tag[1])
        elif tag == "a":
            self._href = given.get("href", "").strip()
        elif tag == "img":
            self._picture(given)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._silent:
            del self._silent[self._silent.index(tag) :]
        if tag in _BLOCKS:
            self.end_line()
        if tag in {"ul", "ol"} and self._lists:
            self._lists.pop()
        elif tag == "a":
            self._href = ""

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        if data.strip() and not self._pieces:
            skipped = data[: len(data) - len(data.lstrip())]
            self._start = self.getpos()[0] + skipped.count("\n")
        if data.strip() or self._pieces:
            self._pieces.append((data, self._href))

    def end_line(self) -> None:
        """Finish the line of the block that ends here."""
        pieces, self._pieces = self._pieces, []
        level, self._level = self._level, 0
        mark, self._mark = self._mark, 0
        text = _clean("".join(text for text, _ in pieces))
        if not text:
            self._mark, self._level = mark, level
            return
        self.lines.append(_line(Line(self._start, text, gap=1), pieces, level, mark))

    def _next_mark(self) -> int:
        if not self._lists or not self._lists[-1]:
            return -1
        self._lists[-1] += 1
        return self._lists[-1] - 1

    def _picture(self, given: dict[str, str]) -> None:
        url, alt = given.get("src", "").strip(), _clean(given.get("alt", ""))
        url = "" if broken("url", url) else url
        tiny = given.get("width") in {"0", "1"} or given.get("height") in {"0", "1"}
        if tiny or self._silent or not (url or alt):  # a counting pixel
            return
        self.end_line()
        line = Line(self.getpos()[0], alt or url, 1, Form.CAPTION, alt or url, image=(url, alt))
        self.lines.append(line)


def _line(line: Line, pieces: list[tuple[str, str]], level: int, mark: int) -> Line:
    urls = [_href(href) for text, href in pieces if text.strip() and _href(href)]
    markdown = _markdown(pieces)
    if level:
        return replace(headed(line, level), urls=tuple(urls[:1]))
    if mark:
        form = Form.BULLET if mark < 0 else Form.NUMBERED
        return replace(line, form=form, rest=line.text, ordinal=max(mark, 0), markdown=markdown)
    found = formed(line)
    whole = len(urls) == 1 and _clean("".join(t for t, href in pieces if href)) == line.text
    if whole and found.form not in {Form.RELATED, Form.CALL} and _is_pointer(found):
        return replace(found, form=Form.SOURCE, urls=tuple(urls), rest=line.text)
    if found.form in {Form.RELATED, Form.CALL} and urls:
        return replace(found, urls=tuple(urls))
    if found.form in {Form.HEADLINE, Form.FRAGMENT} and urls:
        found = replace(found, form=Form.PROSE)
    return replace(found, markdown=markdown) if urls else found


def _is_pointer(line: Line) -> bool:
    return line.form in {Form.POINTER, Form.SOURCE} or len(line.text.split()) <= 6


def _href(href: str) -> str:
    return "" if not href or broken("url", href) else href


def _markdown(pieces: list[tuple[str, str]]) -> str:
    """The pieces as one CommonMark paragraph."""
    if not any(_href(href) for _, href in pieces):
        return ""
    parts: list[str] = []
    for text, href in pieces:
        shown = words.INVISIBLE.sub(" ", text)
        flat = re.sub(r"\s+", " ", shown)
        if _href(href) and flat.strip():
            before = " " if flat[0] == " " else ""
            after = " " if flat[-1] == " " else ""
            parts.append(f"{before}{commonmark.link(flat.strip(), _href(href))}{after}")
        else:
            parts.append(commonmark.inline(flat))
    joined = re.sub(r" {2,}", " ", "".join(parts)).strip()
    return "\\" + joined if re.match(r"[#>+=~-]", joined) else joined


def _clean(text: str) -> str:
    return re.sub(r"\s+", " ", words.INVISIBLE.sub(" ", text)).strip(" \u200b\u2060\ufeff").strip()
