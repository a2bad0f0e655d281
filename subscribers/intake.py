"""People from a file: each row added, merged or refused with its line, a thousand per transaction.

What was stored stays stored when an import is interrupted, and running it again does the rest:
people who are there already are recognised by their address.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import BinaryIO, Final

from mailer.kit.database import Database
from mailer.kit.errors import Invalid
from subscribers import bulk, queries
from subscribers.address import AddressInvalid, EmailAddress
from subscribers.consent import BasisMissing, Origin
from subscribers.duplicates import Seen
from subscribers.merge import Outcome, Policy
from subscribers.segment import Segment
from subscribers.spreadsheet import FileInvalid, Refusal, Row, Sheet
from subscribers.subscriber import LanguageInvalid, NewPerson, parse_language, tidy_name

BATCH: Final = 1000  # rows per transaction
_SEPARATORS = str.maketrans(",;|\n\r\t", "\n" * 6)  # between segments in one cell

REASONS: Mapping[Outcome, str] = {
    Outcome.EXISTS: "is a subscriber already",
    Outcome.SUPPRESSED: "is suppressed and stays so",
    Outcome.UNSUBSCRIBED: "has unsubscribed; only they can subscribe again",
    Outcome.PENDING: "has been asked to confirm and has not yet",
}
"""Outcomes that leave a row out, and why."""


class RowInvalid(Invalid):
    """A row that cannot be taken."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import is to do."""

    basis: str  # where and to which words these people agreed; kept as the wording of their consent
    source: str  # the file's name, kept in their consent
    segments: tuple[str, ...] = ()  # followed by everybody in the file, beside those of their row
    policy: Policy = Policy.UPDATE
    actor: str = ""  # who imports
    dry_run: bool = False  # say what would happen, and write nothing


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import has come; every number counts from the beginning of the file."""

    line: int = 0  # the last one dealt with
    octets: int = 0  # read so far, as far as the stream can tell
    rows: int = 0  # without the header and empty lines
    added: int = 0
    updated: int = 0
    unchanged: int = 0  # there already, as the file says
    skipped: int = 0  # there already, and the policy is to skip
    duplicates: int = 0  # an address that stood further up in the file
    refused: int = 0
    refusals: tuple[Refusal, ...] = ()  # of this batch only
    ignored: tuple[str, ...] = ()  # headings nobody reads


def take(
    database: Database, stream: BinaryIO, plan: Plan, *, key: bytes, now: datetime
) -> Iterator[Progress]:
    """Import a CSV file, yielding after each transaction; stop iterating to stop the import.

    The first Progress comes before anything is stored. `rows` is always the sum of what became of
    them. Memory does not grow with the file. Raises BasisMissing, SegmentNotFound and FileInvalid
    before anything is stored, and what the database raises: then all batches reported are stored,
    the one after them is not, and running it again goes on from there.
    """
    if not plan.basis.strip():
        raise BasisMissing
    with database.reading() as session:
        queries.require_segments(session, plan.segments)
        names = _names(queries.segments(session))
    sheet = Sheet(stream)
    if not plan.segments and "segments" not in sheet.header.columns:
        raise FileInvalid(
            "Line 1: no column is called segments; add one, or say which segment everybody follows."
        )
    progress = Progress(line=1, ignored=sheet.header.ignored)
    yield progress
    rows = sheet.rows()
    with Seen() as seen:
        while batch := tuple(islice(rows, BATCH)):
            progress = _take(database, batch, plan, progress, seen, names=names, key=key, now=now)
            progress = replace(progress, octets=_position(stream))
            yield progress


def _take(  # the pieces of one loop
    database: Database,
    batch: tuple[Row | Refusal, ...],
    plan: Plan,
    so_far: Progress,
    seen: Seen,
    *,
    names: Mapping[str, str],
    key: bytes,
    now: datetime,
) -> Progress:
    """Deal with one batch in one transaction; return the sums with it."""
    people: dict[str, tuple[int, NewPerson]] = {}
    refusals: list[Refusal] = []
    duplicates: list[int] = []
    for row in batch:
        try:
            person = read_person(row, plan.segments, names)
        except RowInvalid as invalid:
            refusals.append(Refusal(row.line, str(invalid)))
            continue
        if person.address.key in people:
            duplicates.append(row.line)
        else:
            people[person.address.key] = (row.line, person)
    earlier = seen.before({address: line for address, (line, _) in people.items()})
    duplicates += [people.pop(address)[0] for address in earlier]
    outcomes = _store(database, [person for _, person in people.values()], plan, key=key, now=now)
    dealt = zip(people.values(), outcomes, strict=True)
    refusals += [Refusal(line, REASONS[o]) for (line, _), o in dealt if o in REASONS]
    return replace(
        so_far,
        line=max(so_far.line, *(row.line for row in batch)),
        rows=so_far.rows + len(batch),
        added=so_far.added + outcomes.count(Outcome.ADDED),
        updated=so_far.updated + outcomes.count(Outcome.UPDATED),
        unchanged=so_far.unchanged + outcomes.count(Outcome.UNCHANGED),
        skipped=so_far.skipped + outcomes.count(Outcome.SKIPPED),
        duplicates=so_far.duplicates + len(duplicates),
        refused=so_far.refused + len(refusals),
        refusals=tuple(sorted(refusals, key=lambda refusal: refusal.line)),
    )


def _store(
    database: Database, people: list[NewPerson], plan: Plan, *, key: bytes, now: datetime
) -> tuple[Outcome, ...]:
    with database.reading() if plan.dry_run else database.transaction() as session:
        return bulk.store(
            session,
            people,
            policy=plan.policy,
            now=now,
            key=key,
            wording=plan.basis.strip(),
            origin=Origin(plan.source, plan.actor),
            dry_run=plan.dry_run,
        )


def read_person(
    row: Row | Refusal, segments: tuple[str, ...], names: Mapping[str, str]
) -> NewPerson:
    """Make a person of a row; `names` leads from what a segment may be called to its key.

    Raises RowInvalid with every reason; none repeats the address.
    """
    if isinstance(row, Refusal):
        raise RowInvalid(row.reason)
    reasons: list[str] = []
    address, language = None, ""
    try:
        address = EmailAddress.parse(row.cells.get("email", ""))
    except AddressInvalid as invalid:
        reasons.append(f"email: {invalid}" if row.cells.get("email") else "email: is empty")
    try:
        language = parse_language(row.cells.get("language", ""))
    except LanguageInvalid as invalid:
        reasons.append(f"language: {invalid}")
    called = _called(row.cells.get("segments", ""), names)
    unknown = [name for name in called if name not in names]
    if unknown:
        reasons.append(f"segments: there is no {', '.join(repr(name[:40]) for name in unknown)}")
    keys = dict.fromkeys([*segments, *(names.get(name, "") for name in called)])
    if not keys:
        reasons.append("segments: is empty, and nothing is followed without one")
    if reasons or address is None:
        raise RowInvalid("; ".join(reasons))
    name = tidy_name(row.cells.get("name", ""))
    return NewPerson(address, name, tuple(keys), language)


def _called(cell: str, names: Mapping[str, str]) -> list[str]:
    """Split a cell into what segments are called: at commas and the like, else at spaces."""
    parts = [part.strip().casefold() for part in cell.translate(_SEPARATORS).split("\n")]
    return [name for part in parts for name in ([part] if part in names else part.split())]


def _names(segments: tuple[Segment, ...]) -> dict[str, str]:
    """Lead from everything a segment may be called, in lower case, to its key."""
    called = {name.casefold(): s.key for s in segments for name in (s.name, *s.names.values())}
    return called | {segment.key: segment.key for segment in segments}


def _position(stream: BinaryIO) -> int:
    try:
        return stream.tell()
    except OSError:  # a pipe
        return 0
