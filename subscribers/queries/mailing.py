"""Who would be mailed and who may be mailed now, as SELECTs for others to build on."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.orm import Session

from subscribers import segment_sql
from subscribers.engagement import EVERYTHING, Act
from subscribers.models import EngagementRow, FollowRow, SegmentRow, SubscriberRow, SuppressionRow
from subscribers.standing import EXCLUDED, PAUSED, TOO_SOON, UNFOLLOWED
from subscribers.standing_sql import (
    STOPPED,
    because,
    is_paused,
    stands,
    state_alone,
    too_soon,
    why_not,
)
from subscribers.subscriber import State

_person, _stop = SubscriberRow, SuppressionRow


def candidates(
    session: Session,
    segments: Sequence[str],
    *,
    exclude: Sequence[str] = (),
    issue: int | None = None,
    now: datetime,
) -> Select[int, str, str, int, int, str | None]:
    """Select everybody in at least one of the segments, once, mailable or not.

    Columns: subscriber_id, address_key, domain, mask (bit n: they are in segments[n]), tracking
    (bits), excluded (NULL, or why not: pending, unsubscribed, bounced, complained, suppressed,
    erased; then unfollowed, for whom a rule finds and who follows nothing; excluded, for who is in
    a segment to leave out; paused; frequency, for who had another issue lately). No order. Raises
    ValueError for no segment, one named twice, or more than sixteen; nobody is in a segment that
    there is not.
    """
    people = segment_sql.members(session, segments, now)
    reasons = [because(is_paused(now), PAUSED), because(too_soon(issue, now), TOO_SOON)]
    found = (
        select(
            _person.id.label("subscriber_id"),
            _person.address_key.label("address_key"),
            _person.domain.label("domain"),
            people.c.mask.label("mask"),
            _person.tracking.label("tracking"),
        )
        .select_from(people)
        .join(_person, _person.id == people.c.subscriber_id)
        .outerjoin(_stop, STOPPED)
    )
    if exclude:  # joined: those of a rule may be too many to be looked up one by one
        theirs = segment_sql.members(session, exclude, now).c.subscriber_id
        left_out = select(theirs.label("person")).subquery("left_out")
        found = found.outerjoin(left_out, left_out.c.person == _person.id)
        reasons.insert(0, because(left_out.c.person.is_not(None), EXCLUDED))
    if session.scalar(select(_by_rule(segments))):
        follower = select(FollowRow.subscriber_id).distinct().subquery("follower")
        found = found.outerjoin(follower, follower.c.subscriber_id == _person.id)
        reasons.insert(0, because(follower.c.subscriber_id.is_(None), UNFOLLOWED))
    return found.add_columns(why_not(stands, *reasons).label("excluded"))


def recipients(
    segments: Sequence[str] | None = None,
    *,
    now: datetime | ColumnElement[datetime] | None = None,
) -> Select[int, str, str, str, int, str | None]:
    """Select what a letter needs of everybody, and whether they may be mailed at this moment.

    Columns: id, address (empty once erased), name, language, tracking, unmailable (NULL or the
    reason now, in the words of `candidates`). With segments, who follows none of them any more is
    unmailable as "unfollowed"; where a rule says who is in one of them, who follows nothing at all:
    the rule was asked when the audience was frozen. With a moment, who has paused is "paused". To
    be joined by id.
    """
    reasons = []
    if segments is not None:
        follows = exists().where(FollowRow.subscriber_id == _person.id)
        still = segment_sql.follows_any(_person.id, segments) | (_by_rule(segments) & follows)
        reasons.append(because(~still, UNFOLLOWED))
    if now is not None:
        reasons.append(because(is_paused(now), PAUSED))
    return select(
        _person.id.label("id"),
        func.coalesce(_person.address, "").label("address"),
        _person.name.label("name"),
        _person.language.label("language"),
        _person.tracking.label("tracking"),
        why_not(state_alone(), *reasons).label("unmailable"),
    ).select_from(_person)


def clocks() -> Select[int, str]:
    """Select everybody's time zone, "" where it is unknown: id, timezone. To be joined by id."""
    return select(_person.id.label("id"), _person.timezone.label("timezone"))


def domains() -> Select[str, int]:
    """Select the domains of confirmed people: domain, people."""
    return (
        select(_person.domain.label("domain"), func.count().label("people"))
        .where(_person.state == State.CONFIRMED.value)
        .group_by(_person.domain)
    )


def last_acts(since: datetime) -> Select[int, datetime, datetime]:
    """Select when people last clicked in an issue, and opened one, since a moment.

    Columns: subscriber_id, clicked_at, opened_at (NULL for never). Who did neither is not among
    them. To be joined by subscriber_id.
    """
    clicked = func.max(EngagementRow.at).filter(EngagementRow.act == Act.CLICKED.value)
    opened = func.max(EngagementRow.at).filter(EngagementRow.act == Act.OPENED.value)
    return (
        select(
            EngagementRow.subscriber_id.label("subscriber_id"),
            clicked.label("clicked_at"),
            opened.label("opened_at"),
        )
        .where(EngagementRow.segment_id == EVERYTHING, EngagementRow.at >= since)
        .group_by(EngagementRow.subscriber_id)
    )


def _by_rule(segments: Sequence[str]) -> ColumnElement[bool]:
    """Say whether a rule fills one of the segments."""
    return exists().where(SegmentRow.key.in_(segments), SegmentRow.rule.is_not(None))
