"""Tenants, keys, nodes, models and limits in the store. Every change raises one number along with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.gateway.declared import ApiKey, Declared, Limits, Model, Node, Tenant
from control_plane.store.database import CHANNEL, Database
from control_plane.store.errors import StoreError
from control_plane.store.mapping import (
    INSTANCE,
    INSTANCE_TABLE,
    KINDS,
    Kind,
    Object,
    limits_made,
    limits_values,
    table_of,
)
from control_plane.store.schema import ADMIN, SEED, ChangeRow
from control_plane.store.sealing import Sealer

_CHANGES = table_of(ChangeRow)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is declared, at one time.

    Attributes:
        version: Of which version.
        declared: All of it.
    """

    version: int
    declared: Declared


class Objects:
    """The declared objects.

    Every function raises StoreLost where the database does not answer, and StoreError where it refuses.

    Args:
        database: Where they are.
        sealer: For upstream keys.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def version(self) -> int:
        """The number that every change raises; cheap, for polling."""
        async with self._database.reading("asking for changes") as connection:
            return await _version(connection)

    async def load(self) -> Snapshot:
        """Everything. A key whose tenant is not there is left out: it is not in force.

        Raises:
            SealError: A node's key cannot be opened with the keys of this replica.
        """
        async with self._database.reading("reading the store") as connection:
            version = await _version(connection)
            found = {kind: await self._all(connection, kind) for kind in KINDS}
            limits = (await connection.execute(select(INSTANCE_TABLE))).mappings().first()
        tenants = cast("list[Tenant]", found[Tenant])
        names = {tenant.name for tenant in tenants}
        return Snapshot(
            version,
            Declared(
                tenants=tuple(tenants),
                keys=tuple(key for key in cast("list[ApiKey]", found[ApiKey]) if key.tenant in names),
                nodes=tuple(cast("list[Node]", found[Node])),
                models=tuple(cast("list[Model]", found[Model])),
                limits=Limits() if limits is None else limits_made(limits),
            ),
        )

    async def put(self, item: Object) -> int:
        """Writes one object, new or in place of the one of its name. From then on no seed changes it.

        Returns:
            The store's new version.

        Raises:
            StoreError: The tenant of a key is not there.
        """
        kind = KINDS[type(item)]
        async with self._database.writing(f"writing a {kind.word}") as connection:
            version = await self._changed(connection)
            if isinstance(item, ApiKey):
                await _check_tenants(connection, [item])
            await self._replace(connection, kind, item, ADMIN)
        return version

    async def put_limits(self, limits: Limits) -> int:
        """Writes the limits of the whole gateway.

        Returns:
            The store's new version.
        """
        async with self._database.writing("writing limits") as connection:
            version = await self._changed(connection)
            await _replace_limits(connection, limits, ADMIN)
        return version

    async def delete(self, kind: type[Object], name: str) -> bool:
        """Takes one object away; with a tenant, its keys.

        Args:
            kind: Tenant, ApiKey, Node or Model.
            name: Its name; of a key, its id.

        Returns:
            Whether it was there.
        """
        stored = KINDS[kind]
        async with self._database.writing(f"deleting a {stored.word}") as connection:
            await self._changed(connection)
            if kind is Tenant:
                keys = KINDS[ApiKey].table
                await connection.execute(delete(keys).where(keys.c.tenant == name))
            gone = await connection.execute(
                delete(stored.table)
                .where(stored.table.c[stored.key] == name)
                .returning(stored.table.c.origin)
            )
            return gone.first() is not None

    async def apply_seed(self, seed: Declared) -> bool:
        """Puts a seed into the store in place of what an earlier seed put there.

        What came by the admin endpoint stays as it is, also where the seed names it. Where the seed changes
        nothing, nothing is written.

        Returns:
            Whether anything changed.

        Raises:
            StoreError: A key's tenant is neither in the seed nor in the store, or a name stands there twice.
        """
        wanted: dict[type[Object], Iterable[Object]] = {
            Tenant: seed.tenants,
            ApiKey: seed.keys,
            Node: seed.nodes,
            Model: seed.models,
        }
        async with self._database.writing("applying the seed") as connection:
            # Taken first, so that replicas that start together do this one after the other.
            await connection.execute(update(_CHANGES).values(version=_CHANGES.c.version))
            changed = False
            for kind, items in wanted.items():
                changed |= await self._seed(connection, KINDS[kind], items)
            await _check_tenants(connection, seed.keys)
            changed |= await _seed_limits(connection, seed.limits)
            if changed:
                await self._changed(connection)
        return changed

    async def _seed(self, connection: AsyncConnection, kind: Kind, items: Iterable[Object]) -> bool:
        rows = (await connection.execute(select(kind.table))).mappings().all()
        by_admin = {row[kind.key] for row in rows if row["origin"] != SEED}
        before = {row[kind.key]: row for row in rows if row["origin"] == SEED}
        names: set[str] = set()
        changed = False
        for item in items:
            name = getattr(item, kind.key)
            if name in names:
                raise StoreError(f"the seed has the {kind.word} {name!r} twice")
            names.add(name)
            if name in by_admin or (name in before and self._same(kind, before[name], item)):
                continue
            await self._replace(connection, kind, item, SEED)
            changed = True
        for name in before.keys() - names:
            await connection.execute(delete(kind.table).where(kind.table.c[kind.key] == name))
            changed = True
        return changed

    def _same(self, kind: Kind, row: Any, item: Object) -> bool:
        try:
            stored = kind.made(row, self._sealer)
        except StoreError:
            # Sealed with a key of before: the seed brings it anew.
            return False
        # Through a row's form: money is rounded there.
        return stored == kind.made({**kind.values(item, self._sealer), "origin": SEED}, self._sealer)

    async def _all(self, connection: AsyncConnection, kind: type[Object]) -> list[Object]:
        stored = KINDS[kind]
        rows = await connection.execute(select(stored.table).order_by(stored.table.c[stored.key]))
        return [stored.made(row, self._sealer) for row in rows.mappings()]

    async def _replace(self, connection: AsyncConnection, kind: Kind, item: Object, origin: str) -> None:
        values = kind.values(item, self._sealer)
        await connection.execute(delete(kind.table).where(kind.table.c[kind.key] == values[kind.key]))
        await connection.execute(insert(kind.table).values(**values, origin=origin))

    async def _changed(self, connection: AsyncConnection) -> int:
        raised = update(_CHANGES).values(version=_CHANGES.c.version + 1).returning(_CHANGES.c.version)
        version = int((await connection.execute(raised)).scalar_one())
        if self._database.is_postgres:
            await connection.execute(select(func.pg_notify(CHANNEL, str(version))))
        return version


async def _version(connection: AsyncConnection) -> int:
    return int((await connection.execute(select(_CHANGES.c.version))).scalar_one())


async def _check_tenants(connection: AsyncConnection, keys: Iterable[ApiKey]) -> None:
    tenants = KINDS[Tenant].table
    names = set((await connection.execute(select(tenants.c.name))).scalars())
    for key in keys:
        if key.tenant not in names:
            raise StoreError(f"key {key.id!r}: there is no tenant {key.tenant!r}")


async def _replace_limits(connection: AsyncConnection, limits: Limits, origin: str) -> None:
    await connection.execute(delete(INSTANCE_TABLE))
    await connection.execute(
        insert(INSTANCE_TABLE).values(id=INSTANCE, **limits_values(limits), origin=origin)
    )


async def _seed_limits(connection: AsyncConnection, limits: Limits) -> bool:
    row = (await connection.execute(select(INSTANCE_TABLE))).mappings().first()
    if row is not None and row["origin"] != SEED:
        return False
    stored = Limits() if row is None else limits_made(row)
    if stored == limits:
        return False
    await _replace_limits(connection, limits, SEED)
    return True
