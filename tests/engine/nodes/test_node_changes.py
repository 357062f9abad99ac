"""What changes of the stack file do to living nodes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.engine.nodes.conftest import NewWorld
from tests.engine.nodes.world import World, candidate, cluster


@pytest.fixture
def one(new_world: NewWorld) -> World:
    """A stack with one node that lives."""
    world = new_world(clusters={"chat": cluster(1)})
    world.stack.up().expect_ok()
    return world


def urn(world: World, name: str) -> str:
    text: str = world.stack.resources()[name]["urn"]
    return text


def test_in_place_and_not_at_all(one: World):
    before = one.by_node()
    one.change("clusters.chat.candidates", [candidate("RTX4090"), candidate("L4")])
    one.change("clusters.chat.maxHourlyUsd", 9.5)
    result = one.stack.up().expect_ok()
    assert result.ops()["chat-0"] == "update"
    assert one.by_node() == before
    assert [method for method, _ in one.writes()] == ["POST"], "a further fallback and a cap write nothing"

    one.change("clusters.chat.image", "vllm/vllm-openai:v0.12.0")
    one.change("clusters.chat.env", {"MODEL": "tiny-model"})
    result = one.stack.up().expect_ok()
    step = next(s for s in result.steps() if s["urn"].endswith("chat-0"))
    assert step["op"] == "update"
    assert set(step["detailedDiff"]) == {"image", "env"}
    assert one.by_node() == before
    assert [method for method, _ in one.writes()] == ["POST", "PATCH"]
    assert one.pods()[0]["image"] == "vllm/vllm-openai:v0.12.0"
    assert one.outputs("chat-0")["state"] == "READY"
    assert "tiny-model" not in json.dumps(one.stack.resources()["chat-0"])
    assert one.stack.up().expect_ok().ops()["chat-0"] == "same"


def test_another_gpu_is_another_node(one: World):
    before = one.by_node()["chat-0"]
    one.change("clusters.chat.candidates", [candidate("L4")])
    result = one.stack.up().expect_ok()
    assert "delete-replaced" in [step["op"] for step in result.steps()]
    after = one.by_node()["chat-0"]
    assert len(after) == 1 and after != before
    assert [method for method, _ in one.writes()] == ["POST", "DELETE", "POST"], (
        "ended before it is made anew"
    )
    assert one.outputs("chat-0")["gpu"] == "L4"


@pytest.mark.parametrize("how", ["--replace", "taint"])
def test_a_forced_replace_never_loses_a_node(one: World, how: str):
    before = one.by_node()["chat-0"]
    if how == "taint":
        one.stack.run("state", "taint", urn(one, "chat-0"), "--yes", "--stack", "test").expect_ok()
        one.stack.up().expect_ok()
    else:
        one.stack.up("--replace", urn(one, "chat-0")).expect_ok()
    after = one.by_node()["chat-0"]
    assert len(after) == 1 and after != before
    assert one.outputs("chat-0")["instanceId"] == after[0]
    one.stack.destroy().expect_ok()
    assert one.pods() == []


def test_create_before_delete_on_request(new_world: NewWorld):
    world = new_world(clusters={"chat": cluster(2, deleteBeforeReplace=False)})
    world.stack.up().expect_ok()
    before = world.by_node()
    world.change("clusters.chat.replaceTrigger", "again")
    world.stack.up().expect_ok()
    assert [method for method, _ in world.writes()] == ["POST"] * 4 + ["DELETE"] * 2
    after = world.by_node()
    assert all(len(ids) == 1 and ids != before[node] for node, ids in after.items())


def test_scaling_down_and_up(new_world: NewWorld):
    world = new_world(clusters={"chat": cluster(3)})
    world.stack.up().expect_ok()
    kept = world.by_node()["chat-0"]
    world.change("clusters.chat.nodes", 1)
    world.stack.up().expect_ok()
    assert world.by_node() == {"chat-0": kept}
    world.change("clusters.chat.nodes", 2)
    world.stack.up().expect_ok()
    assert sorted(world.by_node()) == ["chat-0", "chat-1"] and world.by_node()["chat-0"] == kept


@pytest.mark.parametrize("rolling", [True, False])
def test_rolling_change_misses_one_node_at_most(new_world: NewWorld, rolling: bool):
    world = new_world(clusters={"chat": cluster(3, rolling=rolling)})
    world.stack.up().expect_ok()
    made = len(world.writes())
    world.change("clusters.chat.replaceTrigger", "again")
    world.stack.up().expect_ok()
    missing, most = 0, 0
    for method, _ in world.writes()[made:]:
        missing += {"DELETE": 1, "POST": -1}[method]
        most = max(most, missing)
    # How many go at once without it is the engine's matter; more than one shows what holds them.
    assert most == 1 if rolling else most > 1
    assert [len(ids) for ids in world.by_node().values()] == [1, 1, 1]


def test_moved_prices_are_no_change(new_world: NewWorld):
    world = new_world(clusters={"chat": cluster(1, maxHourlyUsd=1)})
    world.emulator.set(prices=price(0.4))
    assert "0.40" in world.stack.preview().expect_ok().output
    world.emulator.set(prices=price(0.6))
    world.stack.up().expect_ok()
    assert world.outputs("chat-0")["hourlyUsd"] == 0.6
    # Even above the cap: a node that lives is not judged by what a new one would cost.
    world.emulator.set(prices=price(3.0))
    again = world.stack.up("--refresh").expect_ok()
    assert again.ops()["chat-0"] in ("same", "refresh")
    assert world.writes() == [("POST", "/v2/pods")]
    assert world.outputs("chat-0")["hourlyUsd"] == 0.6


def price(usd: float) -> dict[str, Any]:
    return {"NVIDIA GeForce RTX 4090": {"SECURE": usd}}
