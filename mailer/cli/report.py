"""`dibao report`: what a campaign amounted to."""

import csv
import sys
from collections.abc import Iterable, Iterator
from typing import Annotated

import typer
from rich.markup import escape

from mailer.app import App
from mailer.campaigns.campaign import CampaignId
from mailer.cli.terminal import MAX_ID, application, emit, out, table
from mailer.reports import queries
from mailer.reports.measures import Classes, Line, Rate, Report

TOP = 10  # links shown to people; programs get all
_FORMULA = tuple("=+-@\t\r")  # what makes a spreadsheet run a cell (CSV injection)
_COLUMNS = (
    *("scope", "key", "name", "slot", "url", "audience", "sent", "accepted", "refused"),
    *("skipped", "expired", "uncertain", "deferred", "waiting", "put_off"),
    *("opens_visible", "clicks_visible"),
    *("opened_person", "opened_unsure", "opened_machine"),
    *("clicked_person", "clicked_unsure", "clicked_machine", "unsubscribed"),
)


def report(
    campaign: Annotated[
        int, typer.Argument(help="The campaign's number.", metavar="ID", min=1, max=MAX_ID)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: everything.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV: people, line by line.")] = False,
) -> None:
    """Show what a campaign amounted to: letters, opens and clicks, by segment, item and link."""
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    with application().database.reading() as session:
        found = queries.report(session, CampaignId(campaign))
    if as_csv:
        _write_csv(found)
    else:
        emit(found, as_json=as_json, show=lambda: _show(found))


def show(app: App, campaign: CampaignId) -> None:
    """Print the report to a person."""
    with app.database.reading() as session:
        _show(queries.report(session, campaign))


def _show(found: Report) -> None:
    out.print(f"\n[bold]{escape(found.subject)}[/bold]")
    began = f", started {found.started_at:%Y-%m-%d %H:%M} UTC" if found.started_at else ""
    out.print(f"campaign {found.campaign}, {found.state}{began}, tracks {found.tracking}\n")
    lines = (*found.segments, found.total)
    table(
        (
            "letters",
            "audience",
            "sent",
            "accepted",
            "refused",
            "uncertain",
            "skipped",
            "expired",
            "open",
            "deferred once",
        ),
        [(line.name, *_letters(line)) for line in lines],
    )
    out.print()
    head = ("segment", "opened", "unsure", "machine", "clicked", "unsure", "machine", "left")
    table(head, [(line.name, *_readers(line)) for line in lines])
    out.print()
    table(
        ("item", "got it", "clicked", "unsure", "machine", "rate"),
        [(line.name, *_clicked(line)) for line in found.items],
    )
    _show_links(found.links)
    out.print()
    for note in found.notes:
        out.print(f"[dim]{escape(note)}[/dim]")


def _show_links(links: tuple[Line, ...]) -> None:
    clicked = [line for line in links if line.clicks != Classes()][:TOP]
    if clicked:
        out.print()
        head = ("link", "slot", "clicked", "unsure", "machine")
        table(head, [(line.url, line.slot, *_people(line.clicks)) for line in clicked])


def _letters(line: Line) -> tuple[int, ...]:
    mailing = line.mailing
    return (
        *(mailing.audience, mailing.sent, mailing.accepted, mailing.refused, mailing.uncertain),
        *(mailing.skipped, mailing.expired, mailing.deferred + mailing.waiting, mailing.put_off),
    )


def _readers(line: Line) -> Iterator[str | int]:
    for name, classes in (("opened", line.opens), ("clicked", line.clicks)):
        person, unsure, machine = _people(classes)
        yield f"{person:,} ({_percent(line, name)})"
        yield unsure
        yield machine
    yield line.unsubscribes


def _clicked(line: Line) -> tuple[str | int, ...]:
    return line.mailing.accepted, *_people(line.clicks), _percent(line, "clicked")


def _people(classes: Classes) -> tuple[int, int, int]:
    return classes.person.people, classes.unsure.people, classes.machine.people


def _percent(line: Line, name: str) -> str:
    """The share of people, or a dash where there is nobody to take a share of."""
    found: Rate = next(rate for rate in line.rates if rate.name == f"{name}-person")
    return "-" if found.share is None else f"{found.share:.1%}"


def _write_csv(found: Report) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(_COLUMNS)
    scopes = (
        ("total", (found.total,)),
        ("segment", found.segments),
        ("item", found.items),
        ("link", found.links),
    )
    for scope, lines in scopes:
        for line in lines:
            writer.writerow(_row(scope, line))


def _row(scope: str, line: Line) -> Iterable[str | int]:
    mailing = line.mailing
    opens = _people(line.opens) if scope in {"total", "segment"} else ("", "", "")
    left: str | int = line.unsubscribes if scope in {"total", "segment"} else ""
    return (
        *(_safe(text) for text in (scope, line.key, line.name, line.slot, line.url)),
        *(mailing.audience, mailing.sent, mailing.accepted, mailing.refused, mailing.skipped),
        *(mailing.expired, mailing.uncertain, mailing.deferred, mailing.waiting, mailing.put_off),
        *(mailing.opens_visible, mailing.clicks_visible, *opens, *_people(line.clicks), left),
    )


def _safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
