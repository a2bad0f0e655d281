"""What a campaign's page shows, read at most once a second however many people watch.

The report joins more tables than the progress, so it is read less often; what a look costs decides
how soon it is repeated.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import MOVES, Campaign, CampaignId, State
from mailer.delivery import queries as delivery
from mailer.delivery import trouble
from mailer.delivery.queries import LedgerLine, Progress
from mailer.delivery.trouble import Deferrals, LaneProgress
from mailer.reports import queries as reports
from mailer.reports.measures import Report
from mailer.web.studio.held import Held, held
from subscribers import queries as subscribers
from subscribers.subscriber import SubscriberId, SubscriberNotFound

if TYPE_CHECKING:
    from mailer.app import App

WINDOW = 15.0
"""Seconds over which the present rate is measured."""

LISTED = 100
"""Uncertain letters named on the page; the command line lists all."""

_FRESH = 1.0  # seconds a look serves everybody
_REPORT_FRESH = 4.0  # seconds a report does
_SHARE = 10  # a look that takes 1 s is not repeated for 10


@dataclass(frozen=True, slots=True)
class EditionLine:
    """One edition in the table."""

    segments: tuple[str, ...]
    tracking: int
    audience: int
    settled: int
    html_bytes: int


@dataclass(frozen=True, slots=True)
class Doubtful:
    """One uncertain letter, by name."""

    address: str  # empty once the person is erased
    line: LedgerLine


@dataclass(frozen=True, slots=True)
class Board:
    """A campaign at a glance."""

    campaign: Campaign
    progress: Progress
    editions: tuple[EditionLine, ...]
    lanes: tuple[LaneProgress, ...]
    deferrals: tuple[Deferrals, ...]
    uncertain: tuple[Doubtful, ...]
    rate: float  # people settled per second: now while sending, on average afterwards
    remaining: float | None  # seconds at this rate; None where nobody can say
    elapsed: float | None  # seconds since the audience was frozen, or until the end
    report: Report | None  # once there is an audience
    held: Held

    @property
    def moves(self) -> frozenset[State]:
        """Where the campaign may go from here."""
        return MOVES[self.campaign.state]

    @property
    def is_moving(self) -> bool:
        """Whether the page changes by itself."""
        return self.campaign.state in {State.PREPARING, State.SENDING}


@dataclass(slots=True)
class _Watched:
    """What is remembered of one campaign between two looks."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    board: Board | None = None
    stale_at: float = 0.0  # by the monotonic clock
    samples: deque[tuple[float, int]] = field(default_factory=deque)
    report: Report | None = None
    report_stale_at: float = 0.0


class Boards:
    """Looks at campaigns for everybody who watches."""

    def __init__(self, app: "App", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock = clock
        self._lock = threading.Lock()
        self._watched: dict[CampaignId, _Watched] = {}

    def look(self, campaign: CampaignId, *, fresh: bool = False) -> Board:
        """The campaign as it is now, or was a moment ago. Raises CampaignNotFound."""
        with self._lock:
            watched = self._watched.setdefault(campaign, _Watched())
        with watched.lock:
            begun = self._clock()
            if watched.board is not None and begun < watched.stale_at and not fresh:
                return watched.board
            try:
                watched.board = self._read(campaign, watched, fresh=fresh)
            except Exception:
                with self._lock:
                    self._watched.pop(campaign, None)
                raise
            took = self._clock() - begun
            watched.stale_at = self._clock() + max(_FRESH, _SHARE * took)
            return watched.board

    def _read(self, campaign: CampaignId, watched: _Watched, *, fresh: bool) -> Board:
        with self._app.database.reading() as session:
            found = campaigns.campaign(session, campaign)
            progress = delivery.progress(session, campaign, by_edition=True)
            editions = _editions(session, campaign, progress)
            lanes = trouble.lanes(session, campaign)
            deferrals = trouble.deferrals(session, campaign)
            uncertain = _uncertain(session, campaign) if progress.uncertain else ()
            report = self._report(session, found, watched, fresh=fresh)
            waits = held(session, found, lanes, self._app.settings.data_dir, now=self._app.now())
        elapsed = _elapsed(found, self._app.now())
        rate = _rate(watched.samples, self._clock(), progress.settled, found, elapsed)
        moving = found.state is State.SENDING and rate > 0
        remaining = (progress.open - progress.deferred) / rate if moving else None
        return Board(
            campaign=found,
            progress=progress,
            editions=editions,
            lanes=lanes,
            deferrals=deferrals,
            uncertain=uncertain,
            rate=rate,
            remaining=remaining,
            elapsed=elapsed,
            report=report,
            held=waits,
        )

    def _report(
        self, session: Session, found: Campaign, watched: _Watched, *, fresh: bool
    ) -> Report | None:
        begun = self._clock()
        if found.frozen_at is not None and (fresh or begun >= watched.report_stale_at):
            watched.report = reports.report(session, found.id)
            took = self._clock() - begun
            watched.report_stale_at = self._clock() + max(_REPORT_FRESH, _SHARE * took)
        return watched.report


def _editions(
    session: Session, campaign: CampaignId, progress: Progress
) -> tuple[EditionLine, ...]:
    counted = {line.edition: line for line in progress.by_edition}
    return tuple(
        EditionLine(
            stored.segments,
            stored.tracking,
            counted[stored.id].audience if stored.id in counted else 0,
            counted[stored.id].settled if stored.id in counted else 0,
            stored.html_bytes,
        )
        for stored in campaigns.editions(session, campaign)
    )


def _uncertain(session: Session, campaign: CampaignId) -> tuple[Doubtful, ...]:
    lines = delivery.uncertain(session, campaign)[:LISTED]
    return tuple(Doubtful(_address(session, line.subscriber), line) for line in lines)


def _address(session: Session, subscriber: int) -> str:
    try:
        return subscribers.subscriber(session, SubscriberId(subscriber)).address
    except SubscriberNotFound:
        return ""


def _elapsed(campaign: Campaign, now: datetime) -> float | None:
    if campaign.frozen_at is None:
        return None
    return max(0.0, ((campaign.finished_at or now) - campaign.frozen_at).total_seconds())


def _rate(
    samples: deque[tuple[float, int]],
    at: float,
    settled: int,
    campaign: Campaign,
    elapsed: float | None,
) -> float:
    """People per second: over the last seconds while sending, else over the whole time."""
    if campaign.state is not State.SENDING:
        samples.clear()
    else:
        samples.append((at, settled))
        while len(samples) > 2 and samples[1][0] <= at - WINDOW:
            samples.popleft()
        (since, before) = samples[0]
        if at - since >= _FRESH:
            return max(0.0, (settled - before) / (at - since))
    return settled / elapsed if elapsed else 0.0
