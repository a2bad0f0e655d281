"""`dibao campaign`: what goes to whom, and when."""

import time
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from mailer.app import App
from mailer.campaigns import actions, queries
from mailer.campaigns.campaign import Campaign, CampaignId, Mode, State, Tracking
from mailer.cli.terminal import MAX_ID, Json, Yes, application, emit, err, moment, out, table
from mailer.content import queries as content
from mailer.delivery import queries as delivery
from mailer.delivery import trouble
from mailer.delivery.windows import Window
from mailer.kit.errors import Conflict
from mailer.reports import explain as explanations
from subscribers import queries as subscribers
from subscribers.address import EmailAddress

app = typer.Typer(help="What goes to whom, and when.", no_args_is_help=True)

Number = Annotated[
    int, typer.Argument(help="The campaign's number.", metavar="ID", min=1, max=MAX_ID)
]
PUT_OFF = (
    "All but {people:,} are settled; relays put these off, and they are tried again later. "
    "Ctrl-C loses nothing: `dibao web` or a worker goes on with them."
)
TRACKED = ("nothing", "opens", "clicks", "opens and clicks")
POLL = 0.5  # seconds between two looks at a sending campaign


class CampaignHandedBack(Conflict):
    """The campaign could not be prepared and went back to its draft."""


@app.command()
def create(
    issue: Annotated[str, typer.Argument(help="The approved issue: its number or its slug.")],
    segment: Annotated[
        list[str] | None, typer.Option(help="A segment's key; repeat it. Default: the issue's.")
    ] = None,
    per_segment: Annotated[
        bool, typer.Option("--per-segment", help="One campaign per segment, not one mail for all.")
    ] = False,
    tracking: Annotated[str, typer.Option(help="none, opens, clicks or all.")] = "all",
    exclude: Annotated[
        list[str] | None, typer.Option(help="A segment to leave out, by its key; repeat it.")
    ] = None,
    window: Annotated[
        str, typer.Option(help="Hours it may be sent in by each reader's clock: 08:00-20:00.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Draft a campaign for an approved issue."""
    house = application()
    hours = str(Window.parse(window)) if window else ""
    with house.database.transaction() as session:
        identity = content.identify(session, issue)
        stored = content.issue(session, identity)
        keys = tuple(segment or stored.issue.segments)
        left_out = tuple(exclude or ())
        subscribers.require_segments(session, [*keys, *left_out])
        numbers = actions.create(
            session,
            identity,
            segments=keys,
            sender=house.sender,
            now=house.now(),
            mode=Mode.PER_SEGMENT if per_segment else Mode.MERGED,
            tracking=_tracking(tracking) & _tracking(house.settings.tracking),
            excluded_segments=left_out,
            send_window=hours,
        )
        drafted = [queries.campaign(session, number) for number in numbers]
    emit(drafted, as_json=as_json, show=lambda: _show_list(drafted))


@app.command("list")
def list_(as_json: Json = False) -> None:
    """All campaigns, newest first."""
    with application().database.reading() as session:
        found = list(queries.campaigns(session))
    emit(found, as_json=as_json, show=lambda: _show_list(found))


@app.command()
def schedule(
    number: Number,
    at: Annotated[str, typer.Argument(help="2026-11-23T09:00, in DIBAO_TIMEZONE unless it says.")],
    as_json: Json = False,
) -> None:
    """Send a campaign at a moment."""
    house = application()
    when = moment(at, house.settings.timezone)
    with house.database.transaction() as session:
        actions.schedule(session, CampaignId(number), when, now=house.now())
    _said(house, number, as_json=as_json)


@app.command()
def send(
    number: Number,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Stay and show the progress.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Send a campaign now: the workers do, or, embedded (`memory://`), this process itself."""
    house = application()
    with house.working():
        house.launch(CampaignId(number))
        if wait:
            _watch(house, CampaignId(number))
    _said(house, number, as_json=as_json)
    _fail_if_handed_back(house, CampaignId(number))


@app.command()
def watch(number: Number) -> None:
    """Show a campaign's progress until it is over; interrupting it stops nothing."""
    _watch(application(), CampaignId(number))


@app.command()
def pause(number: Number, as_json: Json = False) -> None:
    """Hand out no more; each connection ends the letter it is in."""
    house = application()
    with house.database.transaction() as session:
        actions.pause(session, CampaignId(number))
    _said(house, number, as_json=as_json)


@app.command()
def resume(number: Number, as_json: Json = False) -> None:
    """Go on where it paused."""
    house = application()
    house.resume(CampaignId(number))
    _said(house, number, as_json=as_json)


@app.command()
def cancel(
    number: Number,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Stop for good; what was sent stays sent."""
    if not yes:
        typer.confirm(f"Cancel campaign {number} for good?", abort=True, err=True)
    house = application()
    house.cancel(CampaignId(number))
    _said(house, number, as_json=as_json)


@app.command()
def status(number: Number, as_json: Json = False) -> None:
    """Where a campaign stands."""
    _said(application(), number, as_json=as_json)


@app.command()
def explain(
    number: Number,
    recipient: Annotated[str, typer.Option(help="An address: what does this person get, and why?")],
    as_json: Json = False,
) -> None:
    """Why somebody gets this mail, or does not, and what became of it."""
    house = application()
    with house.database.reading() as session:
        address = EmailAddress.parse(recipient)
        found = explanations.explain(
            session, CampaignId(number), address, key=house.address_key, now=house.now()
        )

    def show() -> None:
        for sentence in found.sentences:
            out.print(f"- {sentence}", markup=False)
        for item in found.items:
            out.print(f"    {item}", markup=False)

    emit(found, as_json=as_json, show=show)


@app.command()
def preview(number: Number, as_json: Json = False) -> None:
    """Who would get which edition if it were sent now; who is left out, by reason."""
    house = application()
    with house.database.reading() as session:
        found = explanations.preview(session, CampaignId(number), now=house.now())

    def show() -> None:
        rows = [
            (", ".join(e.segments), TRACKED[e.tracking], e.people, len(e.items))
            for e in found.editions
        ]
        table(("segments", "tracked", "people", "items"), rows, title="Editions")
        if found.excluded_segments:
            out.print(f"Leaves out who is in {', '.join(found.excluded_segments)}.", markup=False)
        if found.excluded:
            table(("left out", "people"), sorted(found.excluded.items()))
        out.print(f"{found.audience:,} of {found.candidates:,} people would get one mail each.")

    emit(found, as_json=as_json, show=show)


def _said(house: App, number: int, *, as_json: bool) -> None:
    with house.database.reading() as session:
        campaign = queries.campaign(session, CampaignId(number))
        progress = delivery.progress(session, CampaignId(number), by_edition=as_json)
        waits = (
            () if campaign.is_over else trouble.waits(session, CampaignId(number), now=house.now())
        )

    def show() -> None:
        why = f" ({campaign.reason})" if campaign.reason else ""
        out.print(f"{campaign.id} {campaign.name}: {campaign.state}{why}", markup=False)
        if campaign.excluded_segments:
            out.print(f"without {', '.join(campaign.excluded_segments)}", markup=False)
        if campaign.scheduled_for:
            out.print(f"scheduled for {campaign.scheduled_for.isoformat()}")
        if campaign.send_window:
            out.print(f"in the hours {campaign.send_window} by each reader's clock")
        if campaign.frozen_at:
            table(("audience", *progress.sums), [(progress.audience, *progress.sums.values())])
        for wait in waits:
            people = min(wait.people, progress.open)
            on = f"{wait.until:%Y-%m-%d %H:%M} UTC"
            out.print(f"up to {people:,} people wait until {on}: {wait.reason}", markup=False)

    emit({"campaign": campaign, "progress": progress, "waits": waits}, as_json=as_json, show=show)


def _fail_if_handed_back(house: App, number: CampaignId) -> None:
    with house.database.reading() as session:
        campaign = queries.campaign(session, number)
    if campaign.state is State.DRAFT:
        raise CampaignHandedBack(f"Campaign {number} went back to its draft: {campaign.reason}")


def _watch(house: App, number: CampaignId) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err) as bar:
        line = bar.add_task("preparing", total=None)
        told = False
        while True:
            with house.database.reading() as session:
                campaign = queries.campaign(session, number)
                progress = delivery.progress(session, number)
            put_off = progress.open > 0 and progress.open == progress.deferred
            if put_off and not told:
                told = True
                bar.console.print(PUT_OFF.format(people=progress.deferred))
            bar.update(
                line,
                description=str(campaign.state),
                total=progress.audience or 1,
                completed=progress.settled,
            )
            if campaign.is_over or campaign.state in {State.PAUSED, State.DRAFT, State.MISSED}:
                return
            time.sleep(POLL)


def _show_list(campaigns: list[Campaign]) -> None:
    if not campaigns:
        out.print("No campaigns yet; `dibao campaign create ISSUE` drafts one.")
        return
    rows = [(c.id, c.name, ", ".join(c.segments), c.state, c.audience_count) for c in campaigns]
    table(("id", "name", "segments", "state", "audience"), rows)


def _tracking(word: str) -> int:
    try:
        return Tracking.parse(word)
    except ValueError as unknown:
        raise typer.BadParameter(str(unknown), param_hint="--tracking") from unknown
