"""Bodies: CommonMark into clean HTML and into plain text, both from one reading.

Read once per distinct body and kept; what depends on the edition (link numbers, styles, language)
is put on afterwards. HTML in a body is text. nh3 goes over the result all the same.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape, unescape
from typing import Final

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

from mailer.rendering import fields, typeset
from mailer.rendering.plaintext import Block

LONGEST: Final = 60_000  # characters of one body
DEEPEST: Final = 64  # tags, quotes or lists inside one another

_ALLOWED = "a b blockquote br code em h1 h2 h3 h4 h5 h6 hr i li ol p pre s strong sub sup ul"
_TAGS = frozenset(_ALLOWED.split())
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
_UNWANTED_ATTRIBUTES = re.compile(r' (?:class|title)="[^"]*"')
_TAG = re.compile(r'(<(?:"[^"]*"|[^">])*>)')
_HREF = re.compile(r'<a href="([^"]*)"')
_TAG_NAME = re.compile(r"</?([a-z0-9]+)")
_SOURCE_TAG = re.compile(r"<(/?)[A-Za-z][^<>]*?(/?)>")
LINK_OPEN, LINK_CLOSE = (
    "\ufdd2",
    "\ufdd3",
)  # noncharacters, as in fields: cannot be written by anyone
_LINK = re.compile(f"{LINK_OPEN}([^{LINK_CLOSE}]*){LINK_CLOSE}")

Href = Callable[[str, str], str]
"""From a target and the words that carry it to what the link holds."""


class BodyUnfit(ValueError):
    """A body that cannot be read safely; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Prose:
    """A body as read: HTML with raw targets, and blocks of text with targets in marks."""

    html: str
    blocks: tuple[Block, ...]


def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False, "maxNesting": 20})
    reader.add_render_rule(
        "image", lambda _self, tokens, at, _options, _env: escape(tokens[at].content)
    )
    return reader


_READER = _reader()


@lru_cache(maxsize=4096)
def read(source: str) -> Prose:
    """The body in both forms. Raises BodyUnfit for one too long or nested too deep."""
    text = fields.clean(source)
    if len(text) > LONGEST:
        raise BodyUnfit(f"{len(text)} characters of text; {LONGEST} are the most")
    if (deep := _depth(text)) > DEEPEST:
        raise BodyUnfit(f"tags nested {deep} deep; {DEEPEST} are the most")
    tokens = _READER.parse(text)
    html = nh3.clean(
        _READER.renderer.render(tokens, _READER.options, {}),
        tags=set(_TAGS),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        url_schemes={"http", "https", "mailto", "tel"},
        link_rel=None,
    )
    return Prose(html.strip().replace(">\n<", "><"), tuple(_blocks(tokens)))


def _depth(text: str) -> int:
    """How deep HTML-like tags in the source would nest, were they not shown as text."""
    depth = deepest = 0
    for found in _SOURCE_TAG.finditer(text):
        if not found[2]:
            depth = max(0, depth - 1) if found[1] else depth + 1
            deepest = max(deepest, depth)
    return deepest


def dressed(
    prose: Prose, *, language: str, level: int, attributes: Mapping[str, str], href: Href
) -> str:
    """The HTML for one edition: links through `href`, tags with a theme's attributes.

    Headings of a body become `level`, whatever rank their author gave them, so that ranks never
    skip. Raises fields.UnknownField, and what `href` raises.
    """
    parts = _TAG.split(prose.html)
    out = []
    for number, part in enumerate(parts):
        if number % 2 == 0:
            out.append(typeset.passage(part, language) if part else "")
            continue
        tag = re.sub(r"^(</?)h[1-6]", rf"\g<1>h{level}", _UNWANTED_ATTRIBUTES.sub("", part))
        if link := _HREF.match(part):
            words = re.sub("<[^>]*>", "", "".join(parts[number + 1 :]).partition("</a>")[0])
            target = escape(href(unescape(link[1]), unescape(words)))
            tag = f'<a href="{target}">'
        name = _TAG_NAME.match(tag)
        if name and tag[1] != "/" and (more := attributes.get(_family(name[1]))):
            tag = f"<{name[1]} {more}{tag[len(name[1]) + 1 :]}"
        out.append(tag)
    return "".join(out)


def _family(name: str) -> str:
    return "heading" if re.fullmatch("h[1-6]", name) else name


def linked(text: str, href: Href, *, first: int = 1) -> tuple[str, tuple[str, ...]]:
    """A block's text with `[1]` where a link ends, counted from `first`, and the links in order."""
    found: list[str] = []

    def note(link: re.Match[str]) -> str:
        words, _, target = link[1].rpartition("\x00")
        leads = href(target, words)
        if leads.removeprefix("mailto:") == words:
            return ""  # the words say where it leads
        found.append(leads)
        return f" [{first + len(found) - 1}]"

    return _LINK.sub(note, text), tuple(found)


def _blocks(tokens: Sequence[Token]) -> list[Block]:
    """Paragraphs, list entries, quotes and code, each with what its lines begin with."""
    blocks: list[Block] = []
    prefixes: list[str] = []  # of the containers we are in
    counters: list[int | None] = []  # of the lists we are in: the next number, None for bullets
    bullet = ""  # of the list entry whose first block comes next
    for token in tokens:
        match token.type:
            case "blockquote_open":
                prefixes.append("> ")
            case "bullet_list_open":
                counters.append(None)
            case "ordered_list_open":
                counters.append(int(token.attrGet("start") or 1))
            case "list_item_open":
                bullet = _bullet(counters)
                prefixes.append(" " * len(bullet))
            case "blockquote_close" | "list_item_close":
                prefixes.pop()
            case "bullet_list_close" | "ordered_list_close":
                counters.pop()
            case "inline" | "fence" | "code_block" | "hr":
                rest = "".join(prefixes)
                first = rest[: len(rest) - len(bullet)] + bullet
                blocks.append(
                    Block(first, rest, _text(token), tight=token.hidden or bool(counters))
                )
                bullet = ""
    return blocks


def _bullet(counters: list[int | None]) -> str:
    number = counters[-1]
    if number is None:
        return "- "
    counters[-1] = number + 1
    return f"{number}. "


def _text(token: Token) -> str:
    if token.type == "hr":
        return "* * *"
    if token.type != "inline":
        return token.content.rstrip("\n")
    out: list[str] = []
    links: list[tuple[str, int]] = []
    for child in token.children or ():
        match child.type:
            case "text" | "code_inline" | "image":
                out.append(child.content)
            case "softbreak":
                out.append(" ")
            case "hardbreak":
                out.append("\n")
            case "link_open":
                links.append((str(child.attrGet("href") or ""), len(out)))
            case "link_close":
                target, start = links.pop()
                words = "".join(out[start:])
                out.append(f"{LINK_OPEN}{words}\x00{target}{LINK_CLOSE}")
    return "".join(out)
