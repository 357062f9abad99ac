"""Programs of a guard and nodes, and the configuration that goes with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pulumi.dynamic.dynamic import serialize_provider

from dynamic_providers.gpu_node import GpuNodeProvider
from dynamic_providers.leak_guard import LeakGuardProvider
from tests.crash.driven_engine import Declared
from tests.crash.host_process import secret
from tests.crash.matrix import Program
from tests.crash.world import CANARY, CLOUDS

NODE = "pulumi-python:dynamic/gpu:GpuNode"
GUARD = "pulumi-python:dynamic/gpu:LeakGuard"
BLOBS = {NODE: serialize_provider(GpuNodeProvider()), GUARD: serialize_provider(LeakGuardProvider())}

SOLD_OUT = {"cloud": "runpod", "credentials": "runpod", "gpu": "H100-SXM", "region": "US-CA-2"}
RUNPOD = {"cloud": "runpod", "credentials": "runpod", "gpu": "RTX4090", "region": "EU-RO-1"}
LAMBDA = {"cloud": "lambda", "credentials": "lambda", "gpu": "A10", "region": "us-west-1"}
PAPERSPACE = {"cloud": "paperspace", "credentials": "paperspace", "gpu": "RTX-A4000", "region": "ny2"}
VAST = {"cloud": "vast", "credentials": "vast", "gpu": "RTX4090"}
VAST_SPOT = {**VAST, "capacity": "spot"}


def config(key: str) -> dict[str, object]:
    """The configuration of a project with one account of each cloud."""
    sets: dict[str, dict[str, object]] = {
        cloud: {"cloud": cloud, "endpoint": "emulator", "apiKey": key} for cloud in CLOUDS
    }
    sets["lambda"]["allowedSources"] = ["203.0.113.0/24"]
    return {"gpuplane:credentials": secret(json.dumps(sets))}


def wrap(token: str) -> Mapping[str, Any]:
    """What the SDK adds to the inputs of a resource of this type."""
    return {"__provider": BLOBS[token]}


def node(stack_id: str, name: str, **changed: Any) -> Declared:
    """One node; `before_replace=False` makes its replacement first."""
    before_replace = changed.pop("before_replace", True)
    inputs = {
        "guard": stack_id,
        "node": name,
        "candidates": [RUNPOD],
        "image": "vllm/vllm-openai:v0.11.0",
        "ports": ["8000/http"],
        "env": {"VLLM_API_KEY": secret(f"{CANARY}-upstream")},
        "readiness": {"kind": "http", "port": 8000, "path": "/health"},
    }
    return Declared(NODE, name, {**inputs, **changed}, before_replace)


def program(*names: str, **changed: Any) -> Program:
    """A guard and nodes.

    Args:
        names: Of the nodes.
        changed: Inputs of all nodes.
    """
    accounts = list(dict.fromkeys(one["credentials"] for one in changed.get("candidates", [RUNPOD])))
    cache = changed.get("weightsCache")

    def declare(stack_id: str) -> Sequence[Declared]:
        inputs: dict[str, Any] = {"stackId": stack_id, "credentials": accounts, "nodes": list(names)}
        if cache is not None:
            inputs["caches"] = {cache["name"]: False}
        guard = Declared(GUARD, "guard", inputs)
        return [guard, *(node(stack_id, name, **changed) for name in names)]

    return declare
