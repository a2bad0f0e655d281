"""What a theme's MJML may contain: the part of MJML that our engine renders as the original does.

Read by expat, which knows the line of everything. Words and addresses are not here but in slots;
so an address in a theme is a slot or a fragment of the same page, and no host can creep in.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.entities import name2codepoint
from typing import Final
from xml.parsers import expat

from mailer.kit.errors import Invalid

LARGEST: Final = 512_000  # bytes
DEEPEST: Final = 64  # the engine crashes the whole process somewhere past a thousand
_ENTITIES = "".join(f'<!ENTITY {n} "&#{c};">' for n, c in name2codepoint.items() if c > 0x7F)
_DOCTYPE: Final = f"<!DOCTYPE mjml [{_ENTITIES}]>".encode()

_BOX = "padding padding-top padding-right padding-bottom padding-left css-class mj-class"
_FONT = "align color font-family font-size font-style font-weight letter-spacing line-height"
_BLOCK = f"{_BOX} {_FONT} container-background-color height text-decoration text-transform"
_BORDER = "border border-top border-right border-bottom border-left border-radius"
_GROUND = "background-color background-url background-size background-repeat background-position"
ATTRIBUTES: Final = {
    tag: frozenset(names.split())
    for tag, names in {
        "mjml": "lang dir",
        "mj-head": "",
        "mj-title": "",
        "mj-preview": "",
        "mj-breakpoint": "width",
        "mj-style": "",
        "mj-attributes": "",
        "mj-raw": "",
        "mj-body": "width background-color css-class",
        "mj-wrapper": f"{_BOX} {_BORDER} {_GROUND} full-width text-align",
        "mj-section": f"{_BOX} {_BORDER} {_GROUND} full-width text-align direction",
        "mj-column": f"{_BOX} {_BORDER} background-color width vertical-align direction"
        " inner-background-color",
        "mj-text": _BLOCK,
        "mj-button": f"{_BLOCK} {_BORDER} background-color href inner-padding rel target title"
        " text-align vertical-align width",
        "mj-image": f"{_BOX} {_BORDER} align alt href height rel src target title width"
        " fluid-on-mobile container-background-color",
        "mj-divider": f"{_BOX} align border-color border-style border-width width"
        " container-background-color",
        "mj-spacer": f"{_BOX} height container-background-color",
        "mj-social": f"{_BOX} {_FONT} mode icon-size icon-height inner-padding border-radius",
        "mj-social-element": f"{_BOX} {_FONT} src href alt title name icon-size background-color",
        "mj-hero": f"{_BOX} {_GROUND} mode height width vertical-align background-height"
        " background-width border-radius",
    }.items()
}
"""Every MJML tag a theme may use, with its attributes."""

_CONTENT = "mj-text mj-button mj-image mj-divider mj-spacer mj-social mj-raw"
CHILDREN: Final = {
    tag: frozenset(names.split())
    for tag, names in {
        "": "mjml",
        "mjml": "mj-head mj-body",
        "mj-head": "mj-title mj-preview mj-breakpoint mj-style mj-attributes mj-raw",
        "mj-body": "mj-wrapper mj-section mj-hero mj-raw",
        "mj-wrapper": "mj-section mj-raw",
        "mj-section": "mj-column mj-raw",
        "mj-column": _CONTENT,
        "mj-hero": _CONTENT,
        "mj-social": "mj-social-element",
    }.items()
}
_HTML_TAGS = (
    "a b bdi blockquote br code div em h1 h2 h3 h4 h5 h6 hr i img li meta ol p pre s small span"
    " strong sub sup table tbody td th tr ul"
)
_HTML = frozenset(_HTML_TAGS.split())
_HOLDS_HTML = frozenset({"mj-text", "mj-raw", "mj-button"})
_INSTEAD: Final = {
    "mj-include": "compose with Jinja's include",
    "mj-table": 'write <table role="presentation"> inside mj-text',
    "mj-carousel": "use mj-image",
    "mj-navbar": "use links in mj-text",
    "mj-accordion": "use mj-text",
    "mj-group": "use mj-column",
    "mj-html-attributes": "write the attributes where they belong",
    "mj-font": "fonts are never fetched; name installed ones in font-family",
}
_ADDRESSES = frozenset({"href", "src", "background-url", "background", "action"})
_ADDRESS = re.compile(r"(?:z[0-9a-f]{12}x\d+z)?|#[a-z][a-z0-9-]*")
_COLOUR = re.compile(r"#[0-9a-f]{6}|transparent|none", re.IGNORECASE)
_LENGTHS = re.compile(r"(?:padding|inner-padding|border-radius)")
_WIDTH = re.compile(r"\d+(?:px|%)")
_SHORT_HEX = re.compile(r"#[0-9a-f]{3}(?![0-9a-f])", re.IGNORECASE)
_ACTIVE_CSS = re.compile(r"url\s*\(|expression\s*\(|@import|javascript:", re.IGNORECASE)
_BROKEN_VALUE = re.compile(r"""=\s*(?:"[^"]*[\n\r\t\\][^"]*"|'[^']*[\n\r\t\\][^']*')""")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something a theme may not contain, and where."""

    line: int  # from 1
    column: int  # from 1
    message: str


class MjmlInvalid(Invalid):
    """A theme's MJML is not well-formed or holds what our engine renders wrongly."""

    def __init__(self, name: str, found: tuple[Problem, ...]) -> None:
        self.name, self.problems = name, found
        self.line, self.column = found[0].line, found[0].column
        super().__init__("\n".join(f"{name}:{p.line}:{p.column}: {p.message}" for p in found[:20]))


