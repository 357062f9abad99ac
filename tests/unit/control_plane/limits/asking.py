"""What the tests of limits ask with: a clock that stands still, a call, a limiter."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime

from control_plane.gateway.call import Call, Endpoint
from control_plane.gateway.declared import ApiKey, Declared, Limits, Model, Tenant
from control_plane.gateway.limits.memory import MemoryLimiter
from control_plane.gateway.parts import Refused, Reservation
from control_plane.store.rows import Spent

MIDDLE = datetime(2026, 11, 15, tzinfo=UTC).timestamp()
NONE = Limits()


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.wall_now = MIDDLE

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.wall_now

    def go(self, seconds: float) -> None:
        self.now += seconds
        self.wall_now += seconds


def declared(
    *, instance: Limits = NONE, tenant: Limits = NONE, key: Limits = NONE, model: Limits = NONE
) -> Declared:
    """One of each layer, with these limits; `alias` stands for `model`."""
    return Declared(
        tenants=(Tenant("acme", tenant), Tenant("other")),
        keys=(ApiKey("k1", "acme", "0" * 64, limits=key), ApiKey("k2", "other", "1" * 64)),
        models=(Model("model", limits=model), Model("alias")),
        limits=instance,
    )


def call(tenant: str = "acme", key: str = "k1", asked: str = "model") -> Call:
    return Call(
        "r", Endpoint.CHAT, b"", asked, "model", False, False, None, 1, 1, "", 0, tenant, key, 0.0, 0.0
    )


class Asker:
    """A limiter of one process, a clock, and what was counted."""

    def __init__(self, found: Declared, spent: Spent | None = None) -> None:
        self.clock = Clock()
        self.counted: Counter[tuple[str, str]] = Counter()
        self.asked_months: list[str] = []
        self._spent = spent or Spent()
        self.limiter = MemoryLimiter(
            monotonic=self.clock.monotonic,
            wall=self.clock.wall,
            read_spent=self._read,
            count=lambda layer, reason: self.counted.update([(layer, reason)]),
        )
        asyncio.run(self.limiter.start())
        self.limiter.apply(found)

    async def _read(self, month: str) -> Spent:
        self.asked_months.append(month)
        return self._spent

    def take(
        self,
        tokens: int = 0,
        usd: float = 0.0,
        *,
        tenant: str = "acme",
        key: str = "k1",
        asked: str = "model",
    ) -> Reservation:
        made = call(tenant, key, asked)
        taking = self.limiter.take(made, ApiKey(key, tenant, "0" * 64), tokens, usd)
        # Within one process nothing waits, so there is no event loop.
        try:
            taking.send(None)
        except StopIteration as done:
            reservation: Reservation = done.value
            return reservation
        raise AssertionError("it waited")

    def refused(self, tokens: int = 0, usd: float = 0.0) -> Refused:
        try:
            self.take(tokens, usd)
        except Refused as refused:
            return refused
        raise AssertionError("it was let in")

    def sums(self) -> list[tuple[str, str, int, int, int, int]]:
        """Everything that is counted now."""
        return [
            (m.layer.value, m.name, m.requests, m.tokens, m.running, m.money)
            for m in self.limiter.all_meters()
        ]


def header(found: Refused | Reservation, name: str) -> str:
    return dict(found.headers)[name.encode()].decode()
