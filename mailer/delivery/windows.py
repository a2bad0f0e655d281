"""When mail may go: hours of the day, read by the clock on the recipient's wall. Pure.

What counts is what that clock shows. In the night it is put forward, hours that start at a time
that is not shown start at the first one that is; put back, they start once.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mailer.kit.errors import Invalid

_DAY = 24 * 60  # minutes
_DAYS_AHEAD = 4  # a zone that crosses the date line leaves a day out
_WEEKS = 8  # that clocks are compared over
_FORM = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)\s*-\s*([01]?\d|2[0-4]):([0-5]\d)")


class NoWindow(Invalid):
    """Hours of the day are written like 08:00-20:00."""


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of every day, from the start up to the end; over midnight where it ends earlier."""

    start: int  # minutes after midnight, below 1440
    end: int  # up to 1440

    @classmethod
    def parse(cls, text: str) -> "Window":
        """Read "08:00-20:00". Raises NoWindow for anything else, and for hours without length."""
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise NoWindow(f"{text[:40]!r} are no hours of the day; write 08:00-20:00")
        first, second, third, fourth = map(int, found.groups())
        start, end = first * 60 + second, third * 60 + fourth
        if max(start, end) > _DAY or start % _DAY == end % _DAY:
            raise NoWindow(f"{text[:40]!r} are no hours of the day; write 08:00-20:00")
        return cls(start % _DAY, end)

    def __contains__(self, clock: time) -> bool:
        """Whether the hours are on when a wall shows this."""
        minute = clock.hour * 60 + clock.minute
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end

    def __str__(self) -> str:
        return "-".join(f"{m // 60:02}:{m % 60:02}" for m in (self.start, self.end))

    @property
    def rest(self) -> "Window":
        """The other hours of the day."""
        return Window(self.end % _DAY, self.start or _DAY)


@dataclass(frozen=True, slots=True)
class Hours:
    """When mail may go: in all of these windows at once; without any, always."""

    windows: tuple[Window, ...] = ()

    @classmethod
    def of(cls, send: str = "", quiet: str = "") -> "Hours":
        """Send in `send`, never in `quiet`; "" sets no bound.

        Raises NoWindow for what is neither, and where nothing is left of the day.
        """
        given = [Window.parse(send)] if send else []
        given += [Window.parse(quiet).rest] if quiet else []
        hours = cls(tuple(given))
        if given and not any(time(m // 60, m % 60) in hours for m in hours.starts):
            raise NoWindow(f"nothing of {send} is left by the quiet hours {quiet}")
        return hours

    def __contains__(self, clock: time) -> bool:
        return all(clock in window for window in self.windows)

    @property
    def starts(self) -> tuple[int, ...]:
        """Minutes of the day at which mail may begin to go."""
        return tuple(sorted({window.start for window in self.windows}))

    def opens(self, zone: str, now: datetime, *, default: str = "UTC") -> datetime | None:
        """The moment from which mail may go to people of a time zone; None is now already.

        `default` stands in for the zone "" and for one that nobody knows. `now` and the answer are
        aware; the answer is in UTC.
        """
        if not self.windows:
            return None
        clock = _clock(zone, default)
        here = now.astimezone(clock)
        if here.time() in self:
            return None
        return min(
            moment
            for day in range(_DAYS_AHEAD)
            for start in self.starts
            if (moment := _shown(here + timedelta(days=day), start, clock)) > now
            and moment.astimezone(clock).time() in self
        )


def _shown(day: datetime, minute: int, clock: ZoneInfo) -> datetime:
    """The first moment of a day at which the clock shows a minute, or, left out, a later one."""
    at = datetime.combine(day.date(), time(minute // 60, minute % 60), tzinfo=clock)
    early, late = at.replace(fold=1).astimezone(UTC), at.astimezone(UTC)
    if early >= late:  # shown, once or twice: `late` is the first time (PEP 495)
        return late
    while late - early > timedelta(minutes=1):  # left out: between them the clock is put forward
        middle = early + (late - early) / 2
        if middle.astimezone(clock).replace(tzinfo=None) < at.replace(tzinfo=None):
            early = middle
        else:
            late = middle
    return late.replace(second=0, microsecond=0)


@lru_cache(maxsize=1024)
def _clock(zone: str, default: str) -> ZoneInfo:
    for name in (zone, default):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return ZoneInfo("UTC")


def alike(zones: Iterable[str], now: datetime, *, default: str = "UTC") -> dict[str, str]:
    """For each time zone the name of one whose clock shows the same for the coming weeks.

    The zone of `default`, and one that nobody knows, is "". So people of Paris and Berlin, whose
    mail may go at the same moments, need not be told apart.
    """
    days = [now.astimezone(UTC) + timedelta(days=n) for n in range(_WEEKS * 7)]

    def shows(zone: str) -> tuple[timedelta | None, ...]:
        clock = _clock(zone, default)
        return tuple(day.astimezone(clock).utcoffset() for day in days)

    names = {shows(""): ""}
    return {zone: names.setdefault(shows(zone), zone) for zone in sorted(zones)}
