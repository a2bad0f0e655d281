"""Merge fields: the closed set, how authors write them, and what is taken out of any text.

Authors write `{{ first_name|reader }}`, the word after the bar standing in where we know none.
Inside the engine a field is a mark between two Unicode noncharacters; those are taken out of
everything that comes from outside, so no author and no reader can forge one.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

FIELDS: Final = ("token", "name", "first_name", "email")
AUTHOR_FIELDS: Final = FIELDS[1:]  # the token is ours: it opens a reader's own pages
LONGEST: Final = {"token": 24, "name": 64, "first_name": 64, "email": 254}  # characters

OPEN, CLOSE = "\ufdd0", "\ufdd1"  # noncharacters: for a process's own use (Unicode 23.7)
MARK = re.compile(f"{OPEN}([a-z_]+)\\|([^{OPEN}{CLOSE}]*){CLOSE}")
TOKEN: Final = f"{OPEN}token|{CLOSE}"

_AUTHORED = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*(?:\|\s*([^{}|]{0,64}?)\s*)?\}\}")
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 and C1 but tab and newline; a stray U+0092 makes Gmail clip
    "\u061c\u202a-\u202e\u2066-\u2069"  # bidirectional embeddings, overrides, isolates
    "\ufdd0-\ufdef\ufffe\uffff"  # noncharacters: our marks
    "\ud800-\udfff\ufeff]"  # lone surrogates, byte order mark
)
_BREAKS = re.compile("\r\n?|[\u2028\u2029\x85]")
_SPACES = re.compile(r"\s+")


class UnknownField(ValueError):
    """An author named a field that does not exist."""

    def __init__(self, name: str) -> None:
        self.name = name
        known = ", ".join(f"{{{{ {field} }}}}" for field in AUTHOR_FIELDS)
        super().__init__(f"there is no field {{{{ {name} }}}}; there are {known}")


def clean(text: str) -> str:
    """Text without control characters, bidirectional overrides, noncharacters; breaks are LF."""
    if text.isascii() and text.isprintable():
        return text
    return _UNWANTED.sub("", _BREAKS.sub("\n", text))


def line(text: str) -> str:
    """Cleaned text on one line, outer white space gone; single NBSP and U+202F stay."""
    if text.isascii() and text.isprintable():
        return text.strip()
    return re.sub("[\t\n]+", " ", clean(text)).strip()


def value(field: str, given: str) -> str:
    """A reader's value as fit for any part: one line, single spaces, cut to its length."""
    tidy = given if given.isascii() and given.isprintable() else _UNWANTED.sub("", given)
    return _SPACES.sub(" ", tidy).strip()[: LONGEST[field]].rstrip()


def mark(
    text: str, escape: Callable[[str], str] = str, *, unescape: Callable[[str], str] = str
) -> str:
    """Author's fields in cleaned text as marks, the text around them put through `escape`.

    `unescape` turns a default out of text that is escaped already. Raises UnknownField for a
    name outside the set. Braces around anything but a name are text.
    """
    out: list[str] = []
    end = 0
    for found in _AUTHORED.finditer(text):
        name, default = found[1], found[2] or ""
        if name not in AUTHOR_FIELDS:
            raise UnknownField(name)
        out += (escape(text[end : found.start()]), f"{OPEN}{name}|{unescape(default)}{CLOSE}")
        end = found.end()
    return "".join((*out, escape(text[end:])))


def with_defaults(text: str) -> str:
    """Author's text with every field replaced by its default."""
    return _AUTHORED.sub(lambda found: found[2] or "", text)


def filled(marked: str, fields: Mapping[str, str], escape: Callable[[str], str] = str) -> str:
    """Marked text with a reader's values, each cleaned and put through `escape`."""

    def of(found: re.Match[str]) -> str:
        return escape(value(found[1], fields.get(found[1], "")) or found[2])

    return MARK.sub(of, marked)
