"""Real processes with a real store: kill -9 of the gateway, restarts of PostgreSQL in mid-load."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import structlog

from control_plane.gateway.ledger import JournalLedger
from control_plane.store.store import Store
from tests.gateway.store.postgres import Postgres
from tests.unit.control_plane.store.examples import all_rows, expected, sqlite, with_store

ROOT = Path(__file__).resolve().parents[3]
BEGIN_S = 60.0


class Gateway:
    """One process of serving.py; what it said it had ended is in a file, whatever happens to it."""

    def __init__(self, url: str, folder: Path, name: str, per_second: int = 1000) -> None:
        self._said = folder / f"{name}.ended"
        with self._said.open("wb") as out:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.gateway.store.serving",
                    url,
                    str(folder),
                    name,
                    str(per_second),
                ],
                stdout=out,
                cwd=ROOT,
            )
        deadline = time.monotonic() + BEGIN_S
        while not self.ended():
            assert time.monotonic() < deadline
            assert self._process.poll() is None
            time.sleep(0.02)

    def ended(self) -> list[str]:
        # A line that was cut within was not told.
        return self._said.read_text().rpartition("\n")[0].split()

    def kill(self) -> None:
        assert self._process.poll() is None, "it ended by itself"
        self._process.kill()
        self._process.wait()


def settle(url: str, folder: Path, ended: list[str]) -> None:
    """A next gateway starts; then the ledger must have all that was ended, each once, and right sums."""

    async def check(store: Store) -> None:
        log = structlog.wrap_logger(None, processors=[lambda *_: ""])
        ledger = JournalLedger(folder / "journal", store.ledger, log)
        await ledger.flush()
        assert (ledger.waiting, ledger.damaged, ledger.refused, ledger.dropped) == (0, 0, 0, 0)
        await ledger.close()
        rows = await all_rows(store)
        known = {each.request_id: each for each in rows}
        assert len(known) == len(rows)
        assert [name for name in ended if name not in known or known[name].result != "ok"] == []
        open_ones = [each for each in rows if int(each.request_id.rpartition("-")[2]) % 10 == 0]
        assert {each.result for each in open_ones} == {"cut_off"}
        assert len(open_ones) >= len(ended) // 10
        assert await store.ledger.usage() == expected(rows)
        assert list((folder / "journal").iterdir()) == []

    with_store(url, folder, check)


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_kill_9_at_random_moments(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = sqlite(tmp_path) if engine == "sqlite" else request.getfixturevalue("url")
    chance = random.Random(7)
    ended: list[str] = []
    for number in range(3):
        gateway = Gateway(url, tmp_path, f"life{number}")
        time.sleep(chance.uniform(0.1, 1.8))
        gateway.kill()
        ended += gateway.ended()
    assert len(ended) > 100
    settle(url, tmp_path, ended)


def test_two_gateways_on_one_folder(url: str, tmp_path: Path) -> None:
    first, second = (Gateway(url, tmp_path, name) for name in ("one", "two"))
    time.sleep(0.5)
    first.kill()
    third = Gateway(url, tmp_path, "three")
    time.sleep(1.2)
    for gateway in (second, third):
        gateway.kill()
    settle(url, tmp_path, first.ended() + second.ended() + third.ended())


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_postgres_restarts_in_mid_load(end: str, url: str, server: Postgres, tmp_path: Path) -> None:
    gateway = Gateway(url, tmp_path, "serving")
    time.sleep(1.5)
    getattr(server, end)()
    before = len(gateway.ended())
    time.sleep(1.5)
    assert len(gateway.ended()) > before, "it goes on without the store"
    server.start()
    time.sleep(2.0)
    gateway.kill()
    settle(url, tmp_path, gateway.ended())


def test_a_gateway_that_starts_and_dies_without_postgres(url: str, server: Postgres, tmp_path: Path) -> None:
    with_store(url, tmp_path, all_rows)
    server.stop()
    try:
        gateway = Gateway(url, tmp_path, "alone")
        time.sleep(0.5)
        gateway.kill()
    finally:
        server.start()
    settle(url, tmp_path, gateway.ended())
