"""`dibao issue`: what is said on one occasion, from a pasted digest to an approved issue."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mailer.app import App
from mailer.campaigns import queries as campaigns
from mailer.cli.terminal import Json, application, emit, err, out, table
from mailer.content import actions, document, queries
from mailer.content.issue import Issue, Item
from mailer.content.paste import Pasted, PastedLine, paste
from mailer.content.slug import slug_of
from mailer.content.suggest import suggest
from mailer.kit.errors import Conflict, Invalid

app = typer.Typer(help="What is said on one occasion.", no_args_is_help=True)

Which = Annotated[str, typer.Argument(help="The issue's number or its slug.", metavar="ID|SLUG")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="The file to write; default: the terminal.")
]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]

STANDARD_INPUT = Path("-")


class FileUnreadable(Invalid):
    """The file cannot be read."""


class FileUnwritable(Invalid):
    """The file cannot be written."""


class IssueFileInvalid(Invalid):
    """The file does not hold an issue."""


class IssueSent(Conflict):
    """The issue has been sent already."""


@app.command("paste")
def paste_(
    file: Annotated[Path, typer.Argument(help="A digest as text or HTML; - reads what you pipe.")],
    output: Output = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make an issue file of a digest somebody pasted."""
    _check_free(output, force=force)
    pasted = paste(_decoded(file))
    if output:
        _write(document.write(pasted.issue), output)
    elif not as_json:
        sys.stdout.write(document.write(pasted.issue))
    summary = pasted.summary() | {"output": str(output) if output else None}
    emit(summary, as_json=as_json, show=lambda: _show_summary(pasted, output))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="An issue file; - reads what you pipe.")],
    approve: Annotated[bool, typer.Option("--approve", help="Approve it as it is.")] = False,
    revise: Annotated[
        bool, typer.Option("--revise", help="Even where the issue with this slug has been sent.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Store an issue file: a new issue, or a new revision of the one with its slug."""
    issue = _read(file)
    house = application()
    if not revise:
        _refuse_if_sent(house, issue)
    with house.database.transaction() as session:
        number = actions.save(session, issue, now=house.now(), by="command line")
        if approve:
            actions.approve(session, number, now=house.now())
        stored = queries.issue(session, number)
    emit(_told(stored), as_json=as_json, show=lambda: _show_stored(stored))


@app.command("list")
def list_(as_json: Json = False) -> None:
    """All issues, newest first."""
    with application().database.reading() as session:
        found = queries.issues(session)
    rows = [
        (one.id, one.slug, one.title, one.items, one.state, one.revision, one.updated_at)
        for one in found
    ]
    columns = ("id", "slug", "title", "items", "state", "revision", "updated")
    emit(found, as_json=as_json, show=lambda: table(columns, rows))


@app.command()
def show(issue: Which, as_json: Json = False) -> None:
    """One issue with its items."""
    with application().database.reading() as session:
        stored = queries.issue(session, queries.identify(session, issue))
    emit(stored, as_json=as_json, show=lambda: _show_whole(stored))


@app.command()
def export(issue: Which, output: Output = None, force: Force = False) -> None:
    """Write an issue file, byte for byte as stored."""
    _check_free(output, force=force)
    with application().database.reading() as session:
        stored = queries.issue(session, queries.identify(session, issue))
        text = queries.text(session, stored.id, stored.revision)
    if output:
        _write(text, output)
        err.print(f"{output}: issue {stored.id}, revision {stored.revision}", markup=False)
    else:
        sys.stdout.write(text)


@app.command()
def approve(issue: Which, as_json: Json = False) -> None:
    """Approve an issue's latest revision: that is what will be sent."""
    house = application()
    with house.database.transaction() as session:
        number = queries.identify(session, issue)
        actions.approve(session, number, now=house.now())
        stored = queries.issue(session, number)
    emit(_told(stored), as_json=as_json, show=lambda: _show_stored(stored))


@app.command("suggest")
def suggest_(
    issue: Annotated[str, typer.Argument(help="An issue file, or an issue's number or slug.")],
    output: Output = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Propose segments for the items, with the words that say so; -o writes them into a file.

    Items that name segments already, or whose section does, keep theirs.
    """
    _check_free(output, force=force)
    found = _found(issue)
    rows = [
        {
            "item": item.id,
            "title": item.title,
            "segments": item.segments,
            "suggestions": suggest(item),
        }
        for item in found.items
    ]
    if output:
        _write(document.write(_with_suggestions(found)), output)
    emit(rows, as_json=as_json, show=lambda: _show_suggestions(found.items))


def _refuse_if_sent(house: App, issue: Issue) -> None:
    slug = issue.slug or slug_of(issue)
    with house.database.reading() as session:
        number = queries.find(session, slug)
        sent = {each.issue for each in campaigns.campaigns(session) if each.started_at}
    if number in sent:
        raise IssueSent(
            f"The issue {slug!r} has been sent already. Is this another? Then give it a slug of "
            "its own (slug: in the front matter); to revise what was sent, add --revise"
        )


def _found(name: str) -> Issue:
    if Path(name).is_file() or Path(name) == STANDARD_INPUT or Path(name).suffix == ".md":
        return _read(Path(name))
    with application().database.reading() as session:
        return queries.issue(session, queries.identify(session, name)).issue


def _with_suggestions(issue: Issue) -> Issue:
    def proposed(item: Item) -> Item:
        return replace(item, segments=tuple(one.segment for one in suggest(item)))

    return replace(
        issue,
        sections=tuple(
            replace(
                section,
                items=tuple(
                    item if item.segments or section.segments else proposed(item)
                    for item in section.items
                ),
            )
            for section in issue.sections
        ),
    )


def _read(file: Path) -> Issue:
    try:
        return document.read(_decoded(file))
    except document.DocumentInvalid as invalid:
        lines = [f"{file}, {fault}" for fault in invalid.faults]
        raise IssueFileInvalid("\n".join(lines)) from invalid


def _decoded(file: Path) -> str:
    try:
        data = sys.stdin.buffer.read() if file == STANDARD_INPUT else file.read_bytes()
    except OSError as unreadable:
        raise FileUnreadable(f"Cannot read {file}: {unreadable.strerror}.") from unreadable
    try:
        return document.decode(data)
    except document.DocumentInvalid as invalid:
        raise FileUnreadable(f"{file}, {invalid}") from invalid


def _check_free(output: Path | None, *, force: bool) -> None:
    if output and output.exists() and not force:
        raise FileUnwritable(f"{output} is there already; --force writes over it.")


def _write(text: str, output: Path) -> None:
    try:
        output.write_bytes(text.encode())
    except OSError as unwritable:
        raise FileUnwritable(f"Cannot write {output}: {unwritable.strerror}.") from unwritable


def _told(stored: queries.StoredIssue) -> dict[str, object]:
    return {
        "id": stored.id,
        "slug": stored.slug,
        "title": stored.issue.title,
        "state": stored.state,
        "revision": stored.revision,
        "hash": stored.hash,
        "items": len(stored.issue.items),
        "segments": stored.issue.segments,
    }


def _show_stored(stored: queries.StoredIssue) -> None:
    out.print(
        f"Issue {stored.id} ({stored.slug}), revision {stored.revision}: {stored.state}, "
        f"{len(stored.issue.items)} items, hash {stored.hash[:12]}",
        markup=False,
    )


def _show_whole(stored: queries.StoredIssue) -> None:
    out.print(stored.issue.title, markup=False, style="bold")
    _show_stored(stored)
    rows = [
        (section.title, item.id, item.kind, item.title, " ".join(item.segments or section.segments))
        for section in stored.issue.sections
        for item in section.items
    ]
    table(("section", "id", "kind", "title", "segments"), rows)


def _show_suggestions(items: Sequence[Item]) -> None:
    rows: list[tuple[object, ...]] = []
    for item in items:
        proposed = suggest(item)
        rows += [
            (item.id, one.segment, one.score, ", ".join(one.words[:6])) for one in proposed
        ] or [(item.id, None, None, None)]
    table(("item", "segment", "score", "words"), rows)


def _show_summary(pasted: Pasted, output: Path | None) -> None:
    """On standard error: the issue itself may be on standard output."""
    counts = pasted.summary()
    kinds = ", ".join(f"{count} {kind}" for kind, count in dict(counts["kinds"]).items())  # type: ignore[call-overload]
    err.print(f"{output or 'Issue'}: {pasted.issue.title}", markup=False)
    err.print(
        f"{counts['items']} items ({kinds}), {counts['parts']} parts of articles, "
        f"{counts['sources']} sources of {counts['domains']} domains, "
        f"{counts['related']} related links, {counts['images']} places for pictures",
        markup=False,
    )
    if counts["without_address"]:
        err.print(
            f"{counts['without_address']} related links and calls to action in the issue have no "
            "address: fill in their `url`, or take them out",
            markup=False,
        )
    _show_lines("Left out", pasted.dropped)
    _show_lines("Links without an address", pasted.lost_links)
    _show_lines("Not understood, and not in the issue", pasted.not_understood)


def _show_lines(title: str, lines: Sequence[PastedLine]) -> None:
    if lines:
        err.print(f"{title}:", markup=False)
    for line in lines:
        err.print(f"  line {line.number}: {line.text[:70]} ({line.reason})", markup=False)
