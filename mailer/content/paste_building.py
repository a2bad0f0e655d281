"""Lines with their roles, put together as an issue; what becomes of each is written down."""

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mailer.content import paste_words as words
from mailer.content.issue import (
    Image,
    Issue,
    Item,
    Kind,
    Link,
    Numbering,
    Rating,
    Section,
    Source,
)
from mailer.content.paste_headlines import Role
from mailer.content.paste_lines import Form, Line
from mailer.content.paste_text import Text, labels_of
from mailer.content.slug import Names


class Fate(StrEnum):
    """What became of an input line."""

    TITLE = "title"
    BYLINE = "byline"
    DATE = "date"
    GREETING = "greeting"
    SECTION = "section"
    HEADLINE = "headline"
    BODY = "body"
    SOURCE = "source"
    RELATED = "related"
    IMAGE = "image"
    CTA = "cta"
    RATING = "rating"
    OUTRO = "outro"
    CONTACT = "contact"
    DROPPED = "dropped"
    LOST_LINK = "lost link"
    NOT_UNDERSTOOD = "not understood"


@dataclass(slots=True)
class _Story:
    """An item while its lines come in."""

    title: str
    kind: Kind
    text: Text
    number: int = 0
    url: str = ""
    sources: list[Source] = field(default_factory=list)
    related: list[Link] = field(default_factory=list)
    image: Image | None = None
    cta: Link | None = None
    author: str = ""
    parts: "list[_Story]" = field(default_factory=list)


@dataclass(slots=True)
class _Part:
    title: str
    kind: Kind = Kind.NEWS
    intro: Text = field(default_factory=Text)
    stories: list[_Story] = field(default_factory=list)
    restarts: bool = False


@dataclass(slots=True)
class Built:
    """An issue with the fate of each input line."""

    issue: Issue
    fates: list[tuple[int, Fate]]
    notes: list[tuple[Fate, int, str, str]]  # fate, line, text, reason
    title_from: str


def build(lines: Sequence[Line], roles: Sequence[Role]) -> Built:
    """The issue these lines hold."""
    building = _Building(lines)
    for line, role in zip(lines, roles, strict=True):
        building.take(line, role)
    return building.built()


