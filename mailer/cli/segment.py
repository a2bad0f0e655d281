"""`dibao segment`: the sets of subscribers there are, those people follow and those given by rules.

A rule is written in the language of docs/segments.md: `--rule 'follows:ai and country = "US"'`, or
`--rule @FILE`, or as JSON in a file.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from mailer.app import App
from mailer.cli.terminal import Json, application, emit, out, table
from mailer.kit.errors import Invalid
from subscribers import actions, queries
from subscribers.rules import actions as rule_actions
from subscribers.rules import json_tree, language, printing, words
from subscribers.rules import queries as rule_queries
from subscribers.rules.language import Written
from subscribers.rules.queries import Count
from subscribers.rules.schema import Schema, require
from subscribers.rules.tree import Rule
from subscribers.segment import NewSegment

app = typer.Typer(help="The segments: followed, or given by a rule.", no_args_is_help=True)

Key = Annotated[str, typer.Argument(help="A segment's key.", metavar="KEY")]
AnyKey = Annotated[str, typer.Argument(help="A segment's key; or give --rule.", metavar="[KEY]")]
RuleText = Annotated[
    str, typer.Option("--rule", help="In the language of rules; @FILE reads it from a file.")
]
RuleFile = Annotated[
    Path | None, typer.Option("--json-rule", help="A file with the rule as a JSON tree.")
]
By = Annotated[str, typer.Option(help="Who does this; is kept with the version.")]
PATIENCE = 120.0  # seconds: whoever waits at a terminal can press Ctrl-C


class RuleMissing(Invalid):
    """Give a rule: --rule 'TEXT', --rule @FILE or --json-rule FILE."""


class RuleUnreadable(Invalid):
    """The file of the rule cannot be read."""


def house_with_segments() -> App:
    """Return the application; a new installation gets the three starting segments first."""
    house = application()
    with house.database.reading() as session:
        fresh = not queries.segments(session, archived=True)
    if fresh:
        with house.database.transaction() as session:
            actions.ensure_segments(session)
    return house


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the segments with how many are in them, and how many of those may be mailed now."""
    house = house_with_segments()
    now = house.now()
    with house.database.reading() as session:
        found = rule_queries.sizes(session, now, patience=PATIENCE)

    def show() -> None:
        rows = [
            (
                each.segment.key,
                each.segment.name_in("en"),
                each.segment.name_in("zh"),
                "followed" if each.segment.rule is None else "rule",
                each.followers,
                each.mailable,
            )
            for each in found
        ]
        columns = ("key", "name", "in Chinese", "given by", "people", "mailable")
        table(columns, rows, title=f"as of {now:%Y-%m-%d %H:%M:%S} UTC")

    emit(found, as_json=as_json, show=show)


@app.command()
def create(  # the options of a command
    key: Annotated[str, typer.Argument(help="Lower-case letters, digits, hyphens: deep-tech.")],
    name: Annotated[str, typer.Argument(help="Its name, as readers see it.")],
    rule: RuleText = "",
    json_rule: RuleFile = None,
    chinese: Annotated[str, typer.Option("--zh", help="Its name in Chinese.")] = "",
    description: Annotated[str, typer.Option(help="A line for the preference page.")] = "",
    color: Annotated[str, typer.Option(help="#rrggbb")] = "",
    by: By = "command line",
    as_json: Json = False,
) -> None:
    """Make a segment: for people to follow, or with a rule of those the rule finds."""
    names = {"en": name} | ({"zh": chinese} if chinese else {})
    new = NewSegment(key, name, names, description, color)
    house = house_with_segments()
    with house.database.transaction() as session:
        if rule or json_rule:
            written = _checked(rule, json_rule, rule_queries.schema(session))
            rule_actions.create(session, new, written.rule, now=house.now(), actor=by)
        else:
            actions.create_segment(session, new)
        made = queries.segment(session, key)
    emit(made, as_json=as_json, show=lambda: out.print(f"Made segment {made.key}."))


