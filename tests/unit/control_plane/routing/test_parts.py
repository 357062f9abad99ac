"""Ring, breaker, retry budget and fair queue, each for itself."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.gateway.routing.breaker import Breaker, BreakerState
from control_plane.gateway.routing.fair_queue import FairQueue
from control_plane.gateway.routing.retries import RetryBudget
from control_plane.gateway.routing.ring import Ring, bound, point

NAMES = st.sets(st.text("abcdef0123", min_size=1, max_size=4), min_size=1, max_size=8)


@given(NAMES, st.integers(0, 2**64 - 1))
def test_an_order_has_every_node_once(names, key):
    assert sorted(Ring(names, 16).order(key)) == sorted(names)


@given(NAMES, st.text("xyz", min_size=1, max_size=4), st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_a_new_node_takes_keys_and_moves_no_others(names, new, keys):
    before, after = Ring(names, 16), Ring({*names, new}, 16)
    for key in keys:
        order = after.order(key)
        assert tuple(name for name in order if name != new) == before.order(key)
        assert order[0] in (new, before.order(key)[0])


def test_few_keys_move_when_a_node_is_added():
    before = Ring({f"n{number}" for number in range(9)}, 64)
    after = Ring({f"n{number}" for number in range(10)}, 64)
    moved = sum(before.order(key)[0] != after.order(key)[0] for key in range(2000))
    assert moved < 2000 * 0.2


def test_an_empty_ring_and_points_that_stay():
    assert Ring((), 16).order(3) == ()
    assert point("n0#0") == point("n0#0") != point("n0#1")


@given(st.lists(st.integers(0, 2**64 - 1), max_size=200), st.integers(1, 8))
def test_the_load_is_bounded(keys, count):
    ring = Ring({f"n{number}" for number in range(count)}, 16)
    load: Counter[str] = Counter()
    for key in keys:
        most = bound(load.total(), count, 1.25)
        chosen = next(name for name in ring.order(key) if load[name] < most)
        load[chosen] += 1
    assert max(load.values(), default=0) <= 1.25 * len(keys) / count + 1


def test_the_breaker():
    breaker = Breaker(5, 30)
    for _ in range(4):
        assert not breaker.failed(0)
    breaker.succeeded()
    for _ in range(4):
        assert not breaker.failed(0)
    assert breaker.state(0) is BreakerState.CLOSED
    assert breaker.failed(0)
    assert breaker.state(29.9) is BreakerState.OPEN
    assert not breaker.allows(29.9)
    assert not breaker.failed(20)
    assert breaker.state(30) is BreakerState.HALF_OPEN
    assert breaker.allows(30)
    assert breaker.take()
    assert not breaker.allows(30)
    breaker.give_back()
    assert breaker.allows(30)
    assert breaker.take()
    assert breaker.failed(31, tried=True)
    assert not breaker.allows(60.9)
    assert breaker.allows(61)
    assert breaker.take()
    breaker.succeeded()
    assert breaker.state(61) is BreakerState.CLOSED
    assert not breaker.take()
    assert breaker.opened == 2


def test_retries_are_a_tenth_of_the_requests_of_ten_seconds():
    budget = RetryBudget(0.1, 3)
    assert [budget.take(100) for _ in range(4)] == [True, True, True, False]
    for _ in range(100):
        budget.request(101)
    assert [budget.take(101) for _ in range(8)] == [True] * 7 + [False]
    assert budget.refused == 2
    assert (budget.requests, budget.retries) == (100, 10)
    assert budget.take(110)
    assert (budget.requests, budget.retries) == (100, 8)
    assert budget.take(500)
    assert (budget.requests, budget.retries) == (0, 1)


@given(st.lists(st.tuples(st.sampled_from(["request", "take"]), st.integers(0, 3)), max_size=80))
def test_never_more_retries_than_allowed(steps):
    budget, now = RetryBudget(0.1, 3), 50.0
    requests: list[float] = []
    retries: list[float] = []
    for what, pause in steps:
        now += pause
        window = [at for at in requests if int(at) > int(now) - 10]
        recent = [at for at in retries if int(at) > int(now) - 10]
        if what == "request":
            budget.request(now)
            requests.append(now)
        else:
            allowed = budget.take(now)
            assert allowed == (len(recent) < max(3, int(0.1 * len(window))))
            if allowed:
                retries.append(now)


def take(queue: FairQueue[str]) -> str:
    got: list[str] = []

    def accept(item: str) -> bool:
        got.append(item)
        return True

    assert queue.serve(accept)
    return got[0]


def test_tenants_take_turns_by_weight():
    queue: FairQueue[str] = FairQueue({"a": 3, "b": 1, "c": 0}.__getitem__)
    for number in range(9):
        for tenant in "abc":
            queue.add(tenant, f"{tenant}{number}")
    order = [take(queue) for _ in range(15)]
    assert order == ["a0", "a1", "a2", "b0", "c0", "a3", "a4", "a5", "b1", "c1", "a6", "a7", "a8", "b2", "c2"]
    assert len(queue) == 12


def test_one_that_floods_does_not_starve_another():
    queue: FairQueue[str] = FairQueue(lambda tenant: 1)
    for number in range(1000):
        queue.add("flood", f"flood{number}")
    queue.add("small", "small")
    assert "small" in [take(queue), take(queue)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_each_tenants_order_is_kept_and_nothing_is_lost(steps):
    queue: FairQueue[str] = FairQueue(lambda tenant: ord(tenant) - ord("a"))
    added: list[str] = []
    got: list[str] = []
    for number, (tenant, serve) in enumerate(steps):
        added.append(f"{tenant}{number:03}")
        queue.add(tenant, added[-1])
        if serve:
            got.append(take(queue))
    if len(added) > len(got):
        gone = next(item for item in added if item not in got)
        queue.remove(gone[0], gone)
        added.remove(gone)
    while len(queue):
        got.append(take(queue))
    assert not queue.serve(lambda item: True)
    assert sorted(got) == sorted(added)
    for tenant in "abc":
        mine = [item for item in got if item[0] == tenant]
        assert mine == sorted(mine)


def test_one_who_cannot_be_served_does_not_block_the_others():
    queue: FairQueue[str] = FairQueue(lambda tenant: 1)
    queue.add("a", "a")
    queue.add("b", "b")
    assert queue.serve(lambda item: item == "b")
    assert len(queue) == 1


@pytest.mark.parametrize("item", ["a0", "a1"])
def test_removing(item):
    queue: FairQueue[str] = FairQueue(lambda tenant: 1)
    queue.add("a", "a0")
    queue.add("a", "a1")
    queue.remove("a", item)
    assert take(queue) == ({"a0", "a1"} - {item}).pop()
