"""The one algorithm on SkyPilot: failover to and from it, kills of either side, nothing left in the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpu_clouds import errors
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.ending import Ender
from gpu_clouds.intents import IntentLog
from gpu_clouds.models import Candidate, InstanceState, InstanceTemplate
from gpu_clouds.provisioning import NodeRequest, ProbeResult, Provisioned, Provisioner, ProvisioningError
from gpu_clouds.run import Run
from gpu_clouds.skypilot.cloud import SkyPilotCloud
from gpu_clouds.skypilot.cluster_cloud import DeclaredClusterCloud
from tests.unit.provisioning.virtual_clock import VirtualClock
from tests.unit.provisioning.world import Backend, FakeCloud, Launch
from tests.unit.skypilot.cloud.sky import NO_CAPACITY, Plan, Sky, error_of

STACK_ID = "abcdefgh"
SKY = Candidate("skypilot", "sky", "slurm/fake", "H100-SXM")
RUNPOD = Candidate("runpod", "main", "EU-RO-1", "H100-SXM")
SOLD_OUT = Launch(error=errors.CapacityError("no machine is free"), makes=False)
UNAVAILABLE = Plan(NO_CAPACITY, after_s=2, listed_s=None)


class KilledError(BaseException):
    """The process ends here."""


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = VirtualClock()
        self.sky = Sky(self.clock)
        self.runpod = Backend("runpod", self.clock)
        self.lines: list[str] = []

    def process(self, make: Callable[[Sky, threading.Event], GpuCloud] | None = None) -> Process:
        return Process(self, make)

    @property
    def left(self) -> tuple[int, int]:
        return self.sky.left, len(self.runpod.living())


class Process:
    """One run of the engine, with a memory of its own."""

    def __init__(self, world: World, make: Callable[[Sky, threading.Event], GpuCloud] | None = None) -> None:
        self.world = world
        self.cancel = threading.Event()
        cloud = (
            make(world.sky, self.cancel)
            if make
            else SkyPilotCloud(world.sky.client(self.cancel), "sky", bare=True)
        )
        self.cloud = cloud
        self.clouds: dict[str, GpuCloud] = {"sky": cloud, "main": FakeCloud(world.runpod, "main")}
        self.intents = IntentLog(STACK_ID, world.folder, world.clock)
        self.run = Run(world.clock, world.clock.condition)

    def provisioner(self) -> Provisioner:
        return Provisioner(
            self.clouds,
            self.intents,
            self.world.clock,
            self.cancel,
            self.world.lines.append,
            lambda: None,
            run=self.run,
            ask=lambda instance, readiness: ProbeResult(True),
        )

    def up(self, *candidates: Candidate, **more: Any) -> Provisioned:
        return self.provisioner().find_or_launch(asked(*candidates, **more))

    def again(self, instance_id: str, *candidates: Candidate) -> Provisioned:
        return self.provisioner().ensure_ready(asked(*candidates), instance_id)

    def down(self) -> None:
        ender = Ender(self.world.clock, None, self.world.lines.append, lambda: None)
        ender.end_all(self.clouds, "p", STACK_ID, self.intents)


def asked(*candidates: Candidate, **more: Any) -> NodeRequest:
    return NodeRequest(
        owner="p",
        stack_id=STACK_ID,
        node="web-0",
        candidates=candidates or (SKY,),
        template=InstanceTemplate(image="a/b:1", args="serve"),
        **more,
    )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_up_again_and_down(world: World) -> None:
    done = world.process().up()
    assert (done.instance.state, done.candidate, done.hourly_usd) == (InstanceState.READY, SKY, 2.5)
    again = world.process().up()
    assert (again.instance.id, again.adopted) == (done.instance.id, True)
    assert (world.sky.sent("/launch"), world.left) == (1, (1, 0))
    world.process().down()
    assert world.left == (0, 0) and not world.sky.records


def test_the_steps_of_a_launch_are_told_once_each(world: World) -> None:
    reasons = ["Launching (nodes allocated; Slurm job 2 on fake)", "Setting up SkyPilot runtime on cluster"]
    for number, reason in enumerate(reasons):
        world.clock.after(8 + 10 * number, lambda reason=reason: _step(world, reason))  # type: ignore[misc]
    world.process().up()
    told = [line for line in world.lines if "provisioning 10% skypilot: " in line]
    assert [line.partition("skypilot: ")[2] for line in told] == ["Provisioning on slurm in fake", *reasons]


def _step(world: World, reason: str) -> None:
    (record,) = world.sky.records.values()
    record["init_status_reason"] = reason


def test_from_skypilot_to_runpod(world: World) -> None:
    world.sky.plans = [UNAVAILABLE]
    done = world.process().up(SKY, RUNPOD)
    assert done.candidate == RUNPOD and world.left == (0, 1)
    assert any("skypilot slurm/fake H100-SXM x1" in note and "capacity:" in note for note in done.notes)


def test_from_runpod_to_skypilot(world: World) -> None:
    world.runpod.script = [SOLD_OUT]
    done = world.process().up(RUNPOD, SKY)
    assert done.candidate == SKY and world.left == (1, 0)


def test_a_queue_that_is_too_long_fails_over_and_leaves_nothing(world: World) -> None:
    # All GPUs are taken: the launch waits in the queue of Slurm until SkyPilot gives up.
    world.sky.plans = [Plan(NO_CAPACITY, after_s=150, up_s=1000)]
    done = world.process().up(SKY, RUNPOD)
    assert done.candidate == RUNPOD and world.left == (0, 1)


def test_a_launch_that_hangs_is_ended_at_its_deadline(world: World) -> None:
    world.sky.plans = [Plan(after_s=100_000, up_s=100_000)]
    done = world.process().up(SKY, RUNPOD)
    assert done.candidate == RUNPOD and world.left == (0, 1)
    assert world.sky.sent("/api/cancel") == 1
    assert any("not ready after" in note and "Provisioning on slurm" in note for note in done.notes), (
        done.notes
    )


def test_a_launch_that_hangs_before_it_is_listed_is_ended_too(world: World) -> None:
    world.sky.plans = [Plan(after_s=100_000, listed_s=None)]
    done = world.process().up(SKY, RUNPOD)
    assert done.candidate == RUNPOD
    assert not [each for each in world.sky.asked.values() if each.plan and not each.cancelled]


def test_a_living_node_never_moves_by_itself(world: World) -> None:
    first = world.process().up(SKY, RUNPOD)
    again = world.process().up(RUNPOD, SKY)  # another order
    assert again.instance.id == first.instance.id and world.left == (1, 0)


def test_a_preempted_node_is_healed(world: World) -> None:
    first = world.process().up(SKY, RUNPOD)
    world.sky.take_away(first.instance.name)
    assert world.process().cloud.get(first.instance.id).state is InstanceState.GONE
    healed = world.process().again(first.instance.id, SKY, RUNPOD)
    assert not healed.adopted and world.left == (1, 0)


def test_a_preempted_node_whose_place_is_sold_out_moves(world: World) -> None:
    first = world.process().up(SKY, RUNPOD)
    world.sky.take_away(first.instance.name)
    world.sky.plans = [UNAVAILABLE]
    assert world.process().again(first.instance.id, SKY, RUNPOD).candidate == RUNPOD


def test_a_place_that_can_not_open_ports_is_passed_over(world: World) -> None:
    ports = error_of("NotSupportedError", "Opening ports is not supported in Slurm.")
    world.sky.plans = [Plan(ports, after_s=2, listed_s=None)]
    assert world.process().up(SKY, RUNPOD).candidate == RUNPOD


def test_a_task_that_the_server_refuses_stops_the_request(world: World) -> None:
    world.sky.plans = [Plan(error_of("InvalidSkyPilotConfigError", "Invalid"), after_s=1, listed_s=None)]
    with pytest.raises(ProvisioningError, match="InvalidSkyPilotConfigError"):
        world.process().up(SKY, RUNPOD)
    assert world.left == (0, 0)


def test_a_drought_is_told_of_both(world: World) -> None:
    world.sky.plans, world.runpod.script = [UNAVAILABLE], [SOLD_OUT]
    with pytest.raises(ProvisioningError) as caught:
        world.process().up(SKY, RUNPOD)
    assert "no candidate has a free machine now" in caught.value.head
    assert [each.candidate for each in caught.value.attempts] == [SKY, RUNPOD]


def test_a_broken_setup_is_ended_before_the_next_is_tried(world: World) -> None:
    world.sky.plans = [Plan(error_of("RuntimeError", "Failed to run setup commands"), after_s=50)]
    done = world.process().up(SKY, RUNPOD)
    assert done.candidate == RUNPOD and world.left == (0, 1)
    assert any("Failed to run setup commands" in note for note in done.notes)


def test_a_cap_holds_against_the_servers_price(world: World) -> None:
    done = world.process().up(replace(SKY, gpu_count=8), SKY, max_hourly_usd=3.0)
    assert done.candidate == SKY and world.sky.sent("/launch") == 1


def test_by_price(world: World) -> None:
    world.runpod.prices = {RUNPOD: 4.0}
    assert world.process().up(RUNPOD, SKY, order="price").candidate == SKY


def test_a_server_that_restarts_during_a_launch(world: World) -> None:
    world.clock.after(12, world.sky.restart)
    done = world.process().up()
    assert done.instance.state is InstanceState.READY
    assert (world.sky.sent("/launch"), world.left) == (2, (1, 0))
    world.process().down()
    assert world.left == (0, 0)


def test_a_server_that_is_away_for_a_minute_during_a_launch(world: World) -> None:
    def away() -> None:
        world.sky.restart()
        world.sky.away = True

    def back() -> None:
        world.sky.away = False

    world.clock.after(12, away)
    world.clock.after(72, back)
    assert world.process().up().instance.state is InstanceState.READY
    assert world.left == (1, 0)


def test_a_cancel_during_the_launch_ends_it(world: World) -> None:
    process = world.process()
    world.clock.after(15, process.cancel.set)
    with pytest.raises(errors.CancelledError):
        process.up()
    assert world.left == (0, 0) and not world.sky.records


@pytest.mark.parametrize("restarts", [False, True], ids=["server lives", "server restarts"])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_kill_at_any_call_ends_in_one_node_and_then_in_none(
    tmp_path: Path, late: bool, restarts: bool
) -> None:
    calls = 0
    while True:
        world = World(tmp_path / f"{calls}")
        world.folder.mkdir()
        survived = _killed_at(world, calls, late=late)
        if restarts:
            world.sky.restart()
        done = world.process().up()
        assert done.instance.state is InstanceState.READY, calls
        assert (world.sky.left, len(world.sky.records)) == (1, 1), calls
        assert world.sky.jobs[done.instance.name] == 1, calls
        world.process().down()
        assert (world.sky.left, len(world.sky.records)) == (0, 0), calls
        if survived:
            break
        calls += 1
    assert calls > 10


def test_a_kill_during_a_launch_and_then_only_a_destroy(tmp_path: Path) -> None:
    for calls in range(100):
        world = World(tmp_path / f"{calls}")
        world.folder.mkdir()
        survived = _killed_at(world, calls, late=True)
        world.process().down()
        world.clock.sleep(1000)
        assert (world.sky.left, len(world.sky.records)) == (0, 0), calls
        if survived:
            return
    raise AssertionError("no run was whole")


def _killed_at(world: World, number: int, *, late: bool) -> bool:
    """Brings a node up with a process that dies at a call; whether it lived through."""
    seen = 0
    answer = world.sky.answer

    def counted(request: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == number + 1:
            if late:
                answer(request)
            raise KilledError
        return answer(request)

    world.sky.plans = [Plan(after_s=6, up_s=3)]  # so short that it is polled once or twice
    world.sky.answer = counted  # type: ignore[method-assign]
    try:
        world.process().up()
    except KilledError:
        return False
    finally:
        world.sky.answer = answer  # type: ignore[method-assign]
    return True


TASK = {
    "num_nodes": 2,
    "resources": {"infra": "slurm/fake", "accelerators": {"H100": 1}, "labels": {"team": "a"}},
    "setup": "pip install x",
    "run": "hostname",
    "secrets": {"TOKEN": "canary-3"},
}


def declared(**more: Any) -> Callable[[Sky, threading.Event], GpuCloud]:
    return lambda sky, cancel: DeclaredClusterCloud(sky.client(cancel), "sky", {**TASK, **more})


def test_a_declared_cluster(world: World) -> None:
    process = world.process(declared())
    done = process.up(replace(SKY, gpu="A100-80GB-SXM", gpu_count=5), replace_trigger="hash-of-the-task")
    assert (done.instance.state, done.instance.gpu, done.hourly_usd) == (InstanceState.READY, "", 5.0)
    task = next(each.task for each in world.sky.asked.values() if each.task)
    assert {key: value for key, value in task.items() if key != "resources"} == {
        key: value for key, value in TASK.items() if key != "resources"
    }
    assert task["resources"]["labels"]["gpuplane-marker"] == done.instance.name
    assert isinstance(process.cloud, DeclaredClusterCloud)
    record = process.cloud.record(done.instance.name)
    assert record is not None and (record.nodes, record.accelerators) == (2, {"H100": 1.0})
    other = world.process(declared()).up(SKY, replace_trigger="another task")
    assert other.instance.name != done.instance.name and world.left == (2, 0)


def test_what_was_declared_decides_whether_a_job_is_missed(world: World) -> None:
    world.process(declared(run=None, setup=None)).up(SKY)
    again = world.process(declared(run=None, setup=None)).up(SKY)
    assert again.adopted and world.sky.sent("/launch") == 1


def test_two_servers_hold_two_nodes_of_one_name(world: World) -> None:
    """A second server is another place: what fails on one is not taken for dead on the other."""
    second = Sky(world.clock)
    process = world.process()
    client = second.client(process.cancel)
    moved = SkyPilotCloud(client, "sky-2", bare=True)
    moved._survey._server = moved._server = "00000002"
    process.clouds["sky-2"] = moved
    world.sky.plans = [Plan(error_of("RuntimeError", "Failed to run setup commands"), after_s=50)]
    done = process.up(SKY, replace(SKY, credentials="sky-2"))
    assert done.candidate.credentials == "sky-2" and (world.sky.left, second.left) == (0, 1)
    assert done.instance.id.endswith("@00000002")
