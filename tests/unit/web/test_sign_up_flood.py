"""S14: a flood of sign-ups against one mailbox fills nobody's mailbox and keeps nobody out."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import structlog
import time_machine

from mailer.kit import clock
from mailer.kit.database import Database
from mailer.notices import actions
from mailer.notices.notice import Wish, budget_key
from mailer.web.public import defence
from mailer.web.public.budgets import Budgets
from mailer.web.public.defence import Attempt, Gate, Judgement
from subscribers.address import EmailAddress
from tests.unit.web.gate import Site, opened
from tests.unit.web.stand_in import NOON

ORIGINS, PEOPLE, DAYS = 5_000, 200, 5
VICTIM = "victim@gmail.com"
QUIET = structlog.make_filtering_bound_logger(logging.WARNING)
SPELLINGS = (VICTIM, "v.ictim@gmail.com", "victim+news@gmail.com", "Victim@googlemail.com")


@dataclass(frozen=True)
class Post:
    at: datetime
    peer: str
    address: str


def storm(posts: int, readers: int = PEOPLE) -> Iterator[Post]:
    """Some thousand posts an hour against the victim; and people, one now and then."""
    dice = random.Random(14)  # noqa: S311  # the same storm every time
    origins = [f"{n % 119 + 1}.{n % 250}.{n // 250}.{n % 199 + 1}" for n in range(ORIGINS)]
    length = timedelta(days=DAYS)
    flood = [
        Post(NOON + length * dice.random(), origins[n % ORIGINS], SPELLINGS[n % len(SPELLINGS)])
        for n in range(posts)
    ]
    providers = ("gmail.com", "qq.com", "example.org", "163.com", "small.example")
    people = [
        Post(NOON + length * dice.random(), home(dice, n), f"reader{n}@{providers[n % 5]}")
        for n in range(readers)
    ]
    return iter(sorted(flood + people, key=lambda post: post.at))


def home(dice: random.Random, number: int) -> str:
    """Where a person is: at home, in an office with others, or in a network of the flood's."""
    if number % 10 == 0:
        return f"203.0.113.{dice.randrange(1, 250)}"
    if number % 3 == 0:
        return f"2001:db8:{dice.randrange(65_000):x}:{number:x}::1"
    return f"{dice.randrange(120, 220)}.{dice.randrange(250)}.{dice.randrange(250)}.9"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("kept", "posts", "people"),
    # Redis answers five times per post, over a socket
    [("memory", 100_000, PEOPLE), ("redis", 1_500, 100)],
)
def test_a_flood_brings_its_victim_three_letters_and_people_get_through(
    kept: str,
    posts: int,
    people: int,
    sqlite_database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """So many posts through the gate, the table of wishes and the worker, without HTTP."""
    url = "memory://" if kept == "memory" else request.getfixturevalue("redis_url")
    site = opened(sqlite_database, tmp_path, monkeypatch)
    monkeypatch.setattr(defence, "_log", structlog.wrap_logger(None, wrapper_class=QUIET))
    gate = Gate(site.app.keyring, Budgets(url, b"a key"))
    got: list[tuple[str, datetime]] = []
    with time_machine.travel(NOON, tick=False) as moved:
        monkeypatch.setattr(clock, "now", lambda: site.app.time)
        worked = NOON
        for post in storm(posts, people):
            moved.move_to(post.at)
            site.app.time = post.at
            enter(site, gate, post)
            if post.at - worked > timedelta(hours=6):  # a worker comes by; each look costs a commit
                got += [(letter.recipient, post.at) for letter in site.work()]
                worked = post.at
        got += [(letter.recipient, site.app.time) for letter in site.work()]

    mailbox = [at for who, at in got if "ictim" in who]
    assert len(mailbox) == 3
    assert all(after - before >= timedelta(hours=24) for before, after in pairwise(mailbox))
    readers = Counter(who for who, _ in got if who.startswith("reader"))
    assert len(readers) >= 0.99 * people
    assert set(readers.values()) == {1}


def enter(site: Site, gate: Gate, post: Post) -> None:
    """What the page does with a post whose form was fetched a while before."""
    address = EmailAddress.parse(post.address)
    attempt = Attempt(
        peer=post.peer,
        token=gate.form(post.at - timedelta(seconds=5)),
        trap="",
        work="",
        mailbox=budget_key(site.app.keyring, address),
        domain=address.domain,
    )
    if gate.judge(attempt, post.at) is not Judgement.PASSED:
        return
    wish = Wish(address, ("ai",), "Send me the news.", "a form", post.at)
    with site.app.database.transaction() as session:
        actions.wish(session, wish, key=site.app.address_key, keyring=site.app.keyring)


@pytest.mark.slow
def test_the_pages_themselves_withstand_the_flood(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample of some hundred posts with their forms, as requests to the application."""
    site = opened(sqlite_database, tmp_path, monkeypatch)
    got: list[str] = []
    with time_machine.travel(NOON, tick=False) as moved:
        for number, post in enumerate(storm(200, 100)):
            moved.move_to(post.at)
            site.app.time = post.at
            form = site.form(address=post.address)
            assert asked(site.client.app, post.peer, form) in {200, 429}
            if number % 50 == 49:
                got += [letter.recipient for letter in site.work()]
        got += [letter.recipient for letter in site.work()]

    assert sum("ictim" in who for who in got) <= 3
    assert len({who for who in got if who.startswith("reader")}) >= 0.99 * 100


def asked(pages: Any, peer: str, form: dict[str, Any]) -> int:
    """One POST as an ASGI server would pass it on; the answer's status."""
    body = urlencode(form, doseq=True).encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/subscribe",
        "raw_path": b"/subscribe",
        "query_string": b"",
        "headers": [(b"content-type", b"application/x-www-form-urlencoded")],
        "client": (peer, 4711),
        "server": ("127.0.0.1", 8000),
    }
    said: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            said.append(message["status"])

    asyncio.run(pages(scope, receive, send))
    return said[0]
