"""`dibao campaign verify`, `ledger`, `uncertain` and `dibao ledger`: what became of everybody."""

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mailer.campaigns import queries
from mailer.campaigns.campaign import Campaign, CampaignId
from mailer.cli.campaign import Number
from mailer.cli.terminal import Json, application, emit, err, out, plain, table
from mailer.delivery import chain, doubts
from mailer.delivery import queries as delivery
from mailer.delivery.ledger import OUTCOMES
from mailer.delivery.queries import LedgerLine
from mailer.equipment import lives
from mailer.kit.errors import Invalid, NotFound, Unavailable

app = typer.Typer(help="Ledgers that were exported.", no_args_is_help=True)

LISTED = (*OUTCOMES, "open", "excluded")
COLUMNS = tuple(field.name for field in dataclasses.fields(LedgerLine))
SAID_BY = ("outcome", "resolution")  # columns with the outcome; the last that names one counts
STEP = 1000  # rows between two looks at the bar


class LedgerBroken(Invalid):
    """The ledger is not as it was written."""


class LedgerNotFound(NotFound):
    """There is no such file."""


class LedgerNotWritten(Unavailable):
    """The file cannot be written; what was there stays as it was."""


def verify(number: Number, as_json: Json = False) -> None:
    """Check the books of a campaign; exit code 1 where something does not hold."""
    with application().database.reading() as session:
        delivery.steady(session)
        found = delivery.verify(session, CampaignId(number))
        state = queries.campaign(session, CampaignId(number)).state

    def show() -> None:
        for name, value in found.sums.items():
            out.print(f"{name:<12} {value:>10,}")
        for breach in found.breaches:
            out.print(f"breach: {breach}", style="red", markup=False)
        out.print("The sum holds." if found.holds else "[red]The sum does not hold.[/red]")

    said = {"campaign": number, "state": state, "holds": found.holds, **plain(found)}
    emit(said, as_json=as_json, show=show)
    if not found.holds:
        raise typer.Exit(1)


def ledger(
    number: Number,
    outcome: Annotated[
        str, typer.Option(help="Only these: accepted, refused, skipped, uncertain, excluded, ...")
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; else standard output.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Every candidate with what became of their letter, as CSV (ids only) or as JSON lines.

    The CSV carries a chain of hashes that anybody can check: see `dibao ledger check`. An excerpt
    by outcome has a chain of its own; JSON lines have none.
    """
    if outcome and outcome not in LISTED:
        raise typer.BadParameter(f"{outcome!r} is none of: {', '.join(LISTED)}")
    with application().database.reading() as session:
        delivery.steady(session)
        campaign = queries.campaign(session, CampaignId(number))
        about = _about(campaign, delivery.progress(session, campaign.id).sums, outcome)
        found = delivery.ledger_lines(session, campaign.id, outcome=outcome or None)
        lines = _shown(found, None if outcome else campaign.candidate_count)
        with _opened(output) as file:
            if as_json:
                for line in lines:
                    file.write(json.dumps(plain(line), ensure_ascii=False) + "\n")
                return
            writer = chain.Writer(about, COLUMNS)
            file.write(writer.opening)
            for line in lines:
                file.write(writer.row([_cell(getattr(line, name)) for name in COLUMNS]))
            file.write(writer.closing())
    if output is not None:
        err.print(f"{writer.rows:,} rows. Note the head elsewhere: {writer.head}", markup=False)


def uncertain(number: Number, as_json: Json = False) -> None:
    """The letters of which nobody knows whether they left, by name, with what is known of each."""
    house = application()
    with house.database.reading() as session:
        found = doubts.doubts(session, CampaignId(number), lives=lives(house.settings))
    emit(found, as_json=as_json, show=lambda: show_doubts(found, most=len(found)))


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A ledger as `dibao campaign ledger` wrote it.")],
    head: Annotated[
        str, typer.Option(help="The head that was noted when it was written, to compare.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Check an exported ledger, row by row; exit code 1 where it is not as it was written."""
    try:
        with file.open(encoding="utf-8", errors="replace", newline="\n") as lines:
            found = chain.check(lines, tally=SAID_BY)
    except OSError as refused:
        raise LedgerNotFound(f"{file} cannot be read: {refused.strerror}") from refused
    if found.fault is None and head and head != found.head:
        raise LedgerBroken(f"Its head is {found.head}: it was written anew, or is another ledger")
    if found.fault is not None:
        raise LedgerBroken(f"{file.name}, line {found.fault.line}: {found.fault.what}")

    def show() -> None:
        for line in found.about:
            out.print(line, markup=False)
        out.print(f"{found.rows:,} rows, as they were written. Head: {found.head}", markup=False)

    emit(found, as_json=as_json, show=show)


def show_doubts(found: tuple[doubts.Doubt, ...], *, most: int = 20) -> None:
    """Print uncertain letters with what is known of them; at most so many."""
    if not found:
        out.print("No letter is uncertain.")
        return
    names = ("subscriber", "worker", "chunk", "what is known", "decided", "it may leave until")
    rows = [
        (
            str(one.subscriber),
            f"{one.worker}{' (may be running)' if one.alive else ''}",
            f"{one.batch}/{one.chunk}",
            one.evidence,
            "sent again" if one.waits else one.resolution or "-",
            one.until,
        )
        for one in found[:most]
    ]
    table(names, rows)
    if len(found) > most:
        out.print(f"and {len(found) - most:,} more")


def _about(campaign: Campaign, sums: Mapping[str, int], outcome: str) -> tuple[str, ...]:
    counted = {
        "candidates": campaign.candidate_count,
        "excluded": campaign.excluded_count,
        "audience": campaign.audience_count,
        **sums,
    }
    name = json.dumps(campaign.name, ensure_ascii=False)
    now = application().now().isoformat(timespec="seconds")
    return (
        f"campaign {campaign.id} {name}, {campaign.state}, {now}",
        "sums " + " ".join(f"{word}={people}" for word, people in counted.items()),
        *((f"excerpt outcome={outcome}",) if outcome else ()),
    )


def _cell(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _shown(lines: Iterator[LedgerLine], total: int | None) -> Iterator[LedgerLine]:
    """The same lines, with a bar on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err, transient=True) as bar:
        task = bar.add_task("ledger", total=total)
        for number, line in enumerate(lines, 1):
            yield line
            if number % STEP == 0:
                bar.advance(task, STEP)


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that takes its name once it is whole. Raises LedgerNotWritten."""
    if output is None:
        yield sys.stdout
        return
    unfinished = output.parent / f"{output.name}.part"
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        unfinished.replace(output)
    except OSError as refused:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise LedgerNotWritten(f"{output} cannot be written: {refused.strerror}") from refused
