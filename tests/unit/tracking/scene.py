"""A small campaign that has been sent: its readers, their letters, and what they may do.

Ada follows all three segments, Ben AI and luxury, Cleo AI alone; Dan follows AI and allows nothing
to be tracked; Eve follows e-commerce and was refused; Fay follows luxury and is still waiting.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.campaigns import actions as campaigns
from mailer.campaigns.campaign import CampaignId
from mailer.content import actions as content
from mailer.content.issue import Issue, Item, Link, Publication, Section, Source
from mailer.delivery.models import AudienceRow, BatchRow, DeliveryRow
from mailer.kit.database import Database
from mailer.rendering.edition import Edition
from mailer.rendering.render import render
from mailer.reports import actions as reports
from mailer.reports.models import RollupRow
from mailer.tracking import actions
from mailer.tracking.event import Event
from mailer.tracking.models import EventRow
from mailer.tracking.spool import Hit
from subscribers import actions as subscribers
from subscribers import bulk, queries
from subscribers.address import EmailAddress
from subscribers.subscriber import NewPerson, SubscriberId

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEY = b"a key of addresses, 32 bytes long"
SEGMENTS = ("e-commerce", "ai", "luxury")
PUBLIC_URL = "http://127.0.0.1:8000"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
)
PUBLICATION = Publication(
    name="The Digital Gazette",
    tagline="Chinese digital business, once a week",
    postal_address="1 Courier Lane, Springfield",
    from_address="news@dibao.example",
    segments=(("e-commerce", "E-commerce"), ("ai", "AI"), ("luxury", "Luxury")),
)


def _story(key: str, title: str, *segments: str) -> Item:
    return Item(
        id=key,
        title=title,
        body="A parcel crossed the river twice before anybody signed for it, says the courier.",
        sources=(Source(f"https://{key}.example/story?a=1&b=2", publisher="The Ledger"),),
        segments=segments,
    )


ISSUE = Issue(
    title="Couriers and carts",
    slug="couriers-and-carts",
    date=NOON.date(),
    preheader="Three stories and a bridge",
    greeting="Hello {{ first_name|reader }}, here is the week.",
    sections=(
        Section(
            title="The week",
            items=(
                _story("carts", "Carts fill at night", "e-commerce"),
                _story("models", "A model learns to wait", "ai"),
                _story("watches", "Watches that stand still", "luxury"),
                _story("bridge", "A bridge for everybody"),
                _story("chips", "Chips with gold", "ai", "luxury"),
            ),
        ),
    ),
    outro="That was it.",
    ctas=(Link("Write to us", "https://desk.example/write"),),
)


@dataclass(frozen=True)
class Person:
    """One of the cast."""

    name: str
    segments: tuple[str, ...]
    outcome: str = "accepted"
    tracking: int = 3
    domain: str = "readers.example"

    @property
    def address(self) -> str:
        return f"{self.name.lower()}@{self.domain}"


CAST = (
    Person("Ada", SEGMENTS),
    Person("Ben", ("ai", "luxury")),
    Person("Cleo", ("ai",), domain="bank.example"),
    Person("Dan", ("ai",), tracking=0),
    Person("Eve", ("e-commerce",), outcome="refused"),
    Person("Fay", ("luxury",), outcome=""),
)


@cache
def edition(followed: tuple[str, ...], tracking: int) -> Edition:
    return render(ISSUE, PUBLICATION, followed=followed, tracking=tracking, public_url=PUBLIC_URL)


@dataclass
class Scene:
    """A sent campaign in a database."""

    database: Database
    campaign: CampaignId
    people: dict[str, SubscriberId]
    editions: dict[int, Edition]  # by subscriber
    _ids: Any = field(default_factory=count)

    def hit(
        self,
        who: str,
        item: str = "",
        *,
        slot: str = "headline",
        after: float = 3600,
        agent: str = FIREFOX,
        **more: Any,
    ) -> Hit:
        """An open, or a click on an item's link, so many seconds after acceptance."""
        link = self.link(who, item, slot) if item else 0
        return Hit(
            kind="click" if item else "open",
            campaign=self.campaign,
            subscriber=self.people[who],
            at=NOON + timedelta(seconds=after),
            link=link,
            agent=agent,
            id=f"hit-{next(self._ids):04}",
            **more,
        )

    def link(self, who: str, item: str, slot: str = "headline") -> int:
        """The number of an item's link in somebody's letter."""
        links = self.editions[self.people[who]].links
        return next(one.number for one in links if one.item == item and one.slot == slot)

    def load(self, *hits: Hit) -> tuple[Event, ...]:
        """Load and count, in one transaction."""
        with self.database.transaction() as session:
            events = actions.load(session, hits)
            reports.count(session, events)
        return events

    def stored(self) -> list[EventRow]:
        with self.database.reading() as session:
            return list(session.scalars(select(EventRow).order_by(EventRow.id)))

    def rollup(self) -> list[tuple[Any, ...]]:
        with self.database.reading() as session:
            rows = session.scalars(select(RollupRow))
            return sorted(
                (
                    *(row.segment, row.item, row.link, row.measure, row.verdict, row.hour),
                    *(row.hits, row.people),
                )
                for row in rows
                if row.hits or row.people
            )

    def following(self, who: str) -> tuple[str, ...]:
        with self.database.reading() as session:
            return queries.following(session, self.people[who])


