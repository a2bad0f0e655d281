"""Many people at once, already agreed elsewhere: for imports and for demos."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice

from sqlalchemy import update
from sqlalchemy.orm import Session

from mailer.kit.database import insert_many
from subscribers import queries, record
from subscribers.address import address_key
from subscribers.consent import MAX_EVIDENCE, Act, BasisMissing, Origin
from subscribers.merge import Merged, Outcome, Policy, decide, merge
from subscribers.models import ConsentRow, FollowRow, SubscriberRow
from subscribers.subscriber import NewPerson, State, SubscriberId

CHUNK = 1000
"""People per round of statements: enough to hide the round trips, little to hold."""

_MOMENTS = ("created_at", "confirmed_at", "updated_at")
_CONSENT = ("subscriber_id", "act", "segments", "wording", "source", "actor", "evidence", "at")


def add_confirmed(  # consent needs all
    session: Session,
    people: Iterable[NewPerson],
    *,
    now: datetime,
    key: bytes,
    source: str,
    wording: str,
    actor: str = "",
) -> int:
    """Store people who have agreed elsewhere, as confirmed; return how many were new.

    People who are there already, or must not be mailed, are passed over. A million takes minutes,
    in one transaction, and memory for a thousand. Raises SegmentNotFound, and BasisMissing without
    the words they agreed to.
    """
    rest = iter(people)
    added = 0
    while chunk := tuple(islice(rest, CHUNK)):
        once: dict[str, NewPerson] = {}
        for person in chunk:
            once.setdefault(person.address.key, person)
        outcomes = store(
            session,
            tuple(once.values()),
            policy=Policy.SKIP,
            now=now,
            key=key,
            wording=wording,
            origin=Origin(source, actor),
        )
        added += outcomes.count(Outcome.ADDED)
    return added


def store(  # consent needs all
    session: Session,
    people: Sequence[NewPerson],
    *,
    policy: Policy,
    now: datetime,
    key: bytes,
    wording: str,
    origin: Origin,
    dry_run: bool = False,
) -> tuple[Outcome, ...]:
    """Add or update some thousand people, no address twice; return what became of each.

    A dry run decides and writes nothing. Suppressed people are not stored, people who left or have
    yet to confirm are not changed. Raises SegmentNotFound, BasisMissing.
    """
    if not wording.strip():
        raise BasisMissing
    keys = [address_key(key, person.address) for person in people]
    there = queries.known(session, keys)
    stopped = queries.suppressed(session, keys)
    outcomes = {
        hashed: decide(person, there.get(hashed), suppressed=hashed in stopped, policy=policy)
        for hashed, person in zip(keys, people, strict=True)
    }
    by_key = dict(zip(keys, people, strict=True))
    named = sorted({segment for person in people for segment in person.segments})
    ids = {each.key: each.id for each in queries.require_segments(session, named)}
    if not dry_run:
        new = {hashed: by_key[hashed] for hashed in _those(outcomes, Outcome.ADDED)}
        made = _insert(session, new, now)
        outcomes |= dict.fromkeys(new.keys() - made.keys(), Outcome.UNCHANGED)  # added meanwhile
        follows = {made[hashed]: new[hashed].segments for hashed in made}
        changed = {
            there[hashed].id: merge(by_key[hashed], there[hashed])
            for hashed in _those(outcomes, Outcome.UPDATED)
        }
        _update(session, changed, now)
        follows |= {person: merged.follow for person, merged in changed.items()}
        _follow(session, follows, ids, now)
        _note(session, follows, record.keep_wording(session, wording), origin, now)
    return tuple(outcomes[hashed] for hashed in keys)


def _those(outcomes: Mapping[str, Outcome], which: Outcome) -> list[str]:
    return [hashed for hashed, outcome in outcomes.items() if outcome is which]


def _insert(
    session: Session, people: Mapping[str, NewPerson], now: datetime
) -> dict[str, SubscriberId]:
    """Insert people by key; return the ids of those whom nobody else inserted meanwhile."""
    rows = [
        {
            "address": person.address.address,
            "address_key": hashed,
            "domain": person.address.domain,
            "name": person.name,
            "language": person.language,
            "timezone": person.timezone,
            "tracking": person.tracking,
        }
        for hashed, person in people.items()
    ]
    same = {"state": State.CONFIRMED.value, "fields": {}} | dict.fromkeys(_MOMENTS, now)
    made = record.insert_new(session, SubscriberRow, rows, same, ("address_key", "id"))
    return {hashed: SubscriberId(number) for hashed, number in made}


def _update(session: Session, changed: Mapping[SubscriberId, Merged], now: datetime) -> None:
    """Write what is new about people, but for their follows."""
    rows = [
        {"id": person, "updated_at": now}
        | ({} if merged.name is None else {"name": merged.name})
        | ({} if merged.language is None else {"language": merged.language})
        for person, merged in changed.items()
    ]
    if rows:
        session.execute(update(SubscriberRow), rows)


def _follow(
    session: Session,
    follows: Mapping[SubscriberId, Sequence[str]],
    ids: Mapping[str, int],
    now: datetime,
) -> None:
    rows = [
        {"subscriber_id": person, "segment_id": ids[segment]}
        for person, segments in follows.items()
        for segment in dict.fromkeys(segments)
    ]
    # somebody may have followed on their own since we looked
    record.insert_new(session, FollowRow, rows, {"since": now})


def _note(
    session: Session,
    follows: Mapping[SubscriberId, Sequence[str]],
    wording: str | None,
    origin: Origin,
    now: datetime,
) -> None:
    whence = (origin.source, origin.actor, origin.evidence[:MAX_EVIDENCE])
    insert_many(
        session,
        ConsentRow,
        _CONSENT,
        (
            (person, Act.IMPORTED.value, " ".join(segments), wording, *whence, now)
            for person, segments in follows.items()
        ),
    )
