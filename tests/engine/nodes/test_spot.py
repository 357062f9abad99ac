"""Spot nodes, the account's money and an end that RunPod keeps: the old API behind a feature."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.engine.nodes.conftest import NewWorld
from tests.engine.nodes.world import World, candidate, cluster


def spot_world(new_world: NewWorld, **more: Any) -> World:
    """One cluster of one spot node, in an account with the old API switched on."""
    main = {
        "cloud": "runpod",
        "endpoint": "emulator",
        "apiKeyEnv": "TEST_RUNPOD_KEY",
        "features": ["graphql"],
    }
    clusters = {"chat": cluster(1, **{"capacity": "spot", "maxHourlyUsd": 1.0, **more})}
    return new_world(credentials={"main": main}, clusters=clusters)


def test_a_spot_node_that_is_taken_back_is_made_anew(new_world: NewWorld) -> None:
    world = spot_world(new_world, candidates=[candidate("RTX4090", bidPerGpuUsd=0.5)])
    world.stack.up().expect_ok()
    (pod,) = world.pods()
    assert pod["cost"] == 0.5
    assert world.outputs("chat-0")["hourlyUsd"] == 0.5

    world.emulator.control("POST", f"runpod/pods/{pod['id']}/reclaim", {})
    refreshed = world.stack.refresh()
    refreshed.expect_ok()
    assert "was taken back" in refreshed.output
    assert world.outputs("chat-0")["state"] == "FAILED"
    world.stack.up().expect_ok()
    (again,) = world.pods()
    assert again["id"] != pod["id"] and world.outputs("chat-0")["instanceId"] == again["id"]
    assert world.outputs("chat-0")["state"] == "READY"

    world.emulator.control("POST", f"runpod/pods/{again['id']}/reclaim", {"gone": True})
    world.stack.refresh().expect_ok()
    assert "chat-0" not in world.stack.resources()
    world.stack.up().expect_ok()
    assert len(world.pods()) == 1
    world.stack.destroy().expect_ok()
    assert world.pods() == []


def test_runpod_itself_ends_a_node_that_expires(new_world: NewWorld) -> None:
    at = datetime.now(UTC) + timedelta(days=30)
    world = spot_world(new_world, capacity="on_demand", expiresAt=at.isoformat())
    world.stack.up().expect_ok()
    assert len(world.pods()) == 1
    world.emulator.control("POST", "clock/advance", {"seconds": 31 * 86400})
    assert world.pods() == []


def test_a_preview_refuses_what_the_account_can_not_pay(new_world: NewWorld) -> None:
    world = spot_world(new_world, candidates=[candidate("RTX4090", bidPerGpuUsd=0.5)])
    world.emulator.control("PATCH", "runpod/account", {"key": world.key, "balance": 0.4})
    preview = world.stack.preview()
    assert not preview.ok
    assert (
        "has 0.40 USD left, and an hour of" in preview.output and "costs 0.50: add credit" in preview.output
    )
    assert [path for _, path in world.writes() if path != "/graphql"] == []
    assert world.pods() == []


def test_a_preview_says_what_to_change_once_the_old_api_is_gone(new_world: NewWorld) -> None:
    world = spot_world(new_world)
    world.emulator.set(graphql_retired=True)
    try:
        preview = world.stack.preview()
    finally:
        world.emulator.set(graphql_retired=False)
    assert not preview.ok and "Traceback" not in preview.output
    assert "remove 'graphql' from the features of credential set 'main'" in preview.output
