"""The way to the database: SQLite in a file, or PostgreSQL. One set of statements for both."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from control_plane.store.errors import StoreError, translated

CHANNEL = "gpuplane_gateway"
"""PostgreSQL's NOTIFY channel; the payload is the new version."""
CONNECT_S = 5.0
STATEMENT_S = 15.0
_BUSY_MS = 15_000
_BEGIN = "gateway_begin"


class Database:
    """Connections to one database. Makes none before it is asked to.

    Args:
        url: `sqlite+aiosqlite:///FILE` or `postgresql+asyncpg://USER:PASSWORD@HOST/NAME`.

    Raises:
        StoreError: The URL is neither.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise StoreError("the store's URL cannot be read") from None
        if parsed.drivername not in ("sqlite+aiosqlite", "postgresql+asyncpg"):
            raise StoreError("the store's URL must begin with sqlite+aiosqlite:/// or postgresql+asyncpg://")
        self.is_postgres = parsed.drivername == "postgresql+asyncpg"
        self.url = parsed
        self.file: Path | None = None
        if self.is_postgres:
            self._engine = create_async_engine(
                parsed,
                pool_size=3,
                max_overflow=2,
                pool_timeout=CONNECT_S,
                pool_pre_ping=True,
                connect_args={"timeout": CONNECT_S, "command_timeout": STATEMENT_S},
            )
            self._reading: AsyncEngine = self._engine.execution_options(isolation_level="REPEATABLE READ")
        else:
            if not parsed.database or parsed.database == ":memory:":
                raise StoreError("the store's URL must name a file: sqlite+aiosqlite:///FILE")
            self.file = Path(parsed.database)
            self._engine = create_async_engine(parsed, pool_size=2, max_overflow=1, pool_timeout=CONNECT_S)
            event.listen(self._engine.sync_engine, "connect", _set_up_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_sqlite)
            self._reading = self._engine
        self._writing: AsyncEngine = self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})

    @asynccontextmanager
    async def reading(self, what: str) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of the database.

        Args:
            what: What is being done, for messages.

        Raises:
            StoreLost: The database does not answer.
            StoreError: It refuses.
        """
        with translated(what):
            async with self._reading.begin() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self, what: str) -> AsyncIterator[AsyncConnection]:
        """A transaction that is committed at its end, or not at all. On SQLite the only one of its kind.

        Args:
            what: What is being done, for messages.

        Raises:
            StoreLost: The database does not answer. A commit may have happened all the same.
            StoreError: It refuses.
        """
        with translated(what):
            async with self._writing.begin() as connection:
                yield connection

    async def listen(self, heard: Callable[[], Awaitable[None]]) -> None:
        """Calls `heard` once it listens, and after each change that PostgreSQL tells of. On SQLite: nothing.

        Returns where the connection is lost.

        Raises:
            StoreLost: The database does not answer.
        """
        if not self.is_postgres:
            return
        told = asyncio.Event()
        with translated("listening for changes"):
            async with self._engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                driver.add_termination_listener(lambda *_: told.set())
                try:
                    await driver.add_listener(CHANNEL, lambda *_: told.set())
                    told.set()
                    while await told.wait() and not driver.is_closed():
                        told.clear()
                        await heard()
                finally:
                    # It listens for as long as it lives: nobody else may get it.
                    await connection.invalidate()

    async def close(self) -> None:
        """Closes all connections."""
        await self._engine.dispose()

    async def use_wal(self) -> None:
        """Lets readers and one writer of SQLite's file work at the same time; lasts.

        Raises:
            StoreLost: The file cannot be opened.
        """
        with translated("opening the store's file"):
            # Not within a transaction.
            async with self._engine.execution_options(**{_BEGIN: ""}).connect() as connection:
                await connection.exec_driver_sql("PRAGMA journal_mode=WAL")

    def make_file(self) -> None:
        """Makes SQLite's file, readable by its owner alone, if there is none.

        Raises:
            StoreLost: The file system refuses.
        """
        if self.file is not None:
            with translated("making the store's file"):
                self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                os.close(os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600))


def _set_up_sqlite(connection: Any, _: object) -> None:
    # The driver would begin transactions of its own, and too late.
    connection.isolation_level = None
    cursor = connection.cursor()
    # NORMAL with WAL: a power loss may take the last transactions, never the file's consistency.
    for pragma in (f"busy_timeout={_BUSY_MS}", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that begins by reading cannot always go on to write: so those that will write say so.
    begin = connection.get_execution_options().get(_BEGIN, "BEGIN")
    if begin:
        connection.exec_driver_sql(begin)
