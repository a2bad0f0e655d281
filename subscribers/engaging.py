"""What people did with issues, kept as a projection of the events by whoever counts these."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Table, and_, bindparam, delete, select
from sqlalchemy.orm import Session

from mailer.kit.database import insert_many
from subscribers import record
from subscribers.engagement import Act, Deed, Fact
from subscribers.models import EngagementRow, SentIssueRow, SubscriberRow
from subscribers.segment_sql import among
from subscribers.subscriber import State, SubscriberId

AT_ONCE = 5000  # people in one statement
_KEY = ("issue_id", "act", "segment_id", "subscriber_id")
_COLUMNS = (*_KEY, "at")


def keep(
    session: Session, issue: int, readers: Iterable[SubscriberId], facts: Iterable[Fact]
) -> None:
    """Make these the only facts of an issue and its readers, but for what they do not allow.

    What is not among them goes, what is new comes, and only the difference is written. Readers are
    kept from withdrawing their consent until the transaction ends, so that what they withdraw
    afterwards finds all there is to delete. Two transactions must not do this for one reader at
    once: loads of events run one after the other.
    """
    wanted = {fact.deed: fact.at for fact in facts}
    everybody = sorted(set(readers))
    for start in range(0, len(everybody), AT_ONCE):
        some = everybody[start : start + AT_ONCE]
        allowed = _allowed(session, some)
        there = _stored(session, issue, some)
        among_them = set(some)
        kept = {
            deed: at
            for deed, at in wanted.items()
            if deed.subscriber in among_them and allowed.get(deed.subscriber, 0) & deed.act
        }
        moved = {deed for deed in kept.keys() & there.keys() if kept[deed] != there[deed]}
        _delete(session, (there.keys() - kept.keys()) | moved)
        _insert(session, {deed: kept[deed] for deed in (kept.keys() - there.keys()) | moved})


def forget(session: Session, subscriber: SubscriberId, acts: Iterable[Act]) -> None:
    """Delete what somebody did, of the kinds that may be tracked of them no more."""
    gone = [act.value for act in acts]
    if gone:
        session.execute(
            delete(EngagementRow).where(
                EngagementRow.subscriber_id == subscriber, EngagementRow.act.in_(gone)
            )
        )


def issues_before(session: Session, moment: datetime) -> tuple[int, ...]:
    """List the issues with which something was done before a moment."""
    found = select(EngagementRow.issue_id).where(EngagementRow.at < moment).distinct()
    return tuple(sorted(session.scalars(found)))


def forget_before(session: Session, issue: int, moment: datetime) -> int:
    """Delete what was done with an issue before a moment, like the events it rests on; how many."""
    done = session.execute(
        delete(EngagementRow).where(EngagementRow.issue_id == issue, EngagementRow.at < moment),
        execution_options={"preserve_rowcount": True},
    )
    return int(done.rowcount)  # type: ignore[attr-defined]


def issue_sent(session: Session, issue: int, now: datetime) -> None:
    """Note that an issue goes out; again, by another of its campaigns, changes nothing."""
    statement = record.inserting(session, SentIssueRow).values(issue_id=issue, sent_at=now)
    session.execute(statement.on_conflict_do_nothing())


def _allowed(session: Session, readers: Sequence[SubscriberId]) -> Mapping[SubscriberId, int]:
    """Read what may be tracked of these people now, and hold it so."""
    found = (
        select(SubscriberRow.id, SubscriberRow.tracking)
        .where(among(session, SubscriberRow.id, readers), SubscriberRow.state != State.ERASED.value)
        .order_by(SubscriberRow.id)
        .with_for_update(read=True, key_share=True)
    )
    return {SubscriberId(row.id): row.tracking for row in session.execute(found)}


def _stored(
    session: Session, issue: int, readers: Sequence[SubscriberId]
) -> Mapping[Deed, datetime]:
    columns = [getattr(EngagementRow, name) for name in _COLUMNS]
    found = select(*columns).where(
        EngagementRow.issue_id == issue, among(session, EngagementRow.subscriber_id, readers)
    )
    return {
        Deed(row.issue_id, Act(row.act), row.segment_id, SubscriberId(row.subscriber_id)): row.at
        for row in session.execute(found)
    }


def _delete(session: Session, deeds: Iterable[Deed]) -> None:
    table = EngagementRow.__table__
    assert isinstance(table, Table)
    this = and_(*(table.c[name] == bindparam(f"this_{name}") for name in _KEY))
    rows = [{f"this_{n}": value for n, value in _key(deed)} for deed in sorted(deeds)]
    if rows:
        session.execute(delete(table).where(this), rows)


def _insert(session: Session, facts: Mapping[Deed, datetime]) -> None:
    rows = ((*(value for _, value in _key(deed)), facts[deed]) for deed in sorted(facts))
    insert_many(session, EngagementRow, _COLUMNS, rows)


def _key(deed: Deed) -> Iterator[tuple[str, int]]:
    values = (deed.issue, deed.act.value, deed.segment, deed.subscriber)
    return zip(_KEY, values, strict=True)
