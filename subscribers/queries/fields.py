"""Which custom fields there are."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers.fields import CustomField, Kind
from subscribers.models import CustomFieldRow


def custom_fields(session: Session, *, archived: bool = False) -> tuple[CustomField, ...]:
    """List the custom fields in their order, archived ones only where asked for."""
    found = select(CustomFieldRow).order_by(CustomFieldRow.position, CustomFieldRow.key)
    if not archived:
        found = found.where(CustomFieldRow.archived_at.is_(None))
    return tuple(
        CustomField(row.key, row.label, Kind(row.kind), tuple(row.choices), row.archived_at)
        for row in session.scalars(found)
    )
