"""What people want of us beside what they follow: tracking, frequency, pauses, their details."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select, update
from sqlalchemy.orm import Session

from subscribers import engagement, engaging, preferences, queries, record
from subscribers.actions.subscription import follow, unfollow
from subscribers.consent import Act, Origin
from subscribers.fields import FieldValue
from subscribers.models import SubscriberRow
from subscribers.preferences import Change, Wanted
from subscribers.subscriber import (
    Frequency,
    PauseInvalid,
    State,
    Subscriber,
    SubscriberId,
    SubscriberNotFound,
    parse_language,
    parse_timezone,
    tidy_name,
)


def set_tracking(  # consent needs all
    session: Session,
    subscriber: SubscriberId,
    tracking: int,
    *,
    now: datetime,
    source: str,
    actor: str = "",
    evidence: str = "",
) -> None:
    """Allow opens (1), clicks (2), both or neither to be tracked, from now on and in old mail too.

    What was noted of somebody who allows it no more is forgotten. Raises SubscriberNotFound, and
    ValueError for other bits.
    """
    if tracking not in range(4):
        raise ValueError(f"no tracking bits: {tracking}")
    record.lock(session, subscriber)
    before = queries.tracking(session, subscriber)
    if tracking == before:
        return
    record.change(session, subscriber, now, tracking=tracking)
    engaging.forget(session, subscriber, engagement.withdrawn(before, tracking))
    origin = Origin(source, actor, f"{before} to {tracking} {evidence}".strip())
    record.note(session, subscriber, Act.TRACKING_CHANGED, origin, now)


def set_frequency(  # consent needs all
    session: Session,
    subscriber: SubscriberId,
    frequency: Frequency,
    *,
    now: datetime,
    source: str,
    actor: str = "",
) -> bool:
    """Let letters come with every issue or less often; whether that is new.

    The time is counted from the first issue that goes out to them from now on. Raises
    SubscriberNotFound, also for somebody erased.
    """
    before = _there(session, subscriber).frequency
    if frequency is before:
        return False
    values: dict[str, Any] = {"frequency": frequency.value}
    if frequency is Frequency.EVERY:
        values |= {"mailed_at": None, "mailed_issue": None}  # nobody asks any more
    record.change(session, subscriber, now, **values)
    words = f"{before or 'every'} to {frequency or 'every'}"
    record.note(session, subscriber, Act.FREQUENCY_CHANGED, Origin(source, actor, words), now)
    return True


def pause(  # consent needs all
    session: Session,
    subscriber: SubscriberId,
    until: datetime,
    *,
    now: datetime,
    source: str,
    actor: str = "",
) -> bool:
    """Send somebody no letters until a moment to come; whether that is new.

    Holds for letters of a campaign that is under way too. Raises PauseInvalid, and
    SubscriberNotFound, also for somebody erased.
    """
    if until <= now:
        raise PauseInvalid
    if _there(session, subscriber).paused_until == until:
        return False
    record.change(session, subscriber, now, paused_until=until)
    origin = Origin(source, actor, f"until {until:%Y-%m-%d}")
    record.note(session, subscriber, Act.PAUSED, origin, now)
    return True


def resume_mail(
    session: Session, subscriber: SubscriberId, *, now: datetime, source: str, actor: str = ""
) -> bool:
    """End a pause before its time; whether there was one. Raises SubscriberNotFound."""
    if not _there(session, subscriber).is_paused(now):
        return False
    record.change(session, subscriber, now, paused_until=None)
    record.note(session, subscriber, Act.RESUMED, Origin(source, actor), now)
    return True


def change_preferences(
    session: Session, subscriber: SubscriberId, wanted: Wanted, *, now: datetime, source: str
) -> Change:
    """Make a subscriber's preferences what they want; return what that changed.

    Raises SubscriberNotFound, LanguageInvalid, and NotSubscribed where somebody who has left wants
    to follow something: they have to subscribe again.
    """
    record.lock(session, subscriber)
    here = queries.preferences(session, subscriber, now=now)
    change = preferences.change(here, wanted)
    if change.follow:
        follow(session, subscriber, change.follow, now=now, source=source)
    if change.unfollow:
        unfollow(session, subscriber, change.unfollow, now=now, source=source)
    if change.tracking is not None:
        set_tracking(session, subscriber, change.tracking, now=now, source=source)
    if change.language is not None:
        set_details(session, subscriber, now=now, language=change.language)
    if change.frequency is not None:
        set_frequency(session, subscriber, change.frequency, now=now, source=source)
    if change.pause:
        pause(session, subscriber, now + change.pause, now=now, source=source)
    elif change.pause is not None:
        resume_mail(session, subscriber, now=now, source=source)
    return change


def set_details(  # None leaves a thing as it is
    session: Session,
    subscriber: SubscriberId,
    *,
    now: datetime,
    name: str | None = None,
    language: str | None = None,
    timezone: str | None = None,
    fields: Mapping[str, FieldValue | None] | None = None,
) -> None:
    """Write down what somebody is called, speaks, where they live, and custom fields.

    A field that is None goes. Raises SubscriberNotFound, also for somebody erased, LanguageInvalid,
    TimezoneInvalid.
    """
    person = _there(session, subscriber)
    values: dict[str, Any] = {}
    if name is not None:
        values["name"] = tidy_name(name)
    if language is not None:
        values["language"] = parse_language(language)
    if timezone is not None:
        values["timezone"] = parse_timezone(timezone)
    if fields:
        known = {**person.fields, **fields}
        values["fields"] = {key: value for key, value in known.items() if value is not None}
    if values:
        record.change(session, subscriber, now, **values)


def note_mailed(session: Session, issue: int, people: Select[int], now: datetime) -> None:
    """Note that an issue goes out to these people, for those who do not want every one.

    Its first letter counts; a second one of the same issue is no second issue.
    """
    session.execute(
        update(SubscriberRow)
        .where(
            SubscriberRow.frequency != Frequency.EVERY.value,
            SubscriberRow.mailed_issue.is_distinct_from(issue),
            SubscriberRow.id.in_(people),
        )
        .values(mailed_at=now, mailed_issue=issue),
        execution_options={"synchronize_session": False},
    )


def _there(session: Session, subscriber: SubscriberId) -> Subscriber:
    """Lock somebody and look them up. Raises SubscriberNotFound, also for somebody erased."""
    if record.lock(session, subscriber) is State.ERASED:
        raise SubscriberNotFound("Their data was erased.")
    return queries.subscriber(session, subscriber)
