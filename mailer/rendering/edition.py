"""An edition: an issue as rendered for one set of segments, frozen, its merge fields still open.

The artifact is what is sent: encoded fragments with gaps for a reader's values, the link table
with its targets, and both parts in the clear for previews. Rendering an old issue again never
changes it.
"""

import hashlib
import json
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any

from mailer.kit.errors import Invalid

WARN_BYTES = 90_000
REFUSE_BYTES = 100_000  # decoded; Gmail cuts a mail off near 102 KB, footer and all


class RenderingRefused(Invalid):
    """The issue cannot become a mail as it is."""

    def __init__(self, message: str = "", place: str = "") -> None:
        self.place = place  # "item amazon-woos-suppliers", "outro", "theme digest"
        super().__init__(f"{place}: {message}" if place and message else message)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth a look before sending: where, what, and what to do about it."""

    code: str  # stable, for programs: "html-large"
    place: str
    message: str


@dataclass(frozen=True, slots=True)
class EditionLink:
    """One link of the edition; `/c/<token>/<number>` leads to `url` and nowhere else."""

    number: int  # from 1, in order of appearance
    url: str
    item: str  # Item.id, "" outside the items
    slot: (
        str  # headline, image, source, related, body, cta, greeting, outro, contact, rating-4, ...
    )
    text: str  # the words that carry it, or the picture's alt
    tracked: bool = True  # False: the mail holds the address itself


@dataclass(frozen=True, slots=True)
class Slot:
    """A gap between the pieces, to be filled with one reader's value."""

    before: int  # the piece it precedes
    field: str  # one of fields.FIELDS
    default: str  # for readers without a value
    markup: bool  # whether the value lands in HTML and is escaped
    base64: bool  # whether the pieces around it are base64; quoted-printable otherwise


@dataclass(frozen=True, slots=True)
class Edition:
    """One rendered form of an issue. `html` and `text` hold merge marks: show them by Splicer."""

    segments: tuple[str, ...]
    tracking: int  # bits: 1 opens, 2 clicks
    language: str  # BCP 47
    subject: str  # author's syntax; personalise.fill makes it a reader's
    preheader: str  # likewise
    html: str
    text: str
    links: tuple[EditionLink, ...]
    content_type: str  # of the whole body, boundary included
    pieces: tuple[str, ...]  # encoded, ASCII; those beside a base64 slot are one base64 run each
    slots: tuple[Slot, ...]
    sha256: str  # of all of the above
    html_bytes: int  # decoded
    text_bytes: int

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the sizes give cause to say; past REFUSE_BYTES there is no edition at all."""
        if self.html_bytes <= WARN_BYTES:
            return ()
        message = (
            f"{self.html_bytes / 1000:.0f} kB of HTML: some mailboxes cut off at 100 kB;"
            " shorten the longest items"
        )
        return (Finding("html-large", "html", message),)

    def sealed(self) -> "Edition":
        """The same edition with its hash."""
        return replace(self, sha256=self._hash())

    def dumps(self) -> str:
        """The artifact as JSON; `loads` gives it back."""
        return json.dumps(self._plain(), ensure_ascii=False, separators=(",", ":"))

    def _plain(self) -> dict[str, Any]:
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        plain["links"] = [_LINK(link) for link in self.links]
        plain["slots"] = [_SLOT(slot) for slot in self.slots]
        return plain

    def _hash(self) -> str:
        content = self._plain() | {"sha256": ""}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


_LINK = attrgetter(*(field.name for field in fields(EditionLink)))
_SLOT = attrgetter(*(field.name for field in fields(Slot)))


def loads(artifact: str) -> Edition:
    """The edition `dumps` wrote. Raises ValueError where it is not whole."""
    data: dict[str, Any] = json.loads(artifact)
    links = tuple(EditionLink(*link) for link in data.pop("links"))
    slots = tuple(Slot(*slot) for slot in data.pop("slots"))
    segments, pieces = tuple(data.pop("segments")), tuple(data.pop("pieces"))
    edition = Edition(segments=segments, links=links, pieces=pieces, slots=slots, **data)
    if edition.sealed() != edition:
        raise ValueError("the edition's artifact does not match its hash")
    return edition
