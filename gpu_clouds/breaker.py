"""The circuit breaker: after a row of failures a cloud is left alone for a while."""

from __future__ import annotations

import threading
from enum import StrEnum, unique

from gpu_clouds.answers import Kind
from gpu_clouds.clock import Clock
from gpu_clouds.errors import CircuitOpenError


@unique
class Outcome(StrEnum):
    """What one sent call says about the cloud's health."""

    FINE = "fine"  # an answer, of whatever kind: 4xx, no capacity and 429 too are a healthy cloud's words
    FAILED = "failed"  # 5xx, no connection, time-out


class Breaker:
    """For one cloud and credential set: `failures` in a row open it for `open_s`; one probe closes it.

    Args:
        what: Whose breaker it is, for the message.
        clock: Time.
        cloud: Name of the cloud, for the error.
        failures: Failures in a row that open it.
        open_s: How long it stays open, seconds.
    """

    def __init__(
        self, what: str, clock: Clock, *, cloud: str = "", failures: int = 5, open_s: float = 30.0
    ) -> None:
        self._what = what
        self._cloud = cloud
        self._clock = clock
        self._limit = failures
        self._open_s = open_s
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._open_until: float | None = None
        self._probing = False

    def before(self, kind: Kind, cancel: threading.Event | None = None) -> bool:
        """Passes, waits (deletes), or refuses.

        Returns:
            Whether the call is the one that probes an open breaker.

        Raises:
            CircuitOpenError: Open, or somebody else is probing. Never for a delete.
            CancelledError: Cancelled while a delete waited.
        """
        if self._open_until is None:  # the usual case takes no lock
            return False
        while True:
            with self._lock:
                if self._open_until is None:
                    return False
                left = self._open_until - self._clock.monotonic()
                if left <= 0 and not self._probing:
                    self._probing = True
                    return True
                if left <= 0 and kind is Kind.DELETE:
                    return False
                if kind is not Kind.DELETE:
                    when = f"next attempt in {left:.0f} s" if left > 0 else "one call is trying it now"
                    raise CircuitOpenError(
                        f"{self._what}: not sent, {self._in_a_row} calls in a row failed; {when}",
                        cloud=self._cloud or None,
                    )
            self._clock.sleep(left, cancel)

    def after(self, outcome: Outcome) -> None:
        """Notes what came of a call that `before` let pass."""
        if outcome is Outcome.FINE:
            if self._in_a_row or self._open_until is not None:
                with self._lock:
                    self._in_a_row, self._open_until, self._probing = 0, None, False
            return
        with self._lock:
            self._in_a_row += 1
            if self._probing or self._in_a_row >= self._limit:
                self._open_until = self._clock.monotonic() + self._open_s
                self._probing = False

    def abandon_probe(self) -> None:
        """Notes that the probing call was never sent, so that the next one may probe."""
        with self._lock:
            self._probing = False