class _Building:
    def __init__(self, lines: Sequence[Line]) -> None:
        self.labels = labels_of(lines)
        self.title = ""
        self.number = 0
        self.byline = ""
        self.date: datetime.date | None = None
        self.greeting = Text(self.labels)
        self.parts: list[_Part] = []
        self.story: _Story | None = None  # the one being filled
        self.article: _Story | None = None  # the one whose parts come in
        self.outro: Text | None = None
        self.outro_title = ""
        self.contact = Text(self.labels)
        self.ctas: list[Link] = []
        self.question = ""
        self.rating: Rating | None = None
        self.fates: list[tuple[int, Fate]] = []
        self.notes: list[tuple[Fate, int, str, str]] = []
        self.ordinals: list[int] = []

    def take(self, line: Line, role: Role) -> None:
        """Put a line where it belongs and write down where that was."""
        name = f"_form_{line.form}" if role is Role.TEXT else f"_role_{role}"
        fate: Fate = getattr(self, name, self._body)(line)
        self.fates += [(number, fate) for number in line.numbers]

    # by role

    def _role_title(self, line: Line) -> Fate:
        self.title = line.text
        return Fate.TITLE

    def _role_section(self, line: Line) -> Fate:
        self.parts.append(_Part(line.text, intro=Text(self.labels)))
        self.story = self.article = None
        return Fate.SECTION

    def _role_item(self, line: Line) -> Fate:
        numbered = line.form is Form.NUMBERED
        if numbered:
            self.ordinals.append(line.ordinal)
            part = self._part()
            part.restarts = part.restarts or (line.ordinal == 1 and len(self.ordinals) > 1)
        self.article = None
        story = self._open(line.rest if numbered else line.text, Kind.NEWS, line)
        story.number = line.ordinal
        return Fate.HEADLINE

    def _role_article(self, line: Line) -> Fate:
        if self.parts and self.parts[-1].stories:  # an article of its own, not one of the section
            self.parts.append(_Part("", Kind.DEEP_DIVE))
        self.article = self._open(line.text, Kind.DEEP_DIVE, line)
        return Fate.HEADLINE

    def _role_part(self, line: Line) -> Fate:
        if self.article is None:
            return self._role_item(line)
        self.story = _Story(line.rest, Kind.NEWS, Text(self.labels), line.ordinal)
        self.article.parts.append(self.story)
        return Fate.HEADLINE

    def _role_tip(self, line: Line) -> Fate:
        self.article = None
        self._open("", Kind.TIP, line)
        return self._body(line)

    def _role_subheading(self, line: Line) -> Fate:
        (self.story.text if self.story else self.greeting).heading(line)
        return Fate.BODY if self.story else Fate.GREETING

    def _role_caption(self, line: Line) -> Fate:
        if self.story is None or self.story.image is not None:
            return self._body(line)
        self.story.image = Image(alt=line.text)
        return Fate.IMAGE

    def _role_repeat(self, line: Line) -> Fate:
        return self._note(Fate.LOST_LINK, line, "the headline again: a link without its address")

    def _role_question(self, line: Line) -> Fate:
        self.question = line.text
        return Fate.RATING

    def _role_outro(self, line: Line) -> Fate:
        self.outro_title = line.text.rstrip(" :：")  # noqa: RUF001
        self._role_farewell(None)
        return Fate.OUTRO

    def _role_farewell(self, line: Line | None) -> Fate:
        self.outro = Text(self.labels)
        self.story = self.article = None
        return self._body(line) if line else Fate.OUTRO

    def _role_stray(self, line: Line) -> Fate:
        return self._note(
            Fate.NOT_UNDERSTOOD, line, "a short line with nothing under it: headline or caption?"
        )

    # by form

    def _form_source(self, line: Line) -> Fate:
        if self.story is None:
            return self._body(line)
        language = _language(line.note)
        note = "" if language else line.note
        self.story.sources += [
            Source(url, line.publisher, language=language, note=note) for url in line.urls
        ]
        return Fate.SOURCE

    def _form_pointer(self, line: Line) -> Fate:
        return self._note(Fate.LOST_LINK, line, "words of a link without its address")

    def _form_related(self, line: Line) -> Fate:
        if self.story is None:
            return self._body(line)
        self.story.related.append(Link(line.rest, "".join(line.urls[:1]), line.emoji))
        return Fate.RELATED

    def _form_call(self, line: Line) -> Fate:
        call = Link(line.text, "".join(line.urls[:1]))
        if self.story is None:
            self.ctas.append(call)
        elif self.story.cta is None:
            self.story.cta = call
        else:
            return self._body(line)
        return Fate.CTA

    def _form_caption(self, line: Line) -> Fate:
        story = self.story
        if story is None or (story.image and (story.image.caption or line.image[0])):
            return self._body(line)
        url, alt = line.image
        given = story.image or Image(url=url, alt=alt)
        story.image = given if url or alt else replace(given, caption=line.text)
        return Fate.IMAGE

    def _form_byline(self, line: Line) -> Fate:
        if self.story is None and not self.byline and self.outro is None:
            self.byline = line.rest
        elif self.story and not self.story.text and not self.story.author:
            self.story.author = line.rest
        else:
            return self._body(line)
        return Fate.BYLINE

    def _form_date(self, line: Line) -> Fate:
        day = _day(line.rest)
        if day is None or self.date or self.story or self.outro:
            return self._body(line)
        self.date = day
        self.byline = self.byline or line.note
        return Fate.DATE

    def _form_rating(self, line: Line) -> Fate:
        given = self.rating or Rating(self.question)
        scale = words.SCALE.search(line.text)
        if scale and int(scale[1]):
            given = replace(given, scale=int(scale[1]))
        elif words.NO_VOTES.search(line.text):
            given = replace(given, no_votes=line.text)
        elif not given.invitation:
            given = replace(given, invitation=line.text)
        self.rating = replace(given, question=given.question or given.invitation or line.text)
        return Fate.RATING

    def _form_chrome(self, line: Line) -> Fate:
        return self._note(Fate.DROPPED, line, "page chrome")

    def _form_rule(self, line: Line) -> Fate:
        return self._note(Fate.DROPPED, line, "a line of signs")

    def _body(self, line: Line) -> Fate:
        if self.story is not None:
            self.story.text.add(line)
            return Fate.BODY
        if self.outro is not None:
            writes = words.MAIL.search(line.text) and words.CONTACT.search(line.text)
            (self.contact if writes else self.outro).add(line)
            return Fate.CONTACT if writes else Fate.OUTRO
        if self.parts:
            self.parts[-1].intro.add(line)
            return Fate.BODY
        if numbered := words.ISSUE_NUMBER.fullmatch(line.text):
            self.number = int(numbered[1])
            return Fate.TITLE
        self.greeting.add(line)
        return Fate.GREETING

    # the whole

    def _part(self) -> _Part:
        if not self.parts:
            self.parts.append(_Part(""))
        return self.parts[-1]

    def _open(self, title: str, kind: Kind, line: Line) -> _Story:
        part = self._part()
        if part.kind is Kind.DEEP_DIVE and part.stories:
            part = _Part("")
            self.parts.append(part)
        url = "".join(line.urls[:1]) if line.level else ""
        self.story = _Story(title, kind, Text(self.labels), url=url)
        part.stories.append(self.story)
        return self.story

    def _note(self, fate: Fate, line: Line, reason: str) -> Fate:
        self.notes.append((fate, line.number, line.text, reason))
        return fate

    def built(self) -> Built:
        """The issue. Numbers are computed where they count on, fixed where they do not."""
        names = Names()
        restarts = any(part.restarts for part in self.parts)
        counts = list(range(1, len(self.ordinals) + 1)) == self.ordinals
        computed = counts or restarts
        sections = tuple(
            Section(
                title=part.title,
                id=names.of(part.title) if part.title else "",
                kind=part.kind,
                restart_numbering=part.restarts,
                intro=str(part.intro),
                items=tuple(_item(story, names, computed=computed) for story in part.stories),
            )
            for part in self.parts
        )
        title, title_from = self._named()
        numbering = Numbering.SECTION if restarts else Numbering.ISSUE
        in_title = words.NUMBER.search(title) if title_from == "title line" else None
        number = self.number or (int(in_title[1]) if in_title else 0)
        issue = Issue(
            title=title,
            number=number,
            date=self.date,
            byline=self.byline,
            greeting=str(self.greeting),
            sections=sections,
            outro_title=self.outro_title,
            outro=str(self.outro or ""),
            ctas=tuple(self.ctas),
            contact=str(self.contact),
            rating=self.rating or (Rating(self.question) if self.question else None),
            numbering=numbering if self.ordinals else Numbering.NONE,
        )
        return Built(issue, self.fates, self.notes, title_from)

    def _named(self) -> tuple[str, str]:
        """The title, and where it is from: nobody invents one."""
        if self.title:
            return self.title, "title line"
        if found := words.NAMED.search(str(self.greeting)[:2000]):
            return re.sub(r" (?:of|the|and|in|&)$", "", found[1]), "greeting"
        for part in self.parts:
            for story in part.stories:
                if story.title:
                    return story.title, "first headline"
        return "Untitled", "nothing"


