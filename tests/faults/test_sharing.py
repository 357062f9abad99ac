"""Two stacks and two processes on one key: they keep one pace, and leave each other's nodes alone."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Any

import pytest

from gpu_clouds.errors import RateLimitedError
from gpu_clouds.provisioning import Provisioned
from tests.faults.counting import COUNTED
from tests.faults.world import CLOUDS, FIRST, SECOND, STACK, World

OTHER_STACK = "wxyz9876"
LIMITS: dict[str, dict[str, Any]] = {
    "runpod": {"rate_limit": {"minute": 12}},
    "lambda": {"rate_limit": "published"},
    "paperspace": {"rate_limit": 40, "retry_after": True},
    "vast": {"rate_limit": 40},
}

LAUNCH = re.compile(
    r"POST (?:/v2/pods|/api/v1/instance-operations/launch|/paperspace/v1/machines)|PUT /\S*/asks/\d+/"
)


@pytest.fixture(autouse=True)
def _count(request: pytest.FixtureRequest) -> None:
    COUNTED.add("sharing")


def _statuses(world: World, cloud: str) -> list[int]:
    return [one["status"] for one in world.requests(cloud)]


@pytest.mark.parametrize("cloud", CLOUDS)
def test_two_processes_on_one_key_keep_its_limits(cloud: str, world: World) -> None:
    """Each knows of the other's requests through a file only."""
    world.change(cloud, **LIMITS[cloud])
    first, second = world.start(), world.start(stack=OTHER_STACK)
    done = [one.up(FIRST[cloud], node=f"n{number}") for number in range(3) for one in (first, second)]
    assert len({one.instance.id for one in done}) == 6 == len(world.living(cloud))
    refused = _statuses(world, cloud).count(429)
    # Where answers tell how much is left, or the pace is published, nobody runs into the limit.
    assert refused <= (0 if cloud in ("runpod", "lambda") else 12)
    for stack in (STACK, OTHER_STACK):
        world.start(stack=stack).end_all()
    assert (world.living(), world.belongings()) == ({}, {})


@pytest.mark.parametrize("cloud", CLOUDS)
def test_one_stack_of_two_ends_and_the_other_stays(cloud: str, world: World) -> None:
    first, second = world.start(), world.start(stack=OTHER_STACK)
    mine, theirs = first.up(FIRST[cloud]), second.up(FIRST[cloud])
    assert mine.instance.id != theirs.instance.id
    world.fault(cloud, "delete_refused")
    assert [one.id for one in world.start().end_all()] == [mine.instance.id]
    assert list(world.living()) == [theirs.instance.id]
    assert world.start(stack=OTHER_STACK).up(FIRST[cloud]).adopted
    world.start(stack=OTHER_STACK).end_all()
    assert (world.living(), world.belongings()) == ({}, {})


@pytest.mark.parametrize("cloud", CLOUDS)
def test_two_processes_bring_up_one_node_one_after_the_other(cloud: str, world: World) -> None:
    """A colleague's run has launched it already: the second one adopts, and both hold the same id."""
    first = world.start().up(FIRST[cloud], SECOND[cloud])
    second = world.start().up(FIRST[cloud], SECOND[cloud])
    assert (second.adopted, second.instance.id) == (True, first.instance.id)
    world.start().end_all()
    assert (world.living(), world.belongings()) == ({}, {})


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_second_machine_launches_at_the_same_time(cloud: str, world: World) -> None:
    """It has other intents. Both launch; the next run keeps the older node and ends the other."""
    first = world.start()
    with closing(World()) as elsewhere:
        # Another machine is another folder on the same clouds.
        other = world.start(state_dir=elsewhere.state_dir)
        made: list[Provisioned] = []

        def launch_too(line: str) -> None:
            if LAUNCH.fullmatch(line):
                world.net.before = lambda _line: None
                made.append(other.up(FIRST[cloud]))

        world.net.before = launch_too
        mine = first.up(FIRST[cloud])
        assert len(made) == 1
        assert len(world.living(cloud)) == 2
        kept = world.start().up(FIRST[cloud])
        assert kept.instance.id in (mine.instance.id, made[0].instance.id)
        assert list(world.living(cloud)) == [kept.instance.id]
        assert any("one too many" in note for note in kept.notes)
        world.start().end_all()
    assert world.living() == {}
    assert world.belongings().get("startup-scripts", 0) == 0


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_429_holds_back_the_other_process_too(cloud: str, world: World) -> None:
    first, second = world.start(), world.start(stack=OTHER_STACK)
    first.up(FIRST[cloud])
    second.clouds[cloud].list("gp-")
    world.fault(cloud, "rate_limited", retry_after_s=40, method="GET")
    began = world.clock.time()
    first.clouds[cloud].list("gp-")
    assert world.clock.time() - began >= 40
    world.fault(cloud, "rate_limited", retry_after_s=200, method="GET")
    with pytest.raises(RateLimitedError):
        first.clouds[cloud].list("gp-")
    told = world.clock.time()
    second.clouds[cloud].list("gp-")
    assert world.clock.time() - told >= 190, "the other process has not heard of it"
