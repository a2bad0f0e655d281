"""Everything that is held on one person, whichever stage keeps it.

Tables are taken from the schema by the names in `held`: a person asks for all of it, not for a
stage's view of it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, String, Table, and_, cast, exists, false, func, or_, select
from sqlalchemy.orm import Session

from mailer.kit.database import Base
from mailer.privacy.erasures import Erasure
from mailer.privacy.held import HELD, By, Held
from mailer.privacy.models import ErasureMarkRow
from subscribers import queries as subscribers
from subscribers.address import EmailAddress, address_key
from subscribers.consent import Act
from subscribers.subscriber import State, SubscriberId, SubscriberNotFound, parse_number
from subscribers.suppression import Reason


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a request is about."""

    subscriber: SubscriberId | None  # None: nobody has the address, or it was entered and refused
    keys: tuple[str, ...]  # keyed hashes: of the address asked for, theirs now, those they had
    address: str  # as stored; "" where nobody has it or they are erased
    name: str
    erased: bool
    formerly: bool  # found by an address they had before
    moved_at: datetime | None  # when they last changed their address


def subject(session: Session, who: str, key: Any) -> Subject:
    """Find whom an address or a number stands for; also who is erased, or never was there.

    `key` is what addresses are hashed with. Raises AddressInvalid, and SubscriberNotFound for a
    number that is nobody's.
    """
    number = parse_number(who)
    if number is not None:
        return by_number(session, subscribers.subscriber(session, number).id)
    return by_key(session, address_key(key, EmailAddress.parse(who)))


def by_key(session: Session, hashed: str) -> Subject:
    """Find whom the keyed hash of an address stands for."""
    found = subscribers.by_key(session, hashed)
    if found is not None:
        return by_number(session, found)
    former = _table("former_address")
    had = session.scalar(
        select(former.c.subscriber_id)
        .where(former.c.address_key == hashed)
        .order_by(former.c.id.desc())
    )
    if had is None:
        return Subject(None, (hashed,), "", "", erased=False, formerly=False, moved_at=None)
    return by_number(session, SubscriberId(had), asked=hashed)


def by_number(session: Session, subscriber: SubscriberId, asked: str = "") -> Subject:
    """Collect what identifies somebody. Raises SubscriberNotFound."""
    people, former = _table("subscriber"), _table("former_address")
    row = session.execute(select(people).where(people.c.id == subscriber)).one_or_none()
    if row is None:
        raise SubscriberNotFound
    had = session.execute(
        select(former.c.address_key, former.c.until)
        .where(former.c.subscriber_id == subscriber)
        .order_by(former.c.id)
    ).all()
    hashes = {each.address_key for each in had}
    somebody_elses = set(
        session.scalars(
            select(people.c.address_key).where(
                people.c.address_key.in_(hashes), people.c.id != subscriber
            )
        )
    )
    return Subject(
        subscriber,
        tuple(dict.fromkeys([row.address_key, *sorted(hashes - somebody_elses)])),
        row.address or "",
        row.name,
        erased=row.state == State.ERASED.value,
        formerly=bool(asked),
        moved_at=max((each.until for each in had), default=None),
    )


def is_forgotten(session: Session, hashed: str) -> bool:
    """Whether an address is suppressed because of an erasure: an import taken back does not."""
    found = subscribers.suppression(session, hashed)
    return found is not None and found.reason is Reason.ERASED


def everything(session: Session, about: Subject) -> dict[str, list[dict[str, Any]]]:
    """Every row about somebody, by table, in the order of `held.HELD`."""
    people = [] if about.subscriber is None else [about.subscriber]
    campaigns = every_campaign(session)
    found: dict[str, list[dict[str, Any]]] = {}
    for held in HELD:
        table = _table(held.table)
        rows = select(table).where(theirs(held, people, about.keys, campaigns))
        ordered = rows.order_by(*table.primary_key.columns)
        found[held.table] = [dict(row) for row in session.execute(ordered).mappings()]
    return found


