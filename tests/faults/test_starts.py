"""Stops and starts that go wrong: one clear error, and the node is still there to be ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from gpu_clouds.errors import GpuCloudError
from gpu_clouds.models import InstanceState
from tests.faults.counting import COUNTED
from tests.faults.world import FIRST, World


@dataclass(frozen=True)
class Start:
    """A start and what is wrong with it.

    Attributes:
        cloud: Where.
        fault: Kind of the fault; empty for none.
        ends: Kind of the error; empty where the node starts.
        more: Of the fault.
        settings: Settings of the emulator before the start.
    """

    cloud: str
    fault: str
    ends: str
    more: tuple[tuple[str, Any], ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.cloud}: {self.fault or self.settings or 'nothing'}"


NOTHING_FREE = (("capacity", {"*|*": 0}),)
STARTS = [
    Start("runpod", "", ""),
    Start("runpod", "start_no_free_gpu", "capacity"),
    Start("runpod", "start_without_gpu", "capacity"),
    Start("runpod", "error", "ambiguous", (("method", "POST"), ("path", "*/action"))),
    Start("runpod", "hang_after", "ambiguous", (("method", "POST"), ("path", "*/action"))),
    Start("runpod", "", "capacity", settings=NOTHING_FREE),
    Start("paperspace", "", ""),
    Start("paperspace", "start_conflict", ""),
    Start("paperspace", "start_conflict", "conflict", (("count", 0),)),
    Start("paperspace", "start_no_capacity", "capacity"),
    Start("paperspace", "error", "ambiguous", (("method", "PATCH"), ("path", "*/start"))),
    Start("paperspace", "", "capacity", settings=NOTHING_FREE),
]


@pytest.mark.parametrize("start", STARTS, ids=str)
def test_a_start_works_or_says_why(start: Start, world: World) -> None:
    process = world.start()
    cloud = process.clouds[start.cloud]
    node = process.up(FIRST[start.cloud]).instance
    cloud.stop(node.id)
    world.clock.sleep(200)
    assert cloud.get(node.id).state is InstanceState.STOPPED
    world.change(start.cloud, **dict(start.settings))
    if start.fault:
        world.fault(start.cloud, start.fault, **dict(start.more))
    kind = ""
    try:
        cloud.start(node.id)
    except GpuCloudError as error:
        kind = error.kind
        assert node.id in str(error) or start.cloud in str(error).lower()
    assert kind == start.ends
    world.heal()
    assert list(world.living()) == [node.id]
    # A node that does not come back is ended, and a new one takes its place.
    world.clock.sleep(200)
    done = world.start().up(FIRST[start.cloud])
    assert done.adopted == (cloud.get(node.id).state is InstanceState.READY)
    assert list(world.living()) == [done.instance.id]
    world.start().end_all()
    assert (world.living(), world.belongings()) == ({}, {})
    COUNTED.add("starts")


@pytest.mark.parametrize("cloud", ["runpod", "paperspace"])
@pytest.mark.parametrize("fault", ["error", "hang", "cut_after"])
def test_a_stop_without_an_answer_leaves_one_node(cloud: str, fault: str, world: World) -> None:
    process = world.start()
    node = process.up(FIRST[cloud]).instance
    world.fault(cloud, fault, path="*/action" if cloud == "runpod" else "*/stop")
    with pytest.raises(GpuCloudError):
        process.clouds[cloud].stop(node.id)
    world.heal()
    world.clock.sleep(900)
    done = world.start().up(FIRST[cloud])
    assert list(world.living()) == [done.instance.id]
    world.start().end_all()
    assert (world.living(), world.belongings()) == ({}, {})
    COUNTED.add("starts")