class _TooDeep(Exception):
    """Reading stops: what follows would only repeat it."""


@dataclass(slots=True)
class _Reading:
    """One pass of expat over a document."""

    source: bytes
    parser: expat.XMLParserType
    found: list[Problem] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def say(self, message: str) -> None:
        line, column = self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber
        shift = len(_DOCTYPE) if line == 1 else 0
        self.found.append(Problem(line, column - shift + 1, message))

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        parent = self.open[-1] if self.open else ""
        self.open.append(tag)
        if len(self.open) > DEEPEST:
            self.say(f"nested {len(self.open)} deep; {DEEPEST} are the most")
            raise _TooDeep
        if message := _misplaced(tag, parent):
            self.say(message)
            return
        begin = self.parser.CurrentByteIndex
        raw = self.source[begin : self.source.find(b">", begin)].decode(errors="replace")
        if _BROKEN_VALUE.search(raw):
            self.say(
                f"<{tag}>: a line break, tab or backslash in an attribute; the engine spoils it"
            )
        for name, value in attributes.items():
            if message := _unfit(tag, name, value):
                self.say(f"<{tag} {name}>: {message}")
        for message in _missing(tag, attributes):
            self.say(f"<{tag}>: {message}")

    def text(self, text: str) -> None:
        if self.open and self.open[-1] == "mj-style" and _ACTIVE_CSS.search(text):
            self.say("<mj-style>: nothing is fetched: no url(), no @import")

    def end(self, _tag: str) -> None:
        self.open.pop()


def problems(source: str) -> tuple[Problem, ...]:
    """Everything in a document that may not be there, in order; empty for a fit one."""
    raw = source.encode()
    if len(raw) > LARGEST:
        return (Problem(1, 1, f"{len(raw)} bytes of MJML; {LARGEST} are the most"),)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    whole = _DOCTYPE + raw
    reading = _Reading(whole, parser)
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    parser.StartCdataSectionHandler = lambda: reading.say("no CDATA; write &lt; and &amp;")
    try:
        parser.Parse(whole, True)  # noqa: FBT003  # expat takes it by position only
    except _TooDeep:
        pass
    except expat.ExpatError as error:
        shift = len(_DOCTYPE) if error.lineno == 1 else 0
        message = f"{expat.ErrorString(error.code)}; themes are XML: close every tag, <br/> too"
        reading.found.append(Problem(error.lineno, error.offset - shift + 1, message))
    return tuple(reading.found)


def _misplaced(tag: str, parent: str) -> str:
    """Why the tag may not stand where it does, or ""."""
    if (allowed := CHILDREN.get(parent)) is not None:
        if tag in allowed:
            return ""
    elif parent in _HOLDS_HTML or parent in _HTML:
        if tag in _HTML:
            return ""
        allowed = _HTML
    elif parent == "mj-attributes":
        if tag in {"mj-all", "mj-class"} or tag in ATTRIBUTES:
            return ""
        allowed = frozenset({"mj-all", "mj-class", *ATTRIBUTES})
    else:
        allowed = frozenset[str]()
    if instead := _INSTEAD.get(tag):
        return f"<{tag}> is not used here: {instead}"
    inside = f"inside <{parent}>" if parent else "at the top"
    names = ", ".join(sorted(allowed)) or "text only"
    return f"<{tag}> may not stand {inside}; allowed: {names}"


def _unfit(tag: str, name: str, value: str) -> str:
    """Why the attribute may not have this value, or ""."""
    ours = tag.startswith("mj")
    colour = (ours and name.endswith("color")) or name == "bgcolor"
    style = name == "style"
    known = ATTRIBUTES.get(tag, {name})
    if name not in known:
        return f"no such attribute; allowed: {', '.join(sorted(known)) or 'none'}"
    objections = {
        "not in a mail": name.startswith("on") or name == "srcset",
        "only ASCII in attributes; put words into slots": not value.isascii(),
        "an address is a slot, or # and an id": (
            name in _ADDRESSES and not _ADDRESS.fullmatch(value)
        ),
        "a colour is # and six hex digits": colour and not _COLOUR.fullmatch(value),
        "six hex digits for a colour": style and bool(_SHORT_HEX.search(value)),
        "nothing is fetched: no url()": style and bool(_ACTIVE_CSS.search(value)),
        "single quotes around font names": '"' in value and name in {"font-family", "style"},
    }
    found = next((reason for reason, holds in objections.items() if holds), "")
    return found or (_unfit_size(name, value) if ours else "")


def _unfit_size(name: str, value: str) -> str:
    if _LENGTHS.match(name) and " " in value and "0" in value.split():
        return "write 0px: the engine computes wrong widths from a bare 0 in a list"
    if name == "width" and not _WIDTH.fullmatch(value):
        return "a whole number of px or %"
    if name == "mode" and value == "fluid-height":
        return "the engine draws it with no height; use fixed-height"
    return ""


def _missing(tag: str, attributes: Mapping[str, str]) -> list[str]:
    """What the tag must say and does not."""
    if tag == "table" and attributes.get("role") not in {"presentation", "table"}:
        return ['say role="presentation", or role="table" for data']
    needed = {"mj-image": ("alt", "width"), "img": ("alt", "width"), "mjml": ("lang", "dir")}
    return [f"{name} is missing" for name in needed.get(tag, ()) if name not in attributes]
