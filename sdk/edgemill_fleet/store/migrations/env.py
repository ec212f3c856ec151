"""Run by Alembic: the migrations go over the connection, and in the transaction, that ``upgrade`` opened."""

from __future__ import annotations

from alembic import context

from edgemill_fleet.store.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
