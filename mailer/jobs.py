"""The whole flow on one page: every background job, its queue, the action it calls.

    launch ──knock──► prepare ──knock──► send … send ──► close     sign-up ──knock──► notify
                         ▲                 ▲                                             ▲
    sweep, every few seconds in each worker: what is due and was not knocked for; retention nightly
    count, every few seconds where the pages are: hits from the spool into events and rollups

A knock may be lost, late or doubled: each job looks in the database first what there is to do.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import (
    Campaign,
    CampaignAlreadyLaunched,
    CampaignId,
    EditionId,
    State,
)
from mailer.content.issue import Issue, Publication
from mailer.delivery import audience
from mailer.delivery import queries as delivery_queries
from mailer.delivery.dispatch import Dispatcher
from mailer.kit import clock
from mailer.kit.database import Database, try_lock
from mailer.kit.errors import DibaoError
from mailer.kit.settings import Settings
from mailer.notices import queries as notice_queries
from mailer.notices.sending import Sender
from mailer.privacy import retention
from mailer.rendering.edition import Edition
from mailer.rendering.render import render
from mailer.reports import actions as reports
from mailer.tracking import actions as tracking
from mailer.tracking.spool import Spool
from subscribers import engaging
from subscribers import queries as subscribers
from subscribers.segment import Segment

KNOCKS = 32
"""The most knocks for one campaign at once: enough for as many worker processes."""

_SWEEP_LOCK = 4472  # any number, the same in every worker
_log = structlog.get_logger()


NOTHING_TO_READ = "The issue has no item for anybody in the audience: do its items name segments?"


@dataclass(frozen=True, slots=True)
class Tools:
    """What the jobs work with; made once by `mailer.app`."""

    settings: Settings
    database: Database
    publication: Publication
    spool: Spool
    dispatcher: Callable[[], Dispatcher]  # of this process, made at the first call
    notices: Callable[[], Sender]  # the same
    knock: Callable[[str, int], bool]  # job, campaign: False where the broker is away


def prepare(tools: Tools, campaign: int) -> None:
    """Render the editions an audience needs, freeze it, start sending: all or nothing.

    A crash anywhere leaves the campaign "preparing", and the sweep begins again. An issue that
    cannot be rendered sends its campaign back to the draft, with the reason.
    """
    identity = CampaignId(campaign)
    with tools.database.reading() as session:
        found = campaign_queries.campaign(session, identity)
        if found.state is not State.PREPARING:
            return
        issue = campaign_queries.issue(session, found, now=clock.now())
        ruled = subscribers.ruled(session)
        house = named(tools.publication, subscribers.segments(session), issue.language)
        needed = delivery_queries.needed(session, identity, now=clock.now())
    try:
        editions = {
            (mask, level): _edition(
                tools, house, issue, issue.read_in(found.keys(mask), ruled), level
            )
            for mask, level, _ in needed
        }
    except DibaoError as refused:
        _hand_back(tools, identity, str(refused))
        return
    except Exception:  # noqa: BLE001  # knocking again and again would not help
        _log.exception("bug while rendering", campaign=campaign)
        _hand_back(tools, identity, "rendering failed on a bug; the log says where")
        return
    if editions and not any(editions.values()):
        _hand_back(tools, identity, NOTHING_TO_READ)
        return
    batches = _freeze(tools, found, editions)
    for _ in range(min(batches, KNOCKS)):
        tools.knock("campaign.send", campaign)


def send(tools: Tools, campaign: int) -> None:
    """Work the campaign's due batches for a while; knock again if some are left."""
    if tools.dispatcher().work(CampaignId(campaign)).more_due:
        tools.knock("campaign.send", campaign)


def notify(tools: Tools, **_: int) -> None:
    """Take what was entered in the sign-up form, and send those of our own letters that are due."""
    tools.notices().work()


def count(tools: Tools) -> int:
    """Load spooled hits, count them in the same transaction; how many events were new."""
    new = 0
    for part in tools.spool.ready():
        with tools.database.transaction() as session:
            events = tracking.load(session, part.hits)
            reports.count(session, events)
            new += len(events)
        part.done()
    return new