def theirs(
    held: Held, people: Collection[int], keys: Collection[str], campaigns: Collection[int]
) -> ColumnElement[bool]:
    """The rows of a table that are about these people, and addresses, as a condition."""
    table = _table(held.table)
    match held.by:
        case By.ID:
            return table.c.id.in_(people)
        case By.SUBSCRIBER:
            return table.c.subscriber_id.in_(people)
        case By.ADDRESS:
            return table.c.address_key.in_(keys)
        case By.LETTERS:
            letters = table.c.campaign_id.in_(campaigns)
            return and_(letters, table.c.subscriber_id.in_(people))
    through = held.through
    assert through is not None
    first = next(each for each in HELD if each.table == through.table)
    chosen = _table(first.table)
    known = select(chosen.c[through.theirs]).where(theirs(first, people, keys, campaigns))
    return table.c[through.column].in_(known) if people or keys else false()


def every_campaign(session: Session) -> Sequence[int]:
    """The numbers of all campaigns: the tables of letters are found by them first."""
    return session.scalars(select(_table("campaign").c.id)).all()


def names(
    session: Session, rows: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, dict[str, str]]:
    """What the numbers in somebody's rows stand for: campaigns, segments, imports."""
    found: dict[str, dict[str, str]] = {}
    for table, column, name in (
        ("campaign", "campaign_id", "name"),
        ("segment", "segment_id", "key"),
        ("import", "import_id", "file_name"),
    ):
        numbers = {row[column] for one in rows.values() for row in one if row.get(column)}
        named = _table(table)
        chosen = select(named.c.id, named.c[name]).where(named.c.id.in_(numbers))
        found[table] = {str(row[0]): row[1] for row in session.execute(chosen)}
    return found


def mentions(session: Session, words: str) -> Iterator[tuple[str, str]]:
    """Where insert-only texts have words in them, such as an address: table, and which row.

    Nothing of ours writes an address there; somebody may have typed one into a basis, an evidence
    or a rule.
    """
    for name, columns in _TYPED:
        table = _table(name)
        for row in session.execute(select(table).where(_has(table, columns, words))):
            places = zip(table.primary_key.columns.keys(), row, strict=False)
            yield name, " ".join(f"{column} {value}" for column, value in places)


def marked(session: Session, file: str) -> int:
    """How many octets of a log of erasures this database has been through; 0 for none."""
    found = select(ErasureMarkRow.octets).where(ErasureMarkRow.file == file)
    return session.scalar(found) or 0


def undone(session: Session, erasures: Iterable[Erasure]) -> tuple[Erasure, ...]:
    """Which erasures this database does not know of, since it is older than they are.

    One that it knows left a suppression, or an entry in the consent history, at its moment or
    after. Somebody who has come back since left the same.
    """
    return tuple(each for each in erasures if not session.scalar(select(_known(each))))


def _known(erasure: Erasure) -> ColumnElement[bool]:
    stop, people, consent = map(_table, ("suppression", "subscriber", "consent"))
    return or_(
        exists().where(
            stop.c.address_key == erasure.address_key,
            stop.c.reason == Reason.ERASED.value,
            stop.c.at >= erasure.at,
        ),
        exists().where(
            people.c.address_key == erasure.address_key,
            consent.c.subscriber_id == people.c.id,
            consent.c.act == Act.ERASED.value,
            consent.c.at >= erasure.at,
        ),
    )


_TYPED = (
    ("wording", ("text",)),
    ("consent", ("source", "actor", "evidence")),
    ("segment_revision", ("rule", "actor")),
)


def _has(table: Table, columns: Sequence[str], words: str) -> ColumnElement[bool]:
    return or_(
        *(
            func.lower(cast(table.c[name], String)).contains(words.lower(), autoescape=True)
            for name in columns
        )
    )


def _table(name: str) -> Table:
    return Base.metadata.tables[name]