@app.command()
def show(key: Key, as_json: Json = False) -> None:
    """Show a segment: its rule as text, in words and as JSON, and the versions there were."""
    with house_with_segments().database.reading() as session:
        segment = queries.segment(session, key)
        schema = rule_queries.schema(session)
        meaning = rule_queries.meaning(session, key)
        versions = rule_queries.revisions(session, key)
    said = {"segment": segment, **_said(meaning, schema)}
    said["versions"] = [
        {"number": v.number, "text": printing.text(v.rule), "actor": v.actor, "at": v.at}
        for v in versions
    ]

    def shown() -> None:
        state = " (archived)" if segment.archived_at else ""
        out.print(f"{segment.key}: {segment.name}{state}", markup=False)
        out.print(said["words"], markup=False)
        if versions:
            rows = [(v.number, v.at, v.actor, printing.text(v.rule)) for v in versions]
            table(("version", "at", "by", "rule"), rows)

    emit(said, as_json=as_json, show=shown)


@app.command()
def check(
    text: Annotated[str, typer.Argument(help="A rule, or @FILE.", metavar="[RULE]")] = "",
    json_rule: RuleFile = None,
    as_json: Json = False,
) -> None:
    """Read a rule, say it back in words and count whom it finds now. Nothing is stored."""
    house = house_with_segments()
    with house.database.reading() as session:
        schema = rule_queries.schema(session)
        rule = _checked(text, json_rule, schema).rule
        counted = rule_queries.count(session, rule, house.now(), patience=PATIENCE)
    said = {**_said(rule, schema), "count": counted}

    def shown() -> None:
        out.print(printing.text(rule), markup=False)
        out.print(words.say(rule, schema), markup=False)
        out.print(_counted(counted))

    emit(said, as_json=as_json, show=shown)


@app.command()
def count(
    key: AnyKey = "", rule: RuleText = "", json_rule: RuleFile = None, as_json: Json = False
) -> None:
    """Count who is in a segment, or whom a rule finds, at this moment."""
    house = house_with_segments()
    with house.database.reading() as session:
        asked = _asked(session, key, rule, json_rule)
        counted = rule_queries.count(session, asked, house.now(), patience=PATIENCE)
    emit(counted, as_json=as_json, show=lambda: out.print(_counted(counted)))


@app.command()
def sample(  # the options of a command
    key: AnyKey = "",
    rule: RuleText = "",
    json_rule: RuleFile = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000)] = 10,
    mailable: Annotated[bool, typer.Option(help="Only those who may be mailed.")] = False,
    as_json: Json = False,
) -> None:
    """Show some of those in a segment, or of those a rule finds: the same ones every time."""
    house = house_with_segments()
    now = house.now()
    with house.database.reading() as session:
        asked = _asked(session, key, rule, json_rule)
        found = rule_queries.sample(
            session, asked, now, limit=limit, mailable=mailable, patience=PATIENCE
        )
        people = [queries.subscriber(session, each) for each in found]

    def shown() -> None:
        rows = [(each.id, each.address, each.name, each.state) for each in people]
        title = f"as of {now:%Y-%m-%d %H:%M:%S} UTC"
        table(("number", "address", "name", "state"), rows, title=title)

    emit({"as_of": now, "people": people}, as_json=as_json, show=shown)


@app.command()
def overlap(
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY]...")] = None,
    mailable: Annotated[bool, typer.Option(help="Count only those who may be mailed.")] = False,
    as_json: Json = False,
) -> None:
    """Show how many people segments share. Without keys: all segments."""
    house = house_with_segments()
    with house.database.reading() as session:
        asked = tuple(dict.fromkeys(keys or [each.key for each in queries.segments(session)]))
        queries.require_segments(session, asked)
        found = rule_queries.overlap(
            session, asked, house.now(), mailable=mailable, patience=PATIENCE
        )

    def shown() -> None:
        rows = [
            (key, *map(_share, found.together[n], [found.together[n][n]] * len(asked)), alone)
            for n, (key, alone) in enumerate(zip(asked, found.alone, strict=True))
        ]
        table(("of", *asked, "no other"), rows, title=f"as of {found.as_of:%Y-%m-%d %H:%M:%S} UTC")
        out.print(f"{found.people:,} people in all; per cent are of the row's segment.")

    emit(found, as_json=as_json, show=shown)


