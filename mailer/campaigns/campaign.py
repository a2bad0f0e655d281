"""A campaign: one approved issue to one audience on one schedule, and the moves it can make."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from mailer.content.issue import IssueId
from mailer.kit.errors import Conflict

CampaignId = NewType("CampaignId", int)
EditionId = NewType("EditionId", int)


class State(StrEnum):
    """Where a campaign stands."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    PREPARING = "preparing"  # launched: editions are rendered, the audience is being frozen
    SENDING = "sending"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    MISSED = "missed"  # due too long ago when somebody looked: a person decides


MOVES: dict[State, frozenset[State]] = {
    State.DRAFT: frozenset({State.SCHEDULED, State.PREPARING, State.CANCELLED}),
    State.SCHEDULED: frozenset({State.DRAFT, State.PREPARING, State.CANCELLED, State.MISSED}),
    State.PREPARING: frozenset({State.SENDING, State.CANCELLED, State.DRAFT}),
    State.SENDING: frozenset({State.PAUSED, State.FINISHED, State.CANCELLED}),
    State.PAUSED: frozenset({State.SENDING, State.CANCELLED}),
    State.MISSED: frozenset({State.SCHEDULED, State.PREPARING, State.CANCELLED}),
    State.FINISHED: frozenset(),
    State.CANCELLED: frozenset(),
}
"""From each state, where it may go; a trigger in the database refuses anything else."""


class Mode(StrEnum):
    """How several segments become mails."""

    MERGED = "merged"  # one mail per subscriber with all they follow
    PER_SEGMENT = "per-segment"  # one campaign, and so one mail, per segment


class Tracking:
    """What is tracked, as bits: people, campaigns and installation each allow some; all must."""

    NONE = 0
    OPENS = 1
    CLICKS = 2
    ALL = 3

    @staticmethod
    def parse(word: str) -> int:
        """none, opens, clicks or all. Raises ValueError for another word."""
        try:
            return {"none": 0, "opens": 1, "clicks": 2, "all": 3}[word]
        except KeyError:
            raise ValueError(f"{word!r} is none of: none, opens, clicks, all") from None


class CampaignNotSending(Conflict):
    """The campaign is not sending."""


class CampaignNotPaused(Conflict):
    """The campaign is not paused."""


class CampaignAlreadyLaunched(Conflict):
    """The campaign has been launched; now it can only be paused or cancelled."""


class CampaignOver(Conflict):
    """The campaign is over."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign as stored."""

    id: CampaignId
    name: str
    issue: IssueId
    issue_revision: int
    issue_hash: str
    mode: Mode
    segments: tuple[str, ...]  # keys, in the order of the issue
    state: State
    subject: str
    preheader: str
    from_name: str
    from_address: str
    reply_to: str
    tracking: int  # the most it tracks, as bits of Tracking
    scheduled_for: datetime | None
    send_not_after: datetime | None
    frozen_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    reason: str  # why it is paused, missed or cancelled
    stop_epoch: int  # raised by every pause and cancel; workers of an older one stop
    candidate_count: int  # people considered
    excluded_count: int  # left out, each with a reason
    audience_count: int  # candidates - excluded
    uncertain_count: int  # of a finished one: letters uncertain now, what was learnt since included
    created_at: datetime
    excluded_segments: tuple[str, ...] = ()  # keys: who is in one of them is left out
    send_window: str = ""  # "08:00-20:00" by each recipient's clock; "" is any time
    canary_size: int = 0  # people whose letters go first; the rest waits for how those fare
    canary_started: int = 0  # of them, in a started chunk
    canary_passed_at: datetime | None = None

    def keys(self, mask: int) -> tuple[str, ...]:
        """The segments that a set of them, as bits, stands for."""
        return tuple(key for n, key in enumerate(self.segments) if mask >> n & 1)

    @property
    def is_over(self) -> bool:
        """Whether nothing will ever be sent for it again."""
        return self.state in {State.FINISHED, State.CANCELLED}