def retain(tools: Tools, **_: int) -> None:
    """Take away what is kept no longer: once a night."""
    retention.run(tools.database, tools.settings, clock.now())


def sweep(tools: Tools) -> None:
    """Find what is due and was not knocked for. Any number of workers may run this."""
    now = clock.now()
    with tools.database.transaction() as session:
        if not try_lock(session, _SWEEP_LOCK):
            return
        for identity in campaign_queries.due(session, now):
            if not campaigns.miss(session, identity, now=now):
                _launch_scheduled(session, identity)
        preparing = campaign_queries.campaigns(session, states=(State.PREPARING,))
        waiting = notice_queries.due(session, now)
        nightly = retention.is_due(session, now)
    for found in preparing:
        _run_or_knock(tools, "campaign.prepare", found.id)
    if waiting and not tools.knock("notice.send", 0):
        notify(tools)
    for identity in tools.dispatcher().sweep():
        _run_or_knock(tools, "campaign.send", identity)
    if nightly and not tools.knock("retention", 0):
        retain(tools)


@dataclass(frozen=True, slots=True)
class Job:
    """A background action by name."""

    queue: str
    run: Callable[..., object]


JOBS: Mapping[str, Job] = {
    "campaign.prepare": Job("bulk", prepare),
    "campaign.send": Job("bulk", send),
    "notice.send": Job("transactional", notify),
    "retention": Job("maintenance", retain),
    "sweep": Job("maintenance", sweep),
}


def named(house: Publication, segments: Iterable[Segment], language: str) -> Publication:
    """The publication with the names of what can be followed, as this issue's readers know them."""
    names = tuple((one.key, one.name_in(language)) for one in segments if one.rule is None)
    return replace(house, segments=names)


def _hand_back(tools: Tools, campaign: CampaignId, reason: str) -> None:
    with tools.database.transaction() as session:
        campaigns.hand_back(session, campaign, reason=reason)
    _log.warning("campaign handed back to its draft", campaign=campaign)


def _edition(
    tools: Tools, house: Publication, issue: Issue, followed: tuple[str, ...], tracking: int
) -> Edition | None:
    """The edition for one set of segments; None where the issue says nothing to it."""
    if issue.items and not issue.for_segments(followed).items:
        return None
    return render(
        issue, house, followed=followed, tracking=tracking, public_url=tools.settings.public_url
    )


def _freeze(
    tools: Tools, campaign: Campaign, editions: Mapping[tuple[int, int], Edition | None]
) -> int:
    """Keep editions and audience and set the campaign sending, in one transaction; batches."""
    now = clock.now()
    with tools.database.transaction() as session:
        if not campaigns.claim(session, campaign.id):
            return 0  # another worker has prepared it meanwhile
        stored: dict[tuple[int, int], EditionId | None] = {
            key: _kept(session, campaign, key, edition, now) if edition else None
            for key, edition in editions.items()
        }
        frozen = audience.freeze(
            session, campaign.id, stored, now=now, batch_size=tools.settings.batch_size
        )
        campaigns.start(
            session,
            campaign.id,
            candidates=frozen.candidates,
            excluded=frozen.excluded,
            audience=frozen.audience,
            now=now,
        )
        engaging.issue_sent(session, campaign.issue, now)
    return frozen.batches


def _kept(
    session: Session,
    campaign: Campaign,
    key: tuple[int, int],
    edition: Edition,
    now: datetime,
) -> EditionId:
    return campaigns.add_edition(
        session,
        campaign.id,
        mask=key[0],
        segments=edition.segments,
        tracking=key[1],
        artifact=edition.dumps(),
        sha256=edition.sha256,
        sizes=(edition.html_bytes, edition.text_bytes),
        now=now,
    )


def _launch_scheduled(session: Session, campaign: CampaignId) -> None:
    with contextlib.suppress(CampaignAlreadyLaunched):  # somebody pressed Send meanwhile
        campaigns.launch(session, campaign, now=clock.now())


def _run_or_knock(tools: Tools, job: str, campaign: int) -> None:
    """Sending goes on without a broker: what nobody can be asked to do is done here."""
    if not tools.knock(job, campaign):
        JOBS[job].run(tools, campaign)
