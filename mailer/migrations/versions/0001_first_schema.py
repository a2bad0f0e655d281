"""The first schema: every table of every stage, and the triggers that guard them.

The models are what the schema is now; this page is what it was at the start and never changes.
"""

import sqlalchemy as sa
from alembic import op

from mailer.kit.database import Moment

revision = "0001"
down_revision = None

# dialect, statement
TRIGGERS = (
    (
        "sqlite",
        (
            "CREATE TRIGGER attempt_keeps_values BEFORE UPDATE ON attempt BEGIN SELECT "
            "RAISE(ABORT, 'attempt is insert-only'); END"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER attempt_keeps_rows BEFORE DELETE ON attempt BEGIN SELECT "
            "RAISE(ABORT, 'attempt is insert-only'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION attempt_keeps() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'attempt is insert-only'; RETURN coalesce(NEW, OLD); "
            "END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER attempt_keeps BEFORE UPDATE OR DELETE ON attempt FOR EACH ROW "
            "EXECUTE FUNCTION attempt_keeps()"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER audience_keeps_values BEFORE UPDATE ON audience BEGIN SELECT "
            "RAISE(ABORT, 'audience is insert-only'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION audience_keeps_values() RETURNS trigger LANGUAGE "
            "plpgsql AS $$ BEGIN RAISE EXCEPTION 'audience is insert-only'; RETURN "
            "coalesce(NEW, OLD); END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER audience_keeps_values BEFORE UPDATE ON audience FOR EACH ROW "
            "EXECUTE FUNCTION audience_keeps_values()"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER audience_keeps_rows BEFORE DELETE ON audience WHEN (SELECT "
            "frozen_at FROM campaign WHERE id = OLD.campaign_id) IS NOT NULL BEGIN SELECT "
            "RAISE(ABORT, 'the audience is frozen'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION audience_keeps_rows() RETURNS trigger LANGUAGE "
            "plpgsql AS $$ BEGIN IF (SELECT frozen_at FROM campaign WHERE id = "
            "OLD.campaign_id) IS NOT NULL THEN RAISE EXCEPTION 'the audience is frozen'; END "
            "IF; RETURN coalesce(NEW, OLD); END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER audience_keeps_rows BEFORE DELETE ON audience FOR EACH ROW "
            "EXECUTE FUNCTION audience_keeps_rows()"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER audience_is_closed BEFORE INSERT ON audience WHEN (SELECT "
            "frozen_at FROM campaign WHERE id = NEW.campaign_id) IS NOT NULL BEGIN SELECT "
            "RAISE(ABORT, 'the audience is frozen'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION audience_is_closed() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN IF EXISTS (SELECT 1 FROM campaign WHERE frozen_at IS NOT NULL AND "
            "id IN (SELECT campaign_id FROM inserted)) THEN RAISE EXCEPTION 'the audience is "
            "frozen'; END IF; RETURN NULL; END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER audience_is_closed AFTER INSERT ON audience REFERENCING NEW TABLE"
            " AS inserted FOR EACH STATEMENT EXECUTE FUNCTION audience_is_closed()"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER delivery_keeps_values BEFORE UPDATE ON delivery BEGIN SELECT "
            "RAISE(ABORT, 'delivery is insert-only'); END"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER delivery_keeps_rows BEFORE DELETE ON delivery BEGIN SELECT "
            "RAISE(ABORT, 'delivery is insert-only'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION delivery_keeps() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'delivery is insert-only'; RETURN coalesce(NEW, OLD); "
            "END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER delivery_keeps BEFORE UPDATE OR DELETE ON delivery FOR EACH ROW "
            "EXECUTE FUNCTION delivery_keeps()"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER resolution_keeps_values BEFORE UPDATE ON resolution BEGIN SELECT "
            "RAISE(ABORT, 'resolution is insert-only'); END"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER resolution_keeps_rows BEFORE DELETE ON resolution BEGIN SELECT "
            "RAISE(ABORT, 'resolution is insert-only'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION resolution_keeps() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN RAISE EXCEPTION 'resolution is insert-only'; RETURN coalesce(NEW, "
            "OLD); END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER resolution_keeps BEFORE UPDATE OR DELETE ON resolution FOR EACH "
            "ROW EXECUTE FUNCTION resolution_keeps()"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER wording_refuses_update BEFORE UPDATE ON wording BEGIN SELECT "
            "RAISE(ABORT, 'wording is insert-only'); END"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER wording_refuses_delete BEFORE DELETE ON wording BEGIN SELECT "
            "RAISE(ABORT, 'wording is insert-only'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION wording_is_insert_only() RETURNS trigger LANGUAGE "
            "plpgsql AS $$ BEGIN RAISE EXCEPTION 'wording is insert-only'; END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER wording_is_insert_only BEFORE UPDATE OR DELETE ON wording FOR "
            "EACH ROW EXECUTE FUNCTION wording_is_insert_only()"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER campaign_moves BEFORE UPDATE OF state ON campaign WHEN NEW.state "
            "<> OLD.state AND OLD.state || '>' || NEW.state NOT IN ('draft>cancelled', "
            "'draft>preparing', 'draft>scheduled', 'scheduled>cancelled', 'scheduled>draft', "
            "'scheduled>missed', 'scheduled>preparing', 'preparing>cancelled', "
            "'preparing>draft', 'preparing>sending', 'sending>cancelled', 'sending>finished',"
            " 'sending>paused', 'paused>cancelled', 'paused>sending', 'missed>cancelled', "
            "'missed>preparing', 'missed>scheduled') BEGIN SELECT RAISE(ABORT, 'not a move of"
            " a campaign'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION campaign_moves() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN IF NEW.state <> OLD.state AND OLD.state || '>' || NEW.state NOT IN "
            "('draft>cancelled', 'draft>preparing', 'draft>scheduled', 'scheduled>cancelled',"
            " 'scheduled>draft', 'scheduled>missed', 'scheduled>preparing', "
            "'preparing>cancelled', 'preparing>draft', 'preparing>sending', "
            "'sending>cancelled', 'sending>finished', 'sending>paused', 'paused>cancelled', "
            "'paused>sending', 'missed>cancelled', 'missed>preparing', 'missed>scheduled') "
            "THEN RAISE EXCEPTION 'not a move of a campaign'; END IF; RETURN NEW; END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER campaign_moves BEFORE UPDATE OF state ON campaign FOR EACH ROW "
            "EXECUTE FUNCTION campaign_moves()"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER consent_refuses_update BEFORE UPDATE ON consent BEGIN SELECT "
            "RAISE(ABORT, 'consent is insert-only'); END"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER consent_refuses_delete BEFORE DELETE ON consent BEGIN SELECT "
            "RAISE(ABORT, 'consent is insert-only'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION consent_is_insert_only() RETURNS trigger LANGUAGE "
            "plpgsql AS $$ BEGIN RAISE EXCEPTION 'consent is insert-only'; END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER consent_is_insert_only BEFORE UPDATE OR DELETE ON consent FOR "
            "EACH ROW EXECUTE FUNCTION consent_is_insert_only()"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER event_keeps_values BEFORE UPDATE ON event BEGIN SELECT "
            "RAISE(ABORT, 'event never changes'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION event_keeps_values() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'event never changes'; END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER event_keeps_values BEFORE UPDATE ON event FOR EACH ROW EXECUTE "
            "FUNCTION event_keeps_values()"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER batch_moves BEFORE UPDATE ON batch WHEN OLD.state = 'done' OR "
            "NEW.epoch < OLD.epoch OR NEW.size < OLD.size OR (NEW.size <> OLD.size AND "
            "OLD.epoch > 0) OR NEW.campaign_id <> OLD.campaign_id OR NEW.number <> OLD.number"
            " OR NEW.edition_id <> OLD.edition_id OR NEW.lane <> OLD.lane OR NEW.attempt <> "
            "OLD.attempt BEGIN SELECT RAISE(ABORT, 'not a move of a batch'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION batch_moves() RETURNS trigger LANGUAGE plpgsql AS $$ "
            "BEGIN IF OLD.state = 'done' OR NEW.epoch < OLD.epoch OR NEW.size < OLD.size OR "
            "(NEW.size <> OLD.size AND OLD.epoch > 0) OR NEW.campaign_id <> OLD.campaign_id "
            "OR NEW.number <> OLD.number OR NEW.edition_id <> OLD.edition_id OR NEW.lane <> "
            "OLD.lane OR NEW.attempt <> OLD.attempt THEN RAISE EXCEPTION 'not a move of a "
            "batch'; END IF; RETURN coalesce(NEW, OLD); END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER batch_moves BEFORE UPDATE ON batch FOR EACH ROW EXECUTE FUNCTION "
            "batch_moves()"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER batch_stays BEFORE DELETE ON batch WHEN (SELECT frozen_at FROM "
            "campaign WHERE id = OLD.campaign_id) IS NOT NULL BEGIN SELECT RAISE(ABORT, 'the "
            "audience is frozen'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION batch_stays() RETURNS trigger LANGUAGE plpgsql AS $$ "
            "BEGIN IF (SELECT frozen_at FROM campaign WHERE id = OLD.campaign_id) IS NOT NULL"
            " THEN RAISE EXCEPTION 'the audience is frozen'; END IF; RETURN coalesce(NEW, "
            "OLD); END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER batch_stays BEFORE DELETE ON batch FOR EACH ROW EXECUTE FUNCTION "
            "batch_stays()"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER campaign_adds_up BEFORE UPDATE OF state ON campaign WHEN "
            "NEW.state = 'finished' AND OLD.state <> 'finished' AND NEW.audience_count <> "
            "(SELECT count(*) FROM delivery WHERE campaign_id = NEW.id) BEGIN SELECT "
            "RAISE(ABORT, 'the campaign does not add up'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION campaign_adds_up() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN IF NEW.state = 'finished' AND OLD.state <> 'finished' AND "
            "NEW.audience_count <> (SELECT count(*) FROM delivery WHERE campaign_id = NEW.id)"
            " THEN RAISE EXCEPTION 'the campaign does not add up'; END IF; RETURN "
            "coalesce(NEW, OLD); END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER campaign_adds_up BEFORE UPDATE OF state ON campaign FOR EACH ROW "
            "EXECUTE FUNCTION campaign_adds_up()"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER event_review_keeps_values BEFORE UPDATE ON event_review BEGIN "
            "SELECT RAISE(ABORT, 'event_review never changes'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION event_review_keeps_values() RETURNS trigger LANGUAGE "
            "plpgsql AS $$ BEGIN RAISE EXCEPTION 'event_review never changes'; END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER event_review_keeps_values BEFORE UPDATE ON event_review FOR EACH "
            "ROW EXECUTE FUNCTION event_review_keeps_values()"
        ),
    ),
)


def upgrade() -> None:
    """Make the tables, then the triggers."""
    _tables()
    dialect = op.get_bind().dialect.name
    for name, statement in TRIGGERS:
        if name == dialect:
            op.get_bind().exec_driver_sql(statement)


def _tables() -> None:
    # ### commands auto generated by Alembic - please adjust! ###
    op.create_table(
        "attempt",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("enhanced", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("first_tried", Moment(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "subscriber_id", "number", name=op.f("pk_attempt")),
    )
    op.create_index(
        "ix_attempt_place", "attempt", ["campaign_id", "batch", "position"], unique=False
    )
    op.create_table(
        "audience",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("edition_id", sa.Integer(), nullable=True),
        sa.Column("lane", sa.Text(), nullable=True),
        sa.Column("batch", sa.Integer(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("excluded", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("campaign_id", "subscriber_id", name=op.f("pk_audience")),
    )
    op.create_index(
        "ix_audience_place", "audience", ["campaign_id", "batch", "position"], unique=False
    )
    op.create_index(
        "uq_audience_address",
        "audience",
        ["campaign_id", "address_key"],
        unique=True,
        sqlite_where=sa.text("excluded IS NULL"),
        postgresql_where=sa.text("excluded IS NULL"),
    )
    op.create_table(
        "delivery",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("enhanced", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("relay", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=True),
        sa.Column("chunk", sa.Integer(), nullable=True),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('accepted', 'refused', 'skipped', 'expired', 'uncertain')",
            name=op.f("ck_delivery_outcome"),
        ),
        sa.PrimaryKeyConstraint("campaign_id", "subscriber_id", name=op.f("pk_delivery")),
    )
    op.create_index(
        "ix_delivery_uncertain",
        "delivery",
        ["campaign_id"],
        unique=False,
        sqlite_where=sa.text("outcome = 'uncertain'"),
        postgresql_where=sa.text("outcome = 'uncertain'"),
    )
    op.create_table(
        "issue",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("approved_revision", sa.Integer(), nullable=True),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("approved_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issue")),
        sa.UniqueConstraint("slug", name=op.f("uq_issue_slug")),
    )
    op.create_table(
        "resolution",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint(
            "campaign_id", "subscriber_id", "number", name=op.f("pk_resolution")
        ),
    )
    op.create_table(
        "segment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("names", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("color", sa.Text(), server_default="", nullable=False),
        sa.Column("position", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rule", sa.JSON(), nullable=True),
        sa.Column("archived_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segment")),
        sa.UniqueConstraint("key", name=op.f("uq_segment_key")),
    )
    op.create_table(
        "subscriber",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(
            "address", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=True
        ),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("language", sa.Text(), server_default="", nullable=False),
        sa.Column("timezone", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tracking", sa.Integer(), server_default="3", nullable=False),
        sa.Column("fields", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("confirmed_at", Moment(), nullable=True),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriber")),
        sa.UniqueConstraint("address_key", name=op.f("uq_subscriber_address_key")),
    )
    op.create_table(
        "suppression",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("lifted_at", Moment(), nullable=True),
        sa.Column("lifted_reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppression")),
    )
    op.create_index("ix_suppression_address", "suppression", ["address_key", "id"], unique=False)
    op.create_index(
        "uq_suppression_active",
        "suppression",
        ["address_key"],
        unique=True,
        sqlite_where=sa.text("lifted_at IS NULL"),
        postgresql_where=sa.text("lifted_at IS NULL"),
    )
    op.create_table(
        "wording",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_wording")),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("journal", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("heartbeat_at", Moment(), nullable=False),
        sa.Column("stopped_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )
    op.create_table(
        "campaign",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("issue_revision", sa.Integer(), nullable=False),
        sa.Column("issue_hash", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("segments", sa.JSON(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("preheader", sa.Text(), nullable=False),
        sa.Column("from_name", sa.Text(), nullable=False),
        sa.Column("from_address", sa.Text(), nullable=False),
        sa.Column("reply_to", sa.Text(), nullable=False),
        sa.Column("tracking", sa.Integer(), nullable=False),
        sa.Column("scheduled_for", Moment(), nullable=True),
        sa.Column("send_not_after", Moment(), nullable=True),
        sa.Column("frozen_at", Moment(), nullable=True),
        sa.Column("started_at", Moment(), nullable=True),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("stop_epoch", sa.Integer(), nullable=False),
        sa.Column("candidate_count", sa.Integer(), nullable=False),
        sa.Column("excluded_count", sa.Integer(), nullable=False),
        sa.Column("audience_count", sa.Integer(), nullable=False),
        sa.Column("uncertain_count", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["issue_id"], ["issue.id"], name=op.f("fk_campaign_issue_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign")),
    )
    op.create_index(op.f("ix_campaign_state"), "campaign", ["state"], unique=False)
    op.create_table(
        "consent",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("segments", sa.Text(), nullable=False),
        sa.Column("wording", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_consent_subscriber_id")
        ),
        sa.ForeignKeyConstraint(["wording"], ["wording.sha256"], name=op.f("fk_consent_wording")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
    )
    op.create_index("ix_consent_subscriber", "consent", ["subscriber_id", "id"], unique=False)
    op.create_table(
        "follow",
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("segment_id", sa.Integer(), nullable=False),
        sa.Column("since", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["segment_id"], ["segment.id"], name=op.f("fk_follow_segment_id")),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_follow_subscriber_id")
        ),
        sa.PrimaryKeyConstraint("subscriber_id", "segment_id", name=op.f("pk_follow")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_follow_segment", "follow", ["segment_id", "subscriber_id"], unique=False)
    op.create_table(
        "issue_revision",
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["issue_id"], ["issue.id"], name=op.f("fk_issue_revision_issue_id")
        ),
        sa.PrimaryKeyConstraint("issue_id", "revision", name=op.f("pk_issue_revision")),
    )
    op.create_table(
        "item",
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("section", sa.Integer(), nullable=False),
        sa.Column("parent", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["issue_id"], ["issue.id"], name=op.f("fk_item_issue_id")),
        sa.PrimaryKeyConstraint("issue_id", "key", name=op.f("pk_item")),
    )
    op.create_table(
        "section",
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["issue_id"], ["issue.id"], name=op.f("fk_section_issue_id")),
        sa.PrimaryKeyConstraint("issue_id", "position", name=op.f("pk_section")),
    )
    op.create_table(
        "edition",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("mask", sa.Integer(), nullable=False),
        sa.Column("segments", sa.JSON(), nullable=False),
        sa.Column("tracking", sa.Integer(), nullable=False),
        sa.Column("artifact", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("html_bytes", sa.Integer(), nullable=False),
        sa.Column("text_bytes", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("fk_edition_campaign_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edition")),
        sa.UniqueConstraint(
            "campaign_id", "mask", "tracking", name=op.f("uq_edition_campaign_id_mask_tracking")
        ),
    )
    op.create_index(op.f("ix_edition_campaign_id"), "edition", ["campaign_id"], unique=False)
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hit_id", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("link", sa.Integer(), server_default="0", nullable=False),
        sa.Column("item", sa.Text(), server_default="", nullable=False),
        sa.Column("slot", sa.Text(), server_default="", nullable=False),
        sa.Column("target", sa.Text(), server_default="", nullable=False),
        sa.Column("segments", sa.Text(), server_default="", nullable=False),
        sa.Column("agent", sa.Text(), server_default="", nullable=False),
        sa.Column("family", sa.Text(), server_default="", nullable=False),
        sa.Column("tracked", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("fk_event_campaign_id")
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_event_subscriber_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sa.UniqueConstraint("hit_id", name=op.f("uq_event_hit_id")),
    )
    op.create_index("ix_event_recipient", "event", ["campaign_id", "subscriber_id"], unique=False)
    op.create_index("ix_event_subscriber", "event", ["subscriber_id"], unique=False)
    op.create_table(
        "item_segment",
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("item_key", sa.Text(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["issue_id", "item_key"],
            ["item.issue_id", "item.key"],
            name=op.f("fk_item_segment_issue_id_item_key"),
        ),
        sa.PrimaryKeyConstraint("issue_id", "item_key", "segment", name=op.f("pk_item_segment")),
    )
    op.create_table(
        "rollup",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("hour", Moment(), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("fk_rollup_campaign_id")
        ),
        sa.PrimaryKeyConstraint(
            "campaign_id",
            "segment",
            "item",
            "link",
            "measure",
            "verdict",
            "hour",
            name=op.f("pk_rollup"),
        ),
    )
    op.create_table(
        "batch",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("edition_id", sa.Integer(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("not_before", Moment(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_until", Moment(), nullable=True),
        sa.Column("chunks_started", sa.Integer(), nullable=False),
        sa.Column("chunks_flushed", sa.Integer(), nullable=False),
        sa.Column("started_to", sa.Integer(), nullable=False),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("fk_batch_campaign_id")
        ),
        sa.ForeignKeyConstraint(["edition_id"], ["edition.id"], name=op.f("fk_batch_edition_id")),
        sa.PrimaryKeyConstraint("campaign_id", "number", name=op.f("pk_batch")),
    )
    op.create_index("ix_batch_due", "batch", ["state", "not_before"], unique=False)
    op.create_table(
        "event_review",
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name=op.f("fk_event_review_event_id")),
        sa.PrimaryKeyConstraint("event_id", "number", name=op.f("pk_event_review")),
    )
    op.create_table(
        "recent_hit",
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("loaded_at", Moment(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("head", sa.Boolean(), nullable=False),
        sa.Column("prefetch", sa.Boolean(), nullable=False),
        sa.Column("waiting", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name=op.f("fk_recent_hit_event_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_recent_hit")),
    )
    op.create_index(op.f("ix_recent_hit_loaded_at"), "recent_hit", ["loaded_at"], unique=False)
    op.create_index("ix_recent_hit_network", "recent_hit", ["network"], unique=False)
    op.create_index(
        op.f("ix_recent_hit_subscriber_id"), "recent_hit", ["subscriber_id"], unique=False
    )

    op.create_index(
        "uq_subscriber_lower_address",
        "subscriber",
        [sa.literal_column("lower(address)")],
        unique=True,
    )
