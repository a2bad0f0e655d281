"""The people in depth: rules, engagement, imports, exports, notices, and what guards them."""

import sqlalchemy as sa
from alembic import op

from mailer.kit.database import Moment

revision = "0002"
down_revision = "0001"

# dialect, statement
STATEMENTS = (
    (
        "sqlite",
        (
            "CREATE TRIGGER segment_revision_refuses_update BEFORE UPDATE ON segment_revision"
            " BEGIN SELECT RAISE(ABORT, 'segment_revision is insert-only'); END"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER segment_revision_refuses_delete BEFORE DELETE ON segment_revision"
            " BEGIN SELECT RAISE(ABORT, 'segment_revision is insert-only'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION segment_revision_is_insert_only() RETURNS trigger "
            "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'segment_revision is insert-only'; "
            "END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER segment_revision_is_insert_only BEFORE UPDATE OR DELETE ON "
            "segment_revision FOR EACH ROW EXECUTE FUNCTION segment_revision_is_insert_only()"
        ),
    ),
)


def upgrade() -> None:
    """Make tables and columns, then triggers and the rest that only one database knows."""
    _tables()
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        op.execute("ALTER TABLE subscriber ALTER COLUMN fields DROP DEFAULT")
        op.execute("ALTER TABLE subscriber ALTER COLUMN fields TYPE jsonb USING fields::jsonb")
        op.execute("ALTER TABLE subscriber ALTER COLUMN fields SET DEFAULT '{}'")
    for name, statement in STATEMENTS:
        if name == dialect:
            op.get_bind().exec_driver_sql(statement)


def _tables() -> None:
    op.create_table(
        "custom_field",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("choices", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("position", sa.Integer(), server_default="0", nullable=False),
        sa.Column("archived_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_custom_field")),
    )
    op.create_table(
        "export",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("octets", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=True),
        sa.Column("removed_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export")),
    )
    op.create_table(
        "import",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.Column("undone_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import")),
    )
    op.create_index(op.f("ix_import_fingerprint"), "import", ["fingerprint"], unique=False)
    op.create_table(
        "sent_issue",
        sa.Column("issue_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sent_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("issue_id", name=op.f("pk_sent_issue")),
    )
    op.create_index(op.f("ix_sent_issue_sent_at"), "sent_issue", ["sent_at"], unique=False)
    op.create_table(
        "engagement",
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("act", sa.Integer(), nullable=False),
        sa.Column("segment_id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_engagement_subscriber_id")
        ),
        sa.PrimaryKeyConstraint(
            "issue_id", "act", "segment_id", "subscriber_id", name=op.f("pk_engagement")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_engagement_subscriber", "engagement", ["subscriber_id"], unique=False)
    op.create_index(
        "ix_engagement_time",
        "engagement",
        ["act", "segment_id", "at", "subscriber_id"],
        unique=False,
    )
    op.create_table(
        "former_address",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("until", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_former_address_subscriber_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_former_address")),
    )
    op.create_index(
        op.f("ix_former_address_address_key"), "former_address", ["address_key"], unique=False
    )
    op.create_index(
        op.f("ix_former_address_subscriber_id"), "former_address", ["subscriber_id"], unique=False
    )
    op.create_table(
        "imported",
        sa.Column("import_id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["import_id"], ["import.id"], name=op.f("fk_imported_import_id")),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_imported_subscriber_id")
        ),
        sa.PrimaryKeyConstraint("import_id", "subscriber_id", name=op.f("pk_imported")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_imported_subscriber", "imported", ["subscriber_id"], unique=False)
    op.create_table(
        "segment_revision",
        sa.Column("segment_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("rule", sa.JSON(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["segment_id"], ["segment.id"], name=op.f("fk_segment_revision_segment_id")
        ),
        sa.PrimaryKeyConstraint("segment_id", "number", name=op.f("pk_segment_revision")),
    )
    op.create_table(
        "consent_network",
        sa.Column("consent_id", sa.Integer(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["consent_id"], ["consent.id"], name=op.f("fk_consent_network_consent_id")
        ),
        sa.PrimaryKeyConstraint("consent_id", name=op.f("pk_consent_network")),
    )
    op.create_index(op.f("ix_consent_network_at"), "consent_network", ["at"], unique=False)
    op.add_column(
        "campaign", sa.Column("excluded_segments", sa.JSON(), server_default="[]", nullable=False)
    )
    op.add_column(
        "segment", sa.Column("revision", sa.Integer(), server_default="1", nullable=False)
    )
    op.add_column("subscriber", sa.Column("source", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "subscriber", sa.Column("frequency", sa.Text(), server_default="", nullable=False)
    )
    op.add_column("subscriber", sa.Column("paused_until", Moment(), nullable=True))
    op.add_column("subscriber", sa.Column("mailed_at", Moment(), nullable=True))
    op.add_column("subscriber", sa.Column("mailed_issue", sa.Integer(), nullable=True))
