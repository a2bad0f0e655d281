"""What all commands share: the application, output for people or programs, errors as exit codes."""

import getpass
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mailer.app import App, compose
from mailer.kit import errors, settings

EXIT: tuple[tuple[type[errors.DibaoError], int], ...] = (
    (errors.Misconfigured, 3),
    (errors.NotFound, 4),
    (errors.Conflict, 5),
    (errors.Unavailable, 6),
)
"""Kinds of refusal and their exit codes; any other refusal is 1, wrong usage 2, partly done 7."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

ACTOR = "command line"  # who did it, in what is kept of it

PARTLY = 7  # exit code: some of it could not be done

MAX_ID = 2**31 - 1  # of anything that has a number
WIDE = 140  # columns where nobody looks: a pipe or a file
_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)))  # all but tab and newline


class MomentInvalid(errors.Invalid):
    """A moment looks like 2026-11-23T09:00 or 2026-11-23T09:00+01:00."""


class _Screen(Console):
    """A console that no data can steer: control characters are left out."""

    def render_str(self, text: str, **style: Any) -> Text:
        """The text as rich shows it, without what a terminal would obey."""
        return super().render_str(text.translate(_CONTROLS), **style)


out = _Screen(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = _Screen(stderr=True, highlight=False, soft_wrap=True)


@cache
def application() -> App:
    """The application as the environment describes it, its schema checked."""
    app = compose(settings.read(os.environ))
    app.ensure_schema()
    return app


def emit(value: object, *, as_json: bool, show: Callable[[], None]) -> None:
    """Print the value as JSON on standard output, or show it to a person."""
    if as_json:
        sys.stdout.write(json.dumps(plain(value), ensure_ascii=False, indent=2) + "\n")
    else:
        show()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Print rows under columns; numbers stand to the right."""
    grid = Table(title=title or None, title_justify="left", header_style="bold", box=None)
    lines = [[escape(_cell(value)) for value in row] for row in rows]  # data is no markup
    for n, column in enumerate(columns):
        numeric = bool(lines) and all(_is_number(line[n]) for line in lines)
        widest = max((len(word) for word in column.split()), default=0)
        if numeric:  # a number broken in two is another number
            widest = max(widest, *(len(line[n]) for line in lines))
        side: Literal["right", "left"] = "right" if numeric else "left"
        grid.add_column(column, justify=side, overflow="fold", min_width=widest)
    for line in lines:
        grid.add_row(*line)
    out.print(grid)


def plain(value: object) -> Any:
    """The value in JSON's own types: values as objects, moments as ISO 8601."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value


def who() -> str:
    """The name of whoever gives the command, for what is kept of it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return ACTOR


def moment(text: str, zone: str) -> datetime:
    """A moment as somebody writes it, in `zone` unless it says. Raises MomentInvalid."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as malformed:
        raise MomentInvalid(f"{text!r} is no moment; write 2026-11-23T09:00") from malformed
    return found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))


def exit_code(refusal: errors.DibaoError) -> int:
    """What a refusal is to the shell."""
    return next((code for kind, code in EXIT if isinstance(refusal, kind)), 1)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S %Z")
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").replace(" %", "").isdecimal() or text == "-"
