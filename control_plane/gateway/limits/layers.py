"""What is counted of one instance, tenant, key or model: a minute's window, requests in flight, money."""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from control_plane.gateway.declared import Limits
from control_plane.store.rows import Spent

WINDOW_S = 61
"""How many whole seconds are counted together: every 60 s lie within 61 of them."""
UNLIMITED = 1 << 62
_NANO = 1_000_000_000


class Layer(enum.Enum):
    """Whose limits they are; the value is the label of metrics."""

    INSTANCE = "instance"
    TENANT = "tenant"
    KEY = "key"
    MODEL = "model"


class Reason(enum.Enum):
    """What was used up; the value is the label of metrics."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    IN_FLIGHT = "in_flight"
    BUDGET = "budget"


ReadSpent = Callable[[str], Awaitable[Spent]]
"""Answers what was spent in a month such as `2026-11`."""


def nano_usd(usd: float) -> int:
    """Money as a whole number of 1e-9 USD, as the store has it, so that sums are exact."""
    return round(usd * _NANO)


def usd(nano: int) -> float:
    """Money in USD."""
    return nano / _NANO


def month_of(wall: float) -> tuple[str, float]:
    """The calendar month in UTC, such as `2026-11`, and when it ends.

    Args:
        wall: Seconds since the epoch.

    Returns:
        The month, and the first moment of the next one, seconds since the epoch.
    """
    now = datetime.fromtimestamp(wall, UTC)
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
    return f"{now.year:04}-{now.month:02}", datetime(year, month, 1, tzinfo=UTC).timestamp()


class Second:
    """What was let in during one second.

    Attributes:
        at: Which second; -1 once it is out of the window.
        requests: Requests.
        tokens: Tokens: what is reserved for those in flight, what the others used.
    """

    __slots__ = ("at", "requests", "tokens")

    def __init__(self, at: int) -> None:
        self.at = at
        self.requests = 0
        self.tokens = 0


class Meter:
    """Counts of one instance, tenant, key or model.

    Its `most_*` are the limits in force; `limits` are the declared ones.

    Attributes:
        layer: Which layer.
        name: Whose.
        limits: As declared.
        requests: Requests of the window.
        tokens: Tokens of the window.
        running: Requests in flight.
        money: Reserved and spent in this month, 1e-9 USD.
        oldest: First second of the window that has something; far in the future for none.
    """

    __slots__ = (
        "layer",
        "limits",
        "money",
        "most_money",
        "most_requests",
        "most_running",
        "most_tokens",
        "name",
        "newest",
        "oldest",
        "requests",
        "requests_header",
        "running",
        "seconds",
        "tokens",
        "tokens_header",
    )

    def __init__(self, layer: Layer, name: str, limits: Limits) -> None:
        self.layer = layer
        self.name = name
        self.seconds: deque[Second] = deque()
        self.newest = Second(-1)
        self.oldest = UNLIMITED
        self.requests = self.tokens = self.running = self.money = 0
        self.limit(limits)

    def limit(self, limits: Limits) -> None:
        """Takes over other limits; what was used stays used."""
        self.limits = limits
        self.most_requests = limits.requests_per_minute or UNLIMITED
        self.most_tokens = limits.tokens_per_minute or UNLIMITED
        self.most_running = limits.in_flight or UNLIMITED
        self.most_money = nano_usd(limits.budget_usd) if limits.budget_usd > 0 else UNLIMITED
        self.requests_header = (b"x-ratelimit-limit-requests", b"%d" % limits.requests_per_minute)
        self.tokens_header = (b"x-ratelimit-limit-tokens", b"%d" % limits.tokens_per_minute)

    def forget(self, now: int) -> None:
        """Leaves out what is no longer in the window.

        Args:
            now: The present second.
        """
        seconds, gone = self.seconds, now - WINDOW_S
        while seconds and seconds[0].at <= gone:
            old = seconds.popleft()
            self.requests -= old.requests
            self.tokens -= old.tokens
            old.at = -1
        self.oldest = seconds[0].at if seconds else UNLIMITED

    def second(self, now: int) -> Second:
        """The entry of the present second."""
        newest = self.newest
        if newest.at != now:
            newest = self.newest = Second(now)
            self.seconds.append(newest)
            if self.oldest == UNLIMITED:
                self.oldest = now
        return newest

    def wait_requests(self, now: float) -> int:
        """Whole seconds until one more request fits; 0: now.

        Args:
            now: The present moment, seconds.
        """
        over = self.requests + 1 - self.most_requests
        return self._wait(now, over, lambda second: second.requests)

    def wait_tokens(self, tokens: int, now: float) -> int:
        """Whole seconds until so many tokens fit; 0: now. They are no more than the limit."""
        return self._wait(now, self.tokens + tokens - self.most_tokens, lambda second: second.tokens)

    def _wait(self, now: float, over: int, amount: Callable[[Second], int]) -> int:
        if over <= 0:
            return 0
        for second in self.seconds:
            over -= amount(second)
            if over <= 0:
                return max(1, math.ceil(second.at + WINDOW_S - now))
        return WINDOW_S
