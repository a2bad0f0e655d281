"""A segment: a named set of subscribers, and the three an installation starts with."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from mailer.kit.errors import Conflict, Invalid, NotFound
from subscribers.subscriber import SegmentId

MAX_KEY: Final = 40  # characters
MAX_DESCRIPTION: Final = 300  # characters
MAX_SEGMENTS: Final = 16  # of one campaign: a set of them is a mask, and each mask an edition
_COLOR = re.compile(r"#[0-9a-f]{6}", re.ASCII | re.IGNORECASE)
_KEY = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)


class SegmentNotFound(NotFound):
    """There is no such segment."""


class SegmentExists(Conflict):
    """There is a segment with this key already."""


class SegmentStale(Conflict):
    """Somebody has changed the rule meanwhile; look at it again."""


class SegmentInUse(Conflict):
    """The rule of another segment names this one."""


class SegmentHasNoRule(Conflict):
    """People follow this segment; it has no rule."""


class SegmentKeyInvalid(Invalid):
    """A segment's key has lower-case letters, digits and single hyphens, at most 40 characters."""


class SegmentColorInvalid(Invalid):
    """A segment's colour is written #rrggbb, like #1a7f37."""


@dataclass(frozen=True, slots=True)
class NewSegment:
    """A segment to be made."""

    key: str
    name: str
    names: Mapping[str, str] = field(default_factory=dict)  # by language, beside `name`
    description: str = ""
    color: str = ""  # "#rrggbb"


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment as stored."""

    id: SegmentId
    key: str
    name: str
    names: Mapping[str, str]
    description: str
    color: str
    position: int
    archived_at: datetime | None
    rule: Mapping[str, Any] | None = None  # as rules.json_tree writes it; None: people follow it
    revision: int = 1  # of the rule

    def name_in(self, language: str) -> str:
        """Its name in a language (BCP 47), or in the nearest there is: zh for zh-Hans."""
        return self.names.get(language) or self.names.get(language.partition("-")[0]) or self.name


@dataclass(frozen=True, slots=True)
class SegmentCount:
    """A segment and how many there are in it."""

    segment: Segment
    followers: int  # whatever their state; of a rule: whom it finds
    mailable: int  # of those, the ones a campaign would reach


STARTING = (
    NewSegment(
        "e-commerce",
        "E-commerce",
        {"en": "E-commerce", "zh": "电商"},
        "Shops, marketplaces, payments and parcels.",
        "#0f766e",
    ),
    NewSegment(
        "ai",
        "AI",
        {"en": "AI", "zh": "人工智能"},
        "Models, chips, and what people do with them.",
        "#4338ca",
    ),
    NewSegment(
        "luxury",
        "Luxury",
        {"en": "Luxury", "zh": "奢侈品"},
        "Houses, watches, fashion and those who buy them.",
        "#9f1239",
    ),
)
"""The segments an installation starts with."""


def parse_color(text: str) -> str:
    """Read a colour; empty stays empty. Raises SegmentColorInvalid."""
    if text and not _COLOR.fullmatch(text):
        raise SegmentColorInvalid
    return text


def parse_key(text: str) -> str:
    """Read a segment's key. Raises SegmentKeyInvalid."""
    if len(text) > MAX_KEY or not _KEY.fullmatch(text):
        raise SegmentKeyInvalid
    return text
