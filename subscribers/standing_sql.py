"""Where somebody stands and why they get no letter, as SQL over `subscriber` and `suppression`.

The words are those of `subscriber.State`, and for those who may be mailed in principle "excluded",
"paused" and "frequency". Tests hold all of it to what `suppression.standing` and a naive model say.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, case, func, literal, null, or_, select

from mailer.kit.database import Moment
from subscribers.models import SubscriberRow, SuppressionRow
from subscribers.subscriber import APART, State
from subscribers.suppression import Reason

_person, _stop = SubscriberRow, SuppressionRow
_OWN_WORDS = (Reason.BOUNCED.value, Reason.COMPLAINED.value)
_word = case((_stop.reason.in_(_OWN_WORDS), _stop.reason), else_=literal(State.SUPPRESSED.value))

STOPPED = (_stop.address_key == _person.address_key) & _stop.lifted_at.is_(None)
"""Joins the active suppression of somebody's address: at most one."""


def _now(stopped: ColumnElement[str]) -> ColumnElement[str]:
    """Say where somebody stands, given what the word for their active suppression is, or NULL."""
    erased = _person.state == State.ERASED.value
    return case((erased, _person.state), else_=func.coalesce(stopped, _person.state))


stands: ColumnElement[str] = _now(case((_stop.reason.is_not(None), _word)))
"""Where `suppression` is joined by STOPPED."""


def state_alone() -> ColumnElement[str]:
    """The same without the join: SQLite reads everybody for a join that is itself outer-joined."""
    return _now(select(_word).where(STOPPED).correlate(_person).scalar_subquery())


def why_not(state: ColumnElement[str], *reasons: ColumnElement[str]) -> ColumnElement[str | None]:
    """NULL for who may be mailed; else their state, or the first of the reasons that is not NULL.

    A reason is computed for nobody whom an earlier one holds back.
    """
    return func.coalesce(func.nullif(state, State.CONFIRMED.value), *reasons, null())


def because(condition: ColumnElement[bool], reason: str) -> ColumnElement[str]:
    """The reason where the condition holds, else NULL."""
    return case((condition, literal(reason)))


def is_paused(now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    """Whether somebody's pause lasts beyond a moment."""
    return _person.paused_until > now


def too_soon(issue: int | None, now: datetime) -> ColumnElement[bool]:
    """Whether an issue would come too soon after the last; its own letters do not count."""
    recently = or_(
        *(
            (_person.frequency == often.value)
            & (_person.mailed_at > literal(now - apart, Moment()))
            for often, apart in APART.items()
        )
    )
    if issue is None:
        return recently
    return recently & _person.mailed_issue.is_distinct_from(issue)
