"""A disk that the nodes of a class share: one for each place, gone with the stack unless it is kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.harness import wait_until
from tests.engine.nodes.conftest import NewWorld
from tests.engine.nodes.world import World, account, candidate, cluster

PLACES = ["EU-CZ-1", "EU-RO-1"]


def cached_world(new_world: NewWorld, nodes: int = 2, **cache: Any) -> World:
    """One class with a cache, and one cluster of it."""
    candidates = [{**candidate("RTX4090"), "regions": PLACES}]
    small = {"candidates": candidates, "weightsCache": {"sizeGb": 200, "path": "/models", **cache}}
    chat = {key: value for key, value in cluster(nodes).items() if key != "candidates"}
    return new_world(nodeClasses={"small": small}, clusters={"chat": chat | {"nodeClass": "small"}})


def volumes(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.emulator.call("GET", "/v2/network-volumes", key=world.key)[
        "networkVolumes"
    ]
    return found


def test_nodes_share_a_cache_that_ends_with_the_stack(new_world: NewWorld) -> None:
    world = cached_world(new_world)
    sold_out = {"NVIDIA GeForce RTX 4090|EU-CZ-1": 0}
    world.emulator.set(capacity=sold_out)
    preview = world.stack.preview()
    preview.expect_ok()
    assert "weights cache of small: 200 GB, 14.00 USD/month on RunPod" in preview.output
    assert volumes(world) == []
    world.stack.up().expect_ok()
    (volume,) = volumes(world)
    assert (volume["dataCenter"], volume["size"]) == ("EU-RO-1", 200)
    assert volume["name"].startswith("gp-p-testtest-cache-small-")
    mounts = [pod["mounts"] for pod in world.pods()]
    assert mounts == [{"network": [{"volumeId": volume["id"], "path": "/models"}]}] * 2

    again = world.stack.up()
    again.expect_ok()
    assert volumes(world) == [volume]
    refreshed = world.stack.refresh()
    refreshed.expect_ok()
    assert world.outputs("leak-guard")["orphans"] == []
    world.change("nodeClasses.small.weightsCache.sizeGb", 300)
    world.stack.up().expect_ok()
    assert len(world.pods()) == 2 and volumes(world) == [volume], "a larger size makes no new node"

    destroyed = world.stack.destroy()
    destroyed.expect_ok()
    assert f"ended weights cache {volume['id']}" in destroyed.output
    assert world.pods() == [] and volumes(world) == []
    state = world.emulator.control("GET", "runpod/state")
    assert state["volumes"][account(world.number)] == []


@pytest.mark.parametrize("recover", ["up", "destroy"])
def test_a_kill_while_a_cache_is_being_made_loses_none(new_world: NewWorld, recover: str) -> None:
    world = cached_world(new_world, 2)
    # The guard gets into the state first, as in every life of a stack.
    world.change("clusters.chat.nodes", 0)
    world.stack.up().expect_ok()
    world.change("clusters.chat.nodes", 2)
    fault = {"kind": "hang_after", "method": "POST", "path": "/v2/network-volumes", "count": 1}
    world.emulator.control("POST", "faults", fault)
    running = world.stack.start_operation("up")
    wait_until(lambda: volumes(world), 60, "the cache was asked for")
    running.kill_engine()
    running.kill_host()
    world.stack.cancel().expect_ok()
    if recover == "up":
        world.stack.up().expect_ok()
        (volume,) = volumes(world)
        assert [pod["mounts"]["network"][0]["volumeId"] for pod in world.pods()] == [volume["id"]] * 2
    world.stack.destroy().expect_ok()
    assert world.pods() == [] and volumes(world) == []


def test_a_kept_cache_is_found_by_the_next_up(new_world: NewWorld) -> None:
    world = cached_world(new_world, 1, keep=True)
    world.stack.up().expect_ok()
    (volume,) = volumes(world)
    destroyed = world.stack.destroy()
    destroyed.expect_ok()
    assert "stays and costs money" in destroyed.output and volumes(world) == [volume]
    world.stack.up().expect_ok()
    assert volumes(world) == [volume]
    assert world.pods()[0]["mounts"]["network"][0]["volumeId"] == volume["id"]

    # Nobody declares it any more: a refresh tells, a destroy ends it.
    world.change("clusters.chat", cluster(1))
    world.change("nodeClasses", None)
    world.config["nodeClasses"] = {}
    world.stack.set_config({"nodeClasses": {}})
    world.stack.up().expect_ok()
    refreshed = world.stack.refresh()
    refreshed.expect_ok()
    assert world.outputs("leak-guard")["orphans"][0]["id"] == volume["id"]
    world.stack.destroy().expect_ok()
    assert volumes(world) == []
