"""Defining and archiving custom fields."""

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from subscribers import queries, record
from subscribers.fields import (
    MAX_FIELDS,
    CustomField,
    FieldExists,
    FieldInvalid,
    FieldNotFound,
    checked,
)
from subscribers.models import CustomFieldRow


def define_field(session: Session, field: CustomField) -> CustomField:
    """Make a custom field, last in the order, or take an archived one of the same kind back.

    Returns it as stored. Raises FieldKeyInvalid, FieldInvalid, and FieldExists: also for an
    archived one of another kind, for people's values are of that kind still.
    """
    new = checked(field)
    there = {each.key: each for each in queries.custom_fields(session, archived=True)}
    old = there.get(new.key)
    if old is not None and (old.archived_at is None or old.kind is not new.kind):
        archived = ", archived, of another kind" if old.archived_at else ""
        raise FieldExists(f"There is a field {new.key!r} already{archived}.")
    if old is None and len(there) >= MAX_FIELDS:
        raise FieldInvalid(f"There are {MAX_FIELDS} fields; more would make every person slow.")
    last = select(func.coalesce(func.max(CustomFieldRow.position), 0)).scalar_subquery()
    values = {"label": new.label, "kind": new.kind.value, "choices": list(new.choices)}
    statement = record.inserting(session, CustomFieldRow).values(
        key=new.key, position=last + 1, **values
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["key"], set_={**values, "archived_at": None}
        )
    )
    return new


def archive_field(session: Session, key: str, *, now: datetime) -> None:
    """Let a field be filled no more; values people have stay stored. Raises FieldNotFound."""
    there = CustomFieldRow.key == key, CustomFieldRow.archived_at.is_(None)
    done = update(CustomFieldRow).where(*there).values(archived_at=now)
    if session.scalar(done.returning(CustomFieldRow.key)) is None:
        raise FieldNotFound(f"There is no field {key!r}.")
