"""The whole flow on one page: every background job, its queue, the action it calls.

    launch ──► prepare ──► send … send ──► close        sign-up ──► notify
    import --background ──► bring in ──► look up        a visit ──► spool ──► count

Each arrow is a knock, which may be lost, late or doubled: each job looks first what there is to do,
in the database or, for imports and hits, in the data directory of its host. The sweep, every few
seconds in each worker, finds what is due and was not knocked for: prepare, send, notify, bring in;
retention and look up at night. What no worker of a host counts, its pages count.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
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
from mailer.delivery import audience, resolving, workers
from mailer.delivery import queries as delivery_queries
from mailer.delivery.dispatch import Dispatcher
from mailer.delivery.instance import JOURNALS
from mailer.delivery.lanes import Lanes
from mailer.delivery.plan import Plan
from mailer.kit import clock
from mailer.kit.database import Database, try_lock
from mailer.kit.errors import DibaoError, Unavailable
from mailer.kit.settings import Settings
from mailer.notices import queries as notice_queries
from mailer.notices.sending import Sender
from mailer.privacy import retention
from mailer.rendering.edition import Edition
from mailer.reports import actions as reports
from mailer.tracking import actions as tracking
from mailer.tracking.spool import Spool
from subscribers import engaging
from subscribers import queries as subscribers
from subscribers.address import Canon
from subscribers.intake import runs, taking
from subscribers.intake.run import State as RunState
from subscribers.intake.waiting import Taken, Waiting
from subscribers.segment import Segment

KNOCKS = 32
"""The most knocks for one campaign at once: enough for as many worker processes."""

DOMAINS = 1000
"""Domains asked for in one job: a minute at most."""

WAITING = "waiting"
"""The folder of the data directory with the files that wait to be imported."""

LATE = 10.0
"""Seconds after which the pages' own process counts what no worker has taken."""

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
    plan: Plan = field(default_factory=Plan)  # of the delivery file
    queues: Callable[[], tuple[str, ...]] = lambda: ()  # whose knocks this process hears
    stopping: Callable[[], bool] = lambda: False  # this process is to end: begin nothing long


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
        if not tools.knock("campaign.send", campaign):
            break  # a broker that is away is not waited for again and again


def send(tools: Tools, campaign: int) -> None:
    """Work the campaign's due batches for a while; knock again if some are left."""
    if tools.dispatcher().work(CampaignId(campaign)).more_due:
        tools.knock("campaign.send", campaign)


def notify(tools: Tools, **_: int) -> None:
    """Take what was entered in the sign-up form, and send those of our own letters that are due."""
    tools.notices().work()


def count(tools: Tools, **_: int) -> int:
    """Load this host's hits, count them in the same transaction; how many events were new."""
    new = 0
    for part in tools.spool.ready():
        with tools.database.transaction() as session:
            events = tracking.load(session, part.hits)
            reports.count(session, events)
            came = [(event.campaign, event.subscriber, event.kind.value) for event in events]
            resolving.came_back(session, came, now=clock.now())
            new += len(events)
        part.done()
    return new


class Counting:
    """Sees to the hits that a process of the pages spools."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._seen: dict[str, float] = {}  # files with hits, and since when they are there

    def turn(self) -> None:
        """Ask a worker of this host to count; do it here where none would, or none has."""
        now = time.monotonic()
        self._seen = {name: self._seen.get(name, now) for name in self._tools.spool.files()}
        if self._seen and not (now - min(self._seen.values()) < LATE and self._asked()):
            count(self._tools)

    def _asked(self) -> bool:
        tools = self._tools
        journals = [path.name for path in (tools.settings.data_dir / JOURNALS).glob("*")]
        if tools.settings.embedded or not journals:
            return False
        with tools.database.reading() as session:
            heard = workers.hears(session, JOBS["event.count"].queue, journals)
        return heard and tools.knock("event.count", 0)


def bring_in(tools: Tools, **_: int) -> None:
    """Import the files that wait in the data directory, each from where it was left."""
    waiting = Waiting(tools.settings.data_dir / WAITING)
    while not tools.stopping():
        with waiting.next() as taken:
            if taken is None or not _brought_in(tools, taken):
                return
            taken.done()
        tools.knock("mx.look_up", 0)


def retain(tools: Tools, **_: int) -> None:
    """Take away what is kept no longer: once a night."""
    retention.run(tools.database, tools.settings, clock.now())


def look_up(tools: Tools, **_: int) -> None:
    """Ask where new domains get their mail, for the lanes: at night and after an import."""
    if tools.plan.mx_lookup:
        from mailer.delivery import mx  # noqa: PLC0415  # a resolver is 5 MB, and seldom asked for

        lanes = Lanes.of(tools.plan)
        found = mx.look_up(tools.database, None, clock.now(), DOMAINS, lanes=lanes)
        if found.left and found.known:
            tools.knock("mx.look_up", 0)


def alive(tools: Tools) -> None:
    """Show that this process lives and what it hears, also while it has nothing to do."""
    dispatcher = tools.dispatcher()
    dispatcher.register()
    with tools.database.transaction() as session:
        workers.alive(session, dispatcher.worker, tools.queues())


def sweep(tools: Tools) -> None:
    """Find what is due and was not knocked for. Any number of workers may run this."""
    tools.dispatcher().register()  # a restored database is held before its old schedule is met
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
    if nightly:
        tools.knock("mx.look_up", 0)
        if not tools.knock("retention", 0):
            retain(tools)
    if Waiting(tools.settings.data_dir / WAITING).idle():
        tools.knock("subscriber.import", 0)  # minutes of work: without a broker it waits


@dataclass(frozen=True, slots=True)
class Job:
    """A background action by name."""

    queue: str
    run: Callable[..., object]


JOBS: Mapping[str, Job] = {
    "campaign.prepare": Job("bulk", prepare),
    "campaign.send": Job("bulk", send),
    "event.count": Job("events", count),
    "mx.look_up": Job("maintenance", look_up),
    "notice.send": Job("transactional", notify),
    "retention": Job("maintenance", retain),
    "subscriber.import": Job("import", bring_in),
    "sweep": Job("maintenance", sweep),
}


def named(house: Publication, segments: Iterable[Segment], language: str) -> Publication:
    """The publication with the names of what can be followed, as this issue's readers know them."""
    names = tuple((one.key, one.name_in(language)) for one in segments if one.rule is None)
    return replace(house, segments=names)


def _brought_in(tools: Tools, taken: Taken) -> bool:
    """Whether nothing is left to do of an import; False where this process is to end."""
    own = tools.settings
    key = Canon.of(own.secrets, own.same_person)
    try:
        with tools.database.reading() as session:
            begun = runs.get(session, taken.run).state is RunState.RUNNING
        steps = taking.take(tools.database, taken.file, taken.plan, key=key, now=clock.now())
        return not begun or not any(tools.stopping() for _ in steps)
    except Unavailable:
        raise  # the next one goes on
    except DibaoError as refused:  # a segment archived meanwhile; the command would say it too
        _log.warning("import given up", run=taken.run, why=str(refused))
        return True


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
    from mailer.rendering.render import render  # noqa: PLC0415  # 3.4 MB, once per campaign

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
            session,
            campaign.id,
            stored,
            now=now,
            batch_size=tools.settings.batch_size,
            plan=tools.plan,
            zone=tools.settings.timezone,
        )
        campaigns.start(
            session,
            campaign.id,
            candidates=frozen.candidates,
            excluded=frozen.excluded,
            audience=frozen.audience,
            now=now,
            canary=tools.plan.brakes.canary_for(frozen.audience),
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
