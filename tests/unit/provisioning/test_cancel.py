"""^C at any moment: nothing is left whose id nobody holds."""

from dataclasses import replace
from pathlib import Path

import pytest

from gpu_clouds.errors import AmbiguousError, CancelledError, TransientError
from gpu_clouds.provisioning import ProvisioningError
from tests.unit.provisioning.world import Launch, World, request, spec_of

LOST = Launch(error=AmbiguousError("lost"))


def test_before_anything_was_sent(tmp_path: Path) -> None:
    world = World(tmp_path)
    run = world.start()
    run.cancel.set()
    with pytest.raises(CancelledError):
        run.up(request())
    assert world.runpod.calls == []


@pytest.mark.parametrize("at", [1.0, 6.0, 20.0, 300.0])
def test_while_waiting_the_node_is_ended(at: float, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.script = [Launch(boot=600)]
    run = world.start()
    world.clock.after(at, run.cancel.set)
    start = world.clock.time()
    with pytest.raises(CancelledError):
        run.up(request())
    assert world.living() == []
    assert world.other.calls.count("create") == 0, "no next candidate after a cancel"
    assert world.clock.time() - start <= at + 30


def test_a_node_that_does_not_go_is_kept(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.script = [Launch(boot=600)]
    world.runpod.delete_faults = [TransientError("503")] * 99
    run = world.start()
    world.clock.after(20, run.cancel.set)
    start = world.clock.time()
    with pytest.raises(ProvisioningError, match="deletion is not confirmed") as caught:
        run.up(request())
    assert caught.value.kind == "cancelled"
    assert caught.value.kept is not None
    assert [n.id for n in world.living()] == [caught.value.kept.id]
    assert world.clock.time() - start <= 20 + 70


def test_a_node_that_is_to_be_kept_is_kept(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.script = [Launch(boot=600)]
    run = world.start()
    world.clock.after(20, run.cancel.set)
    with pytest.raises(ProvisioningError, match="keepOnFailure") as caught:
        run.up(request(keep_on_failure=True))
    assert caught.value.kept is not None
    assert [n.id for n in world.living()] == ["runpod1"]


def test_a_node_that_was_found_is_kept(tmp_path: Path) -> None:
    """It may serve people; only its state was lost."""
    world = World(tmp_path, ready=lambda instance: False)
    world.runpod.plant(spec_of(request()))
    run = world.start()
    world.clock.after(20, run.cancel.set)
    with pytest.raises(ProvisioningError, match="the node that was found is kept") as caught:
        run.up(request())
    assert caught.value.kept is not None
    assert [n.id for n in world.living()] == ["runpod1"]


def test_a_launch_without_answer_is_ended_as_far_as_it_shows(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.script = [replace(LOST, effect_after=1)]
    run = world.start()
    world.clock.after(6.5, run.cancel.set)
    with pytest.raises(CancelledError, match="one launch got no answer"):
        run.up(request())
    assert world.living() == []


def test_a_launch_without_answer_that_shows_later_is_left_to_the_next_run(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.script = [replace(LOST, effect_after=50)]
    run = world.start()
    world.clock.after(7, run.cancel.set)
    with pytest.raises(CancelledError, match="the next up or destroy looks for its node"):
        run.up(request())
    assert world.start().up(request()).adopted
    assert [n.id for n in world.living()] == ["runpod1"]
