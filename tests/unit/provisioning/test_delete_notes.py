"""A delete that a killed run had sent may still take effect: whoever means to keep the node waits for it."""

from pathlib import Path

import pytest

from gpu_clouds.errors import AmbiguousError
from gpu_clouds.intents import ending
from gpu_clouds.marker import stack_prefix
from tests.unit.provisioning.world import STACK, World, request, spec_of

SETTLE_S = request().settle_s


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_create_neither_adopts_nor_launches_before_it_has_landed(world: World) -> None:
    node = world.runpod.plant(spec_of(request()))
    world.start().intents.open(ending(spec_of(request()).name), "runpod")
    start = world.clock.time()
    done = world.start().up(request())
    assert done.instance.id == node.id
    assert world.clock.time() - start >= SETTLE_S


def test_an_unanswered_delete_is_noted_only_until_the_node_is_gone(world: World) -> None:
    node = world.runpod.plant(spec_of(request()))
    name = spec_of(request()).name
    seen: list[float | None] = []
    world.runpod.delete_faults = [AmbiguousError("lost")]
    log = world.start().intents
    run = world.start(may_send=lambda: seen.append(log.youngest_open(ending(name))))
    run.ender().end(run.clouds["main"], node.id, marker=name, intents=run.intents)
    assert len(seen) == 2 and None not in seen, "noted before each sending"
    assert run.intents.youngest_open(ending(name)) is None
    assert run.intents.youngest_open(stack_prefix("p", STACK)) is None, "no launch waits for it"
    assert world.living() == []
