"""The control plane in the real engine: its whole life, what changes in place, and in which order."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from typing import Any

import psutil
import pytest

from tests.engine.gateway.conftest import NewSite
from tests.engine.gateway.site import MODEL, Site, ended, question, texts
from tests.engine.harness import wait_until
from tests.engine.nodes.world import CANARY

DECLARED = {
    "chat": "create",
    "chat-0": "create",
    "chat-1": "create",
    "gateway-admin-token": "create",
    "gateway-key-default": "create",
    "gateway-upstream-chat": "create",
    "gateway-chat-0": "create",
    "gateway-chat-1": "create",
    "leak-guard": "create",
}


def test_its_life(site: Site) -> None:
    preview = site.stack.preview().expect_ok()
    assert preview.ops() == {**DECLARED, "gateway": "create"}
    assert site.processes() == []
    assert site.world.writes() == []

    site.stack.up().expect_ok()
    key = site.key()
    assert key.startswith("sk-gp-") and len(key) > 40
    assert site.chat(key)
    assert site.chat(key, MODEL)
    assert site.status("sk-gp-wrong") == 401
    assert {name: (node["models"], node["state"]) for name, node in site.table().items()} == {
        name: ([MODEL], "healthy") for name in ("chat-0", "chat-1")
    }

    # Nodes do not answer anybody but who has their key.
    way = site.world.outputs("chat-0")["endpoints"][0]["url"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        site.world.emulator.ask(way, "")
    refused.value.close()
    assert refused.value.code == 401
    assert site.world.emulator.ask(way, site.secrets()["gateway-upstream-chat"])["choices"]

    again = site.stack.up("--refresh").expect_ok()
    assert set(again.ops().values()) <= {"same", "refresh"}, again.ops()

    # Weights of an alias: the service alone, in place; the nodes stay registered.
    before = site.table()
    site.world.change(
        "controlPlane.models",
        {"best": {"targets": [{"model": MODEL, "weight": 9}]}, "plain": {"targets": [{"model": MODEL}]}},
    )
    changed = site.stack.up().expect_ok()
    assert {name: op for name, op in changed.ops().items() if op != "same"} == {"gateway": "update"}
    assert site.chat(key, "plain")
    assert {name: node["url"] for name, node in site.table().items()} == {
        name: node["url"] for name, node in before.items()
    }

    # The key and the admin token are rotated: the old ones end.
    site.world.change("controlPlane.keys", {"default": {"rotation": "2"}})
    site.world.change("controlPlane.adminRotation", "2")
    token = site.secrets()["gateway-admin-token"]
    rotated = site.stack.up().expect_ok()
    assert rotated.ops()["gateway"] == "update" and rotated.ops()["gateway-chat-0"] == "update"
    assert site.key() != key
    assert site.status(key) == 401 and site.status(site.key()) == 200
    with pytest.raises(urllib.error.HTTPError) as refused:
        site.ask("GET", "/admin/v1/nodes", key=token)
    refused.value.close()
    assert refused.value.code == 401
    assert len(site.table()) == 2

    secrets = [*site.secrets().values(), key, token]
    destroyed = ended(site.stack.destroy().expect_ok())
    order = [name for op, name in destroyed if op == "delete"]
    for node in ("chat-0", "chat-1"):
        assert order.index(f"gateway-{node}") < min(order.index(node), order.index("gateway"))
    assert order.index("gateway") < order.index("leak-guard")
    assert site.processes() == []
    assert site.world.pods() == []
    assert site.stack.resources() == {}
    assert not list((site.stack.state / "intents" / "services").glob("*/gateway")), "its folder is gone too"
    with pytest.raises(OSError):
        site.ask("GET", "/health")
    written = site.world.files()
    assert not [secret for secret in (*secrets, CANARY) if secret in written]
    assert "Traceback" not in written


def test_a_node_that_dies_while_it_answers_breaks_no_stream(site: Site) -> None:
    site.stack.up().expect_ok()
    site.world.emulator.set(tokens_per_s=2.0)  # emulated seconds: 120 a second
    body = json.dumps(question("best", stream=True, max_tokens=300, ignore_eos=True, seed=7, temperature=0))
    request = urllib.request.Request(f"{site.url}/v1/chat/completions", body.encode(), method="POST")
    request.add_header("content-type", "application/json")
    request.add_header("authorization", f"Bearer {site.key()}")
    ended_pods: list[str] = []
    with urllib.request.urlopen(request, timeout=60) as answer:
        pieces: list[str] = []
        for piece in texts(iter(answer.readline, b"")):
            pieces.append(piece)
            if len(pieces) == 40:
                ended_pods = [node for node, state in site.table().items() if state["inFlight"]]
                (serving,) = ended_pods
                site.world.end(site.world.by_node()[serving][0])
    assert len([piece for piece in pieces if piece]) >= 290
    site.world.emulator.set(tokens_per_s=0.0)
    whole = site.chat(site.key(), max_tokens=300, ignore_eos=True, seed=7, temperature=0)
    assert "".join(pieces) == whole, "nothing lost, nothing doubled"

    # The next up makes the node anew and registers it.
    healed = site.stack.up("--refresh").expect_ok()
    assert healed.ops()[f"gateway-{ended_pods[0]}"] != "same"
    assert {name: node["state"] for name, node in site.table().items()} == {
        "chat-0": "healthy",
        "chat-1": "healthy",
    }
    site.stack.destroy().expect_ok()


def test_a_node_that_is_replaced_is_drained_first(site: Site) -> None:
    site.stack.up().expect_ok()
    old = site.world.by_node()
    site.world.change("clusters.chat.replaceTrigger", "2")
    replaced = ended(site.stack.up().expect_ok())
    for node in ("chat-0", "chat-1"):
        steps = [(op, name) for op, name in replaced if name in (node, f"gateway-{node}")]
        wanted = ["delete-replaced", "delete-replaced", "create-replacement", "create-replacement"]
        taken = [(op, name) for op, name in steps if op in wanted]
        assert taken == list(zip(wanted, [f"gateway-{node}", node, node, f"gateway-{node}"], strict=True)), (
            replaced
        )
    new = site.world.by_node()
    assert all(new[node] != old[node] for node in new)
    assert all(new[name][0] in node["url"] for name, node in site.table().items())
    assert site.chat(site.key())
    # Fewer nodes: the one that goes is taken out.
    site.world.change("clusters.chat.nodes", 1)
    site.stack.up().expect_ok()
    assert list(site.table()) == ["chat-0"]
    site.stack.destroy().expect_ok()


def test_a_killed_gateway_is_started_anew_and_knows_its_nodes(site: Site) -> None:
    site.stack.up().expect_ok()
    key, first = site.key(), site.outputs()["pid"]
    _end_all(site)
    refresh = site.stack.refresh().expect_ok()
    assert "gateway] is gone" in refresh.output
    assert "[chat-0] left as it is in the state" in refresh.output
    healed = site.stack.up().expect_ok()
    assert {name: op for name, op in healed.ops().items() if op != "same"} == {"gateway": "update"}
    assert site.outputs()["pid"] != first
    assert site.chat(key)
    assert len(site.table()) == 2

    # Its folder is lost: every node is registered again.
    _end_all(site)
    data = next((site.stack.state / "intents" / "services").glob("*/gateway/home/data"))
    for path in data.rglob("*"):
        if path.is_file():
            path.unlink()
    site.stack.up("--refresh").expect_ok()  # starts it; the nodes can't be looked at before
    again = site.stack.up("--refresh").expect_ok()
    assert again.ops()["gateway-chat-0"] == "create"
    assert len(site.table()) == 2
    assert site.chat(key)

    # A destroy needs no gateway that answers.
    _end_all(site)
    site.stack.destroy().expect_ok()
    assert site.world.pods() == [] and site.stack.resources() == {}


@pytest.mark.parametrize("then", ["up", "destroy"])
def test_an_up_that_is_killed_anywhere_registers_once_and_leaves_nothing(site: Site, then: str) -> None:
    for mark in ("gateway-admin-token", "gateway", "chat-0", "gateway-chat-0"):
        _kill_an_up_at(site, mark)
    if then == "up":
        site.stack.up().expect_ok()
        assert {name: len(ids) for name, ids in site.world.by_node().items()} == {"chat-0": 1, "chat-1": 1}
        assert sorted(site.table()) == ["chat-0", "chat-1"]
        assert all(site.world.by_node()[name][0] in node["url"] for name, node in site.table().items())
        assert len(site.processes()) == 1
        assert site.chat(site.key())
    site.stack.destroy().expect_ok()
    assert site.processes() == []
    assert site.world.pods() == []
    assert site.stack.resources() == {}


@pytest.mark.parametrize(
    ("plane", "said"),
    [
        ({"target": "moon"}, "gpuplane:controlPlane.target: is not a valid value"),
        (
            {"clusters": {"chta": {}}},
            'gpuplane:controlPlane.clusters.chta: no cluster "chta"; did you mean "chat"?',
        ),
        (
            {"databaseUrl": "postgresql+asyncpg://a:b@c/d"},
            "gpuplane:controlPlane.databaseUrl: is in clear text",
        ),
    ],
)
def test_a_wrong_section_is_one_line(new_site: NewSite, plane: dict[str, Any], said: str) -> None:
    site = new_site(plane)
    preview = site.stack.preview()
    assert not preview.ok
    lines = {line.strip() for line in preview.output.splitlines() if "gpuplane:controlPlane" in line}
    (line,) = {line[line.index("Pulumi.") :] for line in lines}
    assert said in line
    assert "Traceback" not in preview.output
    assert site.world.writes() == []


def _end_all(site: Site) -> None:
    """kill -9 of the gateway."""
    processes = site.processes()
    assert processes
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(processes, timeout=10)


def _kill_an_up_at(site: Site, mark: str) -> None:
    """kill -9 of the engine when it has begun with a resource; an `up` that has ended before is fine too."""
    running = site.stack.start_operation("up")

    def begun() -> bool:
        lines = running.output.splitlines()
        told = any(f" {mark} " in line and "creat" in line for line in lines)
        return told or running.process.poll() is not None

    wait_until(begun, 60, f"begins with {mark}")
    running.kill_engine()
    running.wait()
    site.stack.cancel()
