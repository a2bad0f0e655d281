"""Custom fields: what else an installation keeps about its people, each of a kind and checked.

A value is stored under the field's key, as JSON has it. Who has no value has no key: never null.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from mailer.kit.errors import Conflict, Invalid, NotFound

FieldValue = str | float | list[str]
"""text, date (ISO 8601) and choice; number; tags."""

MAX_KEY: Final = 40  # characters
MAX_LABEL: Final = 100  # characters
MAX_TEXT: Final = 500  # characters of a text or a choice
MAX_TAG: Final = 50  # characters
MAX_TAGS: Final = 50  # of one person
MAX_CHOICES: Final = 300  # a list of countries has some 250
MAX_FIELDS: Final = 100  # of an installation
RESERVED: Final = frozenset(
    {
        # what there is of everybody
        *("address", "email", "domain", "provider", "name", "first_name", "language", "timezone"),
        *("state", "source", "frequency", "paused_until", "tracking", "token", "id", "number"),
        *("created", "confirmed", "updated", "created_at", "confirmed_at", "updated_at"),
        *("segment", "segments", "fields", "suppressed", "imported"),
        # words of the language that rules are written in
        *("and", "or", "not", "in", "is", "has", "have", "no", "any", "all", "of", "to", "between"),
        *("contains", "starts", "ends", "with", "before", "after", "since", "on", "at", "ago"),
        *("follows", "opened", "clicked", "never", "last", "next", "today", "now", "true", "false"),
        *("day", "days", "week", "weeks", "month", "months", "issue", "issues", "empty", "set"),
        *("null", "none", "unset", "missing", "like"),
    }
)
"""Keys that would be taken for something else in a rule, a file or a letter."""

_KEY = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_BETWEEN_TAGS = re.compile("[,;\uff0c\uff1b\u3001]")  # Chinese commas and semicolons, too
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,10})?", re.ASCII)
_DROPPED = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}


class Kind(StrEnum):
    """What a field holds."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    CHOICE = "choice"  # one of a list
    TAGS = "tags"  # any number of words


class FieldInvalid(Invalid):
    """A value is not of its field's kind."""


class FieldKeyInvalid(Invalid):
    """A field's key has lower-case letters, digits and underscores, a letter first, at most 40."""


class FieldNotFound(NotFound):
    """There is no such field."""


class FieldExists(Conflict):
    """There is a field with this key already."""


@dataclass(frozen=True, slots=True)
class CustomField:
    """One field of the schema."""

    key: str
    label: str
    kind: Kind
    choices: tuple[str, ...] = ()  # of a choice: the words there are
    archived_at: datetime | None = None


def checked(field: CustomField) -> CustomField:
    """A field that may be made, tidied. Raises FieldKeyInvalid, FieldInvalid."""
    if len(field.key) > MAX_KEY or not _KEY.fullmatch(field.key):
        raise FieldKeyInvalid
    if field.key in RESERVED:
        raise FieldKeyInvalid(f"{field.key!r} means something already; take another key.")
    choices = tuple(dict.fromkeys(word for each in field.choices if (word := _line(each))))
    if (field.kind is Kind.CHOICE) is not bool(choices):
        raise FieldInvalid("A field of the kind choice needs choices, and only such a field.")
    if len(choices) > MAX_CHOICES or any(len(word) > MAX_TEXT for word in choices):
        raise FieldInvalid(f"At most {MAX_CHOICES} choices of {MAX_TEXT} characters each.")
    if len({word.casefold() for word in choices}) < len(choices):
        raise FieldInvalid("Two choices differ in upper and lower case only.")
    return CustomField(field.key, _line(field.label)[:MAX_LABEL] or field.key, field.kind, choices)


def parse(field: CustomField, text: str) -> FieldValue:
    """Read a value as people and files write it. Raises FieldInvalid saying what is expected.

    An empty text is no value, and so invalid: leave the key out instead.
    """
    line = _line(text)
    if not line:
        raise FieldInvalid(f"{field.key}: there is no value.")
    match field.kind:
        case Kind.NUMBER:
            return _number(field, line)
        case Kind.DATE:
            return _date(field, line)
        case Kind.CHOICE:
            return _choice(field, line)
        case Kind.TAGS:
            return _tags(field, line)
    if len(line) > MAX_TEXT:
        raise FieldInvalid(f"{field.key}: at most {MAX_TEXT} characters.")
    return line


def written(value: FieldValue) -> str:
    """Write a value as `parse` reads it."""
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, float):
        return f"{value:.10f}".rstrip("0").rstrip(".")
    return str(value)


def parse_all(
    schema: Mapping[str, CustomField], texts: Mapping[str, str]
) -> dict[str, FieldValue | None]:
    """Read several values by key; an empty text is None: the value goes.

    Raises FieldNotFound naming the fields there are, FieldInvalid.
    """
    missing = [key for key in texts if key not in schema]
    if missing:
        there = ", ".join(schema) or "none yet (dibao field create)"
        raise FieldNotFound(f"There is no field {', '.join(map(repr, missing))}; there are {there}")
    return {key: parse(schema[key], text) if text.strip() else None for key, text in texts.items()}


def _line(text: str) -> str:
    """One line without controls; what separated two words still does."""
    kept = (
        " " if c.isspace() else "" if unicodedata.category(c) in _DROPPED else c
        for c in unicodedata.normalize("NFC", text)
    )
    return " ".join("".join(kept).split())


def _number(field: CustomField, line: str) -> float:
    if not _NUMBER.fullmatch(line):
        raise FieldInvalid(f"{field.key}: a number like 12 or -3.5 is expected.")
    return float(line) + 0.0  # -0 is 0


def _date(field: CustomField, line: str) -> str:
    try:
        return date.fromisoformat(line).isoformat()
    except ValueError:
        raise FieldInvalid(f"{field.key}: a date like 2026-03-01 is expected.") from None


def _choice(field: CustomField, line: str) -> str:
    found = {word.casefold(): word for word in field.choices}.get(line.casefold())
    if found is None:
        raise FieldInvalid(f"{field.key}: one of these is expected: {', '.join(field.choices)}.")
    return found


def _tags(field: CustomField, line: str) -> list[str]:
    found = {tag.casefold(): tag for each in _BETWEEN_TAGS.split(line) if (tag := each.strip())}
    tags = list(found.values())
    if not tags or len(tags) > MAX_TAGS or any(len(tag) > MAX_TAG for tag in tags):
        raise FieldInvalid(f"{field.key}: 1 to {MAX_TAGS} words, {MAX_TAG} characters at most.")
    return tags
