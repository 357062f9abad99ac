"""The store on SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.gateway.declared import Declared
from control_plane.store.errors import SealError, StoreError, StoreLost
from control_plane.store.store import Store
from tests.unit.control_plane.store.contract import ACME, ALL, CHECKS, NODE
from tests.unit.control_plane.store.examples import (
    all_rows,
    declared,
    expected,
    ordered,
    row,
    sqlite,
    with_store,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Store], Awaitable[None]], tmp_path: Path) -> None:
    with_store(sqlite(tmp_path), tmp_path, check)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a database that all examples of a property share: making one takes the longest."""
    return tmp_path_factory.mktemp("store")


@settings(max_examples=20)
@given(first=declared(), second=declared())
def test_a_seed_is_given_back_as_it_was(folder: Path, first: Declared, second: Declared) -> None:
    async def check(store: Store) -> None:
        for seed in (first, second):
            await store.objects.apply_seed(seed)
            assert ordered((await store.objects.load()).declared) == seed
            assert not await store.objects.apply_seed(seed)

    with_store(sqlite(folder), folder, check)


@settings(max_examples=20)
@given(st.lists(st.lists(st.integers(0, 40), max_size=15), max_size=6))
def test_sums_are_those_of_the_rows(folder: Path, batches: list[list[int]]) -> None:
    async def check(store: Store) -> None:
        async with store.database.writing("testing") as connection:
            for table in ("ledger", "usage_months"):
                await connection.exec_driver_sql(f"DELETE FROM {table}")
        for batch in batches:
            await store.ledger.add([row(number) for number in batch])
        rows = await all_rows(store)
        assert {each.request_id for each in rows} == {row(n).request_id for batch in batches for n in batch}
        assert await store.ledger.usage() == expected(rows)

    with_store(sqlite(folder), folder, check)


def test_no_file_of_the_database_has_an_upstream_key(tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        await store.objects.apply_seed(ALL)
        await store.objects.put(NODE)
        for file in tmp_path.glob("gateway.db*"):
            assert NODE.api_key.encode() not in file.read_bytes()
        assert ACME.name.encode() in b"".join(file.read_bytes() for file in tmp_path.glob("gateway.db*"))

    with_store(sqlite(tmp_path), tmp_path, check)
    assert NODE.api_key not in repr(NODE)


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"

    async def check(store: Store) -> None:
        await store.objects.put(NODE)
        for file in folder.iterdir():
            assert file.stat().st_mode & 0o077 == 0, file.name

    with_store(sqlite(folder), folder, check, secret="")
    assert folder.stat().st_mode & 0o077 == 0


def test_another_key_opens_no_node_and_a_seed_mends_it(tmp_path: Path) -> None:
    with_store(sqlite(tmp_path), tmp_path, lambda store: store.objects.apply_seed(ALL))

    async def check(store: Store) -> None:
        with pytest.raises(
            SealError, match=r"'node-a' was sealed with the key [0-9a-f]{8}, which is not here"
        ):
            await store.objects.load()
        assert await store.objects.apply_seed(ALL)
        assert (await store.objects.load()).declared == ALL

    with_store(sqlite(tmp_path), tmp_path, check, secret="aa" * 32)


def test_reading_goes_on_while_another_writes(tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        await store.objects.apply_seed(ALL)
        async with store.database.writing("testing"):
            assert (await store.objects.load()).declared == ALL

    with_store(sqlite(tmp_path), tmp_path, check)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "cannot be read"),
        ("mysql://u:hidden@h/d", r"must begin with sqlite\+aiosqlite:/// or postgresql\+asyncpg://"),
        ("sqlite+aiosqlite://", "must name a file"),
    ],
)
def test_wrong_urls(url: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=message) as raised:
        Store(url, tmp_path, "aa" * 32)
    assert "hidden" not in str(raised.value)


def test_a_lost_database_is_told_as_such_without_its_password(tmp_path: Path) -> None:
    async def check() -> None:
        # Nobody listens at port 1.
        store = Store("postgresql+asyncpg://u:hidden@127.0.0.1:1/d", tmp_path, "aa" * 32)
        for act in (store.prepare, store.objects.load, store.ledger.usage):
            with pytest.raises(StoreLost, match="does not answer") as raised:
                await act()
            assert "hidden" not in str(raised.value)
        assert not store.prepared
        await store.close()

    asyncio.run(check())


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").write_bytes(b"something else, and long enough to be looked at" * 50)
    with pytest.raises(StoreLost, match="file is not a database"):
        with_store(sqlite(tmp_path), tmp_path, lambda store: store.objects.load())


def test_a_store_that_another_process_writes(tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        version = await store.objects.version()
        with sqlite3.connect(tmp_path / "gateway.db") as other:
            other.execute("UPDATE changes SET version = version + 1")
        other.close()
        assert await store.objects.version() == version + 1

    with_store(sqlite(tmp_path), tmp_path, check)
