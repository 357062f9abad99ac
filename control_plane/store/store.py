"""The store as a whole: what the gateway opens at its start."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from control_plane.store.database import Database
from control_plane.store.errors import StoreError, StoreLost
from control_plane.store.ledger import LedgerRows
from control_plane.store.migrating import migrate
from control_plane.store.objects import Objects
from control_plane.store.sealing import sealer

LISTEN_AGAIN_S = 2.0


class Store:
    """Declared objects and the ledger, in one database. Connects to nothing before it is asked to.

    Args:
        url: `sqlite+aiosqlite:///FILE` or `postgresql+asyncpg://USER:PASSWORD@HOST/NAME`.
        data_dir: Folder of this replica; the key for upstream keys is made there where none is set.
        secret_key: `GATEWAY_SECRET_KEY`: see sealing.py. Several replicas need the same.

    Attributes:
        database: The way to the database.
        objects: Tenants, keys, nodes, models, limits.
        ledger: Rows of requests, and monthly sums.
        prepared: Whether the schema is known to be the newest.

    Raises:
        StoreError: The URL or the key makes no sense.
    """

    def __init__(self, url: str, data_dir: Path, secret_key: str = "") -> None:
        self.database = Database(url)
        self.objects = Objects(self.database, sealer(secret_key, data_dir))
        self.ledger = LedgerRows(self.database)
        self.prepared = False
        self._preparing = asyncio.Lock()

    async def prepare(self) -> None:
        """Makes the database ready, with the newest schema. Several replicas may do so at once.

        Raises:
            StoreLost: It does not answer; may be tried again.
            StoreError: It is of a newer gpuplane.
        """
        async with self._preparing:
            if not self.prepared:
                await migrate(self.database)
                self.prepared = True

    async def listen(self, heard: Callable[[], Awaitable[None]]) -> None:
        """Calls `heard` soon after each change of a declared object, by PostgreSQL's NOTIFY; until cancelled.

        Besides asking for the version each second, which alone is to be relied upon: what happens while the
        connection is made anew is not told. SQLite tells of nothing: there it waits and does nothing.

        Args:
            heard: What to do; StoreLost and StoreError of it are left to who asks each second.
        """
        if not self.database.is_postgres:
            await asyncio.Event().wait()
        while True:
            with contextlib.suppress(StoreLost, StoreError):
                await self.database.listen(heard)
            await asyncio.sleep(LISTEN_AGAIN_S)

    async def close(self) -> None:
        """Closes all connections."""
        await self.database.close()
