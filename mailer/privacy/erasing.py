"""Erasing a person from everywhere: first the log, then the database, then the files.

Whatever stops it half way, doing it again does the rest: each step finds what is left of it. What
was erased once is erased again from a restored backup, before anything is sent: `reapply`.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import structlog

from mailer.kit.database import Database
from mailer.kit.errors import Invalid
from mailer.privacy import actions, files, queries
from mailer.privacy.actions import Rows
from mailer.privacy.erasures import Added, Erasure, Log
from mailer.privacy.held import HELD, Fate
from mailer.privacy.queries import Subject
from mailer.privacy.scrubbing import scrub
from subscribers.address import EmailAddress
from subscribers.outtake import audit
from subscribers.outtake.export import remove

TOUCHED: Final = (*(held.table for held in HELD if held.fate is not Fate.KEPT), "export")
"""Tables with rows that an erasure deletes or empties."""

MAX_REASON: Final = 500  # characters
RESTORED: Final = "restored backup"
"""The source of an erasure that was done again."""

_log = structlog.get_logger()


class ReasonInvalid(Invalid):
    """Say why, in words that name nobody: the reason is kept."""


@dataclass(frozen=True, slots=True)
class House:
    """Where people are kept: the database and the files, and how addresses are hashed there."""

    database: Database
    data_dir: Path
    key: Any  # of `subscribers.address.address_key`


@dataclass(frozen=True, slots=True)
class Whence:
    """Why, when and on whose word somebody is erased."""

    now: datetime
    reason: str
    source: str
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure came to."""

    subscriber: int | None  # None: nobody had the address; it is suppressed all the same
    rows: tuple[Rows, ...]
    letters: int  # of the built-in inbox
    visits: int  # not loaded yet
    exports: tuple[int, ...]  # whose files were removed
    files: tuple[str, ...]  # other files that were removed
    left: tuple[str, ...]  # where words that somebody typed still name them

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left."""
        return not self.left


def erase(
    house: House, who: str, *, now: datetime, reason: str, source: str, actor: str = ""
) -> Erased:
    """Erase whom an address or a number stands for; again finds nothing left to do.

    An address that nobody has is suppressed, and looked for in the files. Raises AddressInvalid,
    SubscriberNotFound for a number, ReasonInvalid, and Unavailable where disk or database do not
    answer: then do it again.
    """
    with house.database.reading() as session:
        about = queries.subject(session, who, house.key)
        logged = about.erased and queries.is_forgotten(session, about.keys[0])
    given = EmailAddress.parse(who).address if "@" in who else ""
    addresses = tuple(dict.fromkeys(filter(None, (about.address, given))))
    _no_names(reason, (*addresses, about.name))
    # what is erased already stands in the log; once more would erase them after they came back
    added = None if logged else Log(house.data_dir).add(about.keys, now)
    whence = Whence(now, reason.strip(), source, actor)
    done = _erase(house, about, addresses, whence, added)
    if not scrub(house.database, TOUCHED):
        again = "the database's log, while somebody reads an older state of it: do this once more"
        done = replace(done, left=(*done.left, again))
    if about.erased and not given:  # the number of somebody whose address is gone already
        unsought = "files, if the first time was interrupted: do this once more with the address"
        done = replace(done, left=(*done.left, unsought))
    return done


def reapply(house: House, *, now: datetime) -> int:
    """Erase again what a restored backup brought back; how many addresses that were.

    To be called at every start, before anything is sent: it costs two looks where there is nothing
    to do. Somebody who came back after their erasure stays.
    """
    log = Log(house.data_dir)
    if log.is_empty():
        return 0
    with house.database.reading() as session:
        seen = queries.marked(session, log.number())
    if seen == log.size():
        return 0
    news = log.since(seen)
    with house.database.reading() as session:
        again = queries.undone(session, news.erasures)
    for erasure in again:
        _again(house, erasure, now)
    with house.database.transaction() as session:
        actions.mark(session, news.file, news.octets)
    if again:
        _log.warning("erased again what a restored backup brought back", addresses=len(again))
        scrub(house.database, TOUCHED)
    return len(again)


def _again(house: House, erasure: Erasure, now: datetime) -> None:
    with house.database.reading() as session:
        about = queries.by_key(session, erasure.address_key)
    addresses = (about.address,) if about.address else ()
    _erase(house, about, addresses, Whence(now, RESTORED, RESTORED))


def _erase(
    house: House,
    about: Subject,
    addresses: tuple[str, ...],
    whence: Whence,
    added: Added | None = None,
) -> Erased:
    """Everything but the log before it and the scrubbing after it."""
    about, rows = house.database.settled(
        lambda session: actions.erase_now(
            session,
            about,
            now=whence.now,
            reason=whence.reason,
            source=whence.source,
            actor=whence.actor,
            words=addresses,
            added=added,
        )
    )
    people = [] if about.subscriber is None else [about.subscriber]
    addresses = tuple(dict.fromkeys(filter(None, (*addresses, about.address))))
    with house.database.reading() as session:
        kept = audit.kept(
            session
        )  # after it: an export under way does not come to its end any more
    held: dict[int, audit.Export] = {}
    for address in addresses:
        found = files.exports_with(house.data_dir, kept, address, about.moved_at)
        held |= {export.id: export for export in found}
    for export in held.values():
        remove(house.database, house.data_dir, export, whence.now)
    letters = files.forget_letters(house.data_dir, house.key, about.keys)
    visits = files.forget_visits(house.data_dir, people)
    others = {path for each in addresses for path in files.others_with(house.data_dir, each)}
    ours = {path for path in others if files.is_ours(house.data_dir, path)}
    for path in ours:
        path.unlink(missing_ok=True)
    left = [f"the file {path}" for path in sorted(others - ours)]
    with house.database.reading() as session:
        for each in addresses:
            left += [f"{table}: {row}" for table, row in queries.mentions(session, each)]
    return Erased(
        about.subscriber,
        rows,
        letters=letters,
        visits=visits,
        exports=tuple(held),
        files=tuple(str(path) for path in sorted(ours)),
        left=tuple(left),
    )


def _no_names(reason: str, words: tuple[str, ...]) -> None:
    """Raises ReasonInvalid for an empty reason, a long one, and one that names the person."""
    low = reason.casefold()
    named = any(len(word) > 2 and word.casefold() in low for word in words)
    if not reason.strip() or len(reason) > MAX_REASON or named:
        raise ReasonInvalid
