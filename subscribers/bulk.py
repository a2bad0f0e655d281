"""Many people at once, already agreed elsewhere: for imports and for demos."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice

from sqlalchemy.orm import Session

from subscribers import actions, queries, record
from subscribers.address import Canon, address_key
from subscribers.consent import BasisMissing, Origin
from subscribers.intake import storing
from subscribers.intake.merge import Known, Outcome, Policy, decide, merge
from subscribers.intake.storing import Grounds, Newcomer
from subscribers.subscriber import NewPerson, State, SubscriberId
from subscribers.suppression import Reason

CHUNK = 5000
"""People per round of statements: enough to hide the round trips, little to hold."""


def add_confirmed(  # consent needs all
    session: Session,
    people: Iterable[NewPerson],
    *,
    now: datetime,
    key: bytes | Canon,
    source: str,
    wording: str,
    actor: str = "",
) -> int:
    """Store people who have agreed elsewhere, as confirmed; return how many were new.

    People who are there already, or must not be mailed, are passed over. A million takes minutes,
    in one transaction, and memory for some thousand. Raises SegmentNotFound, and BasisMissing
    without the words they agreed to.
    """
    rest = iter(people)
    added = 0
    while chunk := tuple(islice(rest, CHUNK)):
        once: dict[str, NewPerson] = {}
        for person in chunk:
            once.setdefault(address_key(key, person.address), person)
        outcomes = store(
            session,
            tuple(once.values()),
            policy=Policy.SKIP,
            now=now,
            key=key,
            wording=wording,
            origin=Origin(source, actor),
            keys=tuple(once),
        )
        added += outcomes.count(Outcome.ADDED)
    return added


def store(  # consent needs all
    session: Session,
    people: Sequence[NewPerson],
    *,
    policy: Policy,
    now: datetime,
    key: bytes | Canon,
    wording: str,
    origin: Origin,
    dry_run: bool = False,
    keys: Sequence[str] = (),
    evidence: Sequence[str] = (),
    run: int | None = None,
) -> tuple[Outcome, ...]:
    """Add or update some thousand people, no address twice; return what became of each.

    A dry run decides and writes nothing. Suppressed people are not stored, people who left or have
    yet to confirm are not changed. `keys`, where the caller has them, are those of the addresses;
    `evidence` says of each person what shows that they agreed; `run` is the import that is to be
    taken back as a whole. Raises SegmentNotFound, BasisMissing.
    """
    if not wording.strip():
        raise BasisMissing
    if not dry_run:
        record.come_in(session)
    keys = keys or [address_key(key, person.address) for person in people]
    named = sorted({segment for follows in {p.segments for p in people} for segment in follows})
    ids = {each.key: each.id for each in queries.require_segments(session, named, followable=True)}
    found = storing.look_up(session, keys, hold=policy is Policy.UPDATE and not dry_run)
    outcomes = {
        hashed: decide(
            person,
            found.known.get(hashed),
            policy=policy,
            suppressed=hashed in found.suppressed,
            moved=hashed in found.moved,
        )
        for hashed, person in zip(keys, people, strict=True)
    }
    if not dry_run:
        grounds = Grounds(origin, record.keep_wording(session, wording), now, run)
        shown = evidence or [""] * len(people)
        new = [
            Newcomer(*each)
            for each in zip(keys, people, shown, strict=True)
            if outcomes[each[0]] is Outcome.ADDED
        ]
        made = storing.insert_people(session, new, grounds, ids, again=_husks(found.known))
        meanwhile = {one.key for one in new} - made  # somebody else added them
        outcomes |= dict.fromkeys(meanwhile, Outcome.UNCHANGED)
        changed = [
            (found.known[hashed], merge(person, found.known[hashed]))
            for hashed, person in zip(keys, people, strict=True)
            if outcomes[hashed] is Outcome.UPDATED
        ]
        storing.change_people(session, changed, grounds, ids)
    return tuple(outcomes[hashed] for hashed in keys)


def suppress(
    session: Session, reasons: Mapping[str, Reason], *, now: datetime, evidence: str
) -> None:
    """Suppress many addresses, by key; where one is suppressed already, the weightier reason stays.

    `evidence` says what shows it, without an address.
    """
    for reason in Reason:  # each group in a few statements
        keys = sorted(key for key, why in reasons.items() if why is reason)  # all in one order
        if keys:
            actions.suppress_many(session, keys, reason, now=now, evidence=evidence)


def _husks(known: Mapping[str, Known]) -> dict[str, SubscriberId]:
    """Those who are there and erased, by key."""
    return {key: one.id for key, one in known.items() if one.state is State.ERASED}
