"""The issue file: an issue as Markdown with front matter, for people to write and git to keep.

    ---
    title: What the week brought
    ---

    Hello again.

    ## Shops {#shops .e-commerce}

    ### A story {#a-story .ai .luxury}
    sources:
    - https://example.com/story

    The story itself, in CommonMark.

    ## That was it {outro}

    See you next week.

Every field of an issue survives the way out and back, and writing what was read gives the same
bytes. A text that would not read back as itself is written as YAML instead. `docs/issue-file.md`
is the guide.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mailer.content.document_fields import dump, given_fields, load, read_fields
from mailer.content.document_outline import Fault, Heading, Part, is_plain, outline
from mailer.content.document_rules import broken
from mailer.content.issue import Issue, Item, Kind, Section
from mailer.content.slug import with_ids
from mailer.kit.errors import Invalid

SECTION, ITEM, DEEPEST = 2, 3, 5  # levels of headings: sections, items, the innermost items


class DocumentInvalid(Invalid):
    """The issue file does not hold an issue."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: fault.line))
        super().__init__("\n".join(map(str, self.faults)))


def decode(data: bytes) -> str:
    """The text of a file's bytes. Raises DocumentInvalid with the line that is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as bad:
        line = data.count(b"\n", 0, bad.start) + 1
        fault = Fault(line, f"not UTF-8 (byte 0x{data[bad.start]:02x}); save the file as UTF-8")
        raise DocumentInvalid([fault]) from bad


def read(text: str) -> Issue:
    """The issue a file holds; items without an id get one made from their title.

    Raises DocumentInvalid with every reason, its line and what to do about it.
    """
    faults: list[Fault] = []
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    end = _end_of_front_matter(lines, faults)
    if not end:
        raise DocumentInvalid(faults)
    values: dict[str, Any] = {}
    front = load("\n".join(lines[1:end]), 2, faults)
    if front is not None:
        values = read_fields(Issue, front, 2, faults, without=["sections"])
        if not str(values.get("title", "")).strip():
            faults.append(Fault(1, "`title` is missing; say what the issue is called"))
    values |= _read_body(outline(lines[end + 1 :], end + 2, faults), values, faults)
    if faults:
        raise DocumentInvalid(faults)
    return with_ids(Issue(**values))


def write(issue: Issue) -> str:
    """The file of an issue: `read` gives the same issue, with an id on every item.

    Raises ValueError for items nested deeper than three: no path makes those.
    """
    issue = with_ids(issue)
    outro = _outro(issue)
    without = ["sections"]
    without += ["greeting"] if is_plain(issue.greeting) else []
    without += ["outro"] if outro is not None and issue.outro else []
    without += ["outro_title"] if outro is not None and outro.title else []
    blocks = [f"---\n{dump(given_fields(issue, without=without), blocks=True)}---"]
    blocks += [issue.greeting] if "greeting" in without else []
    for number, section in enumerate(issue.sections):
        implied = not number and section.items and replace(section, items=()) == Section()
        blocks += [] if implied else _written(section, SECTION, "intro")
        for item in section.items:
            blocks += _written_item(item, ITEM)
    if outro is not None:
        blocks += [str(outro), *([issue.outro] if issue.outro else [])]
    return "\n\n".join(blocks) + "\n"


def hash_of(issue: Issue) -> str:
    """SHA-256 of what the issue says: of its file, without the id the database gave it."""
    return hashlib.sha256(write(replace(issue, id=None)).encode()).hexdigest()


def _end_of_front_matter(lines: list[str], faults: list[Fault]) -> int:
    """The index of the line that ends it, or 0 with a fault."""
    if lines[0].rstrip() != "---":
        faults.append(
            Fault(1, "an issue file starts with a line of ---, then `title: ...`, then --- again")
        )
        return 0
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() == "---":
            return number
    faults.append(Fault(1, "the front matter never ends; close it with a line of ---"))
    return 0


@dataclass(slots=True)
class _Open:
    """An item or section whose inner items are still being read."""

    line: int
    values: dict[str, Any]
    level: int
    inner: "list[_Open]"

    def item(self) -> Item:
        return Item(**self.values, items=tuple(inner.item() for inner in self.inner))


def _read_body(parts: list[Part], front: dict[str, Any], faults: list[Fault]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    _put(values, "greeting", parts[0].words, front, parts[0].line, faults)
    sections: list[_Open] = []
    path: list[_Open] = []  # the section or item of each level we are in
    closed = 0  # line of the outro, once it was there
    for part in parts[1:]:
        level = part.heading.level
        if closed:
            faults.append(Fault(part.line, f"the outro (line {closed}) comes last"))
        if part.heading.outro and level == SECTION:
            closed = part.line
            _put(values, "outro_title", part.heading.title, front, part.line, faults)
            _put(values, "outro", part.words, front, part.line, faults)
        elif level >= SECTION:
            path = [opened for opened in path if opened.level < level]
            _open(part, sections, path, faults)
    _check_ids(sections, faults)
    if faults:
        return values
    return values | {
        "sections": tuple(
            Section(**opened.values, items=tuple(inner.item() for inner in opened.inner))
            for opened in sections
        )
    }


def _open(part: Part, sections: list[_Open], path: list[_Open], faults: list[Fault]) -> None:
    """Read a part and hang it where it belongs."""
    level = part.heading.level
    kind, text = (Section, "intro") if level == SECTION else (Item, "body")
    opened = _Open(part.line, _values(kind, part, text, faults), level, [])
    if level == SECTION:
        sections.append(opened)
    else:
        if level == ITEM and not path:
            path.append(_Open(part.line, {}, SECTION, []))
            sections.append(path[0])
        if not path or path[-1].level != level - 1:
            marks = "#" * (level - 1)
            faults.append(Fault(part.line, f"{'#' * level} needs an item of {marks} above it"))
        else:
            path[-1].inner.append(opened)
    path.append(opened)


def _values(kind: type, part: Part, text: str, faults: list[Fault]) -> dict[str, Any]:
    """The values of an item or section: heading, YAML and text together."""
    given: dict[str, Any] = {}
    head = part.heading
    if part.meta and (node := load("\n".join(part.meta), part.line + 1, faults)) is not None:
        before = len(faults)
        given = read_fields(kind, node, part.line + 1, faults, without=["items"])
        if len(faults) > before and any("is no key" in fault.message for fault in faults[before:]):
            faults.append(Fault(part.line, _KEYS_FIRST))
    if head.outro:
        faults.append(Fault(part.line, "{outro} belongs on a ## heading"))
    values: dict[str, Any] = {}
    for name, value in (("title", head.title), ("id", head.id), ("segments", head.segments)):
        _put(values, name, value, given, part.line, faults)
    _put(values, text, part.words, given, part.line, faults)
    values = given | values
    if kind is Item:
        values = {"title": "", "id": ""} | values
        if not values["title"].strip() and values.get("kind") is not Kind.TIP:
            faults.append(
                Fault(part.line, "an item without a title; give it one, or say `kind: tip`")
            )
    return values


_KEYS_FIRST = "lines right under a heading are keys; text needs a blank line before it"


def _put(
    values: dict[str, Any],
    name: str,
    value: Any,
    given: dict[str, Any],
    line: int,
    faults: list[Fault],
) -> None:
    if not value:
        return
    parts = value if isinstance(value, tuple) else (value,)
    faults += [Fault(line, wrong) for part in parts if (wrong := broken(name, part))]
    if name in given:
        faults.append(Fault(line, f"`{name}` is given as a key and in the text; keep one"))
    values[name] = value


def _check_ids(sections: list[_Open], faults: list[Fault]) -> None:
    lines: dict[str, int] = {}
    for opened in _all_items(sections):
        name = opened.values.get("id", "")
        if name in lines:
            faults.append(
                Fault(opened.line, f"the id {name!r} is taken (line {lines[name]}); use another")
            )
        elif name:
            lines[name] = opened.line


def _all_items(opened: list[_Open]) -> Iterator[_Open]:
    for one in opened:
        if one.level >= ITEM:
            yield one
        yield from _all_items(one.inner)


def _outro(issue: Issue) -> Heading | None:
    """The heading of the outro, or None where front matter has to hold it."""
    title = Heading(SECTION, issue.outro_title, outro=True)
    if issue.outro and not is_plain(issue.outro):
        return None
    if not title.writable:
        return Heading(SECTION, outro=True) if issue.outro else None
    return title if issue.outro or issue.outro_title else None


def _written_item(item: Item, level: int) -> Iterator[str]:
    if level > DEEPEST:
        raise ValueError(f"{item.id}: items nest at most three deep")
    yield from _written(item, level, "body")
    for inner in item.items:
        yield from _written_item(inner, level + 1)


def _written(part: Section | Item, level: int, text: str) -> Iterator[str]:
    """The heading with its keys, then the text."""
    head = Heading(level, part.title, part.id, part.segments)
    in_heading = ["title", "id", "segments"]
    if not head.writable:
        head, in_heading = replace(head, title=""), ["id", "segments"]
    if not head.writable:
        head, in_heading = Heading(level), []
    words: str = getattr(part, text)
    as_text = [text] if is_plain(words) else []
    keys = given_fields(part, without=[*in_heading, *as_text, "items"])
    if not part.title:
        keys.pop("title", None)
    yield "\n".join([str(head), dump(keys, blocks=False)]).rstrip("\n")
    if as_text:
        yield words
