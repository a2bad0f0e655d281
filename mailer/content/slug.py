"""Names for machines, made from words: of an item within its issue, of an issue among all.

The same words always give the same name, on every machine.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from mailer.content.issue import Issue, Item

LIMIT = 60  # characters; an id is read by people, in links and reports


def slug(words: str) -> str:
    """Lower-case ASCII letters and digits with single hyphens, or "" where none are left."""
    flat = unicodedata.normalize("NFKD", re.sub("['’]", "", words))  # noqa: RUF001
    plain = "-".join(re.findall(r"[a-z0-9]+", flat.encode("ascii", "ignore").decode().lower()))
    if len(plain) <= LIMIT:
        return plain
    cut = plain[: LIMIT + 1].rpartition("-")[0]
    return cut or plain[:LIMIT]


class Names:
    """Hands out item ids, each once, in time that does not grow with what was handed out."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._again: Counter[str] = Counter()

    def of(self, title: str, body: str = "") -> str:
        """An id from the title, else from the first words of the body.

        Words without a Latin letter give a hash of themselves: stable, if not readable.
        """
        words = title.strip() or " ".join(body.split(maxsplit=7)[:6])
        plain = slug(words) or f"item-{_digest(words)}"
        name = plain
        while name in self._taken:
            self._again[plain] += 1
            name = f"{plain}-{self._again[plain] + 1}"
        self._taken.add(name)
        return name


def slug_of(issue: Issue) -> str:
    """The slug of an issue that names none: its date, where it has one, and its title."""
    words = slug(issue.title) or f"issue-{_digest(issue.title)}"
    return f"{issue.date.isoformat()}-{words}" if issue.date else words


def with_ids(issue: Issue) -> Issue:
    """The issue with an id on every item; ids that are there stay as they are."""
    names = Names(item.id for top in issue.items for item in top.walk() if item.id)

    def named(item: Item) -> Item:
        name = item.id or names.of(item.title, item.body)
        return replace(item, id=name, items=tuple(map(named, item.items)))

    return replace(
        issue,
        sections=tuple(
            replace(section, items=tuple(map(named, section.items))) for section in issue.sections
        ),
    )


def _digest(words: str) -> str:
    return hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()[:8]