def _item(story: _Story, names: Names, *, computed: bool) -> Item:
    body = str(story.text)
    return Item(
        id=names.of(story.title, body),
        title=story.title,
        body=body,
        kind=story.kind,
        url=story.url,
        number=0 if computed else story.number,
        sources=tuple(dict.fromkeys(story.sources)),
        image=story.image,
        related=tuple(story.related),
        cta=story.cta,
        author=story.author,
        items=tuple(_item(part, names, computed=False) for part in story.parts),
    )


_LANGUAGES = {"chinese": "zh", "japanese": "ja", "korean": "ko", "french": "fr", "german": "de"}


def _language(note: str) -> str:
    """The language a note names: "in Chinese"."""
    found = re.fullmatch(r"in (\w+)(?: language)?", note.strip(), re.IGNORECASE)
    return _LANGUAGES.get(found[1].lower(), "") if found else ""


def _day(text: str) -> datetime.date | None:
    """The day a date line names."""
    plain = re.sub(r"\s*[·•|,-]\s*\d+ min.*$", "", text)
    plain = re.sub(r"(?<=\d)(?:st|nd|rd|th)\b|[.,]", "", plain)
    for form in ("%B %d %Y", "%b %d %Y", "%d %B %Y", "%d %b %Y", "%Y-%m-%d"):
        try:
            return datetime.datetime.strptime(plain, form).replace(tzinfo=datetime.UTC).date()
        except ValueError:
            continue
    return None
