"""What a subscriber sees and changes about their own mail, without a login."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from subscribers.subscriber import Frequency, State, SubscriberId

PAUSES: Final[Mapping[str, timedelta]] = {
    "2 weeks": timedelta(days=14),
    "1 month": timedelta(days=30),
    "3 months": timedelta(days=91),
}
"""How long a reader may ask for no letters, by the words on the page."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One segment on the page."""

    key: str
    name: str  # in the subscriber's language
    description: str
    followed: bool


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the page shows: no name or whole address, for a forwarded mail may bring a stranger."""

    subscriber: SubscriberId
    masked_address: str
    state: State
    choices: tuple[Choice, ...]
    tracking: int  # bits: 1 opens, 2 clicks
    language: str
    frequency: Frequency = Frequency.EVERY
    paused_until: datetime | None = None  # a day to come, or None
    languages: tuple[str, ...] = ()  # that segments have names in

    @property
    def followed(self) -> tuple[str, ...]:
        """Keys of the segments followed."""
        return tuple(choice.key for choice in self.choices if choice.followed)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the subscriber sent back; None leaves a thing as it is."""

    segments: frozenset[str] | None = None
    tracking: int | None = None
    language: str | None = None
    frequency: Frequency | None = None
    pause: timedelta | None = None  # from now on; zero resumes


@dataclass(frozen=True, slots=True)
class Change:
    """What that changes."""

    follow: tuple[str, ...] = ()
    unfollow: tuple[str, ...] = ()
    tracking: int | None = None
    language: str | None = None
    frequency: Frequency | None = None
    pause: timedelta | None = None

    @property
    def is_empty(self) -> bool:
        """Whether everything is as wanted already."""
        return self == Change()


def change(here: Preferences, wanted: Wanted) -> Change:
    """Compare what is with what is wanted; segments the page does not show stay as they are."""
    follow: tuple[str, ...] = ()
    unfollow: tuple[str, ...] = ()
    if wanted.segments is not None:
        follow = tuple(c.key for c in here.choices if c.key in wanted.segments and not c.followed)
        unfollow = tuple(key for key in here.followed if key not in wanted.segments)
    resumes_nothing = wanted.pause == timedelta() and here.paused_until is None
    return Change(
        follow,
        unfollow,
        None if wanted.tracking == here.tracking else wanted.tracking,
        None if wanted.language == here.language else wanted.language,
        None if wanted.frequency == here.frequency else wanted.frequency,
        None if resumes_nothing else wanted.pause,
    )
