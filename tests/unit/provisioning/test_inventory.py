"""Many wait, one lists; and no answer is older than its question."""

import threading
from functools import partial
from pathlib import Path

import pytest

from gpu_clouds.errors import AuthError, CancelledError, TransientError
from gpu_clouds.inventory import Listing, poll_interval
from gpu_clouds.marker import stack_prefix
from gpu_clouds.provisioning import Provisioned, ProvisioningError
from tests.unit.provisioning.world import H100, STACK, Killed, Launch, World, request, spec_of

PREFIX = stack_prefix("p", STACK)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_interval_grows_from_5_to_30_seconds() -> None:
    assert [poll_interval(s) for s in (0, 50, 100, 300, 9999)] == [5, 5, 10, 30, 30]


@pytest.mark.parametrize("count", [64, 200])
def test_a_fleet_costs_few_listings(count: int, world: World) -> None:
    run = world.start()
    world.runpod.latency = 0.2
    world.runpod.script = [Launch(boot=30.0 + i % 60) for i in range(count)]
    results = world.clock.run_all([partial(run.up, request(f"n{i}", H100)) for i in range(count)])
    assert all(isinstance(r, Provisioned) for r in results), [
        r for r in results if not isinstance(r, Provisioned)
    ][:1]
    assert len({r.instance.id for r in results}) == count == len(world.living())
    assert world.runpod.calls.count("create") == count
    assert world.runpod.calls.count("get") == 0
    # 90 s of booting at 5 s or more apart, and a handful for the search before the launch.
    assert world.runpod.calls.count("list") <= 90 / 5 + 10


def _lists_before_launches(world: World, count: int) -> int:
    """Listings of a fleet until its last launch; the stack is made 100 s into the run."""
    run = world.start()
    run.intents.known_machine = True
    run.run.feed(run.clouds["main"], PREFIX).fresh(None)
    world.clock.sleep(100)
    run.run.mark_new(PREFIX)
    world.runpod.latency = 0.2
    before = len(world.runpod.calls)

    def up(i: int) -> Provisioned:
        world.clock.sleep(i * 0.1)
        return run.up(request(f"n{i}", H100, first_listing_once=True))

    results = world.clock.run_all([partial(up, i) for i in range(count)])
    assert all(isinstance(r, Provisioned) for r in results), results[:1]
    calls = world.runpod.calls[before:]
    return calls[: len(calls) - calls[::-1].index("create")].count("list")


def test_the_nodes_of_a_new_stack_share_their_first_listing(world: World) -> None:
    # 4 s from the first to the last: one listing, which began after the stack was made.
    assert _lists_before_launches(world, 40) == 1


def test_a_listing_is_shared_for_five_seconds(world: World) -> None:
    # They come in the course of 8 s.
    assert 2 <= _lists_before_launches(world, 80) <= 3


def test_a_listing_from_before_the_stack_was_made_is_not_shared(world: World) -> None:
    run = world.start()
    run.intents.known_machine = True
    feed = run.run.feed(run.clouds["main"], PREFIX)
    old = feed.fresh(None)
    world.runpod.plant(spec_of(request("n0", H100)))
    world.clock.sleep(1)
    run.run.mark_new(PREFIX)
    assert run.up(request("n0", H100)).adopted
    assert feed.recent(world.clock.monotonic() - 0.5, None).number > old.number


def test_a_node_that_this_run_was_about_before_is_looked_for_anew(world: World) -> None:
    run = world.start()
    run.run.mark_new(PREFIX)
    world.runpod.script = [Launch(error=AuthError("bad key"))]
    with pytest.raises(ProvisioningError, match="bad key"):
        run.up(request("n0", H100, first_listing_once=True))
    world.runpod.plant(spec_of(request("n0", H100)))
    assert run.up(request("n0", H100, first_listing_once=True)).adopted


def test_a_fleet_that_is_cancelled_leaves_nothing(world: World) -> None:
    run = world.start()
    world.runpod.script = [Launch(boot=600) for _ in range(50)]
    world.clock.after(100, run.cancel.set)
    results = world.clock.run_all([partial(run.up, request(f"n{i}", H100)) for i in range(50)])
    assert [type(r) for r in results] == [CancelledError] * 50
    assert world.living() == []


def test_a_fleet_whose_listing_fails_for_a_while_gets_ready(world: World) -> None:
    run = world.start()
    run.intents.known_machine = True
    world.runpod.list_faults = [None, None, *[TransientError("503")] * 5]
    results = world.clock.run_all([partial(run.up, request(f"n{i}", H100)) for i in range(20)])
    assert all(isinstance(r, Provisioned) for r in results)
    assert len(world.living()) == 20


def test_an_answer_starts_after_its_question(world: World) -> None:
    """A node made while a listing is under way is in the next one at the latest."""
    run = world.start()
    feed = run.run.feed(run.clouds["main"], PREFIX)

    def maker() -> Listing:
        world.clock.sleep(1)
        node = world.runpod.plant(spec_of(request()))
        listing = feed.fresh(None)
        assert node.id in listing.by_id
        return listing

    world.runpod.latency = 3
    seen = world.clock.run_all([lambda: feed.fresh(None), maker, maker])
    assert [type(s) for s in seen] == [Listing] * 3
    assert seen[0].by_id == {}
    assert world.runpod.calls.count("list") == 2


def test_the_end_of_the_thread_that_lists_is_nobody_elses_end(world: World) -> None:
    killed = threading.Event()

    def before(call: str) -> None:
        world.clock.sleep(1)
        if not killed.is_set():
            killed.set()
            raise Killed

    run = world.start(before=before)
    feed = run.run.feed(run.clouds["main"], PREFIX)
    results = world.clock.run_all([lambda: feed.fresh(None)] * 5)
    assert sorted(type(r).__name__ for r in results) == ["Killed", "Listing", "Listing", "Listing", "Listing"]


def test_the_cancel_of_the_thread_that_waits_is_nobody_elses_cancel(world: World) -> None:
    run = world.start()
    feed = run.run.feed(run.clouds["main"], PREFIX)
    mine = threading.Event()
    now = world.clock.monotonic()
    world.clock.after(2, mine.set)
    jobs = [lambda: feed.next(now, mine), *[lambda: feed.next(now, None)] * 4]
    results = world.clock.run_all(jobs)
    assert [type(r) for r in results] == [CancelledError, *[Listing] * 4]
    assert world.clock.monotonic() - now == 5
    assert world.runpod.calls == ["list"]


def test_a_failed_listing_is_told_to_all_who_asked(world: World) -> None:
    run = world.start()
    feed = run.run.feed(run.clouds["main"], PREFIX)
    now = world.clock.monotonic()
    world.runpod.list_faults = [TransientError("503")]
    results = world.clock.run_all([lambda: feed.next(now, None)] * 3)
    assert [type(r) for r in results] == [TransientError] * 3
    assert feed.fresh(None).by_id == {}


def test_a_fault_in_the_client_does_not_lose_the_node(world: World) -> None:
    faults = [False]

    def after(call: str) -> None:
        if call == "create":
            faults[0] = True
        if call == "list" and faults[0]:
            raise KeyError("status")

    with pytest.raises(ProvisioningError, match=r"the client of runpod failed while listing .KeyError."):
        world.start(after=after).up(request("n0", H100))
    assert world.living() == []


def test_an_error_names_what_the_node_waited_for(world: World) -> None:
    world.ready = lambda instance: False
    with pytest.raises(ProvisioningError, match=r"not ready after 9.. s .port 8000 / answers HTTP 503"):
        world.start().up(request("n0", H100))
    assert world.living() == []
