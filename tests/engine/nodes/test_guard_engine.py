"""LeakGuard in the real engine: forced replaces, a changed stackId, lost state, nodes that no state knows."""

from __future__ import annotations

import pytest

from tests.engine.nodes.conftest import NewWorld
from tests.engine.nodes.world import STACK_ID, World, cluster


@pytest.fixture
def two(new_world: NewWorld) -> World:
    """A stack with two nodes that live."""
    world = new_world(clusters={"chat": cluster(2)})
    world.stack.up().expect_ok()
    return world


def orphan(world: World, node: str) -> str:
    """A node with this stack's marker that no state knows, as a killed run leaves it."""
    body = {
        "name": f"gp-p-{STACK_ID}-{node}-00c0ffee",
        "image": "x/y:1",
        "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 1},
        "dataCenterIds": ["EU-RO-1"],
    }
    made: str = world.emulator.call("POST", "/v2/pods", body, key=world.key)["id"]
    return made


@pytest.mark.parametrize("how", ["--replace", "taint"])
def test_a_forced_replace_of_the_guard_replaces_its_nodes(two: World, how: str):
    before = two.by_node()
    guard = two.stack.resources()["leak-guard"]["urn"]
    if how == "taint":
        two.stack.run("state", "taint", guard, "--yes", "--stack", "test").expect_ok()
        two.stack.up().expect_ok()
    else:
        two.stack.up("--replace", guard).expect_ok()
    after = two.by_node()
    assert [len(ids) for ids in after.values()] == [1, 1]
    assert all(after[node] != before[node] for node in before)
    assert two.stack.up().expect_ok().ops()["chat-0"] == "same"


def test_another_stack_id_moves_everything(two: World):
    two.change("stackId", "othertst")
    two.stack.up().expect_ok()
    assert [len(ids) for ids in two.by_node().values()] == [1, 1]
    assert {pod["name"].split("-")[2] for pod in two.pods()} == {"othertst"}
    assert two.stack.resources()["leak-guard"]["id"] == "othertst"


def test_what_no_state_knows_is_reported_and_ended_with_the_stack(two: World):
    lost = orphan(two, "old-node")
    refresh = two.stack.refresh().expect_ok()
    assert lost in refresh.output and "not declared" in refresh.output
    assert [each["id"] for each in two.outputs("leak-guard")["orphans"]] == [lost]
    # A report changes nothing, neither in the cloud nor in what the next up does.
    assert two.stack.up().expect_ok().ops()["leak-guard"] == "same"
    assert lost in [pod["id"] for pod in two.pods()]
    two.change("clusters.chat.nodes", 1)
    assert two.stack.up().expect_ok().ops()["leak-guard"] == "update"
    assert lost in [pod["id"] for pod in two.pods()]
    destroy = two.stack.destroy().expect_ok()
    assert lost in destroy.output
    assert two.pods() == []


def test_a_lost_state_is_made_good_by_one_up(two: World):
    before = two.by_node()
    two.lose_state()
    assert two.stack.resources() == {}
    up = two.stack.up().expect_ok()
    assert up.ops()["chat-0"] == "create"
    assert two.by_node() == before, "adopted, every one of them"
    assert [method for method, _ in two.writes()] == ["POST", "POST"]
    two.stack.destroy().expect_ok()
    assert two.pods() == []
