"""A digest as pasted text or HTML, made into an issue: nothing lost, nothing invented.

Every line of the input has a fate: it is somewhere in the issue, or it was page chrome and is
named, or it was a link whose address the paste did not keep, or we did not understand it and say
so. Takes time in proportion to the input.
"""

from collections import Counter
from dataclasses import dataclass

from mailer.content.issue import Issue, Item, Kind, Link
from mailer.content.paste_building import Fate, build
from mailer.content.paste_headlines import roles
from mailer.content.paste_html import is_html, lines_of_html
from mailer.content.paste_lines import lines_of
from mailer.kit.errors import Invalid

LIMIT = 2_000_000  # characters; the longest digest we know has 26,000
LINES = 50_000  # and some 440 lines; so many take a second or two


class PasteTooLong(Invalid):
    """The text is too long for one issue."""


class PasteEmpty(Invalid):
    """There is no text to make an issue of."""


@dataclass(frozen=True, slots=True)
class PastedLine:
    """A line of the input that is not in the issue as text."""

    number: int  # from 1
    text: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Pasted:
    """An issue, and what became of every line it was made from."""

    issue: Issue
    fates: tuple[tuple[int, Fate], ...]  # each input line that is not blank, in order
    dropped: tuple[PastedLine, ...]  # page chrome and separators
    lost_links: tuple[PastedLine, ...]  # words of links whose address was not in the paste
    not_understood: tuple[PastedLine, ...]
    title_from: str  # "title line", "greeting", "first headline" or "nothing"

    @property
    def items(self) -> tuple[Item, ...]:
        """All items, those inside articles included."""
        return tuple(item for top in self.issue.items for item in top.walk())

    @property
    def links(self) -> tuple[Link, ...]:
        """Related links and calls to action; pasted text seldom keeps their addresses."""
        calls = [item.cta for item in self.items if item.cta]
        related = [link for item in self.items for link in item.related]
        return (*related, *calls, *self.issue.ctas)

    def summary(self) -> dict[str, object]:
        """What was found, for people and programs; all counts are of the issue."""
        top, every = self.issue.items, self.items
        sources = [source for item in every for source in item.sources]
        return {
            "title": self.issue.title,
            "title_from": self.title_from,
            "sections": [section.title for section in self.issue.sections],
            "items": len(top),
            "parts": len(every) - len(top),
            "kinds": dict(Counter(str(item.kind) for item in top)),
            "items_with_titles": sum(bool(item.title) for item in every),
            "sources": len(sources),
            "distinct_sources": len({source.url for source in sources}),
            "domains": len({source.domain for source in sources}),
            "related": sum(len(item.related) for item in every),
            "without_address": sum(not link.url for link in self.links),
            "images": sum(item.image is not None for item in every),
            "tips": sum(item.kind is Kind.TIP for item in top),
            "rating": self.issue.rating is not None,
            "outro": bool(self.issue.outro_title or self.issue.outro),
            "outro_title": self.issue.outro_title,
            "calls_to_action": len(self.issue.ctas),
            "dropped": _listed(self.dropped),
            "lost_links": _listed(self.lost_links),
            "not_understood": _listed(self.not_understood),
        }


def paste(text: str) -> Pasted:
    """Make an issue of a digest.

    Raises PasteTooLong beyond two million characters or 50,000 lines, and PasteEmpty where no line
    holds a word.
    """
    if len(text) > LIMIT:
        raise PasteTooLong(
            f"The text has {len(text):,} characters and an issue at most {LIMIT:,}; "
            "paste one issue at a time."
        )
    if text.count("\n") + text.count("\r") > 2 * LINES:  # a line may end with both
        raise PasteTooLong(f"The text has more than {LINES:,} lines; paste one issue at a time.")
    lines = lines_of_html(text) if is_html(text) else lines_of(text)
    built = build(lines, roles(lines))
    if not any(fate is not Fate.DROPPED for _, fate in built.fates):
        raise PasteEmpty("There is no text to make an issue of; paste a digest, not an empty page.")
    return Pasted(
        issue=built.issue,
        fates=tuple(sorted(built.fates)),
        dropped=_lines(built.notes, Fate.DROPPED),
        lost_links=_lines(built.notes, Fate.LOST_LINK),
        not_understood=_lines(built.notes, Fate.NOT_UNDERSTOOD),
        title_from=built.title_from,
    )


def _lines(notes: list[tuple[Fate, int, str, str]], fate: Fate) -> tuple[PastedLine, ...]:
    return tuple(PastedLine(n, text, reason) for kind, n, text, reason in notes if kind is fate)


def _listed(lines: tuple[PastedLine, ...]) -> list[dict[str, object]]:
    return [{"line": line.number, "text": line.text, "reason": line.reason} for line in lines]
