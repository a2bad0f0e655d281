"""The outline of an issue: what a theme is given, as plain data, in the order of the mail.

Every word and address has gone through an ink before it gets here. Keys a theme can rely on are
listed in docs/themes.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mailer.content.issue import (
    Image,
    Issue,
    Item,
    Kind,
    Link,
    Numbering,
    Publication,
    Source,
)
from mailer.rendering import fields
from mailer.rendering.ink import Ink, Spot
from mailer.rendering.links import CLICKS

Data = dict[str, Any]
_WIDE_FROM = 500  # CSS pixels; a picture not known to be this wide stays beside its text
_WORDS_A_MINUTE = 220
_CONTENTS_FROM = 5  # stories; a shorter mail is its own list of contents
_CONTENTS_MOST = 12
_PREHEADER = 110  # characters


@dataclass(frozen=True, slots=True)
class Frame:
    """What an outline is drawn for."""

    issue: Issue  # already cut to the segments followed
    publication: Publication
    followed: tuple[str, ...]
    tracking: int
    public_url: str
    wording: Mapping[str, Any]

    @property
    def names(self) -> dict[str, str]:
        """The segments followed, by key, as readers know them.

        Where the publication names its segments, one it does not name is none of the reader's
        business: a rule gave it to them, and what the rule is called was not meant for them.
        """
        known = dict(self.publication.segments or ((key, key) for key in self.followed))
        return {key: known[key] for key in self.followed if key in known}

    def say(self, key: str, **values: object) -> str:
        """A fixed phrase with its values; phrases are the theme's, values are the issue's."""
        text = str(self.wording[key])
        for name, value in values.items():
            text = text.replace("{" + name + "}", str(value))
        return text


def drawn(frame: Frame, ink: Ink) -> Data:
    """The whole outline. Raises RenderingRefused for words or addresses unfit for a mail."""
    issue, publication = frame.issue, frame.publication
    here = Spot("issue", "headline", language=issue.language)
    phrases = [(k, v) for k, v in frame.wording.items() if isinstance(v, str) and "{" not in v]
    return {
        "title": ink.line(issue.title, here),
        "title_words": ink.words(fields.with_defaults(issue.title)),
        "subject_words": ink.words(fields.with_defaults(issue.subject or issue.title)),
        "publication": {
            "name": ink.words(publication.name),
            "tagline": ink.words(publication.tagline),
            "logo": _image(publication.logo, ink, replace(here, place="logo", slot="logo")),
        },
        "meta": [ink.words(text) for text in _meta(frame)],
        "byline": ink.words(frame.say("by", name=issue.byline) if issue.byline else ""),
        "byline_image": _image(issue.byline_image, ink, replace(here, slot="byline")),
        "greeting": _prose(issue.greeting or publication.intro, "greeting", here, ink),
        "contents": _contents(frame, ink, here),
        "sections": _sections(frame, ink),
        "preheader": ink.line(preheader(issue), replace(here, place="preheader")),
        "outro_title": ink.line(issue.outro_title, replace(here, place="outro title")),
        "outro": _prose(issue.outro or publication.outro, "outro", here, ink),
        "ctas": [
            _link(link, ink, replace(here, place="call to action", slot="cta"))
            for link in issue.ctas or publication.ctas
            if link.url  # like a picture without a file: its place is known, nothing to press yet
        ],
        "rating": _rating(frame, ink, here),
        "comments": _comments(frame, ink, here),
        "contact": _prose(issue.contact, "contact", replace(here, tracked=False), ink),
        "footer": _footer(frame, ink),
        "words": {k: ink.words(v) for k, v in phrases},
    }


def preheader(issue: Issue) -> str:
    """The issue's preheader, or the first titles that fit one."""
    if issue.preheader:
        return issue.preheader
    text = ""
    for title in (item.title for item in issue.items if item.title):
        longer = f"{text} · {title}" if text else title
        if len(longer) > _PREHEADER and text:
            break
        text = longer
    return text[:_PREHEADER] if "{{" not in text else text


def _meta(frame: Frame) -> list[str]:
    """Date, number, how much there is to read."""
    issue, wording = frame.issue, frame.wording
    out = []
    if issue.date is not None:
        month = wording["months"][issue.date.month - 1]
        day, year = issue.date.day, issue.date.year
        out.append(frame.say("date", day=day, month=month, year=year))
    if issue.number:
        out.append(frame.say("number", n=issue.number))
    if count := sum(1 for item in issue.items if item.kind is not Kind.TIP):
        out.append(frame.say("story" if count == 1 else "stories", n=count))
    words = sum(_words(i.body) for item in issue.items for i in item.walk())
    if words >= _WORDS_A_MINUTE:
        out.append(frame.say("minutes", n=max(2, round(words / _WORDS_A_MINUTE))))
    return out


