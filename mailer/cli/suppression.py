"""`dibao suppression`: addresses that must not be mailed, whatever anything else says."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from mailer.app import App
from mailer.cli.terminal import MAX_ID, PARTLY, Json, application, emit, out, table
from subscribers import actions, queries, suppression_list
from subscribers.address import AddressInvalid, EmailAddress, address_key
from subscribers.suppression import Reason, Scope

app = typer.Typer(help="Addresses that must not be mailed.", no_args_is_help=True)

Address = Annotated[str, typer.Argument(help="An e-mail address, subscribed or not.")]
Why = Annotated[Reason, typer.Option(help="Why.")]
Evidence = Annotated[str, typer.Option(help="What shows it; no address in it.")]
Held = Annotated[
    Scope, typer.Option(help="all, or campaigns: notices about their own doing still go.")
]

CHUNK = 1000  # addresses per transaction
SHOWN = 20  # refused lines


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that holds no address."""

    line: int
    reason: str


@app.command()
def add(
    address: Address,
    reason: Why = Reason.OPERATOR,
    evidence: Evidence = "",
    scope: Held = Scope.ALL,
    as_json: Json = False,
) -> None:
    """Mail an address no more, whatever an import or a form says; it need not be subscribed."""
    _by_hand(reason)
    house = application()
    key = address_key(house.address_key, EmailAddress.parse(address))
    with house.database.transaction() as session:
        new = actions.suppress(
            session, key, reason, now=house.now(), evidence=evidence, scope=scope
        )
        active = queries.suppression(session, key)
    words = "Suppressed." if new else "Nothing new: the address is suppressed already."
    emit({"new": new, "suppression": active}, as_json=as_json, show=lambda: out.print(words))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="One address a line, or CSV; - is standard input.")],
    reason: Why = Reason.ASKED,
    evidence: Evidence = "",
    scope: Held = Scope.ALL,
    as_json: Json = False,
) -> None:
    """Suppress every address of a list: an opt-out list brought along.

    CSV has a heading with a column email. Exit code 7 where some lines hold no address.
    """
    _by_hand(reason)
    house = application()
    new, read, lost, refused = 0, 0, 0, list[Refusal]()
    shown = evidence or f"the list {file.name}"
    for keys, bad in _chunks(house, file):
        read += len(keys)
        lost += len(bad)
        refused += bad[: max(0, SHOWN - len(refused))]
        with house.database.transaction() as session:
            new += actions.suppress_many(
                session, keys, reason, now=house.now(), evidence=shown, scope=scope
            )
    sums = {"addresses": read, "new": new, "refused": lost, "refusals": refused}

    def show() -> None:
        out.print(f"{read:,} addresses, of which {new:,} were not suppressed so far.")
        for each in refused:
            out.print(f"line {each.line}: {each.reason}", markup=False)
        if lost > len(refused):
            out.print(f"and {lost - len(refused):,} more")

    emit(sums, as_json=as_json, show=show)
    if lost:
        raise typer.Exit(PARTLY)


@app.command("list")
def list_(
    reason: Annotated[Reason | None, typer.Option(help="Only for this reason.")] = None,
    lifted: Annotated[bool, typer.Option("--lifted", help="Lifted ones too.")] = False,
    after: Annotated[int, typer.Option(min=0, max=MAX_ID, help="Begin after this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List suppressions; an address is shown where a subscriber has it, else it is a hash."""
    with application().database.reading() as session:
        found = queries.all_suppressions(
            session, reason=reason, lifted=lifted, after=after, limit=limit
        )

    def show() -> None:
        rows = [
            (
                *(str(each.id), each.address or each.suppression.address_key[:12] + "…"),
                *(each.suppression.reason, each.suppression.scope, each.suppression.at),
                *(each.suppression.evidence, each.suppression.lifted_at),
                each.suppression.lifted_reason,
            )
            for each in found
        ]
        table(("number", "address", "reason", "scope", "since", "evidence", "lifted", "why"), rows)
        if len(found) == limit:
            out.print(f"The next: --after {found[-1].id}")

    emit(found, as_json=as_json, show=show)


@app.command()
def lift(
    address: Address,
    reason: Annotated[str, typer.Option(help="Why it may be mailed again; is kept.")],
    as_json: Json = False,
) -> None:
    """End a suppression; what the person themselves last said counts again."""
    house = application()
    key = address_key(house.address_key, EmailAddress.parse(address))
    with house.database.transaction() as session:
        was = actions.lift(session, key, reason=reason, now=house.now())
    words = f"Lifted; it was for: {was}."
    emit({"lifted": was}, as_json=as_json, show=lambda: out.print(words))


def _by_hand(reason: Reason) -> None:
    if reason is Reason.ERASED:
        raise typer.BadParameter("comes from an erasure only", param_hint="--reason")


def _chunks(house: App, file: Path) -> Iterator[tuple[list[str], list[Refusal]]]:
    """The keys of some addresses of a list at a time, and the lines that hold none."""
    with ExitStack() as stack:
        if str(file) == "-":
            stream: BinaryIO = sys.stdin.buffer
        elif file.is_file():
            stream = stack.enter_context(file.open("rb"))
        else:
            raise typer.BadParameter(f"there is no file {file}", param_hint="FILE")
        text = TextIOWrapper(stream, encoding="utf-8-sig", errors="replace")
        rest = suppression_list.read(suppression_list.lines(text))
        while chunk := tuple(islice(rest, CHUNK)):
            yield _sorted(house, chunk)
        text.detach()


def _sorted(
    house: App, chunk: Sequence[tuple[int, EmailAddress | AddressInvalid]]
) -> tuple[list[str], list[Refusal]]:
    keys, refused = [], []
    for line, found in chunk:
        if isinstance(found, EmailAddress):
            keys.append(address_key(house.address_key, found))
        else:
            refused.append(Refusal(line, str(found)))
    return keys, refused
