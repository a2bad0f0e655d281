"""Everything held on one person, as they get it: for programs whole, for people in sentences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailer.inbox.store import Entry
from mailer.privacy import files, queries
from mailer.privacy.erasing import House
from mailer.privacy.held import HELD, Fate
from mailer.privacy.queries import Subject
from mailer.tracking.spool import Hit
from subscribers.outtake import audit


@dataclass(frozen=True, slots=True)
class Dossier:
    """All there is, as of a moment."""

    at: datetime
    subject: Subject
    tables: Mapping[str, Sequence[Mapping[str, Any]]]  # every row, by table
    names: Mapping[str, Mapping[str, str]]  # what numbers in them stand for
    letters: tuple[Entry, ...]  # in the built-in inbox, where mail lands in a rehearsal
    visits: tuple[Hit, ...]  # on the disk and not loaded yet
    exports: tuple[int, ...]  # whose files may hold them

    @property
    def rows(self) -> int:
        """How many rows there are, in all tables."""
        return sum(len(rows) for rows in self.tables.values())

    @property
    def kept(self) -> tuple[str, ...]:
        """What would stay after an erasure, or has stayed, and why."""
        return tuple(
            f"{held.table} ({len(self.tables[held.table])}): {held.why}"
            for held in HELD
            if held.fate is not Fate.GONE and self.tables[held.table]
        )


def collect(house: House, who: str, now: datetime) -> Dossier:
    """Collect everything held on whom an address or a number stands for.

    For an address that nobody has, too: it may be suppressed, or erased. Raises AddressInvalid, and
    SubscriberNotFound for a number that is nobody's.
    """
    with house.database.reading() as session:
        about = queries.subject(session, who, house.key)
        tables = queries.everything(session, about)
        names = queries.names(session, tables)
        kept = audit.kept(session)
    exports: tuple[audit.Export, ...] = ()
    if about.address:
        exports = files.exports_with(house.data_dir, kept, about.address, about.moved_at)
    people = [] if about.subscriber is None else [about.subscriber]
    return Dossier(
        at=now,
        subject=about,
        tables=tables,
        names=names,
        letters=files.letters(house.data_dir, house.key, about.keys),
        visits=files.visits(house.data_dir, people),
        exports=tuple(export.id for export in exports),
    )


def summary(dossier: Dossier) -> Iterator[str]:
    """The same in sentences, a line each."""
    about = dossier.subject
    yield from _who(dossier, about)
    yield ""
    for held in HELD:
        if rows := dossier.tables[held.table]:
            yield f"{held.what} ({held.table}): {len(rows)}"
            yield from (f"  {line}" for line in _lines(held.table, rows, dossier.names))
    for what, found in (
        ("letters in the built-in inbox", dossier.letters),
        ("visits not loaded yet", dossier.visits),
        ("files of exports that may hold them", dossier.exports),
    ):
        if found:
            yield f"{what}: {len(found)}"
    if dossier.kept:
        yield ""
        yield "What an erasure leaves, and why:"
        yield from (f"  {line}" for line in dossier.kept)


def _who(dossier: Dossier, about: Subject) -> Iterator[str]:
    if about.subscriber is None:
        yield "Nobody subscribes with this address."
        if not dossier.rows:
            yield "Nothing is held on it."
    elif about.erased:
        yield f"Subscriber {about.subscriber}: their data was erased."
    else:
        yield f"Subscriber {about.subscriber}: {about.name} <{about.address}>"
    if about.formerly:
        yield "Found by an address they had before: is it still them who ask?"
    for row in dossier.tables["suppression"]:
        if row["lifted_at"] is None:
            since = f"{row['at']:%Y-%m-%d}"
            yield f"The address is not mailed: {row['reason']}, since {since}."


_SAID: Mapping[str, tuple[str, ...]] = {
    "consent": ("at", "act", "segments", "source"),
    "suppression": ("at", "reason", "evidence", "lifted_at"),
    "delivery": ("at", "campaign_id", "outcome", "code", "reply"),
    "attempt": ("at", "campaign_id", "number", "code", "reply"),
    "follow": ("segment_id", "since"),
    "notice": ("created_at", "kind", "outcome"),
    "imported": ("import_id",),
}
_MOST = 20  # lines of one table; all are in the JSON
_NAMED = {"campaign_id": "campaign", "segment_id": "segment", "import_id": "import"}


def _lines(
    table: str, rows: Sequence[Mapping[str, Any]], names: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    columns = _SAID.get(table, ())
    if not columns:
        return
    for row in rows[:_MOST]:
        cells = []
        for name in columns:
            value = row.get(name)
            if name in _NAMED:
                value = names[_NAMED[name]].get(str(value), value)
            if value not in (None, ""):
                cells.append(
                    f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value)
                )
        yield "  ".join(cells)
    if len(rows) > _MOST:
        yield f"and {len(rows) - _MOST:,} more"
