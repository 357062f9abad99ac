"""Nodes that somebody else has made: `import_`, `adoptId`, and the resource on its own."""

from __future__ import annotations

from tests.engine.nodes.conftest import NewWorld
from tests.engine.nodes.world import STACK_ID, World, cluster

PROGRAM = f"""
import pulumi
from dynamic_providers.gpu_node import GpuNode
from dynamic_providers.leak_guard import LeakGuard

config = pulumi.Config()
guard = LeakGuard("guard", stack_id="{STACK_ID}", credentials=["main"], nodes=["mine"])
where = {{"cloud": "runpod", "credentials": "main", "gpu": "rtx 4090", "region": "eu-central"}}
node = GpuNode(
    "mine",
    {{
        "guard": guard.id,
        "candidates": [where],
        "image": config.get("image") or "by/hand:1",
        "ports": ["8000/http"],
        "env": {{"MODEL": "x-model"}},
    }},
    pulumi.ResourceOptions(
        import_=config.get("import"),
        custom_timeouts=pulumi.CustomTimeouts(create=config.get("timeout") or "10m"),
    ),
)
pulumi.export("id", node.instanceId)
"""


def by_hand(world: World) -> str:
    """A pod with a name that means nothing to us."""
    body = {
        "name": "made-by-hand",
        "image": "by/hand:1",
        "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 1},
        "dataCenterIds": ["EU-RO-1"],
        "ports": ["8000/http"],
    }
    made: str = world.emulator.call("POST", "/v2/pods", body, key=world.key)["id"]
    world.emulator.control("POST", "clock/advance", {"seconds": 60})
    return made


def test_import_takes_a_node_over(new_world: NewWorld):
    world = new_world(PROGRAM)
    pod = by_hand(world)
    world.stack.set_config({"import": pod})
    assert world.stack.up().expect_ok().ops()["mine"] == "import"
    world.stack.set_config({"import": None})
    assert world.stack.up().expect_ok().ops()["mine"] == "same"
    assert [method for method, _ in world.writes()] == ["POST"], "the test's own; an import writes nothing"
    world.stack.set_config({"image": "by/hand:2"})
    assert world.stack.up().expect_ok().ops()["mine"] == "update"
    assert [(p["id"], p["image"]) for p in world.pods()] == [(pod, "by/hand:2")]
    world.stack.destroy().expect_ok()
    assert world.pods() == []


def test_adopt_id_takes_a_node_over(new_world: NewWorld):
    world = new_world(clusters={"chat": cluster(2)})
    pod = by_hand(world)
    world.change("clusters.chat.adoptIds", {"chat-1": pod})
    world.stack.up().expect_ok()
    assert world.stack.resources()["chat-1"]["id"] == pod
    assert len(world.pods()) == 2
    # The node has its own name, not ours: it is found by its id, and no second one is made for it.
    world.change("clusters.chat.env", {"MODEL": "x-model"})
    world.stack.up().expect_ok()
    assert len(world.pods()) == 2 and pod in [each["id"] for each in world.pods()]
    world.stack.destroy().expect_ok()
    assert world.pods() == []


def test_a_custom_time_out_limits_a_launch(new_world: NewWorld):
    world = new_world(PROGRAM)
    world.emulator.set(ready_after_s=5000.0)
    world.stack.set_config({"timeout": "40s"})
    failed = world.stack.up()
    assert not failed.ok and "not ready after 4" in failed.output, failed.output
    assert world.pods() == []
