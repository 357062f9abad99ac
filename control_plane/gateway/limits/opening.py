"""Which limiter a gateway uses."""

from __future__ import annotations

from collections.abc import Callable

from control_plane.gateway.limits.layers import ReadSpent
from control_plane.gateway.limits.memory import Count, MemoryLimiter


def open_limiter(
    redis_url: str,
    *,
    monotonic: Callable[[], float],
    wall: Callable[[], float],
    read_spent: ReadSpent,
    count: Count,
) -> MemoryLimiter:
    """The limiter. Then `await start()`, `apply(declared)`, and at the end `await close()`.

    Args:
        redis_url: Redis through which replicas share their limits; empty: each has its own.
        monotonic: Monotonic seconds.
        wall: Seconds since the epoch, for calendar months.
        read_spent: What was spent in a month (`2026-11`) so far, USD, by layer and name: asked at the start.
        count: Told of each refusal: layer and reason, as metrics name them.
    """
    return MemoryLimiter(monotonic=monotonic, wall=wall, read_spent=read_spent, count=count)
