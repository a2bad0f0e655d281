"""What an export is asked for: which people, which columns, in which form. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from mailer.kit.errors import Invalid
from subscribers.subscriber import State

COLUMNS: Final = (
    *("id", "address", "name", "state", "segments", "language", "timezone", "domain", "source"),
    *("frequency", "paused_until", "tracking", "created_at", "confirmed_at", "updated_at"),
    *("consent", "consent_at", "consent_source", "consent_wording"),
)
"""What there is of everybody. The consent is the last by which they agreed to something."""

USUAL: Final = (
    *("id", "address", "name", "state", "segments", "language", "timezone", "source"),
    *("tracking", "created_at", "confirmed_at"),
)
"""What is written where nothing is said, with every custom field after it."""

FIELD: Final = "field:"
CONSENT: Final = frozenset(name for name in COLUMNS if name.startswith("consent"))


class ColumnUnknown(Invalid):
    """There is no such column."""


class Form(StrEnum):
    """What kind of file it is."""

    CSV = "csv"  # comma, UTF-8, CRLF (RFC 4180)
    JSON = "json"  # one array of objects
    LINES = "jsonl"  # one object a line
    XLSX = "xlsx"


@dataclass(frozen=True, slots=True)
class Asked:
    """One export; each filter narrows it."""

    form: Form = Form.CSV
    columns: tuple[str, ...] = USUAL
    part: str = ""  # of the address or name
    state: State | None = None
    segment: str | None = None  # key; followed or by rule
    field: tuple[str, str] | None = None  # key of a custom field and its value as text
    bom: bool = False  # CSV: a byte order mark, by which Excel knows UTF-8
    raw: bool = False  # CSV: formula cells as they are

    def noted(self) -> dict[str, Any]:
        """What goes to the audit: only what was asked for."""
        narrowed: dict[str, Any] = {"columns": list(self.columns)}
        for name in ("part", "segment", "bom", "raw"):
            if value := getattr(self, name):
                narrowed[name] = value
        if self.state is not None:
            narrowed["state"] = self.state.value
        if self.field is not None:
            narrowed["field"] = list(self.field)
        return narrowed


def columns(named: Sequence[str], fields: Sequence[str]) -> tuple[str, ...]:
    """The columns of an export: those named, or the usual ones and every custom field.

    Custom fields are named by their key, or as `field:key`. Raises ColumnUnknown naming what there
    is.
    """
    if not named:
        return (*USUAL, *(FIELD + key for key in fields))
    found: dict[str, None] = {}
    for name in named:
        if name in COLUMNS:
            found[name] = None
        elif (key := name.removeprefix(FIELD)) in fields:
            found[FIELD + key] = None
        else:
            there = ", ".join((*COLUMNS, *fields))
            raise ColumnUnknown(f"There is no column {name!r}; there are: {there}.")
    return tuple(found)
