"""Which limiter a gateway uses."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from control_plane.gateway.limits.layers import ReadSpent
from control_plane.gateway.limits.memory import Count, MemoryLimiter

if TYPE_CHECKING:
    from control_plane.gateway.limits.redis import Changed, RedisLimiter


def open_limiter(
    redis_url: str,
    *,
    monotonic: Callable[[], float],
    wall: Callable[[], float],
    read_spent: ReadSpent,
    count: Count,
    changed: Changed = lambda lost: None,
    wait_s: float = 0.05,
) -> MemoryLimiter | RedisLimiter:
    """The limiter. Then `await start()`, `apply(declared)`, and at the end `await close()`.

    Args:
        redis_url: Redis through which replicas share their limits; empty: each has its own.
        monotonic: Monotonic seconds.
        wall: Seconds since the epoch, for calendar months.
        read_spent: What was spent in a month (`2026-11`) so far, as the store says: asked at the start.
        count: Told of each refusal: layer and reason, as metrics name them.
        changed: Told when Redis is lost (True) and when it is back (False).
        wait_s: How long a request waits for Redis, seconds.
    """
    local = MemoryLimiter(monotonic=monotonic, wall=wall, read_spent=read_spent, count=count)
    if not redis_url:
        return local
    # Its client takes long to import, and most gateways need none.
    from control_plane.gateway.limits.desk import RedisDesk
    from control_plane.gateway.limits.redis import RedisLimiter

    me = secrets.token_hex(8)
    desk = RedisDesk(redis_url, me, wait_s)
    return RedisLimiter(local, desk, me, monotonic=monotonic, wait_s=wait_s, changed=changed)
