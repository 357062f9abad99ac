"""The store on a real PostgreSQL: all that holds on SQLite, and what is PostgreSQL's own."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from control_plane.store.errors import StoreError, StoreLost
from control_plane.store.store import Store
from tests.gateway.store.postgres import USER, Postgres, binary
from tests.unit.control_plane.store import contract, migrations
from tests.unit.control_plane.store.constants import SECRET
from tests.unit.control_plane.store.examples import all_rows, expected, row, with_store


@pytest.mark.parametrize("check", [*contract.CHECKS, *migrations.CHECKS], ids=lambda check: check.__name__)
def test_contract(check: Callable[[Store], Awaitable[None]], url: str, tmp_path: Path) -> None:
    with_store(url, tmp_path, check)


def test_replicas_start_together(url: str, tmp_path: Path) -> None:
    migrations.start_together([Store(url, tmp_path, SECRET) for _ in range(4)])


def test_a_dump_has_no_upstream_key(server: Postgres, url: str, tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        await store.objects.apply_seed(contract.ALL)

    with_store(url, tmp_path, check)
    place = ["-h", "127.0.0.1", "-p", str(server.port), "-U", USER]
    dump = subprocess.run(
        [binary("pg_dump"), *place, url.rpartition("/")[2]], capture_output=True, text=True, check=True
    ).stdout
    assert contract.NODE.url in dump
    assert contract.NODE.api_key not in dump


def test_a_row_that_postgres_refuses_is_no_loss_of_the_store(url: str, tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        for bad in (row(1, model="a\0b"), row(1, status=2**40)):
            with pytest.raises(StoreError, match="the database refuses it"):
                await store.ledger.add([row(0), bad])
        assert await all_rows(store) == []

    with_store(url, tmp_path, check)


def test_a_change_is_heard_at_once(server: Postgres, url: str, tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        heard: asyncio.Queue[int] = asyncio.Queue()

        async def hear() -> None:
            heard.put_nowait(await store.objects.version())

        listening = asyncio.create_task(store.listen(hear))
        # Whoever begins to listen looks once: what happened before it listened is not told.
        assert await asyncio.wait_for(heard.get(), 30) == 1
        for _ in range(3):
            version = await store.objects.put(contract.ACME)
            assert await asyncio.wait_for(heard.get(), 30) == version
        # A connection that is lost is made anew.
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        assert await asyncio.wait_for(heard.get(), 30) == version
        version = await store.objects.put(contract.ACME)
        assert await asyncio.wait_for(heard.get(), 30) == version
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

    with_store(url, tmp_path, check)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restart_is_got_over(end: str, url: str, server: Postgres, tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        await store.objects.apply_seed(contract.ALL)
        await store.ledger.add([row(0)])
        await asyncio.to_thread(getattr(server, end))
        try:
            begun = time.monotonic()
            for act in (store.objects.version, store.objects.load, store.ledger.usage):
                with pytest.raises(StoreLost):
                    await act()
            with pytest.raises(StoreLost):
                await store.ledger.add([row(1)])
            assert time.monotonic() - begun < 20, "it is told soon, not after minutes"
        finally:
            await asyncio.to_thread(server.start)
        assert (await store.objects.load()).declared == contract.ALL
        await store.ledger.add([row(0), row(1)])
        rows = await all_rows(store)
        assert rows == [row(0), row(1)]
        assert await store.ledger.usage() == expected(rows)

    with_store(url, tmp_path, check)
