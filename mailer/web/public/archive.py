"""The archive: every issue that was sent, as a letter to nobody in particular."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import Campaign, State
from mailer.content import queries as content
from mailer.content.issue import Issue, IssueId
from mailer.jobs import named
from mailer.rendering.fields import with_defaults
from mailer.rendering.personalise import Splicer, reader
from mailer.rendering.render import render
from subscribers import queries as subscribers

if TYPE_CHECKING:
    from mailer.app import App

SHOWN = (State.SENDING, State.FINISHED)
"""A campaign that is only planned, or was cancelled, shows nothing of its issue."""

_KEPT = 64  # rendered letters
_LISTED = 512  # issues read for the list


@dataclass(frozen=True, slots=True)
class Entry:
    """One issue in the list."""

    slug: str
    title: str
    preheader: str
    on: date
    language: str
    items: int


class Archive:
    """Reads issues for everybody; `neutral` stands where a reader's token would."""

    def __init__(self, app: "App", *, neutral: str) -> None:
        self._app = app
        self._neutral = neutral
        self._letter = lru_cache(_KEPT)(self._rendered)
        self._issue = lru_cache(_LISTED)(self._read)  # a revision never changes

    def years(self) -> Sequence[tuple[int, Sequence[Entry]]]:
        """All issues by year, newest first."""
        with self._app.database.reading() as session:
            sent = _by_issue(campaigns.campaigns(session, states=SHOWN))
        entries = [self._entry(of) for of in sent.values()]
        entries.sort(key=lambda entry: (entry.on, entry.slug), reverse=True)
        return [(year, tuple(of)) for year, of in groupby(entries, key=lambda e: e.on.year)]

    def letter(self, slug: str) -> str | None:
        """An issue with the items of every segment it was sent to; None where it was not sent."""
        with self._app.database.reading() as session:
            identity = content.find(session, slug)
            sent = _by_issue(campaigns.campaigns(session, states=SHOWN))
        if identity is None or identity not in sent:
            return None
        of = sent[identity]
        segments = tuple(dict.fromkeys(key for campaign in of for key in campaign.segments))
        return self._letter(identity, of[0].issue_revision, segments)

    def _rendered(self, identity: IssueId, revision: int, segments: tuple[str, ...]) -> str:
        issue = self._issue(identity, revision)
        with self._app.database.reading() as session:
            known = subscribers.segments(session, archived=True)
            ruled = subscribers.ruled(session)
        edition = render(
            issue,
            named(self._app.publication, known, issue.language),
            followed=issue.read_in(segments, ruled),
            tracking=0,
            public_url=self._app.settings.public_url,
        )
        return Splicer(edition).html(reader(self._neutral))

    def _read(self, identity: IssueId, revision: int) -> Issue:
        with self._app.database.reading() as session:
            today = self._app.now().astimezone(UTC).date()
            return content.revision(session, identity, revision).on(today)

    def _entry(self, of: Sequence[Campaign]) -> Entry:
        issue = self._issue(of[0].issue, of[0].issue_revision)
        return Entry(
            slug=issue.slug,
            title=with_defaults(issue.title),
            preheader=with_defaults(issue.preheader),
            on=issue.date or self._day(of[0]),
            language=issue.language,
            items=_count(issue, of),
        )

    def _day(self, campaign: Campaign) -> date:
        at = campaign.started_at or campaign.created_at
        return at.astimezone(ZoneInfo(self._app.settings.timezone)).date()


def _by_issue(sent: Sequence[Campaign]) -> dict[IssueId, list[Campaign]]:
    """Campaigns by their issue: there may be one per segment, or a second try."""
    found: dict[IssueId, list[Campaign]] = {}
    for campaign in sent:
        found.setdefault(campaign.issue, []).append(campaign)
    return found


def _count(issue: Issue, of: Sequence[Campaign]) -> int:
    return len(issue.for_segments({key for one in of for key in one.segments}).items)
