"""Startup scripts of launches without an answer: none is made twice, none is left beside a machine."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gpu_clouds.errors import AmbiguousError, GpuCloudError, TransientError, ValidationError
from gpu_clouds.intents import IntentLog
from gpu_clouds.models import InstanceState
from gpu_clouds.provisioning import NodeRequest, Provisioner, ProvisioningError
from tests.unit.gpu_clouds.paperspace_harness import A100, NAME, STACK, TEMPLATE, World


@pytest.mark.parametrize("kind", ["error_after", "cut_after"])
def test_a_script_whose_making_got_no_answer_is_found_and_used(kind: str) -> None:
    world = World()
    world.fault(kind, path="/startup-scripts", method="POST")
    ready = world.ready()
    assert ready.state is InstanceState.READY
    assert world.objects["startup-scripts"] == 1


def test_a_script_that_was_not_made_is_told_and_no_machine_is_asked_for() -> None:
    world = World()
    world.fault("error", path="/startup-scripts", method="POST")
    with pytest.raises(TransientError, match="no machine was asked for"):
        world.launch()
    assert world.left == 0


def test_nobody_can_tell_whether_a_script_was_made() -> None:
    world = World()
    world.fault("error_after", path="/startup-scripts", method="POST")
    for _ in range(4):
        world.fault("error", path="/startup-scripts", method="GET")
    with pytest.raises(TransientError, match="no machine was asked for"):
        world.launch()
    assert world.alive == 0
    world.pass_time(60)
    (left,) = world.cloud.list(STACK)
    assert (left.name, left.state) == (NAME, InstanceState.FAILED)
    world.cloud.delete(left.id)
    assert world.left == 0


@pytest.mark.parametrize("assignment", [True, False])
def test_the_script_of_an_unanswered_launch_goes_once_another_has_its_machine(assignment: bool) -> None:
    world = World(script_assignment=assignment)
    world.fault("error", path="/machines", method="POST")
    with pytest.raises(AmbiguousError):
        world.launch()
    ready = world.ready()
    assert world.objects["startup-scripts"] == 2
    shown = world.cloud.list(STACK)
    # Where the cloud does not tell which script a machine has, neither is taken from it.
    assert len(shown) == (2 if assignment else 1)
    for one in shown:
        if one.id != ready.id:
            world.cloud.delete(one.id)
    assert world.alive == 1
    assert world.cloud.get(ready.id).endpoints == ready.endpoints
    world.cloud.delete(ready.id)
    world.pass_time(60)
    assert world.left == 0


def test_an_unanswered_launch_may_still_need_its_script() -> None:
    world = World()
    world.fault("error", path="/machines", method="POST")
    with pytest.raises(GpuCloudError):
        world.launch()
    made = world.launch()
    world.pass_time(55)
    assert [one.id for one in world.cloud.list(STACK)] == [made.id]


def test_what_a_launch_has_left_behind_is_no_answer_to_the_next(tmp_path: Path) -> None:
    world = World()
    for _ in range(2):
        world.fault("error", path="/machines", method="POST")
    intents = IntentLog("abcdefgh", tmp_path, world.clock)
    provisioner = Provisioner(
        {"main": world.cloud}, intents, world.clock, threading.Event(), lambda _line: None, lambda: None
    )
    with pytest.raises(ProvisioningError) as caught:
        provisioner.find_or_launch(NodeRequest("p", "abcdefgh", "web-0", (A100,), TEMPLATE))
    assert isinstance(caught.value.cause, AmbiguousError)
    assert "HTTP 500" in str(caught.value)
    assert "left over" not in str(caught.value)
    assert world.left == 0


def test_too_much_text_is_told_with_a_next_step() -> None:
    world = World()
    world.fault("create_refused", args={"status": 413})
    with pytest.raises(ValidationError, match="check the inputs"):
        world.launch()
    assert world.left == 0
