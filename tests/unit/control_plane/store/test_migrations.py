"""Migrations on SQLite."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from control_plane.store.migrating import HEAD, MIGRATIONS
from control_plane.store.store import Store
from tests.unit.control_plane.store.constants import SECRET
from tests.unit.control_plane.store.examples import sqlite, with_store
from tests.unit.control_plane.store.migrations import CHECKS, start_together


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Store], Awaitable[None]], tmp_path: Path) -> None:
    with_store(sqlite(tmp_path), tmp_path, check)


def test_the_newest_is_known_without_alembic() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [HEAD]


def test_replicas_start_together(tmp_path: Path) -> None:
    start_together([Store(sqlite(tmp_path), tmp_path, SECRET) for _ in range(4)])


def test_alembic_is_loaded_only_to_migrate(tmp_path: Path) -> None:
    with_store(sqlite(tmp_path), tmp_path, lambda store: store.objects.load())
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom control_plane.store.store import Store\n"
        f"store = Store({sqlite(tmp_path)!r}, Path({str(tmp_path)!r}), {SECRET!r})\n"
        "async def run():\n    await store.prepare()\n    await store.close()\n"
        "asyncio.run(run())\nprint('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
