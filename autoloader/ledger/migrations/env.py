"""Alembic's entry: runs the versions on the connection that `ledger.migrate` opened, in its transaction."""

from __future__ import annotations

from alembic import context

from autoloader.ledger.tables import Table

context.configure(connection=context.config.attributes["connection"], target_metadata=Table.metadata)
context.run_migrations()
