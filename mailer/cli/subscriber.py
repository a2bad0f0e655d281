"""`dibao subscriber`: who may be mailed, and why."""

from datetime import datetime
from typing import Annotated, TypedDict
from zoneinfo import ZoneInfo

import typer

from mailer.app import App
from mailer.cli import importing
from mailer.cli.segment import house_with_segments
from mailer.cli.terminal import ACTOR, MAX_ID, Json, emit, out, table
from mailer.kit.errors import Conflict
from subscribers import actions, bulk, queries, search
from subscribers.address import EmailAddress
from subscribers.consent import Consent, Origin
from subscribers.fields import FieldNotFound, parse_all, written
from subscribers.intake.merge import REASONS, Policy
from subscribers.subscriber import (
    TRACKING,
    NewPerson,
    State,
    parse_frequency,
    parse_language,
    parse_timezone,
    tidy_name,
)

app = typer.Typer(help="Who may be mailed, and why.", no_args_is_help=True)
importing.register(app)

Who = Annotated[str, typer.Argument(help="An address, or a subscriber's number.", metavar="WHO")]
Address = Annotated[str, typer.Argument(help="An e-mail address, subscribed or not.")]
Segments = Annotated[list[str] | None, typer.Option("--segment", help="A key; repeat it.")]
Basis = Annotated[str, typer.Option(help="Where and to which words they agreed; is kept.")]


class _By(TypedDict):
    """Who did what is noted in the history, when and how."""

    now: datetime
    source: str
    actor: str


class NotAdded(Conflict):
    """The person was not added."""


