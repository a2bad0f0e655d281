"""The outline of an issue file: its headings, the lines under each, and how a heading is written.

Headings of two to five `#` are structure; one of six, or an underlined one, is text. A line inside
a code fence is text, whatever it looks like.
"""

import re
from dataclasses import dataclass, field

OUTRO = "outro"  # the word that marks the section of closing words: `## Bye {outro}`

_HEADING = re.compile(r"(#{1,5})(?:[ \t]+(.*))?$")
_ATTRIBUTES = re.compile(r"(?P<title>.*?)[ \t]*\{(?P<attributes>[^{}]*)\}$")
_ATTRIBUTE = re.compile(r"#[\w-]+|\.[\w-]+|" + OUTRO)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)$")
_KEY = re.compile(r"[a-z_]+[ \t]*:([ \t]|$)")
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something a person has to change, and on which line."""

    line: int  # from 1
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Heading:
    """What a heading line says."""

    level: int = 0
    title: str = ""
    id: str = ""
    segments: tuple[str, ...] = ()
    outro: bool = False

    def __str__(self) -> str:
        """The line. Reads back as this heading, unless the title is no line of its own."""
        words = [f"#{self.id}"] if self.id else []
        words += [f".{key}" for key in self.segments]
        words += [OUTRO] if self.outro else []
        attributes = "{" + " ".join(words) + "}" if words else ""
        return " ".join(part for part in ("#" * self.level, self.title, attributes) if part)

    @property
    def writable(self) -> bool:
        """Whether the line reads back as this heading."""
        return not _UNWRITABLE.search(self.title) and heading(str(self)) == self


@dataclass(slots=True)
class Part:
    """A heading (level 0: none, the text before the first) with the lines under it."""

    line: int
    heading: Heading
    meta: list[str] = field(default_factory=list)  # YAML: the lines right under the heading
    text: list[str] = field(default_factory=list)

    @property
    def words(self) -> str:
        """The text without the blank lines and spaces around it."""
        return stripped(self.text)


def heading(line: str, where: int = 0, faults: list[Fault] | None = None) -> Heading | None:
    """What a line says as a heading of structure, or None where it is none."""
    found = _HEADING.match(line)
    if not found or "\n" in line:
        return None
    level, rest = len(found[1]), (found[2] or "").strip(" \t")
    bare = Heading(level, rest)
    marked = _ATTRIBUTES.match(rest)
    if not marked:
        return bare
    words = marked["attributes"].split()
    bad = [word for word in words if not _ATTRIBUTE.fullmatch(word)]
    if len(bad) == len(words) and words:
        return bare  # braces of the title itself: "Deals {50 % off}"
    ids = [word[1:] for word in words if word[0] == "#"]
    for message in _misused(bad, ids):
        if faults is not None:
            faults.append(Fault(where, message))
    return Heading(
        level,
        marked["title"],
        ids[0] if ids else "",
        tuple(word[1:] for word in words if word[0] == "."),
        OUTRO in words,
    )


def outline(lines: list[str], first: int, faults: list[Fault]) -> list[Part]:
    """Cut the lines, the first of which has the number `first`, into parts."""
    parts = [Part(first, Heading())]
    fence, fence_line, in_meta = "", 0, False
    for number, line in enumerate(lines, start=first):
        if not fence and (found := heading(line, number, faults)):
            if found.level == 1:
                faults.append(Fault(number, _LEVEL_ONE))
            parts.append(Part(number, found))
            in_meta = not found.outro
            continue
        part = parts[-1]
        in_meta = in_meta and bool(line.strip()) and (bool(part.meta) or bool(_KEY.match(line)))
        if in_meta:
            part.meta.append(line)
            continue
        part.text.append(line)
        was, fence = fence, _fence(line, fence)
        fence_line = number if fence and not was else fence_line
    if fence:
        faults.append(Fault(fence_line, f"this code block is never closed; add a line of {fence}"))
    return parts


def is_plain(text: str) -> bool:
    """Whether a text may stand in the file as it is: it reads back as itself, and as text only."""
    lines = text.split("\n")
    if _UNWRITABLE.search(text) or not lines[0].strip() or stripped(lines) != text:
        return False
    faults: list[Fault] = []
    return len(outline(lines, 1, faults)) == 1 and not faults


def stripped(lines: list[str]) -> str:
    """The lines as one text, without blank lines around it and spaces at its end."""
    start = next((n for n, line in enumerate(lines) if line.strip()), len(lines))
    return "\n".join(lines[start:]).rstrip()


_LEVEL_ONE = "a # heading; the title of the issue stands in the front matter, sections take ##"


def _misused(bad: list[str], ids: list[str]) -> list[str]:
    faults = [
        f"{word!r} in the braces is neither #id nor .segment nor {OUTRO}; write {{#id .segment}}"
        for word in bad
    ]
    if len(ids) > 1:
        faults.append(f"two ids in the braces, #{ids[0]} and #{ids[1]}; keep one")
    return faults


def _fence(line: str, fence: str) -> str:
    """The fence that is open after this line: its opening run of characters, or ""."""
    found = _FENCE.match(line)
    if not found:
        return fence
    run, info = found[1], found[2]
    if not fence:
        return "" if run[0] == "`" and "`" in info else run
    closes = run[0] == fence[0] and len(run) >= len(fence) and not info.strip()
    return "" if closes else fence
