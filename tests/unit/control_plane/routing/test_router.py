"""The router: places, queue, breakers, drain and probes, with time in the test's hand."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from control_plane.gateway.call import Call, Endpoint
from control_plane.gateway.declared import Declared, Node, Tenant
from control_plane.gateway.parts import Refused
from control_plane.gateway.routing.lease import NodeLease
from control_plane.gateway.routing.node_state import NodeHealth
from control_plane.gateway.routing.probes import Probed
from control_plane.gateway.routing.router import NodeRouter
from control_plane.gateway.routing.settings import RoutingSettings
from tests.unit.control_plane.manual_timers import ManualTimers, turns


def node(name: str, **more: Any) -> Node:
    return Node(name, f"http://{name}", ("m",), **more)


def call(
    timers: ManualTimers, tenant: str = "t", model: str = "m", prefix: int = 0, wait: float = 20
) -> Call:
    now = timers.now()
    return Call(
        "r",
        Endpoint.CHAT,
        b"",
        model,
        model,
        False,
        False,
        None,
        1,
        1,
        "",
        prefix,
        tenant,
        "k",
        now,
        now + wait,
    )


def router_of(
    timers: ManualTimers,
    *nodes: Node,
    settings: RoutingSettings = RoutingSettings(),  # noqa: B008 - frozen
    tenants: tuple[Tenant, ...] = (),
    probe: Callable[[Node], Awaitable[Probed]] | None = None,
) -> NodeRouter:
    router = NodeRouter(settings, timers, probe)
    router.apply(Declared(nodes=nodes, tenants=tenants))
    return router


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(30):
            await work()

    asyncio.run(limited())


def health(router: NodeRouter, name: str) -> NodeHealth:
    view = router.node(name)
    assert view is not None
    return view.health


def test_the_idlest_node_gets_it_and_equal_prefixes_stay_together():
    async def work() -> None:
        timers = ManualTimers()
        router = router_of(timers, node("a"), node("b"), node("c"))
        leases = [await router.acquire(call(timers)) for _ in range(6)]
        assert sorted(lease.node.name for lease in leases) == ["a", "a", "b", "b", "c", "c"]
        for lease in leases:
            lease.released()
        for prefix in range(1, 20):
            names = set()
            for _ in range(3):
                lease = await router.acquire(call(timers, prefix=prefix))
                names.add(lease.node.name)
                lease.succeeded()
            assert len(names) == 1
        many = [await router.acquire(call(timers, prefix=5)) for _ in range(30)]
        assert max(view.in_flight for view in router.nodes()) <= 13
        for lease in many:
            lease.released()
        assert router.in_flight == 0

    run(work)


def test_cordoned_and_excluded_nodes():
    async def work() -> None:
        timers = ManualTimers()
        router = router_of(timers, node("a"), node("b", cordoned=True), node("c"))
        got = [(await router.acquire(call(timers), ["a"])).node.name for _ in range(3)]
        assert got == ["c"] * 3
        assert (await router.acquire(call(timers), ["a", "c"])).node.name == "a"
        assert router.has_other(call(timers), ["a"])
        assert not router.has_other(call(timers), ["a", "c"])

    run(work)


def test_waiting_for_a_place_and_its_deadline():
    async def work() -> None:
        timers = ManualTimers()
        router = router_of(timers, node("a", max_in_flight=1), settings=RoutingSettings(queue_length=2))
        first = await router.acquire(call(timers))
        second = asyncio.create_task(router.acquire(call(timers)))
        third = asyncio.create_task(router.acquire(call(timers, wait=5)))
        await turns()
        assert router.waiting == 2
        with pytest.raises(Refused) as full:
            await router.acquire(call(timers))
        assert full.value.status == 503
        assert dict(full.value.headers)[b"retry-after"]
        timers.advance(6)
        with pytest.raises(Refused) as late:
            await third
        assert late.value.status == 503
        first.succeeded()
        first.released()
        lease = await second
        assert router.waiting == 0
        lease.released()
        assert (router.counters.queue_full, router.counters.queue_timeouts) == (1, 1)
        assert timers.pending == 0

    run(work)


def test_a_waiter_that_is_cancelled_leaves_nothing():
    async def work() -> None:
        timers = ManualTimers()
        router = router_of(timers, node("a", max_in_flight=1))
        first = await router.acquire(call(timers))
        waiting = asyncio.create_task(router.acquire(call(timers)))
        served = asyncio.create_task(router.acquire(call(timers)))
        await turns()
        waiting.cancel()
        await turns()
        assert router.waiting == 1
        first.released()
        # Its place is there already when it is cancelled.
        served.cancel()
        await turns()
        assert router.waiting == 0
        assert router.in_flight == 0
        assert timers.pending == 0

    run(work)


def test_tenants_share_by_weight():
    async def work() -> None:
        timers = ManualTimers()
        router = router_of(
            timers, node("a", max_in_flight=1), tenants=(Tenant("big", weight=2), Tenant("small"))
        )
        lease = await router.acquire(call(timers))
        order: list[str] = []

        async def one(tenant: str) -> None:
            mine = await router.acquire(call(timers, tenant))
            order.append(tenant)
            await turns(3)
            mine.succeeded()

        tasks = [asyncio.create_task(one("big")) for _ in range(6)]
        tasks += [asyncio.create_task(one("small")) for _ in range(3)]
        await turns()
        lease.released()
        await asyncio.gather(*tasks)
        assert order == ["big", "big", "small"] * 3

    run(work)


def test_unknown_models_and_dead_fleets():
    async def work() -> None:
        timers = ManualTimers()
        router = router_of(timers, node("a", cordoned=True))
        with pytest.raises(Refused) as unknown:
            await router.acquire(call(timers, model="x"))
        assert unknown.value.status == 404
        with pytest.raises(Refused) as dead:
            await router.acquire(call(timers))
        assert dead.value.status == 503

    run(work)


async def fail(router: NodeRouter, timers: ManualTimers, times: int) -> None:
    for _ in range(times):
        (await router.acquire(call(timers))).failed("cut")


def test_an_open_breaker_lets_one_try_after_its_time():
    async def work() -> None:
        timers = ManualTimers()
        router = router_of(timers, node("a"))
        await fail(router, timers, 5)
        assert health(router, "a") is NodeHealth.OPEN
        assert router.alive() == 0
        with pytest.raises(Refused):
            await router.acquire(call(timers, wait=20))
        tasks: list[asyncio.Task[NodeLease]] = [
            asyncio.create_task(router.acquire(call(timers, wait=40))) for _ in range(3)
        ]
        await turns()
        timers.advance(29)
        await turns()
        assert not any(task.done() for task in tasks)
        timers.advance(1.5)
        # Thirty seconds are the longest that the settings let one wait; these came when it opened.
        await turns()
        served = [task for task in tasks if task.done() and not task.exception()]
        assert len(served) <= 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(work)


def test_a_half_open_breaker_and_who_waits_for_it():
    async def work() -> None:
        timers = ManualTimers()
        router = router_of(timers, node("a"))
        await fail(router, timers, 5)
        timers.advance(10)
        tasks = [asyncio.create_task(router.acquire(call(timers, wait=25))) for _ in range(3)]
        await turns()
        timers.advance(20)
        await turns()
        assert health(router, "a") is NodeHealth.PROBING
        assert [task.done() for task in tasks] == [True, False, False]
        lease = tasks[0].result()
        lease.answered()
        lease.succeeded()
        await turns()
        assert all(task.done() for task in tasks)
        assert health(router, "a") is NodeHealth.HEALTHY
        for task in tasks:
            task.result().released()

    run(work)


def test_changes_of_the_declaration():
    async def work() -> None:
        timers = ManualTimers()
        router = router_of(timers, node("a"), node("b"), settings=RoutingSettings(drain_s=30))
        moved: list[str] = []
        leases = [await router.acquire(call(timers)) for _ in range(4)]

        def move(lease: NodeLease) -> None:
            moved.append(lease.node.name)
            lease.released()

        for lease in leases:
            lease.on_move = partial(move, lease)
        # The same way, other numbers: nothing drains.
        router.apply(Declared(nodes=(node("a", max_in_flight=7), node("b"))))
        assert [view.places for view in router.nodes()] == [7, 100]
        # Another key is another node; the third is gone.
        router.apply(Declared(nodes=(node("a", api_key="new"),)))
        assert [(view.node.name, view.health) for view in router.nodes()] == [
            ("a", NodeHealth.UNKNOWN),
            ("a", NodeHealth.DRAINING),
            ("b", NodeHealth.DRAINING),
        ]
        drained = asyncio.create_task(router.drained("b", 5))
        await turns()
        timers.advance(6)
        await drained
        assert moved == ["b", "b"]
        timers.advance(30)
        assert moved == ["b", "b", "a", "a"]
        assert [view.node.name for view in router.nodes()] == ["a"]
        await router.drained("nobody", 5)

    run(work)


def test_who_waits_for_a_node_that_is_taken_out_is_told():
    async def work() -> None:
        timers = ManualTimers()
        router = router_of(timers, node("a", max_in_flight=1))
        lease = await router.acquire(call(timers))
        waiting = asyncio.create_task(router.acquire(call(timers)))
        await turns()
        router.apply(Declared())
        with pytest.raises(Refused) as gone:
            await waiting
        assert gone.value.status == 404
        lease.released()
        assert router.waiting == 0

    run(work)


def test_probes():
    async def work() -> None:
        timers = ManualTimers()
        answers = {"a": Probed("", 2, 1), "b": Probed("no connection")}
        asked: list[str] = []

        async def probe(probed: Node) -> Probed:
            asked.append(probed.name)
            return answers[probed.name]

        router = router_of(timers, node("a"), node("b"), probe=probe)
        await turns()
        assert (health(router, "a"), health(router, "b")) == (NodeHealth.HEALTHY, NodeHealth.UNKNOWN)
        assert router.alive() == 1
        view = router.node("a")
        assert view is not None
        assert (view.probe_prompt_tokens, view.probe_completion_tokens) == (2, 1)
        # One that has never answered gets requests only where there is no other.
        assert {(await router.acquire(call(timers))).node.name for _ in range(4)} == {"a"}
        # A busy node is not probed.
        asked.clear()
        for _ in range(60):
            timers.advance(1)
            await turns(5)
        assert "a" not in asked
        assert health(router, "b") in (NodeHealth.OPEN, NodeHealth.PROBING)
        answers["b"] = Probed()
        for _ in range(31):
            timers.advance(1)
            await turns(5)
        assert health(router, "b") is NodeHealth.HEALTHY
        await router.close()

    run(work)


def test_a_node_that_probes_find_dead_and_alive_again():
    async def work() -> None:
        timers = ManualTimers()
        answer = [Probed()]

        async def probe(probed: Node) -> Probed:
            return answer[0]

        router = router_of(timers, node("a"), probe=probe)
        await turns()
        answer[0] = Probed("it answered 500")
        for _ in range(70):
            timers.advance(1)
            await turns(5)
        assert router.alive() == 0
        view = router.node("a")
        assert view is not None
        assert view.reason == "it answered 500"
        answer[0] = Probed()
        for _ in range(40):
            timers.advance(1)
            await turns(5)
        assert router.alive() == 1
        await router.close()

    run(work)


def test_requests_that_end_while_they_wait_harm_nobody():
    async def work() -> None:
        timers = ManualTimers()
        router = router_of(timers, node("a", max_in_flight=1))
        first = await router.acquire(call(timers))
        waiting = [asyncio.create_task(router.acquire(call(timers, wait=5))) for _ in range(4)]
        await turns()
        # All in one turn of the loop: two go, the place comes free, time is over for the third.
        waiting[0].cancel()
        waiting[1].cancel()
        first.succeeded()
        timers.advance(6)
        await turns()
        assert waiting[0].cancelled() and waiting[1].cancelled()
        (await waiting[2]).succeeded()
        with pytest.raises(Refused) as refused:
            await waiting[3]
        assert refused.value.status == 503
        assert (router.in_flight, router.waiting) == (0, 0)

    run(work)
