"""What a database forgot when it was set back is entered again from this host's journals.

Live journals and those put away are read, oldest first: an answer becomes the result it was, a dot
without one an uncertain letter; whoever has a result already keeps it. Batches the database forgot
too are no hindrance: their people are found in the audience. Doing it again changes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId, EditionId
from mailer.delivery import journal, settling, testimony
from mailer.delivery.adoption import Reading
from mailer.delivery.batch import Lease
from mailer.delivery.ledger import Entry
from mailer.delivery.models import AudienceRow, BatchRow
from mailer.delivery.testimony import JournalUnreadable, Place, Testimony
from mailer.delivery.verdict import Patience
from mailer.kit.database import Database

_ACTOR = "journal, after a restore"
_SOME = 500  # ids in one statement
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the journals of one host gave back."""

    journals: int = 0
    results: int = 0  # the database had forgotten
    unreadable: tuple[str, ...] = ()  # names of files
    unknown: Mapping[int, int] = field(default_factory=dict)
    """Campaign -> letters that left for people the database has in no audience of it: it was
    launched after the backup was made. To send it again would mail them twice."""


def replay(database: Database, directory: Path, *, now: datetime) -> Replayed:
    """Enter what the journals in `directory` know and the database does not.

    Nothing may be sent meanwhile (a hold is on). A journal that cannot be read is named. Raises
    Unavailable where the database does not answer; what was entered stays, call again.
    """
    count, results, unreadable = 0, 0, list[str]()
    unknown: Counter[int] = Counter()
    alive = _alive(directory)
    for path in _journals(directory):
        told = _read(path, unreadable)
        if told is None:
            continue
        reading = Reading(told, journal.boot(), Patience(), now)
        news, strange = _entered(database, reading, over=told.worker not in alive)
        count, results = count + 1, results + news
        unknown += strange
    found = Replayed(count, results, tuple(unreadable), dict(sorted(unknown.items())))
    _log.warning(
        "journals were read again",
        journals=count,
        results=results,
        unreadable=len(unreadable),
        unknown_campaigns=found.unknown,
    )
    return found


def _journals(directory: Path) -> list[Path]:
    """Live ones and those put away, the one written to last at the end."""
    pattern = f"*{journal.SUFFIX}"
    found = [*directory.glob(pattern), *(directory / journal.RETIRED).glob(pattern)]
    return sorted(found, key=_written_at)


def _alive(directory: Path) -> frozenset[str]:
    """The workers whose process is alive: they hold a journal of theirs."""
    dead = frozenset(journal.orphans(directory))
    held = (path for path in directory.glob(f"*{journal.SUFFIX}") if path not in dead)
    return frozenset(told.worker for path in held if (told := _read(path, [])) is not None)


def _read(path: Path, unreadable: list[str]) -> Testimony | None:
    """What a journal says, or None; a bad one is added to the list by its name."""
    try:
        return testimony.read(path)
    except FileNotFoundError:
        return None  # put away this moment: it is read there, now or by whoever put it there
    except (JournalUnreadable, OSError):
        unreadable.append(path.name)
        return None


def _written_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _entered(database: Database, reading: Reading, *, over: bool) -> tuple[int, Counter[int]]:
    """Enter one journal; again, once, where another process entered the same person."""
    try:
        with database.transaction() as session:
            return _enter(session, reading, over=over)
    except IntegrityError:
        with database.transaction() as session:
            return _enter(session, reading, over=over)


def _enter(session: Session, reading: Reading, *, over: bool) -> tuple[int, Counter[int]]:
    """How many results were new, and letters of campaigns nobody knows. `over`: its worker died."""
    news = 0
    unknown: Counter[int] = Counter()
    for place, left in reading.elsewhere(frozenset()):
        campaign, number, _ = place
        places: Mapping[int, list[Entry]] = {number: left.entries}
        if session.get(BatchRow, (campaign, number)) is None:
            places = _by_first_batch(session, campaign, left.entries)
            unknown[campaign] += len(left.entries) - sum(map(len, places.values()))
        for batch, entries in places.items():
            held = _lease(reading, place, batch)
            news += settling.record_late(session, held, entries, actor=_ACTOR, now=reading.now)
    if over and _holds(session, reading.told.worker):
        news += settling.settle_by_journal(session, reading).results
    return news, +unknown


def _by_first_batch(
    session: Session, campaign: int, entries: Iterable[Entry]
) -> dict[int, list[Entry]]:
    """The entries of those who are in the audience, by the batch they stood in first."""
    by_person = {entry.subscriber: entry for entry in entries}
    people = sorted(by_person)
    found: dict[int, list[Entry]] = {}
    for start in range(0, len(people), _SOME):
        rows = select(AudienceRow.subscriber_id, AudienceRow.batch).where(
            AudienceRow.campaign_id == campaign,
            AudienceRow.subscriber_id.in_(people[start : start + _SOME]),
            AudienceRow.batch.is_not(None),
        )
        for subscriber, batch in session.execute(rows):
            found.setdefault(int(batch or 0), []).append(by_person[subscriber])
    return found


def _holds(session: Session, worker: str) -> bool:
    leased = select(BatchRow.number).where(BatchRow.worker == worker, BatchRow.state == "open")
    return session.scalar(leased.limit(1)) is not None


def _lease(reading: Reading, place: Place, batch: int) -> Lease:
    """A lease of the past, under which results are entered; nothing is started under it."""
    return Lease(
        campaign=CampaignId(place[0]),
        number=batch,
        edition=EditionId(0),
        lane="",
        attempt=1,
        size=0,
        epoch=place[2],
        worker=reading.told.worker,
        stop_epoch=-1,
        until=reading.now,
    )
