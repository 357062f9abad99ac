"""How many retries there may be, so that a failing fleet isn't asked for more than it is."""

from __future__ import annotations

WINDOW_S = 10


class RetryBudget:
    """Retries as a share of the requests of the last ten seconds, counted second by second.

    Args:
        share: Retries for each request.
        floor: Retries in ten seconds that are always allowed, for a gateway with few requests.
    """

    __slots__ = ("_floor", "_requests", "_retries", "_second", "_share", "refused", "requests", "retries")

    def __init__(self, share: float, floor: int) -> None:
        self._share = share
        self._floor = floor
        self._requests = [0] * WINDOW_S
        self._retries = [0] * WINDOW_S
        self._second = 0
        self.requests = 0
        """Of the last ten seconds."""
        self.retries = 0
        """Of the last ten seconds."""
        self.refused = 0
        """Retries that were not allowed, of all time."""

    def request(self, now: float) -> None:
        """Counts a request."""
        self._turn(int(now))
        self._requests[self._second % WINDOW_S] += 1
        self.requests += 1

    def take(self, now: float) -> bool:
        """Whether one more retry is allowed; counts it if so."""
        self._turn(int(now))
        if self.retries >= max(self._floor, int(self._share * self.requests)):
            self.refused += 1
            return False
        self._retries[self._second % WINDOW_S] += 1
        self.retries += 1
        return True

    def _turn(self, second: int) -> None:
        if second == self._second:
            return
        for gone in range(self._second + 1, min(second, self._second + WINDOW_S) + 1):
            at = gone % WINDOW_S
            self.requests -= self._requests[at]
            self.retries -= self._retries[at]
            self._requests[at] = self._retries[at] = 0
        self._second = max(second, self._second)
