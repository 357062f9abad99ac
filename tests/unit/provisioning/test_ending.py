"""A node ends for good, or the error names its id; and the guard ends whatever is left of a stack."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gpu_clouds.ending import Ended, orphans
from gpu_clouds.errors import (
    AmbiguousError,
    AuthError,
    CancelledError,
    CircuitOpenError,
    ConflictError,
    DeadlineError,
    GpuCloudError,
    NotFoundError,
    RateLimitedError,
    TransientError,
)
from gpu_clouds.marker import stack_prefix
from gpu_clouds.models import InstanceState
from tests.unit.provisioning.world import L40S, STACK, EngineRun, Launch, Node, World, request, spec_of

PREFIX = stack_prefix("p", STACK)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("prefix", ["", PREFIX], ids=["alone", "shared"])
class TestOne:
    def test_goes_at_once(self, prefix: str, world: World) -> None:
        node, run, start = world.runpod.plant(spec_of(request())), world.start(), world.clock.time()
        assert run.ender().end(run.clouds["main"], node.id, prefix=prefix) is Ended.GONE
        assert world.living() == []
        assert world.clock.time() == start

    def test_absent_is_success(self, prefix: str, world: World) -> None:
        run = world.start()
        assert run.ender().end(run.clouds["main"], "absent", prefix=prefix) is Ended.GONE
        world.runpod.delete_faults = [NotFoundError("404")]
        assert run.ender().end(run.clouds["main"], "absent", prefix=prefix) is Ended.GONE

    @pytest.mark.parametrize(
        "fault",
        [
            ConflictError("busy"),
            TransientError("503"),
            RateLimitedError("429"),
            CircuitOpenError("open"),
            AmbiguousError("lost"),
        ],
        ids=lambda f: f.kind,
    )
    def test_a_refusal_is_read_and_repeated(self, fault: GpuCloudError, prefix: str, world: World) -> None:
        node, run = world.runpod.plant(spec_of(request())), world.start()
        world.runpod.delete_faults = [fault] * 5
        run.ender().end(run.clouds["main"], node.id, prefix=prefix)
        assert world.living() == []

    def test_a_refusal_of_what_is_gone_all_the_same_is_success(self, prefix: str, world: World) -> None:
        run = world.start()
        world.runpod.delete_faults = [ConflictError("already ending")]
        run.ender().end(run.clouds["main"], "absent", prefix=prefix)
        assert world.runpod.calls.count("delete") == 1

    def test_a_bad_key_is_told_soon_and_names_the_id(self, prefix: str, world: World) -> None:
        node, run, start = world.runpod.plant(spec_of(request())), world.start(), world.clock.time()
        world.runpod.delete_faults = [AuthError("revoked")] * 9
        with pytest.raises(AuthError, match=f"node {node.id}.*credential set 'main'"):
            run.ender().end(run.clouds["main"], node.id, prefix=prefix)
        assert world.clock.time() - start < 10

    def test_what_stays_ends_in_an_error_with_its_id(self, prefix: str, world: World) -> None:
        node, run, start = world.runpod.plant(spec_of(request())), world.start(), world.clock.time()
        world.runpod.delete_faults = [TransientError("503")] * 999
        with pytest.raises(DeadlineError, match=f"runpod node {node.id} is not gone"):
            run.ender().end(run.clouds["main"], node.id, prefix=prefix)
        assert 300 <= world.clock.time() - start <= 330

    def test_deleting_is_waited_for(self, prefix: str, world: World) -> None:
        node, run, start = world.runpod.plant(spec_of(request())), world.start(), world.clock.time()
        world.runpod.deleting_for = 40
        run.ender().end(run.clouds["main"], node.id, prefix=prefix)
        assert 40 <= world.clock.time() - start <= 60
        assert world.runpod.calls.count("delete") == 1

    def test_deleting_counts_as_gone_after_a_while_where_the_cloud_is_like_that(
        self, prefix: str, world: World
    ) -> None:
        node, run, start = world.other.plant(spec_of(request(), L40S)), world.start(), world.clock.time()
        world.other.deleting_for = 3600
        run.ender().end(run.clouds["spare"], node.id, prefix=prefix)
        assert 180 <= world.clock.time() - start <= 230

    def test_a_cancel_stops_the_waiting(self, prefix: str, world: World) -> None:
        node, run = world.runpod.plant(spec_of(request())), world.start()
        world.runpod.deleting_for = 200
        world.clock.after(10, run.cancel.set)
        with pytest.raises(CancelledError):
            run.ender().end(run.clouds["main"], node.id, prefix=prefix)

    def test_an_id_that_a_create_of_this_run_returned_is_spared(self, prefix: str, world: World) -> None:
        world.runpod.plant(spec_of(request()))
        run = world.start()
        done = run.up(request())
        assert run.ender().end(run.clouds["main"], done.instance.id, prefix=prefix) is Ended.SPARED
        assert [n.id for n in world.living()] == [done.instance.id]
        later = world.start()
        assert later.ender().end(later.clouds["main"], done.instance.id, prefix=prefix) is Ended.GONE


def test_a_fault_in_the_client_does_not_lose_the_node(world: World) -> None:
    node = world.runpod.plant(spec_of(request()))
    left = [3]

    def before(call: str) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise KeyError("status")

    run = world.start(before=before)
    run.ender().end(run.clouds["main"], node.id)
    assert world.living() == []


def test_an_accepted_delete_without_effect_is_sent_again(world: World) -> None:
    run = world.start()
    node = world.runpod.plant(spec_of(request()))
    asked: list[float] = []

    def after(call: str) -> None:
        if call == "delete":
            asked.append(world.clock.time())
            if len(asked) == 1:
                node.deleted_at = float("inf")

    run = world.start(after=after)
    run.ender().end(run.clouds["main"], node.id)
    assert len(asked) == 2
    assert world.living() == []


def test_many_deletes_share_their_listings(world: World) -> None:
    nodes = [world.runpod.plant(spec_of(request(f"n{i}"))) for i in range(200)]
    world.runpod.deleting_for = 12
    world.runpod.latency = 0.2
    run = world.start()

    def end(node: Node) -> Ended:
        return run.ender().end(run.clouds["main"], node.id, prefix=PREFIX)

    results = world.clock.run_all([partial(end, n) for n in nodes])
    assert results == [Ended.GONE] * 200
    assert world.runpod.calls.count("delete") == 200
    assert world.runpod.calls.count("get") == 0
    assert world.runpod.calls.count("list") <= 20


class TestAll:
    def start_over(self, world: World) -> EngineRun:
        return world.start()

    def test_nothing_there_takes_two_listings(self, world: World) -> None:
        start = world.clock.time()
        assert self.start_over(world).end_all() == []
        assert world.clock.time() - start == 5
        assert world.runpod.calls == ["list", "list"]

    def test_every_node_of_the_stack_in_every_account(self, world: World) -> None:
        for i in range(20):
            world.runpod.plant(spec_of(request(f"n{i}")), Launch(boot=0, becomes=list(InstanceState)[i % 6]))
            world.other.plant(spec_of(request(f"m{i}"), L40S))
        world.runpod.deleting_for, world.other.deleting_for = 20, 400
        start = world.clock.time()
        ended = self.start_over(world).end_all()
        assert len(ended) == 40
        assert world.living() == []
        assert world.clock.time() - start < 20 + 180 + 60

    @pytest.mark.parametrize("appears", [10.0, 40.0, 59.0])
    def test_an_open_intent_is_waited_for(self, appears: float, world: World) -> None:
        killed = world.start()
        killed.intents.open(str(spec_of(request()).name), "runpod")
        world.runpod.plant(spec_of(request()), Launch(effect_after=appears))
        start = world.clock.time()
        assert len(self.start_over(world).end_all()) == 1
        assert world.living() == []
        assert world.clock.time() - start >= 60

    def test_a_listing_that_fails_for_good_is_told(self, world: World) -> None:
        world.other.list_faults = [AuthError("revoked")]
        with pytest.raises(AuthError, match="cannot list lambda with credential set 'spare'"):
            self.start_over(world).end_all()

    def test_a_listing_that_fails_for_a_while_is_repeated(self, world: World) -> None:
        world.other.plant(spec_of(request(), L40S))
        world.other.list_faults = [TransientError("503")] * 8
        assert len(self.start_over(world).end_all()) == 1

    def test_what_this_run_has_made_is_spared(self, world: World) -> None:
        world.runpod.plant(spec_of(request("old")))
        run = world.start()
        done = run.up(request("new"))
        run.end_all()
        assert [n.id for n in world.living()] == [done.instance.id]


def test_orphans_are_told_and_not_ended(world: World) -> None:
    twice = [
        world.runpod.plant(spec_of(request("twice"))),
        world.other.plant(spec_of(request("twice"), L40S)),
    ]
    stray = world.runpod.plant(spec_of(request("stray")))
    world.runpod.plant(spec_of(request("fine")))
    world.runpod.plant(replace(spec_of(request()), name=f"gp-o-{STACK}-else-00000000"))
    clouds = world.start().clouds
    found = orphans({**clouds, "same account": clouds["main"]}, "p", STACK, ["twice", "fine", "missing"])
    assert {(o.instance.id, o.reason) for o in found} == {
        (stray.id, "not declared"),
        *((n.id, "exists twice") for n in twice),
    }
    assert len(world.living()) == 5
