"""People from a file, stored batch by batch, each in one transaction with how far the file is read.

While the database stores one batch, the next is read. An import that ended half way goes on where
it was when the same is asked for again, and ends as if it had never been interrupted.
"""

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, islice
from typing import IO, Final

from mailer.kit.database import Database
from subscribers import queries
from subscribers.address import Canon
from subscribers.consent import MAX_WORDING, BasisMissing
from subscribers.intake import columns, opening, runs
from subscribers.intake.batch import Batches
from subscribers.intake.columns import SAMPLE, Columns
from subscribers.intake.duplicates import Seen
from subscribers.intake.entering import Entering
from subscribers.intake.person import Incoming, OptedOut, Reader, RowInvalid
from subscribers.intake.plan import Plan, Preview, Progress
from subscribers.intake.row import FileInvalid, Refusal, Row, Table
from subscribers.intake.run import Counts, Run, State, fingerprint

PREVIEWED: Final = 10  # rows


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A file opened, its columns understood."""

    table: Table
    rows: Iterator[Row | Refusal]
    columns: Columns
    reader: Reader


def take(
    database: Database, stream: IO[bytes], plan: Plan, *, key: bytes | Canon, now: datetime
) -> Iterator[Progress]:
    """Import a file, yielding after each transaction; stop iterating to stop the import.

    The first Progress comes before anything is stored. `rows` is always the sum of what became of
    them. Memory does not grow with the file. Raises BasisMissing, SegmentNotFound and FileInvalid
    before anything is stored, and what the database raises: then all batches reported are stored,
    the one after them is not, and running it again goes on from there. Where the same was imported
    to its end before, its counts are reported and nothing is done.
    """
    if not plan.basis.strip():
        raise BasisMissing
    if len(plan.basis) > MAX_WORDING:
        raise FileInvalid(f"The basis is longer than {MAX_WORDING:,} characters.")
    with ExitStack() as stack:
        stream = stack.enter_context(_wound_back(stream))
        prepared = _prepare(database, stream, plan)
        run = None if plan.dry_run else _begun(database, stream, plan, prepared.columns, now)
        so_far = Progress(
            counts=run.counts if run else Counts(),
            headings=prepared.table.headings,
            columns=prepared.columns,
            form=prepared.table.form,
            run=run.id if run else None,
            resumed=run.counts.line if run else 0,
            already=run is not None and run.state is State.FINISHED,
        )
        yield so_far
        if so_far.already:
            return
        batches = Batches(
            prepared.rows,
            prepared.reader,
            stack.enter_context(Seen()),
            key=key,
            keep_opt_outs=plan.keep_opt_outs,
        )
        entering = Entering(database, plan, run, key=key, now=now)
        for batch in batches.until(so_far.resumed) if so_far.resumed else ():
            refusals = entering.refused_before(batch)
            yield replace(so_far, refusals=refusals, part=prepared.table.done())
        yield from _stored(batches, entering, so_far, prepared.table)
        entering.finish()


def preview(database: Database, stream: IO[bytes], plan: Plan) -> Preview:
    """Say what an import would make of a file, from its first rows. Raises as `take` does."""
    with _wound_back(stream) as wound:
        prepared = _prepare(database, wound, plan)
        people, refusals = list[Incoming](), list[Refusal]()
        for row in islice(prepared.rows, PREVIEWED):
            if isinstance(row, Refusal):
                refusals.append(row)
                continue
            try:
                people.append(prepared.reader.read(row))
            except (RowInvalid, OptedOut) as invalid:
                refusals.append(Refusal(row.line, str(invalid), row.cells))
        return Preview(prepared.table.form, prepared.columns, tuple(people), tuple(refusals))


def _stored(
    batches: Batches, entering: Entering, so_far: Progress, table: Table
) -> Iterator[Progress]:
    """Yield after each batch; the next one is read while the database stores one."""
    waiting: Future[Progress] | None = None
    with ThreadPoolExecutor(1, "import") as database:
        for batch in batches.rest():
            if waiting is not None:
                so_far = waiting.result()
                yield so_far
            waiting = database.submit(entering.store, batch, replace(so_far, part=table.done()))
        if waiting is not None:
            yield replace(waiting.result(), part=1.0)


def _prepare(database: Database, stream: IO[bytes], plan: Plan) -> _Prepared:
    with database.reading() as session:
        queries.require_segments(session, plan.segments, followable=True)
        segments = queries.segments(session, followable=True)
        schema = queries.custom_fields(session)
    table = opening.opened(stream, encoding=plan.encoding)
    rows = table.rows()
    sample = list(islice(rows, SAMPLE))
    cells = [row.cells for row in sample if isinstance(row, Row)]
    found = columns.understand(table.headings, cells, schema, told=plan.told, file_name=plan.source)
    if not plan.segments and not found.where("segments"):
        raise FileInvalid(
            "No column is called segments; add one, or say which segment everybody follows."
        )
    reader = Reader(found, segments, schema, everybody=plan.segments, source=plan.source)
    return _Prepared(table, chain(sample, rows), found, reader)


def _begun(database: Database, stream: IO[bytes], plan: Plan, found: Columns, now: datetime) -> Run:
    """Find the import that this one goes on with, or note a new one."""
    kept = plan.kept(found)
    place = stream.tell()  # a part is read already
    printed = fingerprint(stream, kept)
    stream.seek(place)
    with database.transaction() as session:
        run = None if plan.again else runs.find(session, printed)
        return run or runs.begin(
            session,
            file_name=plan.source,
            fingerprint=printed,
            plan=kept,
            actor=plan.actor,
            now=now,
        )


def _wound_back(stream: IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    """A stream that can be read twice: a pipe is written to a file first, which goes by itself."""
    if stream.seekable():
        return nullcontext(stream)
    kept = tempfile.TemporaryFile()  # noqa: SIM115  # the caller's stack closes it
    shutil.copyfileobj(stream, kept)
    return kept
