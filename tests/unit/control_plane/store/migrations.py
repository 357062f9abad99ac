"""What holds of the migrations, on both databases."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from control_plane.store.errors import StoreError
from control_plane.store.schema import Base
from control_plane.store.store import Store


def _differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, Base.metadata))


async def they_make_what_the_models_say(store: Store) -> None:
    async with store.database.reading("comparing") as connection:
        assert await connection.run_sync(_differences) == []


async def a_difference_would_be_found(store: Store) -> None:
    async with store.database.writing("changing") as connection:
        await connection.exec_driver_sql("ALTER TABLE tenants ADD COLUMN more TEXT")
    async with store.database.reading("comparing") as connection:
        found = await connection.run_sync(_differences)
    assert [difference[0] for difference in found] == ["remove_column"]


async def a_newer_schema_is_refused(store: Store) -> None:
    async with store.database.writing("changing") as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    store.prepared = False
    with pytest.raises(StoreError, match=r"the store's schema is 9999.*made by a newer one"):
        await store.prepare()


def start_together(stores: list[Store]) -> None:
    """Several replicas prepare one empty database at the same time."""

    async def run() -> None:
        await asyncio.gather(*(store.prepare() for store in stores))
        versions = [await store.objects.version() for store in stores]
        assert versions == [1] * len(stores)
        for store in stores:
            await store.close()

    asyncio.run(run())


CHECKS = [they_make_what_the_models_say, a_difference_would_be_found, a_newer_schema_is_refused]
