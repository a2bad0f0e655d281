"""An issue: what is said on one occasion, as values, and the rules that hold for them.

Bodies are CommonMark; everything else is plain text. Nothing here knows a file format, a table or
a mail. An item belongs to the segments it names, or, naming none, to those of its section, or,
where that names none either, to everybody.
"""

import datetime
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NewType
from urllib.parse import urlsplit

IssueId = NewType("IssueId", int)

SEGMENTS = ("e-commerce", "ai", "luxury")
"""The segments an installation starts with; more are rows in the database."""


class Kind(StrEnum):
    """What sort of thing an item or a section is."""

    NEWS = "news"
    UPDATES = "updates"
    DEEP_DIVE = "deep-dive"  # an article with items of its own
    TIP = "tip"  # may go without a title; shown as a callout
    SPONSOR = "sponsor"


class Numbering(StrEnum):
    """Whether items carry numbers, and over which stretch they count."""

    NONE = "none"
    ISSUE = "issue"
    SECTION = "section"


@dataclass(frozen=True, slots=True)
class Link:
    """A link with the words that carry it."""

    text: str
    url: str
    emoji: str = ""  # shown before the words, hidden from screen readers


@dataclass(frozen=True, slots=True)
class Source:
    """Where a story comes from."""

    url: str
    publisher: str = ""  # empty: the URL's domain is shown
    language: str = ""  # BCP 47, where it is not the issue's
    paywall: bool = False
    note: str = ""

    @property
    def domain(self) -> str:
        """The host without a leading www."""
        return (urlsplit(self.url).hostname or "").removeprefix("www.")


@dataclass(frozen=True, slots=True)
class Image:
    """A picture; `url` is empty where the place is known and the file still missing."""

    url: str = ""
    alt: str = ""
    caption: str = ""
    credit: str = ""
    link: str = ""
    width: int = 0  # CSS pixels; 0 is unknown
    height: int = 0
    decorative: bool = False  # says so on purpose: no alt needed
    sha256: str = ""
    rights: str = ""
    alts: tuple[tuple[str, str], ...] = ()  # language -> alt, beside the issue's own


@dataclass(frozen=True, slots=True)
class Figure:
    """A sum of money or a quantity worth finding again."""

    amount: str  # as written: "13.1 billion"
    currency: str = ""  # ISO 4217 or a unit
    converted: str = ""  # "US$1.7 billion"


@dataclass(frozen=True, slots=True)
class Item:
    """One story, tip or article."""

    id: str  # stable within the issue: "amazon-woos-chinese-suppliers"
    title: str
    body: str = ""  # CommonMark
    kind: Kind = Kind.NEWS
    url: str = ""  # where the title leads; empty: the first source
    label: str = ""  # a word before the title: "Exclusive"
    number: int = 0  # fixed by hand; 0 is computed
    segments: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    image: Image | None = None
    related: tuple[Link, ...] = ()
    cta: Link | None = None
    author: str = ""
    first_reported_by: str = ""
    language: str = ""  # BCP 47, where it is not the issue's
    country: str = ""  # ISO 3166
    tags: tuple[str, ...] = ()  # companies, people
    figures: tuple[Figure, ...] = ()
    feedback: bool = False  # "more / less like this"
    duplicate_of: str = ""  # id of an item, here or earlier
    embargo: datetime.date | None = None
    expires: datetime.date | None = None
    visible_if: str = ""  # a segment rule; empty shows it to all its segments
    correction: str = ""
    items: tuple["Item", ...] = ()  # of a deep dive

    @property
    def link(self) -> str:
        """Where the title leads, or "" where it leads nowhere."""
        return self.url or (self.sources[0].url if self.sources else "")

    def walk(self) -> Iterator["Item"]:
        """The item itself, then those inside it."""
        yield self
        for item in self.items:
            yield from item.walk()


