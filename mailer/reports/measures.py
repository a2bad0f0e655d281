"""Every number of a report, and every rate with what is divided by what.

The three classes of a hit stand side by side and are never added: the sum of people, doubtful hits
and machines is no number of anything. A rate without a denominator is None, not 0.
"""

from dataclasses import dataclass, fields
from datetime import datetime

from mailer.campaigns.campaign import Tracking


@dataclass(frozen=True, slots=True)
class Hits:
    """Hits of one class, and how many different people they came for."""

    hits: int = 0
    people: int = 0


@dataclass(frozen=True, slots=True)
class Classes:
    """One measure, class by class."""

    person: Hits = Hits()
    unsure: Hits = Hits()
    machine: Hits = Hits()


@dataclass(frozen=True, slots=True)
class Mailing:
    """How many people, by what became of their letter.

    audience = accepted + refused + skipped + expired + uncertain + deferred + waiting
    """

    audience: int = 0
    sent: int = 0  # offered to a relay at least once, whatever came of it
    accepted: int = 0
    refused: int = 0
    skipped: int = 0
    expired: int = 0
    uncertain: int = 0
    deferred: int = 0  # tried and told to come again; no outcome yet
    waiting: int = 0  # not tried yet
    put_off: int = 0  # deferred at least once, whatever became of it since; part of `sent`
    opens_visible: int = 0  # of the accepted: their edition carries the pixel
    clicks_visible: int = 0  # of the accepted: the links of their edition lead through us

    def __add__(self, other: "Mailing") -> "Mailing":
        return Mailing(
            *(getattr(self, each.name) + getattr(other, each.name) for each in fields(self))
        )


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of people with what it is a share of."""

    name: str  # stable, for programs
    numerator: int
    denominator: int
    share: float | None  # 0 to 1; None where the denominator is 0
    of: str  # in words: "people who opened : accepted letters with a pixel"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report: the whole campaign, a segment, an item or a link."""

    key: str
    name: str
    mailing: Mailing
    opens: Classes
    clicks: Classes
    unsubscribes: int  # people
    rates: tuple[Rate, ...]
    url: str = ""  # of a link
    slot: str = ""  # of a link: headline, image, source


@dataclass(frozen=True, slots=True)
class Hour:
    """What came in one hour: hits by people, and those seen for the first time."""

    hour: datetime
    opens: Classes
    clicks: Classes


@dataclass(frozen=True, slots=True)
class Report:
    """What a campaign amounted to, at one moment."""

    campaign: int
    name: str
    subject: str
    state: str
    started_at: datetime | None
    finished_at: datetime | None
    tracking: str  # none, opens, clicks, all: the most the campaign tracks
    total: Line
    segments: tuple[Line, ...]
    items: tuple[Line, ...]
    links: tuple[Line, ...]  # most clicked by people first
    hours: tuple[Hour, ...]
    notes: tuple[str, ...]  # how to read it


def rate(name: str, numerator: int, denominator: int, of: str) -> Rate:
    """A rate of this name."""
    share = round(numerator / denominator, 6) if denominator else None
    return Rate(name, numerator, denominator, share, of)


def rates(mailing: Mailing, opens: Classes, clicks: Classes, unsubscribes: int) -> tuple[Rate, ...]:
    """All rates of a segment or of the whole campaign."""
    accepted = "accepted letters"
    return (
        rate("accepted", mailing.accepted, mailing.sent, "accepted : letters sent"),
        rate("refused", mailing.refused, mailing.sent, "refused : letters sent"),
        rate("uncertain", mailing.uncertain, mailing.sent, "uncertain : letters sent"),
        *_by_class("opened", opens, mailing.opens_visible, f"{accepted} with a pixel"),
        *_by_class("clicked", clicks, mailing.clicks_visible, f"{accepted} with tracked links"),
        rate(
            "unsubscribed",
            unsubscribes,
            mailing.accepted,
            f"people who left through the letter : {accepted}",
        ),
    )


def click_rates(mailing: Mailing, clicks: Classes) -> tuple[Rate, ...]:
    """The rates of an item or a link: of those whose letter held it."""
    held = "accepted letters with tracked links that hold it"
    return _by_class("clicked", clicks, mailing.clicks_visible, held)


def visible(mailing: Mailing, tracking: int) -> Mailing:
    """The letters of one edition, with those whose opens and clicks can be seen at all."""
    opens = mailing.accepted if tracking & Tracking.OPENS else 0
    clicks = mailing.accepted if tracking & Tracking.CLICKS else 0
    return mailing + Mailing(opens_visible=opens, clicks_visible=clicks)


def _by_class(name: str, classes: Classes, denominator: int, of: str) -> tuple[Rate, ...]:
    who = {
        "person": "people",
        "unsure": "people or machines, nobody can tell,",
        "machine": "letters a machine",
    }
    return tuple(
        rate(
            f"{name}-{verdict}",
            getattr(classes, verdict).people,
            denominator,
            f"{words} who {name} : {of}" if verdict != "machine" else f"{words} {name} : {of}",
        )
        for verdict, words in who.items()
    )


SHARED = (
    "A reader of several segments got one letter: they count in the line of each of their segments"
    " and once in the total, so the segments can add up to more."
)
CLASSES = (
    "People, unsure and machines stand side by side and are never added: one reader can have"
    " been all three."
)
VISIBLE = (
    "Opens and clicks are shares of the accepted letters whose readers allowed to be counted when"
    " it was sent; who has withdrawn that since is counted no more."
)
ACCEPTED = "Accepted means that the relay took the letter, not that somebody found it."
MOVING = "Still on its way: the numbers will change."
LATER = "Hits come for days, and some are judged anew: the numbers may still change."
