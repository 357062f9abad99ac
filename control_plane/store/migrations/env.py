"""What alembic runs: the migrations, in the transaction of the connection that migrating.py hands it."""

from __future__ import annotations

from alembic import context

from control_plane.store.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite cannot alter most of a table: alembic then copies it.
    render_as_batch=True,
)
context.run_migrations()
