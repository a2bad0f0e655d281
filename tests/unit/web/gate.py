"""The sign-up pages of a small installation, and what its visitors do."""

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from mailer.kit.database import Database
from mailer.notices.letters import Letters, Stationery
from mailer.notices.sending import Sender
from mailer.web.public import router as routes
from subscribers import actions, queries
from subscribers.address import EmailAddress
from subscribers.consent import Consent
from subscribers.subscriber import SubscriberId
from tests.fakes.relay import ScriptedRelay
from tests.unit.web.stand_in import House, house

TOKEN = re.compile(r'name="form" value="([a-z2-7]{24})"')
LINK = re.compile(r"/confirm/([a-z2-7]{24})")


@dataclass
class Site:
    """Pages, and a worker with a relay that takes everything."""

    app: House
    client: TestClient
    relay: ScriptedRelay
    sender: Sender

    def come_from(self, address: str) -> None:
        """Ask from another address from now on."""
        self.client = TestClient(self.client.app, follow_redirects=False, client=(address, 1))

    def form(self, **changes: Any) -> dict[str, Any]:
        """A form as a person sends it who took a while to fill it in."""
        found = TOKEN.search(self.client.get("/subscribe").text)
        assert found is not None
        self.app.time += timedelta(seconds=5)
        filled = {"segment": ["ai", "luxury"], "address": "ada@example.org", "form": found[1]}
        return filled | {"page": "en", "language": "en", "website": ""} | changes

    def post(self, **changes: Any) -> Any:
        return self.client.post("/subscribe", data=self.form(**changes))

    def work(self) -> list[Any]:
        """Let the worker do its part; the messages it handed over now."""
        before = len(self.relay.sent)
        self.sender.work()
        return self.relay.sent[before:]

    def tokens(self) -> list[str]:
        """What the confirmations that were sent link to, oldest first."""
        texts = (message.data.replace(b"=\r\n", b"").decode() for message in self.relay.sent)
        return [found[1] for text in texts if (found := LINK.search(text))]

    def who(self, address: str = "ada@example.org") -> SubscriberId | None:
        with self.app.database.reading() as session:
            return queries.by_address(
                session, EmailAddress.parse(address), key=self.app.address_key
            )

    def person(self, address: str = "ada@example.org") -> Any:
        who = self.who(address)
        assert who is not None
        with self.app.database.reading() as session:
            return queries.subscriber(session, who)

    def follows(self, address: str = "ada@example.org") -> tuple[str, ...]:
        who = self.who(address)
        if who is None:
            return ()
        with self.app.database.reading() as session:
            return queries.following(session, who)

    def history(self, address: str = "ada@example.org") -> tuple[Consent, ...]:
        who = self.who(address)
        assert who is not None
        with self.app.database.reading() as session:
            return queries.history(session, who)

    def known(self, name: str, *segments: str) -> SubscriberId:
        """Somebody who has confirmed before."""
        with self.app.database.transaction() as session:
            who = actions.subscribe(
                session,
                EmailAddress.parse(f"{name.lower()}@example.org"),
                key=self.app.address_key,
                segments=segments,
                name=name,
                source="a form of old",
                wording="Send me the news.",
                now=self.app.time - timedelta(days=90),
            )
            actions.confirm(session, who, now=self.app.time - timedelta(days=89), source="a link")
        return who


def opened(database: Database, folder: Path, monkeypatch: Any, **settings: Any) -> Site:
    """The pages with three segments; every clock is the app's."""
    app = house(database, folder, **settings)
    with database.transaction() as session:
        actions.ensure_segments(session)
    clock(monkeypatch, lambda: app.time)
    pages = FastAPI()
    pages.include_router(routes.router(app))
    relay = ScriptedRelay()
    own = app.settings
    stationery = Stationery(app.keyring, app.publication, own.public_url, own.keep_unconfirmed)
    letters, nowhere = Letters(stationery), Path("/nowhere")
    sender = Sender(database, lambda: relay, letters, key=app.address_key, directory=nowhere)
    client = TestClient(pages, follow_redirects=False, client=("203.0.113.7", 4711))
    return Site(app, client, relay, sender)


def clock(monkeypatch: Any, now: Any) -> None:
    """One clock for all: the module that everybody asks."""
    monkeypatch.setattr("mailer.kit.clock.now", now)
