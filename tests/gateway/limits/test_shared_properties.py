"""Two replicas on one Redis, whatever comes: never too much in any minute, nothing lost at the end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.gateway.declared import Limits
from control_plane.gateway.parts import Refused, Reservation
from tests.gateway.limits.redis_server import RedisServer
from tests.gateway.limits.replicas import Replicas
from tests.unit.control_plane.limits.asking import declared, header

limits = st.builds(
    Limits,
    requests_per_minute=st.sampled_from([0, 1, 6, 40]),
    tokens_per_minute=st.sampled_from([0, 30, 200]),
    in_flight=st.sampled_from([0, 1, 5]),
    budget_usd=st.sampled_from([0.0, 0.5, 2.0]),
)
replica = st.integers(0, 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("take"), replica, st.integers(0, 20), st.sampled_from([0.0, 0.01, 0.3])),
        st.tuples(st.just("burst"), replica, st.integers(0, 20), st.sampled_from([0.0, 0.01])),
        st.tuples(st.just("settle"), replica, st.integers(0, 20), st.sampled_from([0.0, 0.5, 1.0])),
        st.tuples(st.just("go"), replica, st.integers(0, 20), st.sampled_from([0.1, 0.3, 1.0])),
    ),
    max_size=25,
)
Steps = list[tuple[str, int, int, float]]
real = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass
class Let:
    at: float
    replica: int
    tokens: int
    usd: float
    reservation: Reservation
    used: int | None = None


async def run(replicas: Replicas, todo: Steps) -> list[Let]:
    done: list[Let] = []

    async def take(who: int, tokens: int, usd: float) -> None:
        taken = await replicas.let_in(who, tokens, usd)
        if taken is not None:
            done.append(Let(replicas.clock.now, who, tokens, usd, taken))

    for what, who, number, part in todo:
        if what == "go":
            await replicas.go(number * part, part)
        elif what == "take":
            await take(who, number, part)
        elif what == "burst":
            await asyncio.gather(*(take((who + n) % 2, number, part) for n in range(8)))
        elif running := [each for each in done if each.used is None]:
            settle(replicas, running[number % len(running)], part)
    return done


def settle(replicas: Replicas, let: Let, part: float) -> None:
    let.used, let.usd = int(let.tokens * part), let.usd * part
    replicas.limiters[let.replica].settle(let.reservation, let.used, let.usd)


@real
@given(limits, limits, steps)
def test_never_over_a_limit_in_any_minute(
    redis: RedisServer, tenant: Limits, model: Limits, todo: Steps
) -> None:
    async def scenario() -> None:
        redis.command("FLUSHALL")
        async with Replicas(redis.url, 2, declared(tenant=tenant, model=model)) as replicas:
            done = await run(replicas, todo)
            for each in (tenant, model):
                for first in done:
                    window = [let for let in done if first.at <= let.at < first.at + 60]
                    used = sum(let.tokens if let.used is None else let.used for let in window)
                    assert not each.requests_per_minute or len(window) <= each.requests_per_minute
                    assert not each.tokens_per_minute or used <= each.tokens_per_minute
                assert not each.in_flight or sum(let.used is None for let in done) <= each.in_flight
                assert not each.budget_usd or sum(let.usd for let in done) <= each.budget_usd + 1e-9
            assert replicas.changes == []

    asyncio.run(scenario())


@real
@given(steps)
def test_what_was_not_used_is_there_for_others(redis: RedisServer, todo: Steps) -> None:
    """After everything has ended, another replica gets exactly what is left of the month and of places."""

    async def scenario() -> None:
        redis.command("FLUSHALL")
        found = Limits(requests_per_minute=100, tokens_per_minute=1000, in_flight=5, budget_usd=2.0)
        async with Replicas(redis.url, 3, declared(key=found)) as replicas:
            done = await run(replicas, todo)
            for let in done:
                if let.used is None:
                    settle(replicas, let, 0.5)
            await replicas.go(70)
            left = 2_000_000_000 - sum(round(let.usd * 1e9) for let in done)
            taken = [await replicas.take(2, 200, left / 5e9) for _ in range(5)]
            for reservation in taken:
                replicas.limiters[2].settle(reservation, 0, 0.0)

    asyncio.run(scenario())


@real
@given(limits, steps, st.integers(1, 20))
def test_a_retry_when_it_is_told_is_let_in(redis: RedisServer, key: Limits, todo: Steps, tokens: int) -> None:
    async def scenario() -> None:
        redis.command("FLUSHALL")
        async with Replicas(redis.url, 2, declared(key=key)) as replicas:
            for let in await run(replicas, todo):
                if let.used is None:
                    settle(replicas, let, 1.0)
            try:
                await replicas.take(0, tokens)
            except Refused as refused:
                await replicas.go(int(header(refused, "retry-after")))
                await replicas.take(0, tokens)

    asyncio.run(scenario())
