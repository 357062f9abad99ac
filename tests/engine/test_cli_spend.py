"""`gpuplane spend` on a dev stack in the real engine: emulated clouds whose time is moved by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.project import DEV_STACK
from tests.engine.test_cli_dev import Checkout

PRICE = 0.44
ROUNDED = 1e-4 / 3600 + 2e-6
"""Hours have six digits and amounts are whole micro-dollars."""


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout(tmp_path / "checkout")
    yield made
    made.close()


class Spend:
    """What one call printed, and the emulated time before and after it."""

    def __init__(self, checkout: Checkout, *arguments: str, code: int = 0) -> None:
        self.before = now(checkout)
        shown = checkout.gpuplane(
            "spend", "--stack", DEV_STACK, "--since", "1h", "--json", *arguments, code=code
        )
        self.after = now(checkout)
        self.lines = shown.splitlines()
        # What goes to standard error stands after it.
        self.data: Any = json.loads(next(each for each in self.lines if each.startswith("{")))
        self.nodes: dict[str, Any] = {node["name"]: node for node in self.data["nodes"]}


def now(checkout: Checkout) -> float:
    return float(checkout.emulator("GET", "health")["now"])


def created(checkout: Checkout, pod_id: str) -> float:
    pods = checkout.emulator("GET", "runpod/state")["pods"]
    return float(next(pod["created_at"] for pod in pods if pod["id"] == pod_id))


def advance(checkout: Checkout, hours: float) -> None:
    checkout.emulator("POST", "clock/advance", {"seconds": hours * 3600})


def test_estimated_is_actual_until_a_price_changes(checkout: Checkout) -> None:
    checkout.gpuplane("dev", "up")
    advance(checkout, 6)
    found = Spend(checkout)
    assert list(found.nodes) == ["chat-0", "chat-1", "embed-0", "judge-0"]
    assert found.data["problems"] == {}
    # Emulated time goes on while the command reads: whatever it read lies in between.
    for name in ("chat-0", "chat-1"):
        node = found.nodes[name]
        since = created(checkout, node["id"])
        least, most = PRICE * (found.before - since - 1) / 3600, PRICE * (found.after - since + 1) / 3600
        assert least - ROUNDED <= node["estimatedUsd"] <= most + ROUNDED
        assert least - ROUNDED <= node["actualUsd"] - node["storageUsd"] <= most + ROUNDED
        assert 6 <= node["hours"] <= (found.after - since + 1) / 3600 + ROUNDED
        assert node["source"] == "RunPod billing"
        assert node["idleUsd"] is None
        assert node["idleSource"].startswith("the time of emulated clouds")
    paperspace = found.nodes["judge-0"]
    assert paperspace["source"] == "running hours x price"
    assert paperspace["actualUsd"] == pytest.approx(5.95 * (int(paperspace["hours"]) + 1))  # started hours
    assert found.nodes["embed-0"]["estimatedUsd"] is None  # Lambda does not say since when

    # RunPod raises the price of a node that runs: the state has the old one.
    pod = found.nodes["chat-0"]["id"]
    unraised = now(checkout)
    checkout.emulator("PATCH", f"runpod/pods/{pod}", {"usd_per_hour": 3 * PRICE})
    raised = now(checkout)
    advance(checkout, 3)
    after = Spend(checkout)
    node, other = after.nodes["chat-0"], after.nodes["chat-1"]
    more = node["differenceUsd"] - node["storageUsd"]
    reading = 3 * PRICE * (after.after - after.before + 1) / 3600 + ROUNDED
    assert 2 * PRICE * (after.before - raised) / 3600 - reading <= more
    assert more <= 2 * PRICE * (after.after - unraised + 1) / 3600 + reading
    assert more > 5 * PRICE > abs(other["differenceUsd"] - other["storageUsd"])
    assert after.data["totals"]["differenceUsd"] == pytest.approx(
        sum(each["differenceUsd"] or 0 for each in after.nodes.values())
    )

    # A cloud that does not answer is said so; the others are shown.
    checkout.emulator("POST", "faults", {"kind": "error", "cloud": "runpod", "args": {"status": 403}})
    without = Spend(checkout, code=1)
    assert without.nodes["chat-0"]["problem"]
    assert without.nodes["chat-0"]["actualUsd"] is None
    assert without.nodes["judge-0"]["actualUsd"] > 0
    assert [line for line in without.lines if line.startswith("gpuplane: runpod could not be read: ")]
    checkout.emulator("DELETE", "faults")

    table = checkout.gpuplane("spend", "--stack", DEV_STACK, "--since", "1h")
    assert "total" in table
    checkout.gpuplane("dev", "down")
