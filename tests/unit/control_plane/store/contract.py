"""What the store does, alike on SQLite and PostgreSQL. Each check begins with an empty store."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from control_plane.gateway.declared import ApiKey, Declared, Limits, Model, Node, Target, Tenant
from control_plane.store.errors import StoreError
from control_plane.store.rows import Spent
from control_plane.store.store import Store
from tests.unit.control_plane.store.constants import NOVEMBER
from tests.unit.control_plane.store.examples import all_rows, expected, row

ACME = Tenant("acme", Limits(10, 20, 30, 0.1), 2)
KEY = ApiKey("key-1", "acme", "ab" * 32, "gp-abc", limits=Limits(budget_usd=2.5), expires_at=1e9)
NODE = Node("node-a", "https://127.0.0.1:1", ("m",), "upstream secret", 7, "cd" * 32, router=True)
MODEL = Model("m", (Target("n", 90), Target("o", 10)), Limits(1), 0.15, 0.6)
ALL = Declared((ACME,), (KEY,), (NODE,), (MODEL,), Limits(5))


async def puts_and_deletes(store: Store) -> None:
    seen = [await store.objects.version()]
    for item in (ACME, KEY, NODE, MODEL):
        seen.append(await store.objects.put(item))
    seen.append(await store.objects.put_limits(Limits(5)))
    assert seen == sorted(set(seen)), "every write raises the version"
    found = await store.objects.load()
    assert found.declared == ALL
    assert found.version == seen[-1] == await store.objects.version()

    cordoned = msgspec.structs.replace(NODE, cordoned=True)
    await store.objects.put(cordoned)
    assert (await store.objects.load()).declared.nodes == (cordoned,)

    before = await store.objects.version()
    assert await store.objects.delete(Node, "node-a")
    assert await store.objects.version() > before
    assert not await store.objects.delete(Node, "node-a")
    assert await store.objects.delete(Model, "m")
    assert await store.objects.delete(ApiKey, "key-1")
    assert (await store.objects.load()).declared == Declared((ACME,), limits=Limits(5))


async def keys_go_with_their_tenant(store: Store) -> None:
    with pytest.raises(StoreError, match="there is no tenant 'acme'"):
        await store.objects.put(KEY)
    assert (await store.objects.load()).declared == Declared()
    await store.objects.put(ACME)
    await store.objects.put(KEY)
    await store.objects.delete(Tenant, "acme")
    assert (await store.objects.load()).declared == Declared()
    await store.objects.put(ACME)
    assert (await store.objects.load()).declared.keys == (), "they are gone, not only out of force"


async def a_seed_replaces_what_a_seed_put(store: Store) -> None:
    assert await store.objects.apply_seed(ALL)
    assert (await store.objects.load()).declared == ALL
    version = await store.objects.version()
    assert not await store.objects.apply_seed(ALL)
    assert await store.objects.version() == version, "nothing changed, so nobody is told"

    dearer = msgspec.structs.replace(MODEL, prompt_usd_per_million=0.2)
    second = Declared((ACME,), (), (), (dearer,), Limits(6))
    assert await store.objects.apply_seed(second)
    assert (await store.objects.load()).declared == second
    assert await store.objects.version() > version


async def what_came_by_the_admin_endpoint_stays(store: Store) -> None:
    await store.objects.apply_seed(ALL)
    mine = msgspec.structs.replace(NODE, url="https://127.0.0.1:2")
    other = Tenant("other")
    for item in (mine, other):
        await store.objects.put(item)
    await store.objects.put_limits(Limits(99))
    await store.objects.apply_seed(ALL)
    found = (await store.objects.load()).declared
    assert (found.nodes, found.tenants, found.limits) == ((mine,), (ACME, other), Limits(99))
    await store.objects.apply_seed(Declared())
    assert (await store.objects.load()).declared == Declared((other,), (), (mine,), (), Limits(99))


async def a_key_whose_tenant_left_with_the_seed_is_not_in_force(store: Store) -> None:
    await store.objects.apply_seed(Declared((ACME,)))
    await store.objects.put(KEY)
    await store.objects.apply_seed(Declared())
    assert (await store.objects.load()).declared.keys == ()
    await store.objects.apply_seed(Declared((ACME,)))
    assert (await store.objects.load()).declared.keys == (KEY,)


async def a_wrong_seed_changes_nothing(store: Store) -> None:
    await store.objects.apply_seed(ALL)
    version = await store.objects.version()
    for wrong, message in (
        (Declared((ACME, ACME)), "the seed has the tenant 'acme' twice"),
        (Declared((), (KEY,)), "key 'key-1': there is no tenant 'acme'"),
    ):
        with pytest.raises(StoreError, match=message):
            await store.objects.apply_seed(wrong)
    assert (await store.objects.load()).declared == ALL
    assert await store.objects.version() == version


async def seeds_and_writes_at_the_same_time(store: Store) -> None:
    writes = [store.objects.put(Tenant(f"tenant-{number}")) for number in range(8)]
    await asyncio.gather(*(store.objects.apply_seed(ALL) for _ in range(4)), *writes)
    found = (await store.objects.load()).declared
    assert len(found.tenants) == 9
    assert found.keys == (KEY,)
    # One for each write and one for the first of the seeds.
    assert await store.objects.version() == 1 + 9


async def rows_count_once(store: Store) -> None:
    rows = [row(number) for number in range(60)]
    assert await store.ledger.add([]) == 0
    assert await store.ledger.add(rows[:40]) == 40
    assert await store.ledger.add(rows[:40]) == 0
    assert await store.ledger.add([*rows[20:], rows[59], rows[58]]) == 20
    assert await all_rows(store) == rows
    assert await store.ledger.usage() == expected(rows)
    assert await store.ledger.usage("2026-11") == expected(rows)
    assert await store.ledger.usage("2026-10") == []


async def rows_at_the_same_time_count_once(store: Store) -> None:
    rows = [row(number) for number in range(90)]
    parts = [rows[start : start + 30] for start in range(0, 90, 10)]
    added = await asyncio.gather(*(store.ledger.add(part) for part in parts))
    assert sum(added) == 90
    assert await all_rows(store) == rows
    assert await store.ledger.usage() == expected(rows)


async def months_are_apart(store: Store) -> None:
    december = 1_796_083_200_000_000  # 2026-12-01T00:00:00Z
    rows = [row(1, begun_us=december - 1), row(2, begun_us=december)]
    await store.ledger.add(rows)
    assert [usage.month for usage in await store.ledger.usage()] == ["2026-11", "2026-12"]
    assert (await store.ledger.spent("2026-12")).instance == rows[1].nano_usd / 1e9


async def money_is_exact(store: Store) -> None:
    # As floats, the sum of ten thousand times 0.1 micro-USD is off.
    rows = [row(number, nano_usd=100, tenant="t", key_id="k", model="m") for number in range(5000)]
    rows.append(row(5000, nano_usd=2**60, tenant="t", key_id="other", model="m"))
    for start in range(0, len(rows), 999):
        await store.ledger.add(rows[start : start + 999])
    assert sum(usage.nano_usd for usage in await store.ledger.usage()) == 5000 * 100 + 2**60
    assert await store.ledger.spent("2026-11") == Spent(
        (500_000 + 2**60) / 1e9,
        {"t": (500_000 + 2**60) / 1e9},
        {"k": 0.0005, "other": 2**60 / 1e9},
        {"m": (500_000 + 2**60) / 1e9},
    )


async def rows_come_in_pages(store: Store) -> None:
    # Many that began at the same microsecond, across the border of a page.
    rows = [row(number, begun_us=NOVEMBER + number // 1500) for number in range(2500)]
    await store.ledger.add(rows)
    assert await all_rows(store) == rows
    late = [each async for each in store.ledger.rows(NOVEMBER + 1, NOVEMBER + 2)]
    assert late == rows[1500:]
    assert [each async for each in store.ledger.rows(0, NOVEMBER)] == []


async def text_of_clients_is_kept_as_it_is(store: Store) -> None:
    rows = [
        row(0, asked_model="'; DROP TABLE ledger; --"),
        row(1, asked_model='\\u0041 "\n\u2028 🦊 %s :rows'),
    ]
    await store.ledger.add(rows)
    assert await all_rows(store) == rows


CHECKS = [
    puts_and_deletes,
    keys_go_with_their_tenant,
    a_seed_replaces_what_a_seed_put,
    what_came_by_the_admin_endpoint_stays,
    a_key_whose_tenant_left_with_the_seed_is_not_in_force,
    a_wrong_seed_changes_nothing,
    seeds_and_writes_at_the_same_time,
    rows_count_once,
    rows_at_the_same_time_count_once,
    months_are_apart,
    money_is_exact,
    rows_come_in_pages,
    text_of_clients_is_kept_as_it_is,
]
