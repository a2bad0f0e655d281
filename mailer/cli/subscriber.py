"""`dibao subscriber`: who may be mailed, and why."""

import csv
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from mailer.app import App
from mailer.cli.segment import house_with_segments
from mailer.cli.terminal import emit, err, out, table
from mailer.kit.errors import Conflict, DibaoError
from subscribers import actions, bulk, intake, queries
from subscribers.address import EmailAddress, address_key
from subscribers.consent import Origin
from subscribers.merge import Policy
from subscribers.spreadsheet import Refusal
from subscribers.subscriber import (
    NewPerson,
    State,
    parse_language,
    tidy_name,
)
from subscribers.suppression import Reason

app = typer.Typer(help="Who may be mailed, and why.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Who = Annotated[str, typer.Argument(help="An address, or a subscriber's number.", metavar="WHO")]
Address = Annotated[str, typer.Argument(help="An e-mail address, subscribed or not.")]
Segments = Annotated[list[str] | None, typer.Option("--segment", help="A key; repeat it.")]
Basis = Annotated[str, typer.Option(help="Where and to which words they agreed; is kept.")]

ACTOR = "command line"
SHOWN = 20  # refused rows on the terminal; --refused writes them all
PARTLY = 7  # exit code: some rows were refused
INTERRUPTED = 130


class NotAdded(Conflict):
    """The person was not added."""


class RefusedRows:
    """Refused rows, written to a file or nowhere."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("w", encoding="utf-8", newline="") if path else None
        if self._file:
            csv.writer(self._file).writerow(("line", "reason"))

    def write(self, refusals: Sequence[Refusal]) -> None:
        """Add rows to the file."""
        if self._file:
            rows = ((refusal.line, refusal.reason) for refusal in refusals)
            csv.writer(self._file).writerows(rows)

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()


@app.command()
def add(
    address: Address,
    basis: Basis,
    segment: Segments = None,
    name: Annotated[str, typer.Option(help="Their name.")] = "",
    language: Annotated[str, typer.Option(help="en, fr, zh-Hans: a BCP 47 tag.")] = "",
    as_json: Json = False,
) -> None:
    """Add one person who has agreed elsewhere; somebody there already follows more."""
    house = house_with_segments()
    person = NewPerson(
        EmailAddress.parse(address), tidy_name(name), tuple(segment or ()), parse_language(language)
    )
    with house.database.transaction() as session:
        (outcome,) = bulk.store(
            session,
            [person],
            policy=Policy.UPDATE,
            now=house.now(),
            key=house.address_key,
            wording=basis,
            origin=Origin("dibao subscriber add", ACTOR),
        )
        if outcome in intake.REASONS:
            raise NotAdded(f"Not added: this person {intake.REASONS[outcome]}.")
    _said(house, address, as_json=as_json)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8; - is standard input.")],
    basis: Basis,
    segment: Segments = None,
    policy: Annotated[Policy, typer.Option(help="For those there already.")] = Policy.UPDATE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing.")] = False,
    refused: Annotated[Path | None, typer.Option(help="Write refused lines to this CSV.")] = None,
    as_json: Json = False,
) -> None:
    """Import people from a file with columns email, name, segments, language.

    Suppressed and unsubscribed people stay so. A row that cannot be taken is refused with its line,
    and the others are stored. Exit code 7 where some were refused.
    """
    plan = intake.Plan(
        basis, file.name, tuple(segment or ()), policy=policy, actor=ACTOR, dry_run=dry_run
    )
    house = house_with_segments()
    with ExitStack() as stack:
        if str(file) == "-":
            stream: BinaryIO = sys.stdin.buffer
        elif file.is_file():
            stream = stack.enter_context(file.open("rb"))
        else:
            raise typer.BadParameter(f"there is no file {file}", param_hint="FILE")
        size = None if str(file) == "-" else file.stat().st_size
        rows = stack.enter_context(closing(RefusedRows(refused)))
        total = _run(house, stream, plan, size, rows)
    emit({"dry_run": dry_run, **_sums(total)}, as_json=as_json, show=lambda: _show(total, plan))
    if total.refused:
        raise typer.Exit(PARTLY)


@app.command("list")
def list_(
    part: Annotated[str, typer.Argument(help="A part of the address or name.")] = "",
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    segment: Annotated[str | None, typer.Option(help="Only those who follow it.")] = None,
    after: Annotated[int, typer.Option(help="Begin after this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List subscribers, by number."""
    house = house_with_segments()
    with house.database.reading() as session:
        if segment is not None:
            queries.require_segments(session, [segment])
        found = queries.search(
            session, part, state=state, segment=segment, after=after, limit=limit
        )
        total = queries.counts(session).total

    def show() -> None:
        rows = [(str(one.id), one.address, one.name, one.language, one.state) for one in found]
        table(("number", "address", "name", "language", "state"), rows)
        if len(found) == limit:
            out.print(f"{total:,} in all; the next: --after {found[-1].id}")

    emit(found, as_json=as_json, show=show)


@app.command()
def show(who: Who, as_json: Json = False) -> None:
    """Show one person: where they stand and why, what they follow, what they agreed to."""
    _said(house_with_segments(), who, as_json=as_json)


@app.command()
def unsubscribe(who: Who, segment: Segments = None, as_json: Json = False) -> None:
    """End somebody's subscription, or the follow of single segments."""
    house = house_with_segments()
    with house.database.transaction() as session:
        if segment:
            queries.require_segments(session, segment)
        actions.unsubscribe(
            session,
            queries.find(session, who),
            segments=segment or None,
            now=house.now(),
            source="dibao subscriber unsubscribe",
            actor=ACTOR,
        )
    _said(house, who, as_json=as_json)


@app.command()
def suppress(
    address: Address,
    reason: Annotated[Reason, typer.Option(help="Why.")] = Reason.OPERATOR,
    evidence: Annotated[str, typer.Option(help="What shows it; no address in it.")] = "",
    as_json: Json = False,
) -> None:
    """Mail an address no more, whatever an import or a form says; it need not be subscribed."""
    if reason is Reason.ERASED:
        raise typer.BadParameter("comes from an erasure only", param_hint="--reason")
    house = house_with_segments()
    key = address_key(house.address_key, EmailAddress.parse(address))
    with house.database.transaction() as session:
        new = actions.suppress(session, key, reason, now=house.now(), evidence=evidence)
        active = queries.suppression(session, key)
    words = "Suppressed." if new else "Nothing new: the address is suppressed already."
    emit({"new": new, "suppression": active}, as_json=as_json, show=lambda: out.print(words))


@app.command()
def lift(
    address: Address,
    reason: Annotated[str, typer.Option(help="Why it may be mailed again; is kept.")],
    as_json: Json = False,
) -> None:
    """End a suppression; what the person themselves last said counts again."""
    house = house_with_segments()
    key = address_key(house.address_key, EmailAddress.parse(address))
    with house.database.transaction() as session:
        was = actions.lift(session, key, reason=reason, now=house.now())
    words = f"Lifted; it was for: {was}."
    emit({"lifted": was}, as_json=as_json, show=lambda: out.print(words))


def _said(house: App, who: str, *, as_json: bool) -> None:
    with house.database.reading() as session:
        standing = queries.explain(session, queries.find(session, who))
        history = queries.history(session, standing.subscriber.id)
        suppressions = queries.suppressions(session, standing.subscriber.address_key)

    def show() -> None:
        person = standing.subscriber
        out.print(f"[bold]{person.id}[/bold]", end=" ")
        out.print(f"{person.address} {person.name}: {person.state}", markup=False)
        for sentence in standing.sentences:
            out.print(f"- {sentence}", markup=False)
        rows = [(c.at, c.act, ", ".join(c.segments), c.source, c.wording[:60]) for c in history]
        table(("when", "act", "segments", "by way of", "wording"), rows)
        if suppressions:
            lines = [
                (s.at, s.reason, s.evidence, s.lifted_at, s.lifted_reason) for s in suppressions
            ]
            table(("suppressed", "reason", "evidence", "lifted", "why"), lines)

    shown = {"standing": standing, "history": history, "suppressions": suppressions}
    emit(shown, as_json=as_json, show=show)


def _run(
    house: App, stream: BinaryIO, plan: intake.Plan, size: int | None, refused: RefusedRows
) -> intake.Progress:
    """Import with a bar on standard error; the last word says where to go on."""
    shown: list[Refusal] = []
    progress = intake.Progress()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    try:
        with Progress(*columns, TimeRemainingColumn(), console=err, transient=True) as bar:
            task = bar.add_task("reading", total=size)
            batches = intake.take(
                house.database, stream, plan, key=house.address_key, now=house.now()
            )
            for progress in batches:
                refused.write(progress.refusals)
                shown += progress.refusals[: max(0, SHOWN - len(shown))]
                bar.update(task, completed=progress.octets, description=f"{progress.rows:,} rows")
    except (KeyboardInterrupt, DibaoError) as stopped:
        if progress.rows and not plan.dry_run:
            err.print(f"Stopped. Everything up to line {progress.line:,} is stored or refused;")
            err.print("run the same command again to go on: nobody is added twice.")
        if isinstance(stopped, DibaoError):
            raise
        raise typer.Exit(INTERRUPTED) from None
    return replace(progress, refusals=tuple(shown))


def _sums(total: intake.Progress) -> dict[str, object]:
    names = ("rows", "added", "updated", "unchanged", "skipped", "duplicates", "refused")
    return {name: getattr(total, name) for name in names} | {
        "ignored_columns": total.ignored,
        "refusals": total.refusals,  # the first ones
    }


def _show(total: intake.Progress, plan: intake.Plan) -> None:
    names = ("rows", "added", "updated", "unchanged", "skipped", "duplicates", "refused")
    table(names, [[getattr(total, name) for name in names]])
    if total.ignored:
        out.print(f"Not read: {', '.join(total.ignored)}", markup=False)
    for refusal in total.refusals:
        out.print(f"line {refusal.line}: {refusal.reason}", markup=False)
    if total.refused > len(total.refusals):
        out.print(
            f"and {total.refused - len(total.refusals):,} more; --refused FILE keeps them all"
        )
    if plan.dry_run:
        out.print("Dry run: nothing was stored.")
