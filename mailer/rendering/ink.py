"""Two ways to write an issue's words down: into slots for HTML, and as plain text.

The outline of an issue is drawn once with each, in the same order through the same link table, so
both parts of a mail hold the same items, titles and links.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from mailer.rendering import fields, prose, typeset
from mailer.rendering.edition import RenderingRefused
from mailer.rendering.links import Links, checked
from mailer.rendering.plaintext import WIDTH, Block, indented, laid_out
from mailer.rendering.slots import Kind, Slots


@dataclass(frozen=True, slots=True)
class Spot:
    """Where words stand: for messages, for the link table, and for how they are set."""

    place: str  # "item amazon-woos-suppliers"
    slot: str  # as EditionLink.slot
    item: str = ""  # Item.id
    language: str = "en"
    level: int = 4  # rank of headings in a body
    tracked: bool = True
    indent: int = 0  # cells in plain text


class Ink(Protocol):
    """A way of writing. Every method raises RenderingRefused, with the spot's place."""

    def words(self, text: str) -> str:
        """One line that may stand anywhere, in an attribute too; a field is text here."""

    def line(self, text: str, spot: Spot) -> str:
        """One line between tags, its fields open."""

    def body(self, source: str, spot: Spot) -> str:
        """CommonMark."""

    def link(self, url: str, text: str, spot: Spot) -> str:
        """A link's address."""

    def picture(self, url: str, spot: Spot) -> str:
        """A picture's address."""

    def page(self, name: str) -> str:
        """One of the reader's own pages."""


@contextmanager
def refusing(place: str) -> Iterator[None]:
    """Turn what the parsers object to into a refusal with its place."""
    try:
        yield
    except (fields.UnknownField, prose.BodyUnfit) as error:
        raise RenderingRefused(str(error), place) from error


@dataclass(slots=True)
class HtmlInk:
    """Writes into slots and gives their tokens."""

    slots: Slots
    links: Links
    language: str
    attributes: Mapping[str, str]  # tag of a body -> a theme's attributes
    weights: dict[str, int] = field(default_factory=dict)  # place -> bytes of its bodies

    def words(self, text: str) -> str:
        """One line that may stand anywhere; a field is text."""
        return self.slots.add(Kind.PLAIN, fields.line(text))

    def line(self, text: str, spot: Spot) -> str:
        """One line between tags, its fields open."""
        with refusing(spot.place):
            return self.slots.add(Kind.HTML, typeset.text(text, spot.language))

    def body(self, source: str, spot: Spot) -> str:
        """CommonMark, dressed for the theme."""
        if not source:
            return ""
        with refusing(spot.place):
            html = prose.dressed(
                prose.read(source),
                language=spot.language,
                level=spot.level,
                attributes=self.attributes,
                href=_hrefs(self.links, spot),
            )
        self.weights[spot.place] = self.weights.get(spot.place, 0) + len(html.encode())
        return self.slots.add(Kind.HTML, html)

    def link(self, url: str, text: str, spot: Spot) -> str:
        """A link's address."""
        return self.slots.add(Kind.URL, _hrefs(self.links, spot)(url, text))

    def picture(self, url: str, spot: Spot) -> str:
        """A picture's address."""
        address = checked(url, spot.place)
        if not address.startswith("http"):
            raise RenderingRefused(f"a picture needs an https address: {url!r}", spot.place)
        return self.slots.add(Kind.URL, address)

    def page(self, name: str) -> str:
        """One of the reader's own pages."""
        return self.slots.add(Kind.URL, self.links.page(name))


@dataclass(slots=True)
class TextInk:
    """Writes plain text."""

    links: Links

    def words(self, text: str) -> str:
        """One line that may stand anywhere; a field is text."""
        return fields.line(text)

    def line(self, text: str, spot: Spot) -> str:
        """One line between tags, its fields open."""
        with refusing(spot.place):
            return fields.mark(fields.line(text))

    def body(self, source: str, spot: Spot) -> str:
        """Wrapped and indented; links are numbered and follow, each on a line of its own."""
        if not source:
            return ""
        href = _hrefs(self.links, spot)
        blocks: list[Block] = []
        notes: list[str] = []
        with refusing(spot.place):
            for block in prose.read(source).blocks:
                text, targets = prose.linked(block.text, href, first=len(notes) + 1)
                notes += targets
                blocks.append(Block(block.first, block.rest, fields.mark(text), block.tight))
        text = laid_out(blocks, width=WIDTH - spot.indent)
        if notes:
            text += "\n\n" + "\n".join(f"[{n}] {target}" for n, target in enumerate(notes, 1))
        return indented(text, spot.indent)

    def link(self, url: str, text: str, spot: Spot) -> str:
        """A link's address."""
        return _hrefs(self.links, spot)(url, text)

    def picture(self, url: str, spot: Spot) -> str:  # noqa: ARG002
        """Nothing: a picture is its alt here."""
        return ""

    def page(self, name: str) -> str:
        """One of the reader's own pages."""
        return self.links.page(name)


def _hrefs(links: Links, spot: Spot) -> prose.Href:
    def href(url: str, text: str) -> str:
        words = fields.with_defaults(fields.line(text))
        return links.href(
            url, place=spot.place, item=spot.item, slot=spot.slot, text=words, tracked=spot.tracked
        )

    return href