@app.command()
def add(
    address: Address,
    basis: Basis,
    segment: Segments = None,
    name: Annotated[str, typer.Option(help="Their name.")] = "",
    language: Annotated[str, typer.Option(help="en, fr, zh-Hans: a BCP 47 tag.")] = "",
    timezone: Annotated[str, typer.Option(help="Europe/Paris: an IANA name.")] = "",
    as_json: Json = False,
) -> None:
    """Add one person who has agreed elsewhere; somebody there already follows more."""
    house = house_with_segments()
    person = NewPerson(
        EmailAddress.parse(address),
        tidy_name(name),
        tuple(segment or ()),
        parse_language(language),
        parse_timezone(timezone),
        source="dibao subscriber add",
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
        if outcome in REASONS:
            raise NotAdded(f"Not added: this person {REASONS[outcome]}.")
    _said(house, address, as_json=as_json)


@app.command("list")
def list_(
    part: Annotated[str, typer.Argument(help="A part of the address or name.")] = "",
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    segment: Annotated[str | None, typer.Option(help="Only those in it.")] = None,
    field: Annotated[
        str | None, typer.Option(help="Only those with this value of a custom field: city=Paris.")
    ] = None,
    after: Annotated[int, typer.Option(min=0, max=MAX_ID, help="Begin after this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List subscribers, by number."""
    house = house_with_segments()
    with house.database.reading() as session:
        if segment is not None:
            queries.require_segments(session, [segment])
        schema = queries.custom_fields(session)
        wanted = _pair(field) if field else None
        if wanted and wanted[0] not in {each.key for each in schema}:
            raise FieldNotFound(f"There is no field {wanted[0]!r}: dibao field list")
        found = search.page(
            session,
            now=house.now(),
            part=part,
            state=state,
            segment=segment,
            field=wanted,
            after=after,
            limit=limit,
        )
        total = queries.counts(session).total

    def show() -> None:
        rows = [
            (
                *(str(one.id), one.address, one.name, one.language, one.state),
                *(written(one.fields[f.key]) if f.key in one.fields else "" for f in schema),
            )
            for one in found
        ]
        keys = [each.key for each in schema]
        table(("number", "address", "name", "language", "state", *keys), rows)
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
            queries.find(session, who, key=house.address_key),
            segments=segment or None,
            now=house.now(),
            source="dibao subscriber unsubscribe",
            actor=ACTOR,
        )
    _said(house, who, as_json=as_json)


@app.command("set")
def set_(
    who: Who,
    values: Annotated[
        list[str],
        typer.Argument(
            help="name=, language=, timezone=, tracking= (none, opens, clicks, all), frequency= "
            "(every, fortnightly, monthly), or a custom field's key; an empty value takes it away.",
            metavar="KEY=VALUE...",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Write down what somebody is called, where they live, what they want, custom fields."""
    given = dict(_pair(each) for each in values)
    own = {key: given.pop(key) for key in ("name", "language", "timezone") if key in given}
    wishes = {key: given.pop(key) for key in ("tracking", "frequency") if key in given}
    house = house_with_segments()
    by: _By = {"now": house.now(), "source": "dibao subscriber set", "actor": ACTOR}
    with house.database.transaction() as session:
        person = queries.find(session, who, key=house.address_key)
        schema = {each.key: each for each in queries.custom_fields(session)}
        fields = parse_all(schema, given)
        actions.set_details(session, person, now=house.now(), fields=fields, **own)
        if "tracking" in wishes:
            actions.set_tracking(session, person, _tracking(wishes["tracking"]), **by)
        if "frequency" in wishes:
            actions.set_frequency(session, person, parse_frequency(wishes["frequency"]), **by)
    _said(house, who, as_json=as_json)


@app.command()
def pause(
    who: Who,
    until: Annotated[
        datetime, typer.Argument(help="The first day with letters again.", formats=["%Y-%m-%d"])
    ],
    as_json: Json = False,
) -> None:
    """Send somebody no letters until a day."""
    house = house_with_segments()
    day = until.replace(tzinfo=ZoneInfo(house.settings.timezone))
    with house.database.transaction() as session:
        person = queries.find(session, who, key=house.address_key)
        source = "dibao subscriber pause"
        actions.pause(session, person, day, now=house.now(), source=source, actor=ACTOR)
    _said(house, who, as_json=as_json)


@app.command()
def resume(who: Who, as_json: Json = False) -> None:
    """End somebody's pause before its time."""
    house = house_with_segments()
    with house.database.transaction() as session:
        person = queries.find(session, who, key=house.address_key)
        source = "dibao subscriber resume"
        actions.resume_mail(session, person, now=house.now(), source=source, actor=ACTOR)
    _said(house, who, as_json=as_json)


@app.command()
def move(
    who: Annotated[str, typer.Argument(help="The address until now, or a number.", metavar="OLD")],
    new: Annotated[str, typer.Argument(help="The address from now on.", metavar="NEW")],
    as_json: Json = False,
) -> None:
    """Give somebody another address; what they follow and their history stay theirs."""
    house = house_with_segments()
    address = EmailAddress.parse(new)
    with house.database.transaction() as session:
        person = queries.find(session, who, key=house.address_key)
        actions.change_address(
            session,
            person,
            address,
            key=house.address_key,
            now=house.now(),
            source="dibao subscriber move",
            actor=ACTOR,
        )
    _said(house, str(person), as_json=as_json)


def _said(house: App, who: str, *, as_json: bool) -> None:
    with house.database.reading() as session:
        person = queries.find(session, who, key=house.address_key)
        standing = queries.explain(session, person, now=house.now())
        history = queries.history(session, standing.subscriber.id)
        suppressions = queries.suppressions(session, standing.subscriber.address_key)
        known = standing.subscriber.fields
        fields = [each for each in queries.custom_fields(session) if each.key in known]

    def show() -> None:
        person = standing.subscriber
        out.print(f"[bold]{person.id}[/bold]", end=" ")
        out.print(f"{person.address} {person.name}: {person.state}", markup=False)
        for sentence in standing.sentences:
            out.print(f"- {sentence}", markup=False)
        said = [("language", person.language), ("time zone", person.timezone)]
        said += [(each.label, written(person.fields[each.key])) for each in fields]
        for label, value in said:
            if value:
                out.print(f"  {label}: {value}", markup=False)
        rows = [
            (c.at, c.act, ", ".join(c.segments), c.source, c.actor, c.network, _words(c))
            for c in history
        ]
        table(("when", "act", "segments", "by way of", "by", "from", "words"), rows)
        if suppressions:
            lines = [
                (s.at, s.reason, s.scope, s.evidence, s.lifted_at, s.lifted_reason)
                for s in suppressions
            ]
            table(("suppressed", "reason", "scope", "evidence", "lifted", "why"), lines)

    shown = {"standing": standing, "history": history, "suppressions": suppressions}
    emit(shown, as_json=as_json, show=show)


def _words(act: Consent) -> str:
    """The words agreed to, shortened, with the beginning of their hash; else what is noted."""
    return f"{act.wording[:60]} ({act.wording_sha256[:8]})" if act.wording else act.evidence[:60]


def _pair(text: str) -> tuple[str, str]:
    key, mark, value = text.partition("=")
    if not mark or not key:
        raise typer.BadParameter(f"{text!r} is no KEY=VALUE")
    return key.strip(), value


def _tracking(word: str) -> int:
    if word not in TRACKING:
        raise typer.BadParameter(f"tracking is one of: {', '.join(TRACKING)}")
    return TRACKING.index(word)
