"""Everything an import writes, as plain values that two databases can be compared by."""

import json
from typing import Any

from sqlalchemy import text

from mailer.kit.database import Database

_PEOPLE = (
    "SELECT p.address_key AS whose, p.address, p.domain, p.name, p.language, p.timezone, p.state, "
    "p.tracking, CAST(p.fields AS text) AS fields, p.source FROM subscriber p"
)
_FOLLOWS = (
    "SELECT p.address_key AS whose, s.key AS segment FROM follow f "
    "JOIN subscriber p ON p.id = f.subscriber_id JOIN segment s ON s.id = f.segment_id"
)
_CONSENT = (
    "SELECT p.address_key AS whose, c.act, c.segments, c.wording, c.source, c.actor, c.evidence "
    "FROM consent c JOIN subscriber p ON p.id = c.subscriber_id"
)
_IMPORTED = (
    "SELECT p.address_key AS whose, i.import_id, CAST(i.before AS text) AS was FROM imported i "
    "JOIN subscriber p ON p.id = i.subscriber_id"
)
_SUPPRESSED = (
    "SELECT address_key AS whose, reason, evidence, lifted_reason, lifted_at IS NULL AS active "
    "FROM suppression"
)
_RUNS = "SELECT id AS whose, file_name, state, CAST(counts AS text) AS counts FROM import"


def everything(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, without ids and moments, in an order of their own."""
    asked = {
        "people": _PEOPLE,
        "follows": _FOLLOWS,
        "consent": _CONSENT,
        "imported": _IMPORTED,
        "suppressed": _SUPPRESSED,
        "runs": _RUNS,
    }
    with database.reading() as session:
        return {
            name: sorted((_plain(row) for row in session.execute(text(query))), key=repr)
            for name, query in asked.items()
        }


def _plain(row: Any) -> tuple[Any, ...]:
    """The same on each kind of database: JSON read, truth as truth."""
    return tuple(
        json.loads(value)
        if name in {"fields", "was", "counts"} and value
        else bool(value)
        if name == "active"
        else value
        for name, value in row._mapping.items()  # noqa: SLF001  # that is its public name
    )


def people(database: Database) -> dict[str, dict[str, Any]]:
    """Each person by name: state, follows, fields, and how many acts of consent."""
    found = everything(database)
    there: dict[str, dict[str, Any]] = {}
    with database.reading() as session:
        for row in session.execute(text(_PEOPLE)).mappings():
            own = {name: list(map(tuple, rows)) for name, rows in found.items()}
            there[row["name"]] = dict(row) | {
                "follows": sorted(r[1] for r in own["follows"] if r[0] == row["whose"]),
                "acts": [r[1] for r in own["consent"] if r[0] == row["whose"]],
            }
    return there
