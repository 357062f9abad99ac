"""When requests begin to be watched: one timer for all of them, since most are over before."""

from __future__ import annotations

from control_plane.gateway.relaying.guard import Guard
from control_plane.gateway.timers import Timers


class Watch:
    """Begins to watch a request once it has run for a while.

    Args:
        timers: The time.
        after_s: How long that is, seconds.
    """

    __slots__ = ("_after_s", "_armed", "_timers", "_young")

    def __init__(self, timers: Timers, after_s: float) -> None:
        self._timers = timers
        self._after_s = after_s
        self._young: dict[Guard, float] = {}
        """Those that are not watched yet, in the order in which they will be, and when."""
        self._armed = False

    def add(self, guard: Guard) -> None:
        """A request begins."""
        due = self._timers.now() + self._after_s
        self._young[guard] = due
        if not self._armed:
            self._arm(due)

    def discard(self, guard: Guard) -> None:
        """A request is over."""
        self._young.pop(guard, None)

    def _arm(self, due: float) -> None:
        self._armed = True
        self._timers.call_at(due, self._begin)

    def _begin(self) -> None:
        self._armed = False
        now = self._timers.now()
        while self._young:
            guard, due = next(iter(self._young.items()))
            if due > now:
                self._arm(due)
                return
            del self._young[guard]
            guard.begin_to_watch()
