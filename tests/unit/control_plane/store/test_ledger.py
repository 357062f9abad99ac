"""The ledger: what is written when, and what happens while the store is lost."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from control_plane.gateway import journal as journal_module
from control_plane.gateway.call import Result, Usage
from control_plane.gateway.journal import JournalError
from control_plane.gateway.ledger import HELD_ROWS, JournalLedger
from control_plane.store.errors import StoreLost
from control_plane.store.rows import Row
from tests.unit.control_plane.store.constants import NOVEMBER
from tests.unit.control_plane.store.requests import Bench, call, outcome


def files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*.jsonl"))


def abandon(ledger: JournalLedger) -> None:
    """As a kill leaves it: files as they are, locks gone."""
    ledger._journal.close()


def test_a_row_says_it_all(tmp_path: Path) -> None:
    async def check() -> None:
        bench = Bench(tmp_path)
        bench.ledger.begin(call(7, stream=True), 100, 0.5)
        bench.wall += 60
        bench.ledger.end(
            call(7, stream=True), outcome(7, result=Result.RESUMED, usage=Usage(30, 40, 10, 35, 5)), 0.000123
        )
        await bench.ledger.flush()
        assert bench.rows.rows["request-000007"] == Row(
            "request-000007", NOVEMBER, NOVEMBER + 2_500_000, "tenant-1", "key-3", "asked", "model-1",
            "/v1/chat/completions", "node-a node-b", "resumed", 200, 1, True, 30, 40, 10, 35, 5, False,
            123_000, 250_000, 2_500_000,
        )  # fmt: skip
        await bench.ledger.close()

    asyncio.run(check())


def test_what_never_came_is_empty(tmp_path: Path) -> None:
    async def check() -> None:
        bench = Bench(tmp_path)
        bench.ledger.begin(call(1), 100, 0.5)
        gone = outcome(result=Result.CLIENT_GONE, status=0, first_byte=0.0, nodes=[], usage=Usage(), hops=0)
        bench.ledger.end(call(1), gone, 0.0)
        await bench.ledger.flush()
        row = bench.rows.rows["request-000001"]
        assert (row.ttft_us, row.nodes, row.status, row.result) == (None, "", 0, "client_gone")
        await bench.ledger.close()

    asyncio.run(check())


def test_what_clients_and_nodes_say_is_kept_within_reason(tmp_path: Path) -> None:
    async def check() -> None:
        bench = Bench(tmp_path)
        hostile = call(1, asked_model="\0'\n\u2028" + "x" * 1000)
        bench.ledger.begin(hostile, 100, 0.5)
        bench.ledger.end(hostile, outcome(usage=Usage(10**30, -5, 2**63, -(10**30), 0)), 0.0)
        await bench.ledger.flush()
        row = bench.rows.rows["request-000001"]
        assert row.asked_model == "\N{REPLACEMENT CHARACTER}'\n\u2028" + "x" * 196
        assert (row.engine_prompt, row.engine_completion, row.prompt, row.completion) == (2**40, 0, 2**40, 0)
        await bench.ledger.close()

    asyncio.run(check())


def test_lag_is_the_age_of_the_oldest(tmp_path: Path) -> None:
    async def check() -> None:
        bench = Bench(tmp_path)
        assert (bench.ledger.lag_s(), bench.ledger.waiting) == (0.0, 0)
        bench.ledger.begin(call(1), 100, 0.5)
        assert (bench.ledger.lag_s(), bench.ledger.waiting) == (0.0, 0), "only ended ones wait"
        bench.wall += 2.5
        bench.ledger.end(call(1), outcome(), 0.1)
        bench.wall += 4
        bench.serve(2)
        assert (bench.ledger.lag_s(), bench.ledger.waiting) == (4.0, 2)
        bench.rows.lost = True
        with pytest.raises(StoreLost):
            await bench.ledger.flush()
        assert (bench.ledger.lag_s(), bench.ledger.waiting, bench.ledger.lost) == (4.0, 2, True)
        bench.rows.lost = False
        await bench.ledger.flush()
        assert (bench.ledger.lag_s(), bench.ledger.waiting, bench.ledger.lost) == (0.0, 0, False)
        await bench.ledger.close()

    asyncio.run(check())


def test_it_ships_each_second_or_after_a_thousand(tmp_path: Path) -> None:
    async def check() -> None:
        bench = Bench(tmp_path)
        running = asyncio.create_task(bench.ledger.run())
        await bench.timers.advance(0)
        bench.serve(1)
        await bench.timers.advance(0.9)
        assert bench.rows.batches == []
        await bench.timers.advance(0.2)
        assert bench.rows.batches == [1]
        bench.serve(*range(2, 1003))
        await bench.timers.advance(0)
        assert len(bench.rows.rows) == 1002
        assert bench.ledger.waiting == 0
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await bench.ledger.close()

    asyncio.run(check())


def test_a_lost_store_is_told_once_and_asked_more_seldom(tmp_path: Path) -> None:
    async def check() -> None:
        bench = Bench(tmp_path)
        running = asyncio.create_task(bench.ledger.run())
        await bench.timers.advance(0)
        bench.rows.lost = True
        bench.serve(*range(1500))
        for _ in range(60):
            await bench.timers.advance(1.0)
        assert bench.events() == ["the ledger waits on disk: the store is lost"]
        assert bench.ledger.waiting == 1500
        bench.rows.lost = False
        for _ in range(16):
            await bench.timers.advance(1.0)
        assert len(bench.rows.rows) == 1500
        assert bench.events()[-1] == "the ledger is in the store again"
        bench.serve(2000)
        await bench.timers.advance(1.0)
        assert len(bench.rows.rows) == 1501, "each second again"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await bench.ledger.close()

    asyncio.run(check())


def test_segments_go_once_they_are_shipped(tmp_path: Path) -> None:
    async def check() -> None:
        bench = Bench(tmp_path, segment_bytes=5000)
        bench.ledger.begin(call(999), 100, 0.5)
        bench.serve(*range(100))
        many = len(files(tmp_path))
        assert many > 5
        await bench.ledger.flush()
        assert len(files(tmp_path)) == 1
        assert len(bench.rows.rows) == 100
        # What is open all the while is in the one that is left.
        assert b"request-000999" in (tmp_path / files(tmp_path)[0]).read_bytes()
        bench.ledger.end(call(999), outcome(), 0.1)
        await bench.ledger.close()
        assert files(tmp_path) == []
        assert list(tmp_path.iterdir()) == []

    asyncio.run(check())


def test_what_a_dead_gateway_left_is_taken_over(tmp_path: Path) -> None:
    async def check() -> None:
        dead = Bench(tmp_path, segment_bytes=2000)
        dead.ledger.begin(call(500), 100, 0.5)
        dead.serve(*range(20))
        abandon(dead.ledger)
        alive = Bench(tmp_path)
        await alive.ledger.flush()
        assert len(alive.rows.rows) == 21
        cut = alive.rows.rows["request-000500"]
        assert cut == Row(
            "request-000500", NOVEMBER, None, "tenant-2", "key-0", "asked", "model-0",
            "/v1/chat/completions", "", "cut_off", 0, 0, True, 0, 0, 0, 0, 0, True, 0, None, None,
        )  # fmt: skip
        assert alive.log.entries[-1]["requests"] == 20
        assert alive.log.entries[-1]["cut_off"] == 1
        assert len(list(tmp_path.iterdir())) == 1
        await alive.ledger.close()

    asyncio.run(check())


def test_a_living_gateway_is_left_alone(tmp_path: Path) -> None:
    async def check() -> None:
        first = Bench(tmp_path)
        first.serve(1)
        first.ledger.begin(call(2), 100, 0.5)
        second = Bench(tmp_path)
        await second.ledger.flush()
        assert second.rows.rows == {}
        first.ledger.end(call(2), outcome(), 0.1)
        await first.ledger.flush()
        assert set(first.rows.rows) == {"request-000001", "request-000002"}
        await first.ledger.close()
        await second.ledger.close()

    asyncio.run(check())


def test_two_share_what_a_dead_one_left_without_doubling(tmp_path: Path) -> None:
    async def check() -> None:
        dead = Bench(tmp_path)
        dead.serve(*range(50))
        abandon(dead.ledger)
        first = Bench(tmp_path)
        second = Bench(tmp_path, first.rows)
        await asyncio.gather(first.ledger.flush(), second.ledger.flush())
        assert len(first.rows.rows) == 50
        assert sum(first.rows.batches) == 50
        await first.ledger.close()
        await second.ledger.close()

    asyncio.run(check())


def test_a_start_without_the_store_keeps_what_was_left(tmp_path: Path) -> None:
    async def check() -> None:
        dead = Bench(tmp_path)
        dead.serve(1, 2)
        abandon(dead.ledger)
        alive = Bench(tmp_path)
        alive.rows.lost = True
        with pytest.raises(StoreLost):
            await alive.ledger.spent("2026-11")
        alive.serve(3)
        alive.rows.lost = False
        assert (await alive.ledger.spent("2026-11")).instance == 0.006
        assert (await alive.ledger.spent("2026-12")).instance == 0
        await alive.ledger.close()

    asyncio.run(check())


def test_half_a_line_and_garbage_do_not_stop_the_rest(tmp_path: Path) -> None:
    async def check() -> None:
        dead = Bench(tmp_path)
        dead.serve(1)
        abandon(dead.ledger)
        (segment,) = tmp_path.rglob("*.jsonl")
        whole = segment.read_bytes()
        other = whole.replace(b"request-000001", b"request-000002")
        zeros = b"\0" * 4096 + b"\n"
        segment.write_bytes(whole + zeros + b'["end",1]\n\xff\xfe\n' + other + other.splitlines()[1][:-7])
        alive = Bench(tmp_path)
        await alive.ledger.flush()
        assert sorted(alive.rows.rows) == ["request-000001", "request-000002"]
        assert alive.ledger.damaged == 3
        await alive.ledger.close()

    asyncio.run(check())


def test_a_row_that_the_store_refuses_is_kept_apart(tmp_path: Path) -> None:
    async def check() -> None:
        bench = Bench(tmp_path)
        bench.rows.bad = {"request-000003"}
        bench.serve(*range(6))
        await bench.ledger.flush()
        assert len(bench.rows.rows) == 5
        assert (bench.ledger.refused, bench.ledger.waiting) == (1, 0)
        (line,) = (tmp_path / "refused.jsonl").read_bytes().splitlines()
        assert msgspec.json.decode(line, type=Row).request_id == "request-000003"
        assert bench.events() == ["the store refuses a row of the ledger"]
        await bench.ledger.close()

    asyncio.run(check())


def test_a_full_journal_keeps_the_oldest_and_holds_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.gateway.ledger.HELD_ROWS", 10)

    async def check() -> None:
        bench = Bench(tmp_path, limit_bytes=8000, segment_bytes=3000)
        bench.rows.lost = True
        bench.serve(*range(100))
        assert sum(file.stat().st_size for file in tmp_path.rglob("*.jsonl")) <= 8000
        assert bench.ledger.dropped > 0
        assert bench.ledger.waiting + bench.ledger.dropped == 100
        assert bench.events() == ["the journal takes no more: it is at its limit, or the disk refuses"]
        bench.rows.lost = False
        await bench.ledger.flush()
        assert len(bench.rows.rows) == 100 - bench.ledger.dropped
        assert "request-000000" in bench.rows.rows
        assert bench.events()[-1] == "the journal takes requests again"
        bench.serve(200)
        await bench.ledger.flush()
        assert "request-000200" in bench.rows.rows
        await bench.ledger.close()

    assert HELD_ROWS >= 1000
    asyncio.run(check())


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    class Disk:
        full = False

        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def write(self, handle: int, data: bytes) -> int:
            return real(handle, data[:40]) if self.full else real(handle, data)

    disk = Disk()
    monkeypatch.setattr(journal_module, "os", disk)

    async def check() -> None:
        bench = Bench(tmp_path)
        bench.serve(1)
        disk.full = True
        bench.serve(2)
        disk.full = False
        bench.serve(3)
        (segment,) = tmp_path.rglob("*.jsonl")
        whole = [msgspec.json.decode(line) for line in segment.read_bytes().splitlines()]
        assert [line[:2] for line in whole] == [
            [kind, f"request-{number:06d}"] for number in (1, 3) for kind in ("begin", "end")
        ]
        await bench.ledger.flush()
        assert sorted(bench.rows.rows) == [f"request-{number:06d}" for number in (1, 2, 3)]
        assert bench.ledger.damaged == 0
        await bench.ledger.close()

    asyncio.run(check())


def test_closing_without_the_store_leaves_it_for_the_next(tmp_path: Path) -> None:
    async def check() -> None:
        bench = Bench(tmp_path)
        bench.serve(1)
        bench.rows.lost = True
        await bench.ledger.close()
        bench.rows.lost = False
        following = Bench(tmp_path, bench.rows)
        await following.ledger.flush()
        assert set(bench.rows.rows) == {"request-000001"}
        await following.ledger.close()

    asyncio.run(check())


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be used: Not a directory"):
        Bench(tmp_path / "file" / "journal")


def test_what_comes_while_it_ships_is_for_the_next_time(tmp_path: Path) -> None:
    async def check() -> None:
        bench = Bench(tmp_path)
        bench.serve(1, 2, 3)

        def another() -> None:
            assert len(bench.rows.batches) < 5, "it goes on forever in tiny pieces"
            bench.serve(100 + len(bench.rows.batches))

        bench.rows.before = another
        await bench.ledger.flush()
        assert (bench.rows.batches, bench.ledger.waiting) == ([3], 1)
        bench.rows.before = lambda: None
        await bench.ledger.close()
        assert len(bench.rows.rows) == 4

    asyncio.run(check())