def _words(text: str) -> int:
    """Words, a Chinese character counting as half of one."""
    wide = sum(1 for sign in text if "\u3040" <= sign <= "\u9fff")
    return len(text.split()) + wide // 2


def _contents(frame: Frame, ink: Ink, spot: Spot) -> Data:
    """Titles at the top. Not links: anchors lead nowhere in Gmail for iOS and Samsung's mail."""
    titles = [item.title for item in frame.issue.items if item.title]
    if len(titles) < _CONTENTS_FROM:
        return {"titles": [], "more": ""}
    rest = len(titles) - _CONTENTS_MOST
    rest = rest if rest > 1 else 0  # "and 1 more" takes the place the one would take
    shown = titles[: len(titles) - rest]
    more = frame.say("more", n=rest) if rest else ""
    return {"titles": [ink.line(title, spot) for title in shown], "more": ink.words(more)}


def _sections(frame: Frame, ink: Ink) -> list[Data]:
    out = []
    counter = 0
    lead = next(iter(frame.issue.items), None)
    for place, section in enumerate(frame.issue.sections, 1):
        name = f"section {section.title or place}"
        spot = Spot(name, "section", language=frame.issue.language, level=3)
        if section.restart_numbering or frame.issue.numbering is Numbering.SECTION:
            counter = 0
        items = []
        for item in section.items:
            counter += _counts(item)
            number = _number(item, counter, frame)
            items.append(_item(item, frame, ink, number=number, wide=_wide(item, lead)))
        out.append(
            {
                "title": ink.line(section.title, spot),
                "kind": section.kind.value,
                "intro": _prose(section.intro, "section", spot, ink),
                "items": items,
            }
        )
    return out


def _wide(item: Item, lead: Item | None) -> bool:
    """Whether the picture stands above the text: that of the first item and of a deep dive."""
    bears = item.image is not None and item.image.width >= _WIDE_FROM
    return bears and (item is lead or item.kind is Kind.DEEP_DIVE)


def _counts(item: Item) -> bool:
    return item.kind not in {Kind.TIP, Kind.SPONSOR}


def _number(item: Item, counter: int, frame: Frame) -> int:
    if item.number or frame.issue.numbering is Numbering.NONE:
        return item.number
    return counter if _counts(item) else 0


def _item(item: Item, frame: Frame, ink: Ink, *, number: int, wide: bool, level: int = 3) -> Data:
    language = item.language or frame.issue.language
    spot = Spot(
        f"item {item.id}", "headline", item=item.id, language=language, level=level + 1, indent=3
    )
    words = item.title or frame.say("untitled")
    return {
        "kind": item.kind.value,
        "language": item.language,
        "number": f"{number}." if number else "",
        "title": ink.line(item.title, spot),
        "href": ink.link(item.link, words, spot) if item.link and item.title else "",
        "label": ink.words(
            item.label or (frame.say("sponsor") if item.kind is Kind.SPONSOR else "")
        ),
        "segments": [ink.words(name) for name in _chips(item, frame)],
        "image": _image(item.image, ink, replace(spot, slot="image"), of=item),
        "wide": wide,
        "body": _prose(item.body, "body", spot, ink),
        "author": ink.words(frame.say("by", name=item.author) if item.author else ""),
        "sources": [
            _source(s, frame, ink, replace(spot, slot="source")) | {"repeats": s.url == item.link}
            for s in item.sources
        ],
        "reported": ink.words(
            frame.say("reported", name=item.first_reported_by) if item.first_reported_by else ""
        ),
        "related": [_link(link, ink, replace(spot, slot="related")) for link in item.related],
        "cta": _link(item.cta, ink, replace(spot, slot="cta"))
        if item.cta and item.cta.url
        else None,
        "correction": ink.line(item.correction, spot),
        "feedback": _feedback(item, frame, ink, spot),
        "items": _nested(item, frame, ink, level),
    }


def _nested(item: Item, frame: Frame, ink: Ink, level: int) -> list[Data]:
    out = []
    counter = 0
    for inner in item.items:
        counter += _counts(inner)
        number = _number(inner, counter, frame)
        rank = min(level + 1, 5)
        out.append(_item(inner, frame, ink, number=number, wide=False, level=rank))
    return out


