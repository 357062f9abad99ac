"""The report of a stack's life in the real engine: create, change, prices that move, a budget, delete."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from cli.plan import read_plan
from cli.preview import LIMIT_BYTES, marker
from cli.preview.sources import STREAMING
from cli.pulumi_cli import Pulumi
from tests.engine.harness import REPOSITORY, STACK, Stack
from tests.engine.nodes.world import CANARY, SOLD_OUT, Emulator, World, candidate, cluster

ACCOUNT = 30
"""Away from those of the other tests here, which count from 1."""
RTX4090 = "NVIDIA GeForce RTX 4090"
WAIT_S = 240.0
"""For one preview, on a machine that may be busy."""


@pytest.fixture
def world(emulator: Emulator, tmp_path: Path) -> Iterator[World]:
    """Two clusters, of which one has to fail over; the project has its policy pack."""

    def new_stack(program: str, **options: Any) -> Stack:
        return Stack(tmp_path / "stack", program, **options)

    main = {
        "cloud": "runpod",
        "endpoint": "emulator",
        "apiKeyEnv": "TEST_RUNPOD_KEY",
        "features": ["graphql"],
    }
    clusters = {
        "chat": cluster(2, candidates=[candidate(SOLD_OUT, "US-CA-2"), candidate("RTX4090")]),
        "embed": cluster(1),
    }
    made = World(
        emulator, ACCOUNT, new_stack, None, "ours", {"credentials": {"main": main}, "clusters": clusters}
    )
    shutil.copytree(
        REPOSITORY / "policies",
        made.stack.project / "policies",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    emulator.set(capacity={"NVIDIA H100 80GB HBM3|US-CA-2": 0}, prices=price(0.4))
    yield made
    emulator.restore()


def report(world: World, *arguments: str, code: int = 0) -> str:
    """Runs `gpuplane preview-report` in the project and returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "preview-report", *arguments, "--stack", STACK],
        cwd=world.stack.project,
        env=world.stack.env,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout.startswith(marker(STACK) + "\n") and "Traceback" not in done.stderr
    assert CANARY not in done.stdout and str(world.stack.root) not in done.stdout
    return done.stdout


def row(text: str, name: str) -> list[str]:
    """The cells of the row of a node."""
    line = next(line for line in text.splitlines() if line.startswith("|") and f"| {name}" in line)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_from_the_first_node_to_the_last(world: World, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    text = report(world, "--save-plan", str(plan))
    assert "Preview of test: 6 created" in text and "failed" not in text
    assert "**Cost: 0.00 → 1.20 USD/hour (+1.20), 0.00 → 876.00 USD/month of 730 hours (+876.00).**" in text
    assert row(text, "chat-0 … chat-1")[3] == "0.00 → 0.80 (2 at 0.40)"
    assert row(text, "embed-0")[6].startswith("runpod catalogue, 20")
    assert "3 nodes on demand: on spot " in text
    assert "| chat-0 … chat-1 (2) | runpod US-CA-2 H100-SXM x1 | 3.99 | none |" in text
    assert "|  | **runpod EU-RO-1 RTX4090 x1** | 0.40 | high | spot " in text
    assert [node.estimated_usd for node in read_plan(plan)] == [0.4, 0.4, 0.4]
    world.stack.up().expect_ok()

    # A price that moves is no change; what is new costs the new one.
    world.emulator.set(prices=price(0.6))
    world.change("clusters.chat.nodes", 3)
    world.change("clusters.chat.image", "vllm/vllm-openai:v0.12.0")
    world.change("clusters.chat.env", {"TOKEN": CANARY})
    world.change("clusters.embed.candidates", [candidate("L4", capacity="spot")])
    text = report(world)
    assert "Preview of test: 1 created, 1 replaced, 3 updated" in text
    assert row(text, "chat-2")[:1] + row(text, "chat-2")[3:5] == ["created", "0.00 → 0.60", "0.00 → 438.00"]
    assert row(text, "chat-0 … chat-1")[3] == "0.80 (2 at 0.40)"
    assert row(text, "chat-0 … chat-1")[5].split("<br>") == [
        "env added",
        "image: vllm/vllm-openai:v0.11.0 → vllm/vllm-openai:v0.12.0",
    ]
    assert row(text, "embed-0")[0] == "replaced"
    assert "candidates\\[0\\].gpu: RTX4090 → L4" in row(text, "embed-0")[5]
    assert "1 node on spot: " in text and "less than on demand." in text

    world.change("policies", {"budget": {"hourlyUsd": 1, "enforcement": "mandatory"}})
    text = report(world, code=1)
    assert "because of its policies" in text
    assert "- **budget** (must be fixed, high) " in text and "above 1.00<br>Remedy: " in text
    assert "**Cost: 1.20 → " in text
    world.change("policies", None)

    world.change("clusters.chat.budgetHourlyUsd", 0.01)
    text = report(world, code=1)
    assert "- **error** chat-" in text and "above the budget of 0.01" in text
    assert "**Cost now: 1.20 USD/hour, 876.00 USD/month (730 hours).**" in text
    assert row(text, "chat-0 … chat-1")[0] == "not reached"

    world.change("clusters.chat", None)
    text = report(world, "--no-offers", "--no-policies")
    assert row(text, "chat-0 … chat-1")[:1] + row(text, "chat-0 … chat-1")[3:6] == [
        "deleted",
        "0.80 → 0.00 (2 at 0.40)",
        "584.00 → 0.00",
        "no longer declared",
    ]
    world.stack.destroy().expect_ok()


def test_a_thousand_nodes_made_of_a_real_preview(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pulumi = Pulumi(world.stack.project, world.stack.env, STACK)
    printed = pulumi.run("preview", "--json", extra=STREAMING).stdout
    file = tmp_path / "preview.json"
    file.write_text(printed)
    assert run(["preview-report", str(file)]) == 0
    assert "**Cost: 0.00 → 1.20 USD/hour" in capsys.readouterr().out

    file.write_text(many(printed, "embed-0", 1000))
    began = time.process_time()
    assert run(["preview-report", str(file)]) == 0
    # The processor's time, which does not depend on what else the machine does.
    assert time.process_time() - began < 5
    text = capsys.readouterr().out
    assert len(text.encode()) <= LIMIT_BYTES
    assert "Preview of test: 1005 created" in text
    assert "<details><summary>1002 nodes and clusters</summary>" in text
    # Prices of 1.00, 1.01, …, 10.99, and of the two others.
    assert "**Cost: 0.00 → 5,995.80 USD/hour" in text
    assert re.search(r"\| … \| [0-9]+ more \|", text), "what does not fit is one row with its sum"


def many(printed: str, name: str, count: int) -> str:
    """The same preview with many nodes in the place of one, each with a price of its own."""
    events: list[dict[str, Any]] = []
    for line in printed.splitlines():
        event = json.loads(line)
        step = event.get("resourcePreEvent") or event.get("resOutputsEvent")
        if step is None or not step["metadata"]["urn"].endswith(f"::{name}"):
            events.append(event)
            continue
        for number in range(count):
            copy = json.loads(line.replace(name, f"{name[:-2]}-{number}"))
            step = copy.get("resourcePreEvent") or copy["resOutputsEvent"]
            if outputs := step["metadata"]["new"].get("outputs"):
                outputs["estimatedHourlyUsd"] = 1 + number / 100
            events.append(copy)
    return "\n".join(json.dumps({**event, "sequence": place}) for place, event in enumerate(events))


def price(usd: float) -> dict[str, Any]:
    return {RTX4090: {"SECURE": usd}}
