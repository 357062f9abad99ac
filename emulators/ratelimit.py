"""Rate limits in fixed windows, as a cloud publishes them in its headers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """So many requests in so many seconds."""

    name: str
    seconds: int
    limit: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the limiter says of one request.

    Attributes:
        exceeded: The longest window that is used up; None: let it pass.
        retry_after_s: Whole seconds until that window starts afresh.
        headers: The headers that go with every answer.
    """

    exceeded: Window | None
    retry_after_s: int
    headers: Mapping[str, str]


class RateLimiter:
    """Counts the requests of one account.

    Args:
        windows: From the shortest to the longest.
    """

    def __init__(self, windows: tuple[Window, ...]) -> None:
        self.windows = windows
        self._used: dict[str, tuple[int, int]] = {}
        self._policy = ", ".join(f'"{w.name}";q={w.limit};w={w.seconds}' for w in windows)

    def check(self, now: float) -> Verdict:
        """Counts a request at emulated time `now` (seconds). A refused request uses nothing up."""
        counts = []
        exceeded: Window | None = None
        for window in self.windows:
            number = math.floor(now / window.seconds)
            used_in, used = self._used.get(window.name, (number, 0))
            counts.append(used if used_in == number else 0)
            if counts[-1] >= window.limit:
                exceeded = window
        parts = []
        for window, used in zip(self.windows, counts, strict=True):
            number = math.floor(now / window.seconds)
            used += exceeded is None
            self._used[window.name] = (number, used)
            reset = max(1, math.ceil((number + 1) * window.seconds - now))
            parts.append(f'"{window.name}";r={max(0, window.limit - used)};t={reset}')
        retry = 0
        if exceeded:
            retry = max(1, math.ceil((math.floor(now / exceeded.seconds) + 1) * exceeded.seconds - now))
        headers = {"RateLimit": ", ".join(parts), "RateLimit-Policy": self._policy}
        return Verdict(exceeded, retry, headers)
