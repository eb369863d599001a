"""Alembic's environment: upgrades run over a connection that the server opened and hands over, under its lock."""

from __future__ import annotations

from alembic import context

from standpipe_server.store.database.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    # SQLite alters a table by copying it.
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
