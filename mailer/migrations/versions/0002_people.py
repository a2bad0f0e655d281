"""The people in depth: rules, engagement, imports, exports, notices, and what guards them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

from mailer.kit.database import Moment
from mailer.kit.errors import Misconfigured

revision = "0002"
down_revision = "0001"

# dialect, statement
STATEMENTS = (
    (
        "sqlite",
        "DROP TRIGGER IF EXISTS attempt_keeps_values",
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER attempt_keeps_values BEFORE UPDATE ON attempt WHEN NEW.reply <> "
            "'' OR NEW.campaign_id IS NOT OLD.campaign_id OR NEW.subscriber_id IS NOT "
            "OLD.subscriber_id OR NEW.number IS NOT OLD.number OR NEW.code IS NOT OLD.code OR"
            " NEW.enhanced IS NOT OLD.enhanced OR NEW.worker IS NOT OLD.worker OR NEW.at IS "
            "NOT OLD.at OR NEW.first_tried IS NOT OLD.first_tried OR NEW.batch IS NOT "
            "OLD.batch OR NEW.position IS NOT OLD.position BEGIN SELECT RAISE(ABORT, 'attempt"
            " is insert-only'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION attempt_keeps() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN IF TG_OP = 'DELETE' OR NEW.reply <> '' OR ROW(NEW.campaign_id, "
            "NEW.subscriber_id, NEW.number, NEW.code, NEW.enhanced, NEW.worker, NEW.at, "
            "NEW.first_tried, NEW.batch, NEW.position) IS DISTINCT FROM ROW(OLD.campaign_id, "
            "OLD.subscriber_id, OLD.number, OLD.code, OLD.enhanced, OLD.worker, OLD.at, "
            "OLD.first_tried, OLD.batch, OLD.position) THEN RAISE EXCEPTION 'attempt is "
            "insert-only'; END IF; RETURN coalesce(NEW, OLD); END $$"
        ),
    ),
    (
        "sqlite",
        "DROP TRIGGER IF EXISTS delivery_keeps_values",
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER delivery_keeps_values BEFORE UPDATE ON delivery WHEN NEW.reply <>"
            " '' OR NEW.campaign_id IS NOT OLD.campaign_id OR NEW.subscriber_id IS NOT "
            "OLD.subscriber_id OR NEW.outcome IS NOT OLD.outcome OR NEW.code IS NOT OLD.code "
            "OR NEW.enhanced IS NOT OLD.enhanced OR NEW.reason IS NOT OLD.reason OR NEW.relay"
            " IS NOT OLD.relay OR NEW.worker IS NOT OLD.worker OR NEW.batch IS NOT OLD.batch "
            "OR NEW.epoch IS NOT OLD.epoch OR NEW.chunk IS NOT OLD.chunk OR NEW.at IS NOT "
            "OLD.at OR NEW.evidence IS NOT OLD.evidence BEGIN SELECT RAISE(ABORT, 'delivery "
            "is insert-only'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION delivery_keeps() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN IF TG_OP = 'DELETE' OR NEW.reply <> '' OR ROW(NEW.campaign_id, "
            "NEW.subscriber_id, NEW.outcome, NEW.code, NEW.enhanced, NEW.reason, NEW.relay, "
            "NEW.worker, NEW.batch, NEW.epoch, NEW.chunk, NEW.at, NEW.evidence) IS DISTINCT "
            "FROM ROW(OLD.campaign_id, OLD.subscriber_id, OLD.outcome, OLD.code, "
            "OLD.enhanced, OLD.reason, OLD.relay, OLD.worker, OLD.batch, OLD.epoch, "
            "OLD.chunk, OLD.at, OLD.evidence) THEN RAISE EXCEPTION 'delivery is insert-only';"
            " END IF; RETURN coalesce(NEW, OLD); END $$"
        ),
    ),
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
            "OLD.at BEGIN SELECT RAISE(ABORT, 'resolution is insert-only'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION resolution_keeps() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN IF TG_OP = 'DELETE' OR NEW.evidence <> '' OR ROW(NEW.campaign_id, "
            "NEW.subscriber_id, NEW.number, NEW.outcome, NEW.actor, NEW.at) IS DISTINCT FROM "
            "ROW(OLD.campaign_id, OLD.subscriber_id, OLD.number, OLD.outcome, OLD.actor, "
            "OLD.at) THEN RAISE EXCEPTION 'resolution is insert-only'; END IF; RETURN "
            "coalesce(NEW, OLD); END $$"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER subscriber_moves BEFORE UPDATE OF state ON subscriber WHEN "
            "NEW.state <> OLD.state AND OLD.state || '>' || NEW.state NOT IN "
            "('confirmed>erased', 'confirmed>unsubscribed', 'erased>confirmed', "
            "'erased>pending', 'pending>confirmed', 'pending>erased', 'pending>unsubscribed',"
            " 'unsubscribed>confirmed', 'unsubscribed>erased') BEGIN SELECT RAISE(ABORT, 'not"
            " a move of a subscriber'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION subscriber_moves() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN RAISE EXCEPTION 'not a move of a subscriber'; END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER subscriber_moves BEFORE UPDATE OF state ON subscriber FOR EACH "
            "ROW WHEN (NEW.state <> OLD.state AND OLD.state || '>' || NEW.state NOT IN "
            "('confirmed>erased', 'confirmed>unsubscribed', 'erased>confirmed', "
            "'erased>pending', 'pending>confirmed', 'pending>erased', 'pending>unsubscribed',"
            " 'unsubscribed>confirmed', 'unsubscribed>erased')) EXECUTE FUNCTION "
            "subscriber_moves()"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE VIRTUAL TABLE subscriber_search USING fts5(address, name, content='', "
            "columnsize=0, tokenize='trigram')"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE VIRTUAL TABLE subscriber_search_terms USING "
            "fts5vocab('subscriber_search', 'row')"
        ),
    ),
    (
        "sqlite",
        (
            "INSERT INTO subscriber_search (rowid, address, name) SELECT id, char(10) || "
            "coalesce(address, '') || char(10) || char(10), char(10) || name || char(10) || "
            "char(10) FROM subscriber"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER subscriber_search_add AFTER INSERT ON subscriber BEGIN INSERT "
            "INTO subscriber_search (rowid, address, name) VALUES (new.id, char(10) || "
            "coalesce(new.address, '') || char(10) || char(10), char(10) || new.name || "
            "char(10) || char(10)); END"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER subscriber_search_remove AFTER DELETE ON subscriber BEGIN INSERT "
            "INTO subscriber_search (subscriber_search, rowid, address, name) VALUES "
            "('delete', old.id, char(10) || coalesce(old.address, '') || char(10) || "
            "char(10), char(10) || old.name || char(10) || char(10)); END"
        ),
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER subscriber_search_change AFTER UPDATE OF address, name ON "
            "subscriber WHEN old.address IS NOT new.address OR old.name IS NOT new.name BEGIN"
            " INSERT INTO subscriber_search (subscriber_search, rowid, address, name) VALUES "
            "('delete', old.id, char(10) || coalesce(old.address, '') || char(10) || "
            "char(10), char(10) || old.name || char(10) || char(10)); INSERT INTO "
            "subscriber_search (rowid, address, name) VALUES (new.id, char(10) || "
            "coalesce(new.address, '') || char(10) || char(10), char(10) || new.name || "
            "char(10) || char(10)); END"
        ),
    ),
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
    (
        "postgresql",
        (
            "CREATE INDEX ix_subscriber_address_characters ON subscriber USING gin "
            "(string_to_array(lower(address), NULL)) WHERE octet_length(address) > "
            "char_length(address)"
        ),
    ),
    (
        "postgresql",
        ("CREATE INDEX ix_subscriber_fields ON subscriber USING gin (fields jsonb_path_ops)"),
    ),
    (
        "postgresql",
        (
            "CREATE INDEX ix_subscriber_name_characters ON subscriber USING gin "
            "(string_to_array(lower(name), NULL)) WHERE octet_length(name) > "
            "char_length(name)"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE INDEX ix_subscriber_search ON subscriber USING gin (lower(address) "
            "gin_trgm_ops, lower(name) gin_trgm_ops)"
        ),
    ),
)


def upgrade() -> None:
    """Make tables and columns, then triggers and the rest that only one database knows."""
    _tables()
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        _trigrams()
        op.execute("ALTER TABLE subscriber ALTER COLUMN fields DROP DEFAULT")
        op.execute("ALTER TABLE subscriber ALTER COLUMN fields TYPE jsonb USING fields::jsonb")
        op.execute("ALTER TABLE subscriber ALTER COLUMN fields SET DEFAULT '{}'")
    for name, statement in STATEMENTS:
        if name == dialect:
            op.get_bind().exec_driver_sql(statement)


def _trigrams() -> None:
    """Search needs an extension that comes with PostgreSQL; since 13 a database's owner may make it."""
    try:
        with op.get_bind().begin_nested():
            op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except DBAPIError as refused:
        raise Misconfigured(
            "The database needs the extension pg_trgm and this user may not create it: "
            "have an administrator run CREATE EXTENSION pg_trgm in this database "
            "(Debian keeps it in the package postgresql, others in postgresql-contrib)"
        ) from refused


