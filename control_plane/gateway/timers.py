"""Time of the event loop as an argument, so that tests need not wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Protocol


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """It is not to come any more."""


class Timers(Protocol):
    """What the time is, how to wait, and how to be called later."""

    def now(self) -> float:
        """Monotonic seconds."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Calls `callback` once, at `when` (monotonic seconds) or soon after."""

    async def sleep(self, seconds: float) -> None:
        """Waits."""


class LoopTimers:
    """Timers of the running event loop."""

    def now(self) -> float:
        """The loop's time, to which uvloop's own keeps within a millisecond."""
        return monotonic()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """By the loop."""
        return asyncio.get_running_loop().call_at(when, callback)

    async def sleep(self, seconds: float) -> None:
        """By the loop."""
        await asyncio.sleep(seconds)