@app.command()
def revise(  # the options of a command
    key: Key,
    rule: RuleText = "",
    json_rule: RuleFile = None,
    seen: Annotated[int, typer.Option(help="The version you have seen; another: refused.")] = 0,
    by: By = "command line",
    as_json: Json = False,
) -> None:
    """Give a segment another rule; the versions before are kept."""
    house = house_with_segments()
    with house.database.transaction() as session:
        before = queries.segment(session, key)
        written = _checked(rule, json_rule, rule_queries.schema(session))
        number = rule_actions.revise(
            session, key, written.rule, seen=seen or before.revision, now=house.now(), actor=by
        )
        after = queries.segment(session, key)
    changed = number != before.revision
    said = f"{key} is at version {number} now." if changed else f"{key} had this rule already."
    emit(after, as_json=as_json, show=lambda: out.print(said))


@app.command()
def archive(key: Key, as_json: Json = False) -> None:
    """Take a segment out of use. Its people and versions are kept."""
    house = house_with_segments()
    with house.database.transaction() as session:
        rule_actions.archive(session, key, now=house.now())
        after = queries.segment(session, key)
    emit(after, as_json=as_json, show=lambda: out.print(f"Archived segment {key}."))


@app.command()
def explain(
    key: Key,
    who: Annotated[str, typer.Argument(help="An address, or a subscriber's number.")],
    as_json: Json = False,
) -> None:
    """Say why somebody is in a segment or is not: which conditions of its rule hold."""
    house = house_with_segments()
    with house.database.reading() as session:
        person = queries.find(session, who, key=house.address_key)
        rule = rule_queries.meaning(session, key)
        answers = rule_queries.explain(session, rule, person, house.now())
    inside = answers[-1].holds
    said = [{"condition": printing.text(each.rule), "holds": each.holds} for each in answers]

    def shown() -> None:
        rows = [("yes" if each.holds else "no", printing.text(each.rule)) for each in answers]
        table(("holds", "condition"), rows)
        out.print(f"{'In' if inside else 'Not in'} {key}.")

    emit({"in": inside, "conditions": said}, as_json=as_json, show=shown)


def _read(text: str, json_rule: Path | None) -> Written:
    """Read the rule that a command was given, in either form. Raises RuleInvalid, RuleMissing."""
    if json_rule is not None:
        return Written(json_tree.loads(_file(json_rule)), ())
    if not text:
        raise RuleMissing
    return language.read(_file(Path(text[1:])) if text.startswith("@") else text)


def _file(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(json_tree.MAX_OCTETS + 1)
    except (OSError, UnicodeDecodeError) as bad:
        raise RuleUnreadable(f"{path} cannot be read as a text in UTF-8.") from bad


def _checked(text: str, json_rule: Path | None, schema: Schema) -> Written:
    written = _read(text, json_rule)
    require(written.rule, schema, written.places)
    return written


def _asked(session: Any, key: str, text: str, json_rule: Path | None) -> Rule:
    if key and not (text or json_rule):
        return rule_queries.meaning(session, key)
    return _checked(text, json_rule, rule_queries.schema(session)).rule


def _said(rule: Rule, schema: Schema) -> dict[str, Any]:
    text, tree = printing.text(rule), json_tree.write(rule)
    return {"rule": tree, "text": text, "words": words.say(rule, schema)}


def _counted(found: Count) -> str:
    return (
        f"{found.people:,} people as of {found.as_of:%Y-%m-%d %H:%M:%S} UTC, "
        f"{found.mailable:,} of them may be mailed."
    )


def _share(people: int, whole: int) -> str:
    return f"{people:,} ({people / whole:.0%})" if whole else f"{people:,}"
