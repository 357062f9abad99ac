"""The ledger and its monthly sums, in the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec
from sqlalchemy import ColumnElement, select, text, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.store.database import Database
from control_plane.store.mapping import table_of
from control_plane.store.rows import Row, Spent, Usage, sums
from control_plane.store.schema import NANO, LedgerEntry, UsageRow

_LEDGER = table_of(LedgerEntry)
_USAGE = table_of(UsageRow)
_PAGE = 1000
_SUMS = tuple(Usage.__struct_fields__[4:])
_COLUMNS = Row.__struct_fields__
_encode = msgspec.json.Encoder().encode


class LedgerRows:
    """Rows of the ledger.

    Every function raises StoreLost where the database does not answer, and StoreError where it refuses.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = postgresql if database.is_postgres else sqlite
        made = dialect.insert(_USAGE)
        self._add = made.on_conflict_do_update(
            index_elements=list(_USAGE.primary_key),
            set_={name: _USAGE.c[name] + made.excluded[name] for name in _SUMS},
        )

    async def add(self, rows: Sequence[Row]) -> int:
        """Writes rows and adds them to their months' sums, in one transaction.

        A row whose `request_id` is there already is left out, of the sums too: writing one twice is harmless.

        Returns:
            How many were new.
        """
        # No statement must have the same row twice.
        unique = {row.request_id: row for row in rows}
        if not unique:
            return 0
        values = list(unique.values())
        async with self._database.writing("writing the ledger") as connection:
            if self._database.is_postgres:
                new = await _insert_postgres(connection, values)
            else:
                new = await _insert_sqlite(connection, values)
            if len(new) < len(values):
                values = [row for row in values if row.request_id in new]
            if values:
                added = sums(values)
                await connection.execute(self._add, [msgspec.structs.asdict(each) for each in added])
        return len(values)

    async def spent(self, month: str) -> Spent:
        """Money spent in a month.

        Args:
            month: Such as `2026-11`.
        """
        tenants: dict[str, int] = {}
        keys: dict[str, int] = {}
        models: dict[str, int] = {}
        total = 0
        for usage in await self.usage(month):
            total += usage.nano_usd
            for layer, name in ((tenants, usage.tenant), (keys, usage.key_id), (models, usage.model)):
                layer[name] = layer.get(name, 0) + usage.nano_usd
        return Spent(total / NANO, _usd(tenants), _usd(keys), _usd(models))

    async def usage(self, month: str = "") -> list[Usage]:
        """Sums, ordered.

        Args:
            month: Such as `2026-11`; empty: all.
        """
        query = select(_USAGE).order_by(*_USAGE.primary_key)
        if month:
            query = query.where(_USAGE.c.month == month)
        async with self._database.reading("reading usage") as connection:
            found = await connection.execute(query)
            return [Usage(**row) for row in found.mappings()]

    async def rows(self, begun_from_us: int, begun_before_us: int) -> AsyncIterator[Row]:
        """Rows of requests that began in a span of time, by when; a thousand at a time, so none is held long.

        Args:
            begun_from_us: From here, microseconds since the epoch.
            begun_before_us: Until before here.
        """
        begun, request_id = _LEDGER.c.begun_us, _LEDGER.c.request_id
        last: tuple[int, str] | None = None
        while True:
            after: ColumnElement[bool] = begun >= begun_from_us
            if last is not None:
                after = tuple_(begun, request_id) > last
            query = select(_LEDGER).where(after, begun < begun_before_us).order_by(begun, request_id)
            async with self._database.reading("reading the ledger") as connection:
                page = (await connection.execute(query.limit(_PAGE))).mappings().all()
            for found in page:
                yield Row(**found)
            if len(page) < _PAGE:
                return
            last = (page[-1]["begun_us"], page[-1]["request_id"])


def _usd(nanos: dict[str, int]) -> dict[str, float]:
    return {name: value / NANO for name, value in nanos.items()}


async def _insert_postgres(connection: AsyncConnection, rows: list[Row]) -> set[str]:
    """All rows as one JSON text: a parameter for each value would cost several times as much here."""
    result = await connection.execute(_FROM_JSON, {"rows": _encode(rows).decode()})
    return set(result.scalars())


async def _insert_sqlite(connection: AsyncConnection, rows: list[Row]) -> set[str]:
    """Looks first, then writes; nobody else writes meanwhile. From JSON it would take three times as long."""
    names = [row.request_id for row in rows]
    known = await connection.execute(_KNOWN, {"names": _encode(names).decode()})
    new = set(names).difference(known.scalars())
    added = [msgspec.structs.astuple(row) for row in rows if row.request_id in new]
    if added:
        await connection.exec_driver_sql(_BY_VALUES, added)
    return new


def _from_json() -> str:
    """Takes a JSON array of arrays; the first element of each is the tag of its form."""
    values = (f"CAST(item ->> {at} AS {_LEDGER.c[name].type})" for at, name in enumerate(_COLUMNS, 1))
    return (
        f"INSERT INTO ledger ({', '.join(_COLUMNS)}) SELECT {', '.join(values)} "
        "FROM json_array_elements(CAST(:rows AS json)) AS item "
        "ON CONFLICT (request_id) DO NOTHING RETURNING request_id"
    )


_FROM_JSON = text(_from_json())
_KNOWN = text("SELECT request_id FROM ledger WHERE request_id IN (SELECT value FROM json_each(:names))")
_BY_VALUES = f"INSERT INTO ledger ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
