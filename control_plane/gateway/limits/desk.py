"""The way to Redis: several runs of the scripts in one trip, with an end to waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from control_plane.gateway.limits.script import ALIVE, DEAD_S, LEASE, Ask, Granted, granted

_PREFIX = "gp:limits:"
_REPLICAS = _PREFIX + "{replicas}"
_encode = msgspec.json.Encoder().encode


class DeskLost(Exception):
    """Redis did not answer, or not in time. The message names the kind of error alone."""


@dataclass(slots=True)
class Trip:
    """One trip to Redis.

    Attributes:
        asks: Key and what is asked for it.
        alive: Whether to tell that this replica lives.
        leave: Whether to tell that it ends.
    """

    asks: Sequence[tuple[str, Ask]]
    alive: bool = False
    leave: bool = False


class Desk(Protocol):
    """Who leases."""

    async def go(self, trip: Trip) -> tuple[list[Granted], int]:
        """Goes there and back once.

        Returns:
            An answer for each ask, and how many replicas live; 0 where that was not asked.

        Raises:
            DeskLost: There was no answer.
        """

    async def close(self) -> None:
        """Ends the connection."""


class RedisDesk:
    """Redis.

    Args:
        url: Where it is; may hold a password.
        me: This replica's name.
        timeout_s: How long a trip may take, seconds.
    """

    def __init__(self, url: str, me: str, timeout_s: float) -> None:
        self._me = me
        self._timeout_s = timeout_s
        # A retry of ours would only make a request wait: the next trip is the retry.
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            retry_on_error=[],
            max_connections=8,
        )
        self._lease = ""
        self._alive = ""
        self.trips = 0

    async def go(self, trip: Trip) -> tuple[list[Granted], int]:
        """See `Desk`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                replies = await self._run(trip)
        except (RedisError, OSError, TimeoutError) as error:
            raise DeskLost(type(error).__name__) from None
        count = len(trip.asks)
        return [granted(reply) for reply in replies[:count]], replies[count] if len(replies) > count else 0

    async def close(self) -> None:
        """See `Desk`."""
        await self._redis.aclose()

    async def _run(self, trip: Trip) -> list[Any]:
        if not self._lease:
            self._lease = await self._redis.script_load(LEASE)
            self._alive = await self._redis.script_load(ALIVE)
        try:
            return await self._once(trip)
        except NoScriptError:
            # Redis was restarted, and its scripts are gone. No ask was carried out: all have the same script.
            self._lease = await self._redis.script_load(LEASE)
            self._alive = await self._redis.script_load(ALIVE)
            return await self._once(trip)

    async def _once(self, trip: Trip) -> list[Any]:
        self.trips += 1
        pipeline = self._redis.pipeline(transaction=False)
        for key, ask in trip.asks:
            pipeline.evalsha(self._lease, 1, key, _encode(ask).decode())
        if trip.alive or trip.leave:
            ask_alive = {"me": self._me, "dead": DEAD_S, "now": 0, "leave": trip.leave}
            pipeline.evalsha(self._alive, 1, _REPLICAS, _encode(ask_alive).decode())
        return await pipeline.execute()


def key_of(layer: str, name: str, tenant: str) -> str:
    """A meter's key. What is of one tenant has the same hash tag, and so the same node of a cluster.

    Args:
        layer: Which layer.
        name: Whose meter.
        tenant: Whose tenant's, for a tenant and its keys.
    """
    tag = f"tenant:{tenant}" if layer in ("tenant", "key") else f"{layer}:{name}"
    return f"{_PREFIX}{{{tag.replace('}', '_')}}}:{layer}:{name}"
