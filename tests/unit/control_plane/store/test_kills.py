"""A gateway that is killed at any of its writes loses no request that was ended, and has none twice."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from control_plane.store.rows import sums
from tests.unit.control_plane.store.requests import Bench, MemoryRows, call, outcome

EFFECTS = ("open", "write", "ftruncate", "mkdir", "rename", "unlink", "rmdir")
MODES = ("before", "within", "after")


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Killer:
    """Ends a life at one of its effects: before it, in the middle of a write, or right after it."""

    at: int
    mode: str
    count: int = 0
    dead: bool = False
    handles: set[int] = field(default_factory=set)

    def point(self) -> None:
        """Something that no effect stands for: a commit."""
        self._reached(lambda: None, ())

    @contextmanager
    def watching(self) -> Iterator[None]:
        close = os.close
        with pytest.MonkeyPatch.context() as patch:
            for name in EFFECTS:
                patch.setattr(os, name, self._wrapped(name, getattr(os, name)))
            try:
                yield
            finally:
                patch.undo()
                # The kernel closes what a process leaves, and so lets go of its locks.
                for handle in self.handles:
                    try:
                        close(handle)
                    except OSError:
                        continue

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def effect(*arguments: Any, **options: Any) -> Any:
            done = self._reached(lambda: real(*arguments, **options), arguments if name == "write" else ())
            if name == "open":
                self.handles.add(done)
            return done

        return effect

    def _reached(self, act: Callable[[], Any], write: tuple[Any, ...]) -> Any:
        if self.dead:
            raise Killed
        self.count += 1
        if self.count != self.at:
            return act()
        self.dead = True
        if self.mode == "after":
            done = act()
            if isinstance(done, int) and not write:
                self.handles.add(done)
        elif self.mode == "within" and write:
            handle, data = write
            REAL_WRITE(handle, data[: len(data) // 2])
        raise Killed


REAL_WRITE = os.write


@dataclass
class Seen:
    """What a client could know."""

    begun: set[int] = field(default_factory=set)
    ending: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)


def live(folder: Path, rows: MemoryRows, steps: list[int], killer: Killer, seen: Seen, first: int) -> None:
    """One life: each step begins a request, ends the oldest or the newest that is open, or ships."""

    async def run() -> None:
        bench = Bench(folder, rows, segment_bytes=900)
        still_open: list[int] = []
        for number, step in enumerate(steps, first):
            if step in (0, 1, 2):
                bench.ledger.begin(call(number), 10, 0.1)
                seen.begun.add(number)
                still_open.append(number)
            elif step in (3, 4, 5) and still_open:
                ending = still_open.pop(0 if step == 3 else -1)
                seen.ending.add(ending)
                bench.ledger.end(call(ending), outcome(ending), 0.001)
                seen.ended.add(ending)
            elif step == 6:
                await bench.ledger.flush()
        await bench.ledger.close()

    rows.before = rows.after = killer.point
    with killer.watching():
        try:
            asyncio.run(run())
        except Killed:
            assert killer.dead


def name(number: int) -> str:
    return call(number).request_id


def check(lives: list[tuple[list[int], int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = MemoryRows()
        seen = Seen()
        for life, (steps, at, mode) in enumerate(lives):
            live(Path(folder), rows, steps, Killer(at, mode), seen, life * 1000)
        # The last one is not killed: it finds what the others left.
        live(Path(folder), rows, [6], Killer(0, "before"), seen, 900_000)
        found = {row.request_id: row for row in rows.rows.values()}
        for number in seen.ended:
            assert found[name(number)].result == "ok", "what was ended is there"
            assert found[name(number)].nano_usd == 1_000_000
        for number in seen.begun - seen.ending:
            cut = found[name(number)]
            assert (cut.result, cut.nano_usd, cut.estimated) == ("cut_off", 0, True)
        for number in seen.begun & seen.ending:
            assert found[name(number)].result in ("ok", "cut_off")
        assert rows.usage() == sums(list(found.values()))
        assert list(Path(folder).rglob("*.jsonl")) == [], "and nothing is left on disk"


steps = st.lists(st.integers(0, 6), max_size=30)
lives = st.lists(st.tuples(steps, st.integers(1, 70), st.sampled_from(MODES)), min_size=1, max_size=4)


@settings(max_examples=60)
@given(lives)
@example([([0, 0, 3, 6, 0, 3], 12, "within")])
def test_any_lives(drawn: list[tuple[list[int], int, str]]) -> None:
    check(drawn)


BUSY = [0, 0, 3, 0, 4, 0, 3, 6, 0, 0, 3, 3, 0, 4, 0, 0, 3, 3, 6, 0, 3]


@pytest.mark.parametrize("mode", MODES)
def test_every_single_write(mode: str) -> None:
    killer = Killer(0, mode)
    with tempfile.TemporaryDirectory() as folder:
        live(Path(folder), MemoryRows(), BUSY, killer, Seen(), 0)
    assert killer.count > 30
    for at in range(1, killer.count + 1):
        check([(BUSY, at, mode)])


@pytest.mark.parametrize("mode", MODES)
def test_every_single_write_of_the_one_who_takes_over(mode: str) -> None:
    """The second life is killed at each of its writes while it deals with what the first left."""
    for at in range(1, 40):
        check([(BUSY, 33, "after"), ([6, 0, 3], at, mode)])
