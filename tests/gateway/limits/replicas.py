"""Replicas that share limits through a real Redis, on a clock that goes on when it is told to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from control_plane.gateway.declared import ApiKey, Declared
from control_plane.gateway.limits.desk import DeskLost, RedisDesk, Trip
from control_plane.gateway.limits.memory import MemoryLimiter
from control_plane.gateway.limits.redis import RedisLimiter
from control_plane.gateway.limits.script import Granted
from control_plane.gateway.parts import Refused, Reservation
from control_plane.store.rows import Spent
from tests.unit.control_plane.limits.asking import Clock, call

PATIENT_S = 20.0


class Waits:
    """Those who sleep until the clock has gone so far."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.clock.now + seconds, future))
        await future

    def wake(self) -> None:
        due = [each for each in self._sleepers if each[0] <= self.clock.now + 1e-6]
        self._sleepers = [each for each in self._sleepers if each not in due]
        for _, future in due:
            if not future.done():
                future.set_result(None)


class ClockDesk(RedisDesk):
    """Redis at the time of the test's clock."""

    def __init__(self, url: str, me: str, timeout_s: float, clock: Clock) -> None:
        super().__init__(url, me, timeout_s)
        self._clock = clock
        self.going = 0
        self.dead = False

    async def go(self, trip: Trip) -> tuple[list[Granted], int]:
        if self.dead:
            raise DeskLost("killed")
        for _, ask in trip.asks:
            ask.now = int(self._clock.wall_now)
        self.going += 1
        try:
            return await super().go(trip)
        finally:
            self.going -= 1


class Replicas:
    """Some gateways' limiters.

    Args:
        url: Redis.
        count: How many.
        declared: What all of them have.
        spent: What the store knows.
        wait_s: How long they wait for Redis.
    """

    def __init__(
        self,
        url: str,
        count: int,
        declared: Declared,
        spent: Spent | None = None,
        wait_s: float = PATIENT_S,
    ) -> None:
        self.clock = Clock()
        self._waits = Waits(self.clock)
        self._spent = spent or Spent()
        self.changes: list[bool] = []
        self.counted: Counter[tuple[str, str]] = Counter()
        self._declared = declared
        self.desks = [ClockDesk(url, f"replica{n}", wait_s, self.clock) for n in range(count)]
        self.limiters = [
            RedisLimiter(
                MemoryLimiter(
                    monotonic=self.clock.monotonic,
                    wall=self.clock.wall,
                    read_spent=self._read,
                    count=lambda layer, reason: self.counted.update([(layer, reason)]),
                ),
                desk,
                f"replica{n}",
                monotonic=self.clock.monotonic,
                sleep=self._waits.sleep,
                wait_s=wait_s,
                changed=self.changes.append,
            )
            for n, desk in enumerate(self.desks)
        ]

    async def _read(self, month: str) -> Spent:
        return self._spent

    async def __aenter__(self) -> Replicas:
        for limiter in self.limiters:
            await limiter.start()
            limiter.apply(self._declared)
        await self.go(1.1)
        return self

    async def __aexit__(self, *_: object) -> None:
        for limiter in self.limiters:
            await limiter.close()

    async def go(self, seconds: float, step: float = 1.0) -> None:
        """Lets time pass, and what is then to be done be done."""
        until = self.clock.now + seconds
        while self.clock.now < until - 1e-9:
            self.clock.go(min(step, until - self.clock.now))
            self._waits.wake()
            await self.rest()

    def kill(self, replica: int) -> None:
        """Nothing is heard of it any more."""
        self.desks[replica].dead = True

    async def rest(self) -> None:
        """Until nobody is on the way to Redis."""
        for _ in range(8):
            await asyncio.sleep(0)
        while any(desk.going for desk in self.desks):
            await asyncio.sleep(0.001)
        for _ in range(8):
            await asyncio.sleep(0)

    async def take(
        self, replica: int, tokens: int = 0, usd: float = 0.0, *, tenant: str = "acme", key: str = "k1"
    ) -> Reservation:
        made = call(tenant, key)
        return await self.limiters[replica].take(made, ApiKey(key, tenant, "0" * 64), tokens, usd)

    async def let_in(self, replica: int, tokens: int = 0, usd: float = 0.0) -> Reservation | None:
        """The reservation; None where it was refused."""
        try:
            return await self.take(replica, tokens, usd)
        except Refused:
            return None

    async def count(self, order: Sequence[int], tokens: int = 0, usd: float = 0.0) -> list[int]:
        """How many requests each replica lets in, asked in this order."""
        found = [0] * len(self.limiters)
        for replica in order:
            found[replica] += await self.let_in(replica, tokens, usd) is not None
        return found