def _tables() -> None:
    op.create_table(
        "address_proof",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("proof", sa.Text(), nullable=False),
        sa.Column("folds", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_proof")),
    )
    op.create_table(
        "asking",
        sa.Column("budget_key", sa.Text(), nullable=False),
        sa.Column("letters", sa.Integer(), nullable=False),
        sa.Column("last_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("budget_key", name=op.f("pk_asking")),
    )
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
        "erasure_mark",
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("octets", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("file", name=op.f("pk_erasure_mark")),
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
        "imported",
        sa.Column("import_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("subscriber_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("import_id", "subscriber_id", name=op.f("pk_imported")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_imported_subscriber", "imported", ["subscriber_id"], unique=False)
    op.create_table(
        "notice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("budget_key", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("tracking", sa.Integer(), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("not_before", Moment(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("first_tried", Moment(), nullable=True),
        sa.Column("doubtful", sa.Boolean(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("leased_until", Moment(), nullable=True),
        sa.Column("sent_at", Moment(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("enhanced", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("answered_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
    )
    op.create_index("ix_notice_budget", "notice", ["budget_key"], unique=False)
    op.create_index(
        "ix_notice_due",
        "notice",
        ["not_before"],
        unique=False,
        sqlite_where=sa.text("outcome = ''"),
        postgresql_where=sa.text("outcome = ''"),
    )
    op.create_index("ix_notice_subscriber", "notice", ["subscriber_id"], unique=False)
    op.create_table(
        "retention",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("before", Moment(), nullable=False),
        sa.Column("gone", sa.BigInteger(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_retention")),
    )
    op.create_table(
        "sent_issue",
        sa.Column("issue_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sent_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("issue_id", name=op.f("pk_sent_issue")),
    )
    op.create_index(op.f("ix_sent_issue_sent_at"), "sent_issue", ["sent_at"], unique=False)
    op.create_table(
        "wish",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("budget_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("segments", sa.Text(), nullable=False),
        sa.Column("tracking", sa.Integer(), nullable=False),
        sa.Column("wording", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wish")),
    )
    op.create_index(op.f("ix_wish_address_key"), "wish", ["address_key"], unique=False)
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
    op.create_index(
        "ix_subscriber_frequency",
        "subscriber",
        ["id"],
        unique=False,
        sqlite_where=sa.text("frequency <> ''"),
        postgresql_where=sa.text("frequency <> ''"),
    )
    op.create_index(
        "ix_subscriber_unconfirmed",
        "subscriber",
        ["state", "id"],
        unique=False,
        sqlite_where=sa.text("state <> 'confirmed'"),
        postgresql_where=sa.text("state <> 'confirmed'"),
    )
