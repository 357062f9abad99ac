"""What may interrupt a request: its client goes, its node is silent or taken out, the gateway stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeVar

from control_plane.gateway.relaying.lost import ClientGone, Lost
from control_plane.gateway.timers import Timer, Timers

Result = TypeVar("Result")
_EARLY_S = 0.005
"""By how much a timer may come early: the event loop counts whole milliseconds."""


class Guard:
    """Cancels the task of one request for a reason, where nothing is lost by it.

    A client that has gone interrupts at once. All else interrupts only while the node is waited for, so that
    what the client is being sent is sent; it is noticed at the next wait.

    Args:
        task: The request's.
        timers: The time.
        receive: The client's side.
    """

    __slots__ = (
        "_closed",
        "_gone",
        "_reason",
        "_receive",
        "_task",
        "_timer",
        "_timers",
        "_waits",
        "_watch",
        "limit",
        "overdue",
    )

    def __init__(
        self,
        task: asyncio.Task[Any],
        timers: Timers,
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    ) -> None:
        self._task = task
        self._timers = timers
        self._receive = receive
        self._closed = False
        self._gone = False
        self._waits = False
        self._reason: Exception | None = None
        self._watch: asyncio.Task[None] | None = None
        self.limit = 0.0
        """Until when the node must have sent something, monotonic seconds; 0: no limit. Moved on without
        touching a timer."""
        self.overdue = "no answer in time"
        """What it means when it has not."""
        self._timer: Timer | None = None

    def begin_wait(self) -> None:
        """From here to `end_wait` the node is waited for.

        Raises:
            Lost: The request is to go on elsewhere.
            Stopped: It is to end.
        """
        if self._reason is not None:
            reason, self._reason = self._reason, None
            raise reason
        self._waits = True

    def end_wait(self) -> None:
        """The node has sent something."""
        self._waits = False

    def interrupt(self, reason: Exception) -> None:
        """Interrupts the wait for the node, or the next one. Raised there is `reason`."""
        if self._closed or self._reason is not None:
            return
        self._reason = reason
        if self._waits:
            self._task.cancel()

    def interrupted(self) -> Exception | None:
        """After a cancellation: what it was for; None: it did not come from here, and is to go on."""
        self._waits = False
        reason, self._reason = self._reason, None
        if reason is not None:
            self._task.uncancel()
        return reason

    def close(self) -> None:
        """Interrupts no more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def set_limit(self, seconds: float, overdue: str) -> None:
        """Gives the node a time, from now on.

        Args:
            seconds: How long.
            overdue: What it means when it is over.
        """
        self.limit = self._timers.now() + seconds
        self.overdue = overdue
        if self._watch is not None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._timers.call_at(self.limit, self._check)

    def leave_node(self) -> None:
        """The node is left: its time counts no more, and what was wrong with it neither."""
        self.limit = 0.0
        if isinstance(self._reason, Lost):
            self._reason = None

    def begin_to_watch(self) -> None:
        """From here on the client's going and the node's time are noticed. Short requests are over before."""
        if self._closed:
            return
        self._watch = asyncio.ensure_future(self._wait_for_end_of_client())
        if self.limit:
            self._timer = self._timers.call_at(self.limit, self._check)

    async def _wait_for_end_of_client(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._closed:
            self._reason = ClientGone()
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            self._task.cancel()

    def _check(self) -> None:
        if self._closed or not self.limit:
            return
        # A node is not overdue while it is the client that takes no more.
        now = self._timers.now()
        if now >= self.limit - _EARLY_S and self._waits:
            self.interrupt(Lost(self.overdue))
        else:
            later = max(self.limit, now + 1.0)
            self._timer = self._timers.call_at(later, self._check)
