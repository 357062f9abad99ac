"""Brings a database to the newest schema, at start. Replicas that start together take turns."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Connection, text

from control_plane.store.database import Database
from control_plane.store.errors import StoreError, translated

HEAD = "0001"
"""The newest migration. Known without alembic, which is loaded only where there is something to do."""
MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 7_201_946_325
"""Number of PostgreSQL's advisory lock: any, but ours."""


async def migrate(database: Database) -> None:
    """Brings the database to the newest schema.

    Raises:
        StoreLost: It does not answer.
        StoreError: Its schema is of a newer version of this program, or a migration fails.
    """
    database.make_file()
    async with _alone(database), database.writing("preparing the store") as connection:
        if database.is_postgres:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(upgrade)


def upgrade(connection: Connection) -> None:
    """Runs the migrations that a database lacks, within the connection's transaction.

    Raises:
        StoreError: Its schema is of a newer version of this program.
    """
    begun = connection.dialect.has_table(connection, "alembic_version")
    at = connection.scalar(text("SELECT version_num FROM alembic_version")) if begun else None
    if at == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise StoreError(
            f"the store's schema is {at}, which this gpuplane does not know (its newest: {HEAD}): "
            "it was made by a newer one"
        ) from None


@asynccontextmanager
async def _alone(database: Database) -> AsyncIterator[None]:
    """On SQLite: a lock file, since switching a file to WAL does not wait for others who do the same."""
    if database.file is None:
        yield
        return
    with translated("locking the store's file"):
        lock = os.open(database.file.with_name(f"{database.file.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        await database.use_wal()
        yield
    finally:
        os.close(lock)
