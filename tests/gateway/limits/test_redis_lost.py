"""Redis killed, restarted, hung and empty in mid-load: no outage, shares meanwhile, and nothing forgotten."""

from __future__ import annotations

import asyncio
import time

import pytest
import structlog

from control_plane.gateway.declared import Limits
from control_plane.gateway.limits.opening import open_limiter
from control_plane.gateway.limits.redis import RedisLimiter
from control_plane.store.rows import Spent
from tests.gateway.limits.redis_server import RedisServer
from tests.gateway.limits.replicas import Replicas
from tests.unit.control_plane.limits.asking import MIDDLE, Clock, call, declared, header

TENANT = Limits(requests_per_minute=100, tokens_per_minute=10_000, in_flight=60, budget_usd=10.0)


async def back(replicas: Replicas) -> None:
    """Until all replicas share again."""
    deadline = time.monotonic() + 60
    while any(limiter.degraded for limiter in replicas.limiters):
        assert time.monotonic() < deadline, "Redis is there and nobody noticed"
        await replicas.go(0.5, 0.5)


def test_killed_in_mid_load_each_keeps_to_its_share_and_tells_of_it_afterwards(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with Replicas(redis.url, 2, declared(tenant=TENANT)) as replicas:
            first = [await replicas.take(number % 2, 100, 0.1) for number in range(20)]
            redis.kill()
            meanwhile = await replicas.count([0, 1] * 60, 100, 0.1)
            assert all(limiter.degraded for limiter in replicas.limiters)
            # 30 places each, ten of them taken before.
            assert meanwhile == [20, 20]
            assert replicas.counted == {("tenant", "in_flight"): 80}
            for number, reservation in enumerate(first):
                replicas.limiters[number % 2].settle(reservation, 100, 0.1)
            redis.start()
            await back(replicas)
            # Redis has lost everything, and knows again what both had let in: 60 of 100.
            assert sum(await replicas.count([0, 1] * 30, 100, 0.1)) == 20, "60 places, 40 taken"
            assert replicas.changes == [True, True, False, False]

    asyncio.run(scenario())


@pytest.mark.parametrize("lost", [True, False], ids=["without its data", "with its data"])
def test_back_again_it_knows_what_was_used(redis: RedisServer, lost: bool) -> None:
    async def scenario() -> None:
        limits = Limits(requests_per_minute=40, budget_usd=4.0)
        async with Replicas(redis.url, 2, declared(tenant=limits), wait_s=0.5) as replicas:
            assert await replicas.count([0, 1] * 5, 0, 0.1) == [5, 5]
            if lost:
                redis.kill()
            else:
                redis.hold()
                await replicas.go(4)
            for replica in (0, 1, 0, 1):
                await replicas.take(replica, 0, 0.1)
            assert all(limiter.degraded for limiter in replicas.limiters)
            if lost:
                redis.start()
            else:
                redis.go_on()
            await back(replicas)
            used = 14
            found = sum(await replicas.count([0, 1] * 40, 0, 0.1))
            # What was leased when it was lost counts as used: never more, and hardly less.
            assert 40 - used - 4 <= found <= 40 - used

    asyncio.run(scenario())


def test_a_hard_budget_is_split(redis: RedisServer) -> None:
    async def scenario() -> None:
        found = declared(tenant=Limits(budget_usd=2.0))
        async with Replicas(redis.url, 2, found, Spent(tenants={"acme": 1.0})) as replicas:
            assert await replicas.count([0, 1], 0, 0.1) == [1, 1]
            await replicas.go(3)
            redis.kill()
            # 0.8 USD are left: 0.4 each.
            assert await replicas.count([0] * 10 + [1] * 10, 0, 0.1) == [4, 4]
            redis.start()
            await back(replicas)
            assert await replicas.count([0, 1], 0, 0.1) == [0, 0]

    asyncio.run(scenario())


def test_without_redis_from_the_start_there_is_service_too(redis: RedisServer) -> None:
    async def scenario() -> None:
        redis.kill()
        async with Replicas(redis.url, 1, declared(tenant=Limits(requests_per_minute=3))) as replicas:
            assert await replicas.count([0] * 5) == [3]
            redis.start()
            await back(replicas)
            assert await replicas.count([0] * 5) == [0]

    asyncio.run(scenario())


def test_emptied_under_way_it_is_told_again(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with Replicas(redis.url, 1, declared(tenant=Limits(requests_per_minute=10))) as replicas:
            assert await replicas.count([0] * 8) == [8]
            redis.command("FLUSHALL")
            redis.command("SCRIPT FLUSH")
            assert await replicas.count([0] * 8) == [2]
            assert replicas.changes == []

    asyncio.run(scenario())


def test_a_hung_redis_holds_up_a_request_for_moments_only(redis: RedisServer) -> None:
    async def scenario() -> float:
        limits = Limits(requests_per_minute=100_000)
        async with Replicas(redis.url, 1, declared(tenant=limits), wait_s=0.05) as replicas:
            redis.hold()
            try:
                longest = 0.0
                for _ in range(20):
                    started = time.monotonic()
                    await replicas.take(0)
                    longest = max(longest, time.monotonic() - started)
                    await replicas.go(2.5, 2.5)
                assert replicas.changes == [True]
            finally:
                redis.go_on()
            await back(replicas)
            return longest

    # 50 ms, and what a busy machine adds; Redis would have hung for ever.
    assert asyncio.run(scenario()) < 2.0


def test_one_line_is_logged_for_each_change_and_the_password_is_in_none(redis: RedisServer) -> None:
    async def scenario() -> None:
        clock = Clock()
        clock.wall_now = MIDDLE

        async def spent(month: str) -> Spent:
            return Spent()

        redis.kill()
        url = redis.url.replace("redis://", "redis://:secret-word@")
        limiter = open_limiter(
            url,
            monotonic=clock.monotonic,
            wall=clock.wall,
            read_spent=spent,
            count=lambda layer, reason: None,
        )
        assert isinstance(limiter, RedisLimiter)
        await limiter.start()
        limiter.apply(declared(key=Limits(requests_per_minute=5)))
        taken = await limiter.take(call(), declared().keys[0], 1, 0.0)
        assert header(taken, "x-ratelimit-remaining-requests") == "4"
        assert limiter.degraded
        await limiter.close()

    with structlog.testing.capture_logs() as lines:
        asyncio.run(scenario())
    assert len(lines) == 1 and lines[0]["log_level"] == "warning"
    assert "redis is lost" in lines[0]["event"] and "secret-word" not in str(lines)
