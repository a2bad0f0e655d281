"""A small installation for the pages: the attributes of `mailer.app.App`, and scenes to look at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from mailer.app import App, publication
from mailer.campaigns import actions
from mailer.campaigns.campaign import CampaignId, State
from mailer.campaigns.models import CampaignRow, EditionRow
from mailer.content import actions as content
from mailer.content.issue import Issue, Item, Section, Source
from mailer.delivery.models import AttemptRow, AudienceRow, BatchRow, DeliveryRow
from mailer.inbox.store import Store
from mailer.kit.database import Database
from mailer.kit.settings import Settings
from mailer.kit.signing import Keyring
from mailer.rendering.edition import Edition, EditionLink
from mailer.reports import actions as reports
from mailer.tracking import actions as tracking
from mailer.tracking.spool import Hit, Spool
from subscribers.models import SubscriberRow

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LOCAL = {"host": "127.0.0.1:8000"}
SAME = {**LOCAL, "origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}


@dataclass
class House(App):
    """An App whose clock stands at noon and whose knocks are only noted."""

    knocks: list[tuple[str, dict[str, int]]] = field(default_factory=list)
    time: datetime = NOON

    def now(self) -> datetime:
        return self.time

    def knock(self, job: str, **ids: int) -> bool:
        self.knocks.append((job, ids))
        return True

    @cached_property
    def letters(self) -> Store:
        return Store(self.settings.data_dir / "inbox")


def house(database: Database, folder: Path, **changes: Any) -> House:
    settings = Settings(data_dir=folder, **changes)
    return House(
        settings=settings,
        database=database,
        keyring=Keyring.of("a secret"),
        publication=publication(settings),
        spool=Spool(folder / "spool"),
    )


def campaign(
    app: App,
    *,
    name: str = "Couriers and carts",
    state: State = State.SENDING,
    outcomes: Sequence[str] = (),
    names: Sequence[str] = (),
    deferred: int = 0,
    excluded: int = 2,
    segments: tuple[str, ...] = ("e-commerce", "ai", "luxury"),
    reason: str = "",
) -> CampaignId:
    """A campaign whose audience met these outcomes, "" for people still open."""
    with app.database.transaction() as session:
        issue = content.save(session, _issue(name, segments), now=NOON)
        digest = content.approve(session, issue, now=NOON)
        row = CampaignRow(
            name=name,
            issue_id=issue,
            issue_revision=1,
            issue_hash=digest,
            mode="merged",
            segments=list(segments),
            state=State.DRAFT,
            subject=f"{name}: this week in Chinese digital business",
            from_name="The Digital Gazette",
            from_address="news@dibao.example",
            reason=reason,
            created_at=NOON,
        )
        session.add(row)
        session.flush()
        identity = CampaignId(row.id)
        if state in {State.DRAFT, State.SCHEDULED, State.MISSED}:
            row.scheduled_for = None if state is State.DRAFT else NOON + timedelta(hours=20)
            row.state = State.SCHEDULED if state is not State.DRAFT else State.DRAFT
            session.flush()
            row.state = state
            return identity
        actions.launch(session, identity, now=NOON - timedelta(seconds=22))
        if state is State.PREPARING:
            return identity
        _send(session, identity, outcomes, names, deferred, excluded, segments)
        began = NOON - timedelta(seconds=20)
        size = len(outcomes)
        actions.start(
            session,
            identity,
            candidates=size + excluded,
            excluded=excluded,
            audience=size,
            now=began,
        )
        if state is State.PAUSED:
            actions.pause(session, identity, reason=reason or "by hand")
        elif state is State.CANCELLED:
            actions.cancel(session, identity, now=NOON, reason=reason or "by hand")
        elif state is State.FINISHED:
            actions.finish(session, identity, uncertain=outcomes.count("uncertain"), now=NOON)
    return identity


def read(app: App, identity: CampaignId, subscribers: Sequence[int], link: int = 0) -> None:
    """Let people come: an open, or a click on a link."""
    later = NOON + timedelta(minutes=7)
    hits = [
        Hit(
            "click" if link else "open",
            identity,
            who,
            later + timedelta(seconds=who),
            link=link,
            agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            network=f"net-{who}",
        )
        for who in subscribers
    ]
    with app.database.transaction() as session:
        reports.count(session, tracking.load(session, hits))


def settle(app: App, identity: CampaignId, outcome: str, count: int) -> None:
    """Give the next open people a result."""
    with app.database.transaction() as session:
        done = session.query(DeliveryRow).filter_by(campaign_id=identity).count()
        people = (
            session.query(AudienceRow.subscriber_id)
            .filter_by(campaign_id=identity, excluded=None)
            .order_by(AudienceRow.subscriber_id)
            .offset(done)
            .limit(count)
        )
        session.add_all(
            DeliveryRow(campaign_id=identity, subscriber_id=who, outcome=outcome, at=NOON)
            for (who,) in people
        )


def _issue(name: str, segments: tuple[str, ...]) -> Issue:
    items = tuple(
        Item(
            id=f"story-{key}",
            title=f"What {key} learnt this week",
            body="A short story.",
            segments=(key,),
            sources=(Source(f"https://news.example/{key}"),),
        )
        for key in segments
    )
    sections = (Section(title="News", items=items),)
    return Issue(title=name, slug=f"digest-{uuid4().hex[:8]}", sections=sections)


def _artifact(segments: tuple[str, ...]) -> str:
    links = tuple(
        EditionLink(n, f"https://news.example/{key}", f"story-{key}", "headline", f"What {key}")
        for n, key in enumerate(segments, start=1)
    )
    return (
        Edition(
            segments=segments,
            tracking=3,
            language="en",
            subject="Digest",
            preheader="",
            html="<p>Digest</p>",
            text="Digest",
            links=links,
            content_type="text/plain",
            pieces=("Digest",),
            slots=(),
            sha256="",
            html_bytes=13,
            text_bytes=6,
        )
        .sealed()
        .dumps()
    )


def _send(
    session: Any,
    identity: CampaignId,
    outcomes: Sequence[str],
    names: Sequence[str],
    deferred: int,
    excluded: int,
    segments: tuple[str, ...],
) -> None:
    people = [
        SubscriberRow(
            address=names[n] if n < len(names) else f"reader{identity}.{n}@example.com",
            address_key=f"{identity:08x}{n:024x}",
            domain="example.com",
            state="confirmed",
            created_at=NOON,
            updated_at=NOON,
        )
        for n in range(len(outcomes) + excluded)
    ]
    editions = [
        EditionRow(
            campaign_id=identity,
            mask=mask,
            segments=[key for n, key in enumerate(segments) if mask >> n & 1],
            tracking=3,
            artifact=_artifact(tuple(k for n, k in enumerate(segments) if mask >> n & 1)),
            sha256="0" * 64,
            html_bytes=38_000 + 4_100 * mask,
            text_bytes=9_000,
            created_at=NOON,
        )
        for mask in range(1, 2 ** len(segments))
    ]
    session.add_all([*people, *editions])
    session.flush()
    session.add_all(
        AudienceRow(
            campaign_id=identity,
            subscriber_id=person.id,
            address_key=person.address_key,
            edition_id=editions[n % len(editions)].id if n < len(outcomes) else None,
            lane="example.com" if n < len(outcomes) else None,
            batch=n % len(editions) + 1 if n < len(outcomes) else None,
            position=n // len(editions) + 1 if n < len(outcomes) else None,
            excluded=None if n < len(outcomes) else "unsubscribed",
        )
        for n, person in enumerate(people)
    )
    again = len(editions) + 1  # the batch of those put off
    session.add_all(
        BatchRow(
            campaign_id=identity,
            number=number,
            edition_id=editions[(number - 1) % len(editions)].id,
            lane="example.com",
            not_before=NOON,
            attempt=1 if number < again else 2,
            size=len(outcomes[number - 1 :: len(editions)]) if number < again else max(deferred, 1),
        )
        for number in range(1, again + 1)
    )
    session.flush()
    for n, (person, outcome) in enumerate(zip(people, outcomes, strict=False)):
        if outcome:
            session.add(
                DeliveryRow(
                    campaign_id=identity,
                    subscriber_id=person.id,
                    outcome=outcome,
                    at=NOON,
                    worker="desk-4711",
                    batch=n % len(editions) + 1,
                    epoch=1,
                    chunk=2,
                    evidence="journal: dot, no reply, connection 7"
                    if outcome == "uncertain"
                    else "",
                )
            )
        elif deferred:
            deferred -= 1
            session.add(
                AttemptRow(
                    campaign_id=identity,
                    subscriber_id=person.id,
                    number=1,
                    code=451,
                    enhanced="4.3.0",
                    reply="not now",
                    at=NOON,
                    first_tried=NOON,
                    batch=again,
                    position=deferred + 1,
                )
            )
