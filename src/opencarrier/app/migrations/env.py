"""What Alembic runs: migrate on the connection it is given, in the caller's transaction."""

from __future__ import annotations

from alembic import context

from opencarrier.app.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