def _chips(item: Item, frame: Frame) -> list[str]:
    """Why this reader gets the item; said only to those who follow several segments."""
    if len(frame.followed) < 2:
        return []
    return [name for key, name in frame.names.items() if key in item.segments]


def _image(image: Image | None, ink: Ink, spot: Spot, of: Item | None = None) -> Data | None:
    """A picture; an item's leads where the item does. One without words leads nowhere."""
    if image is None or not image.url:
        return None
    own = dict(image.alts).get(spot.language, image.alt)
    words = "" if image.decorative else own or (of.title if of else "")
    target = image.link or (of.link if of else "")
    credit = " · ".join(text for text in (image.caption, image.credit) if text)
    return {
        "src": ink.picture(image.url, spot),
        "alt": ink.words(words),
        "href": ink.link(target, words, spot) if target and words else "",
        "width": image.width,
        "height": image.height,
        "caption": ink.words(credit),
    }


def _source(source: Source, frame: Frame, ink: Ink, spot: Spot) -> Data:
    name = source.publisher or source.domain
    notes = [
        *([_in_language(source.language, frame)] if source.language else []),
        *([frame.say("paywall")] if source.paywall else []),
        *([source.note] if source.note else []),
    ]
    return {
        "name": ink.words(name),
        "href": ink.link(source.url, name, spot) if source.url else "",
        "notes": ink.words(", ".join(notes)),
    }


def _in_language(language: str, frame: Frame) -> str:
    names = frame.wording["languages"]
    name = names.get(language) or names.get(language.partition("-")[0])
    return frame.say("in_language", name=name or language)


def _link(link: Link, ink: Ink, spot: Spot) -> Data:
    return {
        "emoji": ink.words(link.emoji),
        "text": ink.words(link.text or link.url),
        "href": ink.link(link.url, link.text, spot) if link.url else "",
    }


def _prose(source: str, slot: str, spot: Spot, ink: Ink) -> str:
    place = spot.place if slot in {"body", "section"} else slot
    return ink.body(source, replace(spot, place=place, slot=slot)) if source.strip() else ""


def _landing(frame: Frame) -> str:
    return f"{frame.public_url}/archive/{frame.issue.slug}".rstrip("/")


def _rating(frame: Frame, ink: Ink, spot: Spot) -> Data | None:
    """One link per star. Left out where clicks are not counted: nobody would hear the answer."""
    rating = frame.issue.rating
    if rating is None or not frame.tracking & CLICKS:
        return None
    stars = []
    for n in range(1, rating.scale + 1):
        label = frame.say("stars", n=n, of=rating.scale)
        at = replace(spot, place="rating", slot=f"rating-{n}")
        stars.append(
            {"label": ink.words(label), "href": ink.link(_landing(frame), label, at), "n": n}
        )
    return {"question": ink.line(rating.question, replace(spot, place="rating")), "stars": stars}


def _feedback(item: Item, frame: Frame, ink: Ink, spot: Spot) -> Data | None:
    if not item.feedback or not frame.tracking & CLICKS:
        return None
    target = _landing(frame)
    return {
        answer: {
            "text": ink.words(frame.say(f"feedback_{answer}")),
            "href": ink.link(target, frame.say(f"feedback_{answer}"), replace(spot, slot=answer)),
        }
        for answer in ("more", "less")
    }


def _comments(frame: Frame, ink: Ink, spot: Spot) -> str:
    url = frame.issue.comments_url
    at = replace(spot, place="comments", slot="comments")
    return ink.link(url, frame.say("comments"), at) if url else ""


def _footer(frame: Frame, ink: Ink) -> Data:
    names = list(frame.names.values())
    why = frame.say(
        "why" if names and len(names) == len(frame.followed) else "why_all",
        name=frame.publication.name,
        segments=_joined(names, frame.wording),
    )
    return {
        "why": ink.words(why),
        "address": ink.words(frame.publication.postal_address),
        "unsubscribe": ink.page("u"),
        "preferences": ink.page("p"),
        "view": ink.page("v"),
    }


def _joined(names: Sequence[str], wording: Mapping[str, Any]) -> str:
    """One name, two with "and" between, more with commas too, as the language joins them."""
    if len(names) < 2:
        return "".join(names)
    return str(wording["comma"]).join(names[:-1]) + str(wording["and"]) + names[-1]
