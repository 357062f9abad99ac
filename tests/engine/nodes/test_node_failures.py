"""What goes wrong, and what the user and the state see of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.nodes.conftest import NewWorld
from tests.engine.nodes.world import candidate, cluster


def test_a_node_that_never_gets_ready_is_kept_and_taken_up_again(new_world: NewWorld):
    world = new_world(
        clusters={
            "chat": cluster(
                1,
                readiness={"kind": "http", "path": "/never"},
                keepOnFailure=True,
                provisionDeadlineS=30,
            )
        }
    )
    failed = world.stack.up()
    assert not failed.ok and "not ready" in failed.output and "Traceback" not in failed.output
    kept = world.by_node()["chat-0"]
    resource = world.stack.resources()["chat-0"]
    assert resource["id"] == kept[0] and resource["initErrors"]
    assert resource["outputs"]["state"] != "READY"
    assert resource["outputs"]["candidate"]["gpu"] == "RTX4090"

    world.change("clusters.chat.readiness", {"kind": "http", "path": "/health"})
    world.stack.up().expect_ok()
    assert world.by_node()["chat-0"] == kept, "the same node, not a second one"
    assert world.outputs("chat-0")["state"] == "READY"
    assert "initErrors" not in world.stack.resources()["chat-0"]

    # A failed update: the node is not what was asked for any more, and the state says so.
    world.change("clusters.chat.readiness", {"kind": "http", "path": "/never"})
    assert not world.stack.up().ok
    assert world.stack.resources()["chat-0"]["initErrors"]
    world.stack.destroy().expect_ok()
    assert world.pods() == []


def test_a_node_that_never_gets_ready_is_deleted_by_default(new_world: NewWorld):
    world = new_world(
        clusters={"chat": cluster(1, readiness={"kind": "http", "path": "/never"}, provisionDeadlineS=30)}
    )
    failed = world.stack.up()
    assert not failed.ok
    assert "deleted" in failed.output
    assert world.pods() == [] and "chat-0" not in world.stack.resources()


BAD: list[tuple[str, dict[str, Any], list[str]]] = [
    ("gpu", {"candidates": [candidate("RTX4900")]}, ["RTX4900", "RTX4090"]),
    ("region", {"candidates": [candidate("RTX4090", "EU-R0-1")]}, ["EU-R0-1", "EU-RO-1"]),
    ("spot", {"capacity": "spot"}, ["spot", "on_demand"]),
    ("cap", {"maxHourlyUsd": 0.1}, ["maxHourlyUsd", "0.10", "raise the cap"]),
    ("budget", {"nodes": 2, "budgetHourlyUsd": 0.2}, ["budgetHourlyUsd", "2 node(s)", "0.20"]),
    ("class", {"nodeClas": "x"}, ["Pulumi.test.yaml", "nodeClass"]),
]


@pytest.mark.parametrize(("what", "change", "told"), BAD, ids=[case[0] for case in BAD])
def test_mistakes_are_told_in_a_preview(
    new_world: NewWorld, what: str, change: dict[str, Any], told: list[str]
):
    world = new_world(clusters={"chat": cluster(**{"nodes": 1, **change})})
    preview = world.stack.preview()
    assert not preview.ok
    for text in told:
        assert text in preview.output, preview.output
    assert "Traceback" not in preview.output
    assert world.writes() == []


def test_a_bad_key_is_named_once(new_world: NewWorld):
    world = new_world(clusters={"chat": cluster(2)})
    world.stack.env["TEST_RUNPOD_KEY"] = "canary-4c1d77-nobody-knows-this-key"
    preview = world.stack.preview()
    assert not preview.ok
    told = preview.output.partition("Diagnostics:")[2]
    assert told.count("credential set 'main' of runpod can't be used (auth)") == 1, preview.output
    assert "nobody-knows" not in preview.output


def test_without_an_emulator(new_world: NewWorld):
    world = new_world(clusters={"chat": cluster(1)})
    world.stack.env["GPUPLANE_EMULATOR_DIR"] = str(world.stack.root)
    preview = world.stack.preview()
    assert not preview.ok
    assert "the emulator of this checkout is not running: start it with `make up`" in preview.output
    assert "Traceback" not in preview.output


def test_under_the_stock_host(new_world: NewWorld):
    """It works, more slowly, and says so; nothing is known in a preview, nothing leaks."""
    world = new_world(host="stock", clusters={"chat": cluster(2)})
    up = world.stack.up().expect_ok()
    assert "the SDK's own host" in up.output
    assert [len(ids) for ids in world.by_node().values()] == [1, 1]
    assert world.stack.up().expect_ok().ops()["chat-0"] == "same"
    world.stack.destroy().expect_ok()
    assert world.pods() == []
    assert "canary-4c1d77" not in world.files()
