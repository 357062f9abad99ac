"""Two replicas on one Redis: together never over a limit, none starves, few trips, true waits."""

from __future__ import annotations

import asyncio

import pytest

from control_plane.gateway.declared import Limits
from control_plane.gateway.parts import Refused
from control_plane.store.rows import Spent
from tests.gateway.limits.redis_server import RedisServer
from tests.gateway.limits.replicas import Replicas
from tests.unit.control_plane.limits.asking import declared, header

LAYERS = ("instance", "tenant", "key", "model")


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_is_shared_in_each_limit(redis: RedisServer, layer: str) -> None:
    async def scenario(limits: Limits, tokens: int, usd: float) -> tuple[list[int], int]:
        redis.command("FLUSHALL")
        async with Replicas(redis.url, 2, declared(**{layer: limits})) as replicas:
            found = await replicas.count([0, 1] * 10, tokens, usd)
            return found, sum(replicas.counted.values())

    for limits, tokens, usd in (
        (Limits(requests_per_minute=7), 0, 0.0),
        (Limits(tokens_per_minute=70), 10, 0.0),
        (Limits(in_flight=7), 0, 0.0),
        (Limits(budget_usd=0.7), 0, 0.1),
    ):
        found, refused = asyncio.run(scenario(limits, tokens, usd))
        assert sum(found) == 7 and min(found) >= 3
        assert refused == 13


def test_what_one_does_not_use_another_can(redis: RedisServer) -> None:
    async def scenario() -> None:
        limits = Limits(requests_per_minute=100, in_flight=100)
        async with Replicas(redis.url, 2, declared(tenant=limits)) as replicas:
            for _ in range(30):
                await replicas.take(0)
            await replicas.go(5, 0.1)
            assert await replicas.count([1] * 100) == [0, 70]

    asyncio.run(scenario())


def test_at_high_rates_there_is_one_trip_for_fifty_requests_at_most(redis: RedisServer) -> None:
    async def scenario() -> None:
        limits = Limits(
            requests_per_minute=100_000, tokens_per_minute=100_000_000, in_flight=1000, budget_usd=1e4
        )
        found = declared(instance=limits, tenant=limits, key=limits, model=limits)
        async with Replicas(redis.url, 2, found) as replicas:
            for replica in (0, 1):
                kept = [await replicas.take(replica, 1000, 0.001) for _ in range(50)]
                await replicas.go(0.1, 0.1)
                before = sum(desk.trips for desk in replicas.desks)
                for number in range(3000):
                    replicas.limiters[replica].settle(kept[number % 50], 500, 0.0005)
                    kept[number % 50] = await replicas.take(replica, 1000, 0.001)
                    if number % 100 == 99:
                        await replicas.go(0.1, 0.1)
                trips = sum(desk.trips for desk in replicas.desks) - before
                assert trips <= 3000 / 50

    asyncio.run(scenario())


def test_a_retry_when_it_is_told_is_let_in(redis: RedisServer) -> None:
    async def scenario() -> None:
        limits = Limits(requests_per_minute=4, tokens_per_minute=100)
        async with Replicas(redis.url, 2, declared(key=limits)) as replicas:
            for replica, tokens in ((0, 50), (1, 30), (0, 10)):
                await replicas.take(replica, tokens)
                await replicas.go(7)
            for tokens in (60, 100, 20):
                with pytest.raises(Refused) as refused:
                    while True:
                        await replicas.take(1, tokens)
                assert refused.value.status == 429
                await replicas.go(int(header(refused.value, "retry-after")))
                await replicas.take(1, tokens)

    asyncio.run(scenario())


