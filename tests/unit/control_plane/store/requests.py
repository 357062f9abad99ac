"""Requests as the gateway hands them to the ledger, a ledger under test, and a store that can be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog
from structlog.testing import LogCapture

from control_plane.gateway.call import Call, Endpoint, Outcome, Result, Usage
from control_plane.gateway.ledger import JournalLedger
from control_plane.gateway.timers import Timer
from control_plane.store.errors import StoreError, StoreLost
from control_plane.store.rows import Row, Spent, sums
from control_plane.store.rows import Usage as Sums
from tests.unit.control_plane.store.constants import NOVEMBER


def call(number: int, **changes: Any) -> Call:
    fields: dict[str, Any] = {
        "request_id": f"request-{number:06d}",
        "endpoint": Endpoint.CHAT,
        "body": b"{}",
        "asked_model": "asked",
        "model": f"model-{number % 2}",
        "stream": number % 2 == 0,
        "wants_usage": False,
        "max_tokens": None,
        "choices": 1,
        "prompt_tokens_estimate": 3,
        "not_continuable": "",
        "prefix": 0,
        "tenant": f"tenant-{number % 3}",
        "key_id": f"key-{number % 4}",
        "received": 100.0,
        "deadline": 130.0,
    }
    return Call(**{**fields, **changes})


def outcome(number: int = 0, **changes: Any) -> Outcome:
    fields: dict[str, Any] = {
        "result": Result.OK,
        "status": 200,
        "usage": Usage(10 + number, 20, 10, 20 + number, 5),
        "nodes": ["node-a", "node-b"],
        "hops": 1,
        "first_byte": 100.25,
        "finished": 102.5,
    }
    return Outcome(**{**fields, **changes})


class FakeTimers:
    """Time that goes on only when a test says so."""

    def __init__(self) -> None:
        self.time = 0.0
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return self.time

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        entry = (when, callback)
        self.calls.append(entry)
        calls = self.calls

        class Entry:
            def cancel(self) -> None:
                if entry in calls:
                    calls.remove(entry)

        return Entry()

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    async def advance(self, seconds: float) -> None:
        self.time += seconds
        for entry in [each for each in self.calls if each[0] <= self.time]:
            self.calls.remove(entry)
            entry[1]()
        for _ in range(20):
            await asyncio.sleep(0)


class MemoryRows:
    """A store in memory. `before` and `after` are called around each commit, and may raise."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.lost = False
        self.bad: set[str] = set()
        self.batches: list[int] = []
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    async def add(self, rows: Sequence[Row]) -> int:
        if self.lost:
            raise StoreLost("writing the ledger: the database does not answer")
        if self.bad.intersection(row.request_id for row in rows):
            raise StoreError("writing the ledger: the database refuses it")
        self.before()
        new = [row for row in rows if row.request_id not in self.rows]
        self.rows.update((row.request_id, row) for row in new)
        self.batches.append(len(rows))
        self.after()
        return len(new)

    async def spent(self, month: str) -> Spent:
        if self.lost:
            raise StoreLost("reading usage: the database does not answer")
        of_month = [each for each in self.usage() if each.month == month]
        return Spent(sum(each.nano_usd for each in of_month) / 1e9)

    def usage(self) -> list[Sums]:
        return sums(list(self.rows.values()))


class Bench:
    """A ledger over a store in memory, in a folder, with its log."""

    def __init__(self, folder: Path, rows: MemoryRows | None = None, **options: Any) -> None:
        self.rows = rows or MemoryRows()
        self.timers = FakeTimers()
        self.log = LogCapture()
        self.wall = NOVEMBER / 1e6
        self.ledger = JournalLedger(
            folder,
            self.rows,
            structlog.wrap_logger(None, processors=[self.log]),
            wall=lambda: self.wall,
            timers=self.timers,
            **options,
        )

    def serve(self, *numbers: int) -> None:
        for number in numbers:
            self.ledger.begin(call(number), 100, 0.5)
            self.ledger.end(call(number), outcome(number), 0.001 * number)

    def events(self) -> list[str]:
        return [entry["event"] for entry in self.log.entries]
