"""What synthetic readers, image proxies and link scanners do with a letter.

Pure: letters in, visits out, the same each time. People come over a day, with the evening peak of
their taste; scanners come within seconds and follow every link.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

BROWSERS = (
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/141.0.0.0 Safari/537.36"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 "
        "(KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
    ),
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:143.0) Gecko/20100101 Firefox/143.0",
    (
        "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/141.0.0.0 Mobile Safari/537.36"
    ),
)
PRIVACY_PROXY = "Mozilla/5.0"
"""All that a mail-privacy proxy says of itself."""


class What(StrEnum):
    """What somebody did."""

    OPEN = "open"
    CLICK = "click"
    UNSUBSCRIBE = "unsubscribe"


@dataclass(frozen=True, slots=True)
class Letter:
    """An accepted letter as its reader has it."""

    subscriber: int
    accepted_at: datetime
    links: tuple[int, ...]  # numbers of its tracked links, most prominent first


@dataclass(frozen=True, slots=True)
class Visit:
    """One request to come."""

    subscriber: int
    what: What
    at: datetime
    link: int  # 0 for an open
    agent: str


def visits(letters: Iterable[Letter], seed: int = 42) -> Iterator[Visit]:
    """All visits to these letters, letter by letter."""
    chance = random.Random(seed)  # noqa: S311  # nothing secret about a demo
    for letter in letters:
        if chance.random() < 0.06:
            yield from _scanner(letter, chance)
        if chance.random() < 0.18:
            yield _open(letter, timedelta(seconds=chance.uniform(3, 600)), PRIVACY_PROXY)
        elif chance.random() < 0.42:
            yield from _reader(letter, chance)


def _scanner(letter: Letter, chance: random.Random) -> Iterator[Visit]:
    """A gateway that follows every link before the letter is handed over."""
    at = letter.accepted_at + timedelta(seconds=chance.uniform(0.2, 1.5))
    for link in letter.links:
        at += timedelta(milliseconds=chance.randrange(20, 120))
        yield Visit(letter.subscriber, What.CLICK, at, link, BROWSERS[0])


def _reader(letter: Letter, chance: random.Random) -> Iterator[Visit]:
    """Somebody opens, reads on, perhaps follows up to three stories, rarely leaves."""
    wait = timedelta(minutes=chance.lognormvariate(4.2, 1.1))
    agent = chance.choice(BROWSERS)
    yield _open(letter, wait, agent)
    at = letter.accepted_at + wait
    for place, link in enumerate(letter.links):
        if chance.random() < 0.16 / (1 + place * 0.35):
            at += timedelta(seconds=chance.uniform(20, 160))
            yield Visit(letter.subscriber, What.CLICK, at, link, agent)
    if chance.random() < 0.012:
        at += timedelta(seconds=chance.uniform(10, 90))
        yield Visit(letter.subscriber, What.UNSUBSCRIBE, at, 0, agent)


def _open(letter: Letter, wait: timedelta, agent: str) -> Visit:
    return Visit(letter.subscriber, What.OPEN, letter.accepted_at + wait, 0, agent)
