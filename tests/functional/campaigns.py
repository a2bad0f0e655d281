"""Campaigns to many people over real processes, and what has to be true when they are over."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import Popen

from mailer.app import App, compose
from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import CampaignId, State
from mailer.content import actions as content
from mailer.content import document
from mailer.content.issue import IssueId
from mailer.delivery import queries as delivery
from mailer.kit import broker, settings
from subscribers import bulk
from subscribers.address import EmailAddress
from subscribers.subscriber import NewPerson
from tests.fakes.smtp import ScriptedSink
from tests.functional.house import ROOT, House

ISSUE = "2026-47-couriers-and-carts"
PATIENCE = 60


@dataclass
class Office:
    """An installation looked into from this process: launches campaigns, and counts them."""

    house: House
    app: App
    sink: ScriptedSink
    people: int
    issue: IssueId

    def launch(self) -> CampaignId:
        """Send the issue to everybody, once more."""
        with self.app.database.transaction() as session:
            (campaign,) = campaigns.create(
                session,
                self.issue,
                segments=("ai",),
                sender=self.app.sender,
                now=self.app.now(),
            )
        self.app.launch(campaign)
        return campaign

    def reached(self, letters: int) -> None:
        """Wait until the sink has so many."""
        wait(lambda: len(self.sink.received) >= letters, f"{letters} letters")

    def went_out(self, campaign: CampaignId) -> None:
        """Wait for the end: nobody is lost, nobody mailed twice, nothing uncertain.

        The sink begins to count anew.
        """
        wait(lambda: self.state(campaign) is State.FINISHED, f"campaign {campaign} finished")
        with self.app.database.reading() as session:
            sums = delivery.progress(session, campaign)
            assert delivery.verify(session, campaign).holds
        got = Counter(self.sink.recipients)
        assert [address for address, times in got.items() if times > 1] == [], "mailed twice"
        assert (sums.uncertain, sums.accepted, len(got)) == (0, self.people, self.people)
        self.sink.received.clear()

    def state(self, campaign: CampaignId) -> State:
        with self.app.database.reading() as session:
            return campaign_queries.campaign(session, campaign).state


@contextmanager
def office(house: House, sink: ScriptedSink, *, people: int) -> Iterator[Office]:
    """The installation with an approved issue and so many confirmed readers."""
    app = compose(settings.read(house.environment))
    app.upgrade()
    text = (ROOT / f"mailer/demo/issues/{ISSUE}.md").read_text(encoding="utf-8")
    addresses = [EmailAddress.parse(f"reader{n}@example.org") for n in range(people)]
    readers = [NewPerson(address, segments=("ai",)) for address in addresses]
    now = app.now()
    with app.database.transaction() as session:
        bulk.add_confirmed(
            session, readers, now=now, key=app.address_key, source="a test", wording="Yes."
        )
        issue = content.save(session, document.read(text), now=now)
        content.approve(session, issue, now=now)
    try:
        yield Office(house, app, sink, people, issue)
    finally:
        app.database.close()
        broker.close(app.celery)


@contextmanager
def running(processes: list[Popen[bytes]]) -> Iterator[None]:
    """They are our own, and gone afterwards."""
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(PATIENCE)


def wait(until: Callable[[], bool], what: str, *, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, f"not within {seconds:g} seconds: {what}"
        time.sleep(0.02)
