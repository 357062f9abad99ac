"""The commands that look at nodes and clouds, on a dev stack in the real engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.project import DEV_STACK
from tests.engine.test_cli_dev import DECLARED, Checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout(tmp_path / "checkout")
    yield made
    made.close()


def data(checkout: Checkout, command: str, *arguments: str, code: int = 0) -> Any:
    """What a command prints as JSON: its last line, after what goes to standard error."""
    shown = checkout.gpuplane(command, *arguments, "--stack", DEV_STACK, "--json", code=code)
    return json.loads(shown.splitlines()[-1])


def levels(checkout: Checkout) -> dict[str, str]:
    found = data(checkout, "doctor")
    # The copy of the checkout has another .venv than the test, and no pins.
    return {c["name"]: c["level"] for c in found["checks"] if c["name"] not in ("python", "packages")}


def plant(checkout: Checkout, name: str) -> str:
    """A node that nobody has declared, made behind the engine's back."""
    written = json.loads((checkout.root / ".gpuplane" / "emulators" / "endpoints.json").read_text())
    body = {
        "name": name,
        "image": "vllm/vllm-openai:v0.11.0",
        "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 1},
        "cloud": "SECURE",
    }
    answer = httpx.post(
        f"{written['clouds']['runpod']['api']}/pods",
        json=body,
        headers={"Authorization": "Bearer emulator-key", "User-Agent": "test/1"},
        trust_env=False,
    )
    return str(answer.raise_for_status().json()["id"])


def test_every_command_on_a_living_stack(checkout: Checkout) -> None:
    assert levels(checkout)["stack"] == "warn"  # there is none yet

    checkout.gpuplane("dev", "up")
    assert checkout.living() == DECLARED
    assert set(levels(checkout).values()) == {"ok"}

    offers = data(checkout, "offers", "--cluster", "chat")["offers"]
    assert [(o["gpu"], o["availability"] == "none") for o in offers if o["cloud"] == "runpod"] == [
        ("RTX4090", False),
        ("H100-SXM", True),
    ]
    prices = [o["hourlyUsd"] for o in data(checkout, "offers", "--max-usd", "3")["offers"]]
    assert prices == sorted(prices)
    assert 0.44 in prices

    lines = checkout.gpuplane("logs", "chat-0", "--stack", DEV_STACK, "--no-follow", "--json").splitlines()
    assert all(json.loads(line)["text"] for line in lines)
    assert len(lines) >= 2

    words = data(checkout, "ssh", "chat-0", "--print")["command"]
    assert words[0] == "ssh"

    assert data(checkout, "orphans")["nodes"] == []
    stray = plant(checkout, "gp-p-devlocal-old-0-0a1b2c3d")
    plant(checkout, "gp-p-zzzz9999-old-0-0a1b2c3d")
    (orphan,) = data(checkout, "orphans")["nodes"]
    assert (orphan["id"], orphan["reason"]) == (stray, "not declared")
    (orphan,) = data(checkout, "orphans", "--end", "--yes")["nodes"]
    assert orphan["cameOf"] == "ended"
    assert checkout.living() == [*DECLARED, "old-0"]  # the other stack's

    # The state is lost: all nodes are orphans, until an up takes them over.
    shutil.rmtree(checkout.root / ".gpuplane" / "state")
    assert levels(checkout)["stack"] == "warn"
    checkout.gpuplane("dev", "preview")
    reasons = {node["node"]: node["reason"] for node in data(checkout, "orphans")["nodes"]}
    assert list(reasons) == DECLARED
    assert set(reasons.values()) == {"declared, but not in the state: an up takes it over if it still fits"}
    checkout.gpuplane("dev", "up")
    assert data(checkout, "orphans")["nodes"] == []
    assert checkout.living() == [*DECLARED, "old-0"]