@dataclass(frozen=True, slots=True)
class Section:
    """Items under one heading, or under none."""

    title: str = ""
    id: str = ""
    kind: Kind = Kind.NEWS
    segments: tuple[str, ...] = ()  # of items that name none
    restart_numbering: bool = False
    item_cap: int = 0  # the most items of it in one edition; 0 is no limit
    intro: str = ""  # CommonMark
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Rating:
    """A question to the reader."""

    question: str
    scale: int = 5
    invitation: str = ""  # "Click on a star to rate it!"
    no_votes: str = ""  # shown while nobody has voted


@dataclass(frozen=True, slots=True)
class Publication:
    """What stays the same from issue to issue."""

    name: str
    tagline: str = ""
    logo: Image | None = None
    languages: tuple[str, ...] = ("en",)
    timezone: str = "UTC"
    from_name: str = ""
    from_address: str = ""
    reply_to: str = ""
    postal_address: str = ""
    intro: str = ""
    outro: str = ""
    ctas: tuple[Link, ...] = ()
    numbering: Numbering = Numbering.ISSUE
    archive: bool = True
    segments: tuple[tuple[str, str], ...] = ()  # key -> name shown to readers


@dataclass(frozen=True, slots=True)
class Issue:
    """What is said on one occasion."""

    title: str
    subject: str = ""  # empty: the title
    id: IssueId | None = None
    number: int = 0
    slug: str = ""
    date: datetime.date | None = None
    subjects: tuple[str, ...] = ()  # variants for an experiment
    preheader: str = ""
    language: str = "en"
    byline: str = ""
    byline_image: Image | None = None
    greeting: str = ""  # CommonMark
    sections: tuple[Section, ...] = ()
    outro_title: str = ""  # "Wrapping up"
    outro: str = ""  # CommonMark
    ctas: tuple[Link, ...] = ()
    contact: str = ""  # CommonMark; its links are never tracked
    rating: Rating | None = None
    comments_url: str = ""
    numbering: Numbering = Numbering.NONE
    extra: tuple[tuple[str, str], ...] = field(default=())  # front matter we keep but do not use

    @property
    def items(self) -> tuple[Item, ...]:
        """The items of all sections, in order, without those inside a deep dive."""
        return tuple(item for section in self.sections for item in section.items)

    @property
    def segments(self) -> tuple[str, ...]:
        """The segments named anywhere, each once, in order of appearance."""
        named = (
            key
            for section in self.sections
            for key in (*section.segments, *(k for item in section.items for k in item.segments))
        )
        return tuple(dict.fromkeys(named))

    def read_in(self, segments: Sequence[str], ruled: Collection[str]) -> tuple[str, ...]:
        """The segments whose items somebody reads who is in these.

        `ruled` are those that a rule fills. One of them says who somebody is and seldom what an
        item is about, so where no item names it, its people read the issue whole.
        """
        named = self.segments
        whole = any(key in ruled and key not in named for key in segments)
        return tuple(dict.fromkeys((*segments, *(named if whole else ()))))

    def on(self, day: datetime.date) -> "Issue":
        """The issue without items under embargo or expired on that day."""
        sections = tuple(replace(s, items=_current(s.items, day)) for s in self.sections)
        return replace(self, sections=tuple(s for s in sections if s.items or s.intro))

    def for_segments(self, followed: Iterable[str]) -> "Issue":
        """The issue as somebody who follows these segments reads it.

        Items keep the issue's order, each once however many segments it shares with the reader;
        items of nobody in particular stay; a section left without items goes; caps cut at the end.
        """
        wanted = frozenset(followed)
        kept = (_for_segments(section, wanted) for section in self.sections)
        return replace(self, sections=tuple(s for s in kept if s.items))


def _current(items: tuple[Item, ...], day: datetime.date) -> tuple[Item, ...]:
    return tuple(
        replace(item, items=_current(item.items, day))
        for item in items
        if (item.embargo is None or item.embargo <= day)
        and (item.expires is None or day <= item.expires)
    )


def _for_segments(section: Section, wanted: frozenset[str]) -> Section:
    items = tuple(
        item
        for item in section.items
        if not (of := item.segments or section.segments) or wanted & set(of)
    )
    return replace(section, items=items[: section.item_cap] if section.item_cap else items)
