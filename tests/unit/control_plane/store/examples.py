"""What the tests of the store write, and what they check on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from hypothesis import strategies as st

from control_plane.gateway.declared import ApiKey, Declared, Limits, Model, Node, Target, Tenant
from control_plane.store.rows import Row, Usage, month_of
from control_plane.store.store import Store
from tests.unit.control_plane.store.constants import NOVEMBER, SECRET

T = TypeVar("T")

numbers = st.integers(0, 2**40)
money = st.integers(0, 10**15).map(lambda nano: nano / 1e9)
# PostgreSQL's text has no NUL.
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
limits = st.builds(Limits, numbers, numbers, numbers, money)
tenants = st.builds(Tenant, names, limits, st.integers(1, 100))
keys = st.builds(
    ApiKey,
    id=names,
    tenant=names,
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    prefix=names,
    scopes=st.lists(names, max_size=3).map(tuple),
    models=st.lists(names, max_size=3).map(tuple),
    limits=limits,
    expires_at=st.floats(0, 1e11),
    revoked=st.booleans(),
)
nodes = st.builds(
    Node,
    name=names,
    url=names,
    models=st.lists(names, max_size=3).map(tuple),
    api_key=st.text(max_size=40),
    max_in_flight=numbers,
    tls_sha256=names,
    cordoned=st.booleans(),
    router=st.booleans(),
)
targets = st.lists(st.builds(Target, names, st.integers(1, 100)), max_size=3).map(tuple)
models = st.builds(Model, names, targets, limits, money, money)


def unique(strategy: st.SearchStrategy[T], field: str) -> st.SearchStrategy[tuple[T, ...]]:
    listed = st.lists(strategy, max_size=4, unique_by=lambda item: getattr(item, field))
    return listed.map(lambda items: tuple(sorted(items, key=lambda item: getattr(item, field).encode())))


@st.composite
def declared(draw: st.DrawFn) -> Declared:
    """Everything that may be declared; keys only of tenants that are there."""
    having = draw(unique(tenants, "name"))
    known = [tenant.name for tenant in having]
    given = draw(unique(keys, "id")) if known else ()
    owned = tuple(msgspec.structs.replace(key, tenant=draw(st.sampled_from(known))) for key in given)
    return Declared(having, owned, draw(unique(nodes, "name")), draw(unique(models, "name")), draw(limits))


def ordered(found: Declared) -> Declared:
    """In an order that does not depend on a database's collation."""
    return Declared(
        tuple(sorted(found.tenants, key=lambda item: item.name.encode())),
        tuple(sorted(found.keys, key=lambda item: item.id.encode())),
        tuple(sorted(found.nodes, key=lambda item: item.name.encode())),
        tuple(sorted(found.models, key=lambda item: item.name.encode())),
        found.limits,
    )


def row(number: int, **changes: object) -> Row:
    """A row of the ledger, different for each number."""
    made = Row(
        f"request-{number:06d}", NOVEMBER + number, NOVEMBER + number + 5, f"tenant-{number % 3}",
        f"key-{number % 5}", "asked", f"model-{number % 2}", "/v1/completions", "node-a node-b", "ok", 200,
        number % 2, number % 2 == 0, 10 + number, 20, 10, 20 + number, number % 7, number % 4 == 0,
        12_345 + number, None if number % 5 == 0 else 1000, 2000,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def expected(rows: list[Row]) -> list[Usage]:
    """Sums of rows, the slow and plain way."""
    groups = sorted({(month_of(each.begun_us), each.tenant, each.key_id, each.model) for each in rows})
    return [
        Usage(
            *group,
            len(mine),
            sum(each.estimated for each in mine),
            sum(each.engine_prompt for each in mine),
            sum(each.engine_completion for each in mine),
            sum(each.prompt for each in mine),
            sum(each.completion for each in mine),
            sum(each.cached_prompt for each in mine),
            sum(each.nano_usd for each in mine),
        )
        for group in groups
        for mine in [[e for e in rows if (month_of(e.begun_us), e.tenant, e.key_id, e.model) == group]]
    ]


def with_store(url: str, folder: Path, check: Callable[[Store], Awaitable[T]], secret: str = SECRET) -> T:
    """Runs a check with a store that is ready."""

    async def run() -> T:
        store = Store(url, folder, secret)
        try:
            await store.prepare()
            return await check(store)
        finally:
            await store.close()

    return asyncio.run(run())


def sqlite(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'gateway.db'}"


async def all_rows(store: Store) -> list[Row]:
    return [each async for each in store.ledger.rows(0, 2**62)]
