"""Pace and brakes: waves, zones, canaries, brakes, allowances, resends, the guard of an instance."""

import sqlalchemy as sa
from alembic import op

from mailer.kit.database import Moment

revision = "0003"
down_revision = "0002"

# dialect, statement
STATEMENTS = (
    (
        "sqlite",
        "DROP TRIGGER IF EXISTS resolution_keeps_values",
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER resolution_keeps_values BEFORE UPDATE ON resolution WHEN "
            "NEW.evidence <> '' OR NEW.campaign_id IS NOT OLD.campaign_id OR "
            "NEW.subscriber_id IS NOT OLD.subscriber_id OR NEW.number IS NOT OLD.number OR "
            "NEW.outcome IS NOT OLD.outcome OR NEW.actor IS NOT OLD.actor OR NEW.at IS NOT "
            "OLD.at OR NEW.batch IS NOT OLD.batch OR NEW.position IS NOT OLD.position BEGIN "
            "SELECT RAISE(ABORT, 'resolution is insert-only'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION resolution_keeps() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN IF TG_OP = 'DELETE' OR NEW.evidence <> '' OR ROW(NEW.campaign_id, "
            "NEW.subscriber_id, NEW.number, NEW.outcome, NEW.actor, NEW.at, NEW.batch, "
            "NEW.position) IS DISTINCT FROM ROW(OLD.campaign_id, OLD.subscriber_id, "
            "OLD.number, OLD.outcome, OLD.actor, OLD.at, OLD.batch, OLD.position) THEN RAISE "
            "EXCEPTION 'resolution is insert-only'; END IF; RETURN coalesce(NEW, OLD); END $$"
        ),
    ),
)


def upgrade() -> None:
    """Make tables and columns, then triggers."""
    _tables()
    dialect = op.get_bind().dialect.name
    for name, statement in STATEMENTS:
        if name == dialect:
            op.get_bind().exec_driver_sql(statement)


def _tables() -> None:
    op.create_table(
        "allowance",
        sa.Column("relay", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("cap", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("relay", "lane", "day", name=op.f("pk_allowance")),
    )
    op.create_table(
        "brake",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("on_at", Moment(), nullable=False),
        sa.Column("probe_at", Moment(), nullable=True),
        sa.Column("trips", sa.Integer(), nullable=False),
        sa.Column("probing", sa.Boolean(), nullable=False),
        sa.Column("off_at", Moment(), nullable=True),
        sa.Column("off_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_brake")),
    )
    op.create_index(
        "uq_brake_on",
        "brake",
        ["scope", "name"],
        unique=True,
        sqlite_where=sa.text("off_at IS NULL"),
        postgresql_where=sa.text("off_at IS NULL"),
    )
    op.create_table(
        "instance_guard",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("alive_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance_guard")),
    )
    op.create_table(
        "mail_domain",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("mx", sa.Text(), nullable=False),
        sa.Column("looked_up_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("domain", name=op.f("pk_mail_domain")),
    )
    op.add_column("batch", sa.Column("wave", sa.Integer(), server_default="0", nullable=False))
    op.add_column("batch", sa.Column("zone", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "batch", sa.Column("resend", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("batch", sa.Column("relay", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "campaign", sa.Column("send_window", sa.Text(), server_default="", nullable=False)
    )
    op.add_column(
        "campaign", sa.Column("canary_size", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column(
        "campaign", sa.Column("canary_started", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column("campaign", sa.Column("canary_passed_at", Moment(), nullable=True))
    op.add_column("notice", sa.Column("doubts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("resolution", sa.Column("batch", sa.Integer(), nullable=True))
    op.add_column("resolution", sa.Column("position", sa.Integer(), nullable=True))
    op.create_index(
        "ix_resolution_place", "resolution", ["campaign_id", "batch", "position"], unique=False
    )
    op.add_column("worker", sa.Column("queues", sa.Text(), server_default="", nullable=False))
