"""The ledger: every request is written to the journal at once, and from there to the store each second.

What holds, whatever is killed and whenever:

* A request whose `end` has returned is in the ledger, once. The relay calls it before the client has the last
  bytes of its answer, so whatever was answered completely is there.
* A request that was let in and whose gateway was killed before its `end` becomes a row with the result
  `cut_off`: billed 0, tokens 0 and flagged `estimated`, since nobody knows what its nodes counted; its
  `ended_us` is empty.
* Nothing is written twice: the store leaves out a request that it knows, and adds to the sums only what is
  new.

The bounds: a loss of power may take what the kernel had not written out (journal.py). Where the journal has
grown to its limit (while the store is lost) or the disk refuses, it keeps what it has; further ends are
held in memory, up to `HELD_ROWS`, and what comes on top is lost, counted (`dropped`) and logged.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from control_plane.gateway import entries
from control_plane.gateway.call import Call, Outcome
from control_plane.gateway.entries import Begun
from control_plane.gateway.journal import LIMIT_BYTES, SEGMENT_BYTES, DeadJournal, Journal, Segment
from control_plane.gateway.log import Log
from control_plane.gateway.timers import LoopTimers, Timers
from control_plane.store.errors import StoreError, StoreLost
from control_plane.store.rows import Row, Spent

SHIP_S = 1.0
SHIP_ROWS = 1000
HELD_ROWS = 10_000
MOST_WAIT_S = 15.0
_SCAN_S = 30.0
_READ_BYTES = 400_000
_REFUSED = "refused.jsonl"


class Rows(Protocol):
    """Where rows go: the store."""

    async def add(self, rows: Sequence[Row]) -> int:
        """Writes rows, each once; returns how many were new. Raises StoreLost or StoreError."""

    async def spent(self, month: str) -> Spent:
        """Money spent in a month, such as `2026-11`. Raises StoreLost."""


class JournalLedger:
    """The ledger of one gateway process (`parts.Ledger`).

    Args:
        folder: Folder of the journals, on a local disk that outlives the process.
        rows: The store.
        log: For what operators must know.
        wall: Seconds since the epoch.
        timers: The event loop's time.
        limit_bytes: Most that the journals may take of the disk, bytes.
        segment_bytes: Size of one segment, bytes.

    Attributes:
        waiting: Ended requests that are not in the store yet.
        lost: Whether the store did not answer when it was last asked.
        dropped: Ended requests that found no place, and are lost.
        refused: Rows that the store refuses for good; they are kept in `refused.jsonl`.
        damaged: Lines of journals that could not be read.

    Raises:
        JournalError: The folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        rows: Rows,
        log: Log,
        *,
        wall: Callable[[], float] = time.time,
        timers: Timers | None = None,
        limit_bytes: int = LIMIT_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._folder = folder
        self._rows = rows
        self._log = log
        self._wall = wall
        self._timers = timers or LoopTimers()
        self._journal = Journal(folder, segment_bytes=segment_bytes, limit_bytes=limit_bytes)
        self._open: dict[str, tuple[int, bytes]] = {}
        self._held: list[Row] = []
        self._oldest_us = 0
        self._next_scan = 0.0
        self._full = False
        self._shipping = asyncio.Lock()
        self._wake = asyncio.Event()
        self.waiting = 0
        self.lost = False
        self.dropped = 0
        self.refused = 0
        self.damaged = 0

    def begin(self, call: Call, tokens: int, usd: float) -> None:
        """Notes that a request was let in, before a node sees it, with what was reserved for it."""
        now_us = int(self._wall() * 1e6)
        line = entries.encode(entries.begun(call, now_us, tokens, usd)) + b"\n"
        self._open[call.request_id] = (now_us, line)
        self._journal.append(line)

    def end(self, call: Call, outcome: Outcome, usd: float) -> None:
        """Notes what came of it. Survives a kill of this process from here on."""
        begun = self._open.pop(call.request_id, None)
        row = entries.ended(call, outcome, usd, begun[0] if begun else None, self._wall)
        journal = self._journal
        if not journal.append(entries.encode(row) + b"\n"):
            if not self._hold(row):
                return
        elif journal.full:
            journal.rotate(line for _, line in self._open.values())
        if not self.waiting:
            self._oldest_us = row.ended_us or row.begun_us
        self.waiting += 1
        if self.waiting >= SHIP_ROWS:
            self._wake.set()

    def lag_s(self) -> float:
        """Age of the oldest ended request that is not in the store, seconds; 0 for none."""
        return max(0.0, self._wall() - self._oldest_us / 1e6) if self.waiting else 0.0

    async def run(self) -> None:
        """Ships to the store each second, or after a thousand requests; until it is cancelled."""
        wait = SHIP_S
        while True:
            await self._pause(wait)
            try:
                await self.flush()
            except StoreLost as error:
                if wait == SHIP_S:
                    self._log.warning("the ledger waits on disk: the store is lost", error=str(error))
                wait = min(wait * 2, MOST_WAIT_S)
                continue
            except Exception:
                self._log.exception("shipping the ledger failed")
                wait = min(wait * 2, MOST_WAIT_S)
                continue
            if wait != SHIP_S:
                self._log.info("the ledger is in the store again")
            wait = SHIP_S

    async def flush(self) -> None:
        """Ships everything that waits now, also what gateways left that are gone.

        Raises:
            StoreLost: The store does not answer. All stays where it is.
        """
        async with self._shipping:
            try:
                if self._timers.now() >= self._next_scan:
                    await self._ship_others()
                    self._next_scan = self._timers.now() + _SCAN_S
                await self._ship_held()
                await self._ship_own()
            except StoreLost:
                self.lost = True
                raise
            self.lost = False

    async def spent(self, month: str) -> Spent:
        """Money spent in a month, with everything that this machine's journals have.

        What other machines' gateways have not shipped yet (a second's worth) is not in it.

        Args:
            month: Such as `2026-11`, UTC.

        Raises:
            StoreLost: The store does not answer.
        """
        await self.flush()
        return await self._rows.spent(month)

    async def close(self) -> None:
        """Ships what there is and ends the journal; what cannot be shipped is left for the next start."""
        try:
            await self.flush()
        except StoreLost as error:
            self._log.warning("the ledger is left on disk for the next start", error=str(error))
        if not self._open and not self.waiting:
            self._journal.remove()
        self._journal.close()

    def _hold(self, row: Row) -> bool:
        if not self._full:
            self._full = True
            self._log.error("the journal takes no more: it is at its limit, or the disk refuses")
        if len(self._held) >= HELD_ROWS:
            self.dropped += 1
            return False
        self._held.append(row)
        return True

    async def _pause(self, seconds: float) -> None:
        self._wake.clear()
        # While the store is lost, a thousand requests are no reason to ask it sooner.
        if seconds == SHIP_S and self.waiting >= SHIP_ROWS:
            return
        timer = self._timers.call_at(self._timers.now() + seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    async def _ship_own(self) -> None:
        journal = self._journal
        # What comes meanwhile is for the next time: else, under load, it would go on forever in tiny pieces.
        for segment, size in [(each, each.size) for each in journal.segments]:
            while segment.read < size:
                rows, end = self._next_rows(segment)
                await self._add(rows)
                segment.read = end
                journal.drop_shipped()
                self._shipped(rows)
        if self._full and not self._held:
            self._full = False
            self._log.info("the journal takes requests again")

    async def _ship_held(self) -> None:
        while self._held:
            rows = self._held[:SHIP_ROWS]
            await self._add(rows)
            del self._held[: len(rows)]
            self._shipped(rows)

    def _shipped(self, rows: list[Row]) -> None:
        self.waiting -= len(rows)
        if rows and rows[-1].ended_us is not None:
            # The next one ended no earlier.
            self._oldest_us = rows[-1].ended_us

    async def _ship_others(self) -> None:
        for dead in self._journal.others():
            try:
                rows, cut_off = await self._ship_dead(dead)
                dead.remove()
                self._log.info("a gateway's journal was taken over", requests=rows, cut_off=cut_off)
            finally:
                dead.release()

    async def _ship_dead(self, dead: DeadJournal) -> tuple[int, int]:
        still_open: dict[str, Begun] = {}
        count = 0
        for segment in dead.segments:
            while segment.read < segment.size:
                lines, end = segment.lines(_READ_BYTES)
                if end == segment.read:
                    # It was killed within a write: half a line.
                    break
                rows: list[Row] = []
                for item in self._decoded(lines):
                    if isinstance(item, Begun):
                        still_open[item.request_id] = item
                    else:
                        still_open.pop(item.request_id, None)
                        rows.append(item)
                await self._add(rows)
                count += len(rows)
                segment.read = end
        cut_off = [begun.cut_off() for begun in still_open.values()]
        for start in range(0, len(cut_off), SHIP_ROWS):
            await self._add(cut_off[start : start + SHIP_ROWS])
        return count, len(cut_off)

    def _next_rows(self, segment: Segment) -> tuple[list[Row], int]:
        try:
            lines, end = segment.lines(_READ_BYTES)
        except OSError as error:
            self._log.error("a segment of the journal cannot be read", error=error.strerror)
            self.damaged += 1
            return [], segment.size
        # The beginnings matter only once this process is gone.
        ends = self._decoded(line for line in lines if line.startswith(entries.END))
        return [item for item in ends if isinstance(item, Row)], end

    def _decoded(self, lines: Iterable[bytes]) -> list[Begun | Row]:
        found, damaged = entries.decoded(lines)
        self.damaged += damaged
        return found

    async def _add(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        try:
            await self._rows.add(rows)
        except StoreError as error:
            if len(rows) > 1:
                # One bad row must not stop the others.
                for row in rows:
                    await self._add([row])
                return
            self._refuse(rows[0], str(error))

    def _refuse(self, row: Row, why: str) -> None:
        file = os.open(self._folder / _REFUSED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, entries.encode(row) + b"\n")
        finally:
            os.close(file)
        self.refused += 1
        self._log.error("the store refuses a row of the ledger", request_id=row.request_id, error=why)
