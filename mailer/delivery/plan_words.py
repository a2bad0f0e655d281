"""How the delivery file writes speeds, spans of time, ladders, names and domains. Pure.

Each reader takes what TOML gave, of whatever kind, and raises ValueError with what to write.
"""

import re
from datetime import timedelta
from itertools import pairwise
from typing import Any

import idna

from mailer.delivery.windows import NoWindow, Window

DEFAULT_LADDER = (
    *(50, 100, 200, 400, 800, 1_500, 2_500, 4_000, 6_000, 9_000, 13_500, 20_000, 30_000),
    *(45_000, 67_500, 100_000, 150_000),
)
"""Twice as much a day while it is little, then half as much again."""

MOST_A_DAY = 2_000_000_000  # what a column of the database holds

_SECONDS = {
    **dict.fromkeys(("s", "sec", "second"), 1),
    **dict.fromkeys(("m", "min", "minute"), 60),
    **dict.fromkeys(("h", "hour"), 3600),
    **dict.fromkeys(("d", "day"), 86_400),
}
_SPEED = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*/\s*([a-z]+)")
_SPAN = re.compile(r"(\d{1,6})\s*([a-z]+)")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})+")


def speed(given: object) -> float | None:
    """Messages per second, of "100/s", "1/min", "5000/h" or "20000/day"."""
    if given is None:
        return None
    found = _SPEED.fullmatch(given.strip().lower()) if isinstance(given, str) else None
    seconds = _SECONDS.get(found[2]) if found else None
    if found is None or seconds is None or not float(found[1]):
        raise ValueError('has to be a speed like "100/s", "1/min", "5000/h" or "20000/day"')
    return float(found[1]) / seconds


def span(given: object) -> timedelta:
    """A span of time, of "90s", "15m", "4h" or "3d"."""
    if isinstance(given, timedelta):
        return given
    found = _SPAN.fullmatch(given.strip().lower()) if isinstance(given, str) else None
    seconds = _SECONDS.get(found[2]) if found else None
    if found is None or seconds is None or not int(found[1]):
        raise ValueError('has to be a span of time like "90s", "15m", "4h" or "3d"')
    return timedelta(seconds=int(found[1]) * seconds)


def spans(given: object) -> tuple[timedelta, ...]:
    """Spans of time parted by spaces: "5m 15m 1h 4h"."""
    if isinstance(given, tuple):
        return given
    try:
        return tuple(map(span, given.split())) if isinstance(given, str) else (span(given),)
    except ValueError:
        raise ValueError('has to be waits like "5m 15m 1h 4h"') from None


def ladder(given: object) -> tuple[int, ...]:
    """Messages of each day: a list that rises, or "default"."""
    if given == "default":
        return DEFAULT_LADDER
    steps: Any = given if isinstance(given, list | tuple) else [None]
    whole = all(type(step) is int and 1 <= step <= MOST_A_DAY for step in steps)
    if not whole or any(later < before for before, later in pairwise(steps)):
        raise ValueError('has to be "default", or messages for each day that rise: [50, 100, 250]')
    return tuple(steps)


def a_name(given: str) -> str:
    """The name of a relay or lane: small letters, digits and hyphens."""
    if not _NAME.fullmatch(given) and not _DOMAIN.fullmatch(given):  # a host's name will do
        raise ValueError("has to be a name of small letters, digits and hyphens")
    return given


def a_domain(given: str) -> str:
    """A domain in A-labels and small letters."""
    try:
        name = idna.encode(given, uts46=True).decode() if not given.isascii() else given.lower()
    except idna.IDNAError:
        name = ""
    if not _DOMAIN.fullmatch(name):
        raise ValueError(f"{given[:80]!r} is no domain")
    return name


def hours_of_the_day(given: str) -> str:
    """Hours like "22:00-07:00", or none."""
    try:
        return str(Window.parse(given)) if given else ""
    except NoWindow as wrong:
        raise ValueError(str(wrong)) from None
