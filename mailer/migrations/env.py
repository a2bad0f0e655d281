"""Alembic's way in: runs on the connection `kit.database.upgrade` hands over."""

from alembic import context

from mailer.kit.database import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
