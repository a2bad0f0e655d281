"""`dibao campaign resolve` and `reconcile`: what becomes of uncertain letters."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mailer.campaigns.campaign import CampaignId
from mailer.cli.campaign import Number
from mailer.cli.ledger import show_doubts
from mailer.cli.terminal import (
    MAX_ID,
    PARTLY,
    Json,
    Yes,
    application,
    emit,
    err,
    moment,
    out,
    table,
    who,
)
from mailer.delivery import doubts, postfix_log, reconciling, resolving
from mailer.delivery.doubts import Doubt
from mailer.delivery.postfix_log import LogNotFound
from mailer.delivery.reconciling import Finding, Inquiry, Queue
from mailer.delivery.resolving import CHOICES, Resolved
from mailer.equipment import lives

LIVING = (
    "A worker that had some of these may still be running: what it has in hand can leave, or be "
    "answered, until the time above. Wait for that, or make sure that it is dead."
)
SHOWN = 20  # letters in a preview


def resolve(
    number: Number,
    subscribers: Annotated[
        list[int] | None,
        typer.Argument(help="Subscribers by number.", min=1, max=MAX_ID, metavar="SUBSCRIBER…"),
    ] = None,
    outcome: Annotated[
        str, typer.Option("--as", help="accepted, refused, resend or abandoned.")
    ] = "",
    evidence: Annotated[str, typer.Option(help="What was seen, and where; it is kept.")] = "",
    every: Annotated[
        bool, typer.Option("--all-uncertain", help="All that are uncertain in the campaign.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Decide about uncertain letters, with the evidence; "resend" sends them once more."""
    if outcome not in CHOICES:
        raise typer.BadParameter(f"one of: {', '.join(CHOICES)}", param_hint="--as")
    if every == bool(subscribers):
        raise typer.BadParameter("name subscribers, or --all-uncertain", param_hint="SUBSCRIBER")
    house, campaign = application(), CampaignId(number)
    with house.database.reading() as session:
        whom = None if every else subscribers
        found = doubts.doubts(session, campaign, whom, lives=lives(house.settings))
    people = [one.subscriber for one in found] if every else list(subscribers or ())
    _warn(found, now=house.now())
    if not yes:
        show_doubts(found, most=SHOWN)
        typer.confirm(f"Resolve {len(people):,} as {outcome}?", abort=True, err=True)
    with house.database.transaction() as session:
        done = resolving.resolve(
            session,
            campaign,
            people,
            outcome,
            evidence=evidence,
            actor=who(),
            now=house.now(),
        )
    if outcome == "resend" and done.changed:
        house.knock("campaign.send", campaign=number)
    emit(done, as_json=as_json, show=lambda: _said(done))


def reconcile(
    number: Number,
    log: Annotated[
        Path,
        typer.Option(
            "--postfix-log", help="The relay's mail log; its rotated files are read as well."
        ),
    ],
    queue: Annotated[
        Path | None, typer.Option("--postqueue", help="A file with the output of postqueue -j.")
    ] = None,
    since: Annotated[
        str, typer.Option(help="Read the log from here on, in DIBAO_TIMEZONE unless it says.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, do nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Settle uncertain letters by the mail log of your own Postfix.

    A letter that came into its queue was accepted. One that did not is sent again where the log is
    proven to be complete. The rest stays uncertain: exit code 7.
    """
    house, campaign = application(), CampaignId(number)
    start = moment(since, house.settings.timezone) if since else None
    with house.database.reading() as session:
        longest = lives(house.settings)
        asked = reconciling.inquiry(session, campaign, house.keyring, lives=longest)
    found = _findings(asked, log, queue, since=start, now=house.now())
    done = Resolved()
    if not dry_run:
        with house.database.transaction() as session:
            actor = f"{who()}, Postfix log"
            done = reconciling.settle(session, campaign, found, actor=actor, now=house.now())
        if any(one.outcome == "resend" for one in found):
            house.knock("campaign.send", campaign=number)
    said = {"findings": found, "changed": done.changed, "dry_run": dry_run}
    emit(said, as_json=as_json, show=lambda: _show_findings(found, done, dry_run=dry_run))
    if any(not one.outcome for one in found):
        raise typer.Exit(PARTLY)


def _findings(
    asked: Inquiry, log: Path, queue: Path | None, *, since: datetime | None, now: datetime
) -> tuple[Finding, ...]:
    if not asked.doubts:
        return ()
    files, gaps = postfix_log.rotated(log)
    read = postfix_log.read(files, asked.wanted, now=now, since=since)
    read.gaps.extend(gaps)
    return asked.findings(read, _queue(queue) if queue else None, now=now)


def _queue(path: Path) -> Queue:
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            ids = postfix_log.queued(lines)
        return Queue(ids, datetime.fromtimestamp(path.stat().st_mtime, tz=UTC))
    except OSError as refused:
        raise LogNotFound(f"{path} cannot be read: {refused.strerror}") from refused


def _warn(found: tuple[Doubt, ...], *, now: datetime) -> None:
    if any(one.alive or one.until > now for one in found):
        err.print(LIVING, style="yellow")


def _said(done: Resolved) -> None:
    out.print(f"{len(done.changed):,} resolved, {len(done.unchanged):,} as they were.")


def _show_findings(found: tuple[Finding, ...], done: Resolved, *, dry_run: bool) -> None:
    if not found:
        out.print("No letter is uncertain.")
        return
    rows = [(str(one.subscriber), one.outcome or "uncertain", one.evidence) for one in found]
    table(("subscriber", "outcome", "evidence"), rows)
    if not dry_run:
        _said(done)
