"""The real program with two clusters, one of which has to fail over: its whole life."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from tests.engine.nodes.world import CANARY, World, upstream_key

SOLD_OUT = {"NVIDIA H100 80GB HBM3|US-CA-2": 0}


def test_preview_tells_the_cost_and_writes_nothing(world: World):
    world.emulator.set(capacity=SOLD_OUT, prices={"NVIDIA GeForce RTX 4090": {"SECURE": 0.5}})
    preview = world.stack.preview().expect_ok()
    assert "embed-0" in preview.output
    assert "chat-0 … chat-1  2 of runpod EU-RO-1 RTX4090 x1" in preview.output, preview.output
    assert "0.50 each" in preview.output
    rows = {line.split()[0]: line.split() for line in preview.output.splitlines() if line.strip()}
    assert rows["total"] == ["total", "3", "nodes", "1.50", "1,095.00"]
    block = preview.output.partition("Diagnostics:")[2]
    assert block.count("USD/MONTH") == 1
    assert world.writes() == []
    assert {path for _, path in world.requests()} == {"/v2/pods", "/v2/catalog/gpus"}
    assert len(world.requests()) <= 3, "one account read and one catalogue for the whole stack"
    # The estimate is an output of the preview; the actual price is unknown, so a plan can't break on it.
    ended = [event["resOutputsEvent"]["metadata"] for event in preview.events if "resOutputsEvent" in event]
    outs = next(step["new"]["outputs"] for step in ended if step["urn"].endswith("::embed-0"))
    assert (outs["estimatedHourlyUsd"], outs["estimatedMonthlyUsd"]) == (0.5, 365)
    assert outs["estimateSource"] == "runpod catalogue"
    assert outs["candidate"]["gpu"] == "RTX4090"
    assert "hourlyUsd" not in outs or not isinstance(outs["hourlyUsd"], float)


def test_the_life_of_a_stack(world: World):
    world.emulator.set(capacity=SOLD_OUT)
    world.set_secret("clusters.embed.apiKey", upstream_key())
    up = world.stack.up().expect_ok()
    assert {node: len(ids) for node, ids in world.by_node().items()} == {
        "chat-0": 1,
        "chat-1": 1,
        "embed-0": 1,
    }
    assert "[embed-0] active 100%" in up.output
    assert "capacity" in up.output and "H100-SXM" in up.output, "the refused candidate is told"
    chat = world.outputs("chat-0")
    assert (chat["cloud"], chat["region"], chat["gpu"], chat["gpuCount"]) == (
        "runpod",
        "EU-RO-1",
        "RTX4090",
        1,
    )
    assert chat["candidate"]["gpu"] == "RTX4090"
    assert chat["state"] == "READY"
    assert "estimatedHourlyUsd" not in chat
    outputs = world.stack.outputs()
    assert outputs["nodes"]["embed"]["embed-0"]["id"] == world.by_node()["embed-0"][0]
    assert outputs["hourlyUsd"] == round(3 * chat["hourlyUsd"], 6)
    answer = world.emulator.ask(chat["endpoints"][0]["url"], "")
    assert answer["choices"][0]["message"]["content"]
    served = world.emulator.ask(world.outputs("embed-0")["endpoints"][0]["url"], upstream_key())
    assert served["choices"][0]["message"]["content"]

    before = len(world.requests())
    again = world.stack.up().expect_ok()
    assert "7 unchanged" in again.output and "changed" not in again.output.replace("unchanged", "")
    assert "USD/MONTH" not in again.output
    assert len(world.requests()) - before <= 2, (
        "an unchanged stack costs one account read, and this test's own"
    )

    world.end(chat["instanceId"])
    refresh = world.stack.refresh().expect_ok()
    assert refresh.ops()["chat-0"] == "refresh"
    assert "chat-0" not in world.stack.resources()
    healed = world.stack.up().expect_ok()
    assert healed.ops()["chat-0"] == "create"
    assert [len(ids) for ids in world.by_node().values()] == [1, 1, 1]

    world.stack.destroy().expect_ok()
    assert world.pods() == []
    assert world.stack.resources() == {} and world.stack.pending_operations() == []
    written = world.files()
    assert "leak-guard" in written
    assert CANARY not in written
    assert "Traceback" not in written


def test_no_secret_in_a_process_list(world: World):
    """Looked at while nodes boot: the host and the program run then."""
    running = world.stack.start_operation("up")
    seen = []
    while running.process.poll() is None:
        seen += [line for line in _command_lines() if CANARY in line]
    running.wait().expect_ok()
    assert seen == []


def test_state_of_a_node_is_small(world: World):
    world.stack.up().expect_ok()
    node = world.stack.resources()["chat-0"]
    kept = {key: node[key] for key in ("inputs", "outputs")}
    assert len(json.dumps(kept)) < 2600, json.dumps(kept, indent=1)


def _command_lines() -> list[str]:
    lines = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                lines.append(Path(entry.path, "cmdline").read_text(errors="replace"))
    return lines
