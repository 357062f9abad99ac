"""When a node that keeps failing is left alone, and when it may try again."""

from __future__ import annotations

import enum


class BreakerState(enum.Enum):
    """Whether requests pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens after several failures in a row; later lets one request try, whose end decides.

    Args:
        failures: Failures in a row that open it.
        open_s: How long it stays open, seconds.
    """

    __slots__ = ("_failures", "_open_s", "in_a_row", "opened", "retry_at", "trial")

    def __init__(self, failures: int, open_s: float) -> None:
        self._failures = failures
        self._open_s = open_s
        self.in_a_row = 0
        self.retry_at = 0.0
        """When one request may try; 0 while closed. Monotonic seconds."""
        self.trial = False
        """Whether that one is on its way."""
        self.opened = 0
        """How often it has opened."""

    def state(self, now: float) -> BreakerState:
        """Its state at `now`, monotonic seconds."""
        if not self.retry_at:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.retry_at else BreakerState.HALF_OPEN

    def allows(self, now: float) -> bool:
        """Whether a request may pass at `now`."""
        return not self.retry_at or (now >= self.retry_at and not self.trial)

    def take(self) -> bool:
        """Notes that a request passes.

        Returns:
            Whether it is the one that tries a half-open breaker; `give_back` then, if it comes to no end.
        """
        if self.retry_at:
            self.trial = True
            return True
        return False

    def give_back(self) -> None:
        """The request that tried has neither succeeded nor failed: another may try."""
        self.trial = False

    def succeeded(self) -> None:
        """Closes it."""
        self.in_a_row = 0
        self.retry_at = 0.0
        self.trial = False

    def failed(self, now: float, *, tried: bool = False) -> bool:
        """Counts a failure.

        Args:
            now: Monotonic seconds.
            tried: Whether it was the one request that `take` let through a half-open breaker.

        Returns:
            Whether it has opened by this one. One that is open does not stay open for longer because requests
            fail that began before.
        """
        self.in_a_row += 1
        if self.retry_at and not tried:
            return False
        if not self.retry_at and self.in_a_row < self._failures:
            return False
        self.retry_at = now + self._open_s
        self.trial = False
        self.opened += 1
        return True
