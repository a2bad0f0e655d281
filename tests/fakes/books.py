"""People, segments and a campaign, written straight into the tables, for tests of delivery."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from sqlalchemy import insert
from sqlalchemy.orm import Session

from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import Campaign, CampaignId, EditionId
from mailer.campaigns.models import CampaignRow
from mailer.content.models import IssueRow
from mailer.delivery import audience, queries
from mailer.delivery.audience import Frozen
from mailer.delivery.compose import Composers, Letterhead
from mailer.delivery.dispatch import Dispatcher
from mailer.delivery.journal import Journal
from mailer.delivery.pacing import Pacer
from mailer.delivery.relay import Relay
from mailer.delivery.tools import Terms
from mailer.kit.database import Database
from mailer.kit.signing import Keyring
from mailer.rendering.edition import Edition, Slot
from subscribers.models import FollowRow, SegmentRow, SubscriberRow

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEGMENTS = ("ai", "luxury")


def people(
    session: Session,
    count: int,
    *,
    first: int = 1,
    segments: Sequence[str] = SEGMENTS[:1],
    domain: str = "example.org",
    state: str = "confirmed",
    tracking: int = 3,
) -> list[int]:
    """Subscribers reader<id>@domain who follow the segments; their ids."""
    known = {row.key: row.id for row in session.query(SegmentRow)}
    for number, key in enumerate(SEGMENTS, 1):
        if key not in known:
            row = {"key": key, "name": key, "position": number}
            known[key] = session.scalars(insert(SegmentRow).returning(SegmentRow.id), [row]).one()
    ids = list(range(first, first + count))
    rows = [
        {
            "id": n,
            "address": f"reader{n}@{domain}",
            "address_key": sha256(b"%d" % n).hexdigest()[:32],
            "domain": domain,
            "name": f"Reader {n}",
            "state": state,
            "tracking": tracking,
            "created_at": NOON,
            "updated_at": NOON,
        }
        for n in ids
    ]
    follows = [
        {"subscriber_id": n, "segment_id": known[key], "since": NOON}
        for n in ids
        for key in segments
    ]
    if ids:
        session.execute(insert(SubscriberRow), rows)
    if follows:
        session.execute(insert(FollowRow), follows)
    return ids


def campaign(
    session: Session, *, segments: Sequence[str] = SEGMENTS, number: int = 1
) -> CampaignId:
    """A campaign that is being prepared."""
    issue = IssueRow(
        slug=f"issue-{number}",
        title="Fans in the gym",
        state="approved",
        approved_revision=1,
        hash="0",
        created_at=NOON,
        updated_at=NOON,
    )
    session.add(issue)
    session.flush()
    row = CampaignRow(
        name="Fans in the gym",
        issue_id=issue.id,
        issue_revision=1,
        issue_hash="0",
        mode="merged",
        segments=list(segments),
        state="preparing",
        subject="Fans in the gym",
        from_name="The Digital Gazette",
        from_address="news@gazette.example",
        created_at=NOON,
    )
    session.add(row)
    session.flush()
    return CampaignId(row.id)


def edition(segments: tuple[str, ...] = ("ai",), tracking: int = 3) -> Edition:
    """A small edition with one token in it."""
    return Edition(
        segments=segments,
        tracking=tracking,
        language="en",
        subject="Fans for {{ first_name|you }}",
        preheader="",
        html="<p>Fans</p>",
        text="Fans",
        links=(),
        content_type='text/plain; charset="utf-8"',
        pieces=("Fans in the gym: https://gazette.example/c/=\r\n", "=\r\n/1\r\n"),
        slots=(Slot(before=1, field="token", default="", markup=False, base64=False),),
        sha256="",
        html_bytes=11,
        text_bytes=4,
    ).sealed()


def editions(session: Session, number: CampaignId) -> dict[tuple[int, int], EditionId]:
    """The editions its audience needs now."""
    found = {}
    for mask, tracking, _ in queries.needed(session, number, now=NOON):
        keys = tuple(key for n, key in enumerate(SEGMENTS) if mask >> n & 1)
        made = edition(keys, tracking)
        found[mask, tracking] = campaigns.add_edition(
            session,
            number,
            mask=mask,
            segments=keys,
            tracking=tracking,
            artifact=made.dumps(),
            sha256=made.sha256,
            sizes=(made.html_bytes, made.text_bytes),
            now=NOON,
        )
    return found


def launched(session: Session, number: CampaignId, *, batch_size: int = 1000) -> Frozen:
    """Freeze a campaign and set it sending."""
    made = editions(session, number)
    frozen = audience.freeze(session, number, made, now=NOON, batch_size=batch_size)
    campaigns.start(
        session,
        number,
        candidates=frozen.candidates,
        excluded=frozen.excluded,
        audience=frozen.audience,
        now=NOON,
    )
    return frozen


def sending(database: Database, count: int, *, batch_size: int = 1000) -> CampaignId:
    """A campaign that is sending to `count` people who follow AI."""
    with database.transaction() as session:
        people(session, count)
        number = campaign(session)
        launched(session, number, batch_size=batch_size)
    return number


def dispatcher(
    database: Database,
    relay: Relay,
    *,
    worker: str = "one",
    journal: Journal | None = None,
    pacer: Pacer | None = None,
    guard: Callable[[datetime], str | None] | None = None,
    directory: Path | None = None,
    queues: tuple[str, ...] = (),
    terms: Terms | None = None,
) -> Dispatcher:
    """A worker; without a journal, limits or a data directory unless it is given one."""
    composers = Composers(
        database, Letterhead(Keyring.of("only for tests"), "https://gazette.example")
    )
    return Dispatcher(
        database,
        relay,
        journal,
        composers=composers,
        worker=worker,
        pacer=pacer,
        guard=guard,
        directory=directory,
        queues=queues,
        terms=terms,
    )


def stored(session: Session, number: CampaignId) -> Campaign:
    """The campaign as it stands."""
    return campaign_queries.campaign(session, number)
