"""The example stack over three clouds, with emulators in the clouds' place."""

from __future__ import annotations

from typing import Any

import yaml

from tests.engine.harness import REPOSITORY
from tests.engine.nodes.conftest import NewWorld

DOCUMENT: dict[str, Any] = yaml.safe_load((REPOSITORY / "Pulumi.clouds.yaml").read_text(encoding="utf-8"))
VALUES = {key.removeprefix("gpuplane:"): value for key, value in DOCUMENT["config"].items()}
KEYS = {"LAMBDA_API_KEY": "emulator-key", "PAPERSPACE_API_KEY": "emulator-paperspace-key"}


def test_the_example_previews_on_all_three_clouds(new_world: NewWorld) -> None:
    accounts = {name: {**source, "endpoint": "emulator"} for name, source in VALUES["credentials"].items()}
    world = new_world(**{**VALUES, "credentials": accounts})
    world.stack.env.update({**KEYS, "RUNPOD_API_KEY": world.key})
    preview = world.stack.preview().expect_ok()
    assert "chat-0 … chat-1  2 of runpod us-east H100-SXM x1" in preview.output, preview.output
    rows = {line.split()[0]: line.split() for line in preview.output.splitlines() if line.strip()}
    assert rows["embed-0"][1:] == ["runpod", "us-east", "L4", "x1", "0.43", "313.90"]
    assert world.writes() == []
    asked = world.emulator.control("GET", "requests?last=5000")["requests"]
    assert {one["cloud"] for one in asked} == {"runpod", "lambda", "paperspace"}

    # Where RunPod has none, the preview shows the next cloud.
    world.emulator.set(capacity={"NVIDIA H100 80GB HBM3|*": 0, "NVIDIA H100 PCIe|*": 0})
    assert "2 of lambda us-east H100-SXM x1" in world.stack.preview().expect_ok().output


def test_a_key_that_is_missing_is_named(new_world: NewWorld) -> None:
    accounts = {name: {**source, "endpoint": "emulator"} for name, source in VALUES["credentials"].items()}
    world = new_world(**{**VALUES, "credentials": accounts})
    world.stack.env.update({**KEYS, "RUNPOD_API_KEY": world.key, "LAMBDA_API_KEY": ""})
    preview = world.stack.preview()
    assert not preview.ok
    assert "environment variable LAMBDA_API_KEY is not set" in preview.output