def test_what_can_never_fit_says_so_at_once(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with Replicas(redis.url, 1, declared(key=Limits(tokens_per_minute=10))) as replicas:
            before = replicas.desks[0].trips
            with pytest.raises(Refused) as refused:
                await replicas.take(0, 11)
            assert refused.value.status == 400
            assert replicas.desks[0].trips == before

    asyncio.run(scenario())


def test_refusals_in_a_row_cost_few_trips(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with Replicas(redis.url, 1, declared(tenant=Limits(requests_per_minute=1))) as replicas:
            await replicas.take(0)
            before = replicas.desks[0].trips
            assert await replicas.count([0] * 1000) == [0]
            assert replicas.desks[0].trips - before <= 2

    asyncio.run(scenario())


def test_requests_that_come_together_share_a_trip(redis: RedisServer) -> None:
    async def scenario() -> None:
        limits = Limits(requests_per_minute=60, in_flight=60)
        async with Replicas(redis.url, 2, declared(key=limits)) as replicas:
            before = replicas.desks[0].trips
            found = await asyncio.gather(*(replicas.let_in(0) for _ in range(100)))
            assert sum(each is not None for each in found) == 60
            assert replicas.desks[0].trips - before <= 4

    asyncio.run(scenario())


def test_places_of_a_killed_replica_are_free_after_ten_seconds(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with Replicas(redis.url, 3, declared(tenant=Limits(in_flight=4))) as replicas:
            assert await replicas.count([0, 1, 1, 1, 1]) == [1, 3, 0]
            replicas.kill(1)
            await replicas.go(5)
            assert await replicas.count([2]) == [0, 0, 0]
            await replicas.go(6)
            # What lives keeps its place.
            assert await replicas.count([2] * 5) == [0, 0, 3]

    asyncio.run(scenario())


def test_a_long_stream_keeps_its_place(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with Replicas(redis.url, 2, declared(key=Limits(in_flight=1))) as replicas:
            kept = await replicas.take(0)
            await replicas.go(120)
            assert await replicas.count([1]) == [0, 0]
            replicas.limiters[0].settle(kept, 0, 0.0)
            await replicas.go(0.3, 0.1)
            assert await replicas.count([1]) == [0, 1]

    asyncio.run(scenario())


def test_a_budget_is_hard_and_begins_with_what_the_store_knows(redis: RedisServer) -> None:
    async def scenario() -> None:
        found = declared(tenant=Limits(budget_usd=2.0))
        async with Replicas(redis.url, 2, found, Spent(tenants={"acme": 1.0})) as replicas:
            kept = [await replicas.take(replica, 0, 0.25) for replica in (0, 1, 0, 1)]
            assert await replicas.count([0, 1], 0, 0.25) == [0, 0]
            for number, reservation in enumerate(kept):
                replicas.limiters[number % 2].settle(reservation, 0, 0.125)
            await replicas.go(3)
            assert await replicas.count([0, 1, 0, 1], 0, 0.25) == [1, 1]
            assert replicas.counted[("tenant", "budget")] >= 4

    asyncio.run(scenario())


def test_other_limits_keep_what_was_used(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with Replicas(redis.url, 2, declared(key=Limits(requests_per_minute=10))) as replicas:
            assert await replicas.count([0, 1, 0, 1]) == [2, 2]
            for limiter in replicas.limiters:
                limiter.apply(declared(key=Limits(requests_per_minute=5)))
            assert sum(await replicas.count([0, 1, 0, 1])) == 1

    asyncio.run(scenario())


def test_what_ends_in_order_leaves_nothing_behind(redis: RedisServer) -> None:
    async def scenario() -> None:
        limits = Limits(requests_per_minute=1000, tokens_per_minute=100_000, in_flight=10, budget_usd=10.0)
        async with Replicas(redis.url, 1, declared(tenant=limits)) as replicas:
            for _ in range(5):
                replicas.limiters[0].settle(await replicas.take(0, 100, 0.1), 50, 0.05)
        async with Replicas(redis.url, 1, declared(tenant=limits)) as replicas:
            taken = await replicas.take(0, 0, 0.0)
            assert header(taken, "x-ratelimit-remaining-requests") == "994"
            assert header(taken, "x-ratelimit-remaining-tokens") == "99750"

    asyncio.run(scenario())