def sent(database: Database, cast: tuple[Person, ...] = CAST, *, tracking: int = 3) -> Scene:
    """The campaign, sent at noon."""
    with database.transaction() as session:
        subscribers.ensure_segments(session)
        bulk.add_confirmed(
            session,
            [
                NewPerson(
                    EmailAddress.parse(one.address), one.name, one.segments, tracking=one.tracking
                )
                for one in cast
            ],
            now=NOON - timedelta(days=30),
            key=KEY,
            source="test",
            wording="They agreed.",
        )
        issue = content.save(session, ISSUE, now=NOON)
        content.approve(session, issue, now=NOON)
        (campaign,) = campaigns.create(
            session,
            issue,
            segments=SEGMENTS,
            sender=campaigns.Sender("The Digital Gazette", "news@dibao.example"),
            now=NOON,
            tracking=tracking,
        )
        campaigns.launch(session, campaign, now=NOON)
        people, editions = _audience(session, campaign, cast, tracking)
        campaigns.start(
            session, campaign, candidates=len(cast), excluded=0, audience=len(cast), now=NOON
        )
    return Scene(database, campaign, people, editions)


def _audience(
    session: Session, campaign: CampaignId, cast: tuple[Person, ...], tracking: int
) -> tuple[dict[str, SubscriberId], dict[int, Edition]]:
    people: dict[str, SubscriberId] = {}
    editions: dict[int, Edition] = {}
    stored: dict[tuple[tuple[str, ...], int], int] = {}
    for position, one in enumerate(cast, start=1):
        who = queries.by_address(session, EmailAddress.parse(one.address), key=KEY)
        assert who is not None
        level = one.tracking & tracking
        made = edition(one.segments, level)
        if (one.segments, level) not in stored:
            stored[one.segments, level] = campaigns.add_edition(
                session,
                campaign,
                mask=sum(1 << SEGMENTS.index(key) for key in one.segments),
                segments=one.segments,
                tracking=level,
                artifact=made.dumps(),
                sha256=made.sha256,
                sizes=(made.html_bytes, made.text_bytes),
                now=NOON,
            )
        session.add(
            AudienceRow(
                campaign_id=campaign,
                subscriber_id=who,
                address_key=f"{position:032x}",
                edition_id=stored[one.segments, level],
                lane=one.domain,
                batch=position,
                position=1,
            )
        )
        session.add(
            BatchRow(
                campaign_id=campaign,
                number=position,
                edition_id=stored[one.segments, level],
                lane=one.domain,
                not_before=NOON,
                size=1,
                state="done" if one.outcome else "open",
            )
        )
        people[one.name], editions[who] = who, made
        if one.outcome:
            session.add(
                DeliveryRow(campaign_id=campaign, subscriber_id=who, outcome=one.outcome, at=NOON)
            )
    session.flush()
    return people, editions
