"""Every cut point of create, update, replace and delete, against the provider host."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pulumi.dynamic.dynamic import serialize_provider

from dynamic_providers.gpu_node import GpuNodeProvider
from dynamic_providers.leak_guard import LeakGuardProvider
from tests.crash.counting import judge
from tests.crash.driven_engine import Declared
from tests.crash.forked_host import Forker
from tests.crash.host_process import secret
from tests.crash.matrix import Matrix, Program, Scenario
from tests.crash.world import CANARY, Emulator

NODE = "pulumi-python:dynamic/gpu:GpuNode"
GUARD = "pulumi-python:dynamic/gpu:LeakGuard"
BLOBS = {NODE: serialize_provider(GpuNodeProvider()), GUARD: serialize_provider(LeakGuardProvider())}

SOLD_OUT = {"cloud": "runpod", "credentials": "account", "gpu": "H100-SXM", "region": "US-CA-2"}
FREE = {"cloud": "runpod", "credentials": "account", "gpu": "RTX4090", "region": "EU-RO-1"}


def config(key: str) -> dict[str, object]:
    """The configuration of a project with one account."""
    account = {"cloud": "runpod", "endpoint": "emulator", "apiKey": key}
    return {"gpuplane:credentials": secret(json.dumps({"account": account}))}


def node(stack_id: str, name: str, **changed: Any) -> Declared:
    """One node; `before_replace=False` makes its replacement first."""
    before_replace = changed.pop("before_replace", True)
    inputs = {
        "guard": stack_id,
        "node": name,
        "candidates": [FREE],
        "image": "vllm/vllm-openai:v0.11.0",
        "ports": ["8000/http"],
        "env": {"VLLM_API_KEY": secret(f"{CANARY}-upstream")},
        "readiness": {"kind": "http", "port": 8000, "path": "/health"},
    }
    return Declared(NODE, name, {**inputs, **changed}, before_replace)


def program(*names: str, **changed: Any) -> Program:
    """A guard and nodes."""

    def declare(stack_id: str) -> Sequence[Declared]:
        guard = Declared(
            GUARD, "guard", {"stackId": stack_id, "credentials": ["account"], "nodes": list(names)}
        )
        return [guard, *(node(stack_id, name, **changed) for name in names)]

    return declare


ALL: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("create", None, program("a")),
        Scenario("create one more", program("a"), program("a", "b")),
        Scenario("create, second candidate", program(), program("a", candidates=[SOLD_OUT, FREE])),
        Scenario(
            "create, answer lost",
            program(),
            program("a"),
            faults=({"kind": "create_then_500", "count": 1},),
        ),
        # A destroy with an empty state has nothing to ask; `up` is what finds the nodes again.
        Scenario("adopt", program("a"), program("a"), forgets=("guard", "a"), recoveries=("up",)),
        Scenario("update", program("a"), program("a", image="vllm/vllm-openai:v0.12.0")),
        Scenario("replace, delete first", program("a"), program("a", replaceTrigger="2")),
        Scenario(
            "replace, create first",
            program("a", before_replace=False),
            program("a", before_replace=False, replaceTrigger="2"),
        ),
        Scenario("delete one node", program("a", "b"), program("a")),
        Scenario("destroy", program("a"), None),
        Scenario("destroy with an orphan", program("a"), None, forgets=("a",)),
    )
}


@pytest.mark.parametrize("name", ALL)
def test_after_a_kill_there_is_exactly_what_was_asked_for(
    name: str, emulator: Emulator, forker: Forker, folder: Path
) -> None:
    matrix = Matrix(emulator, forker, folder, config, lambda token: {"__provider": BLOBS[token]})
    judge(name, matrix.run(ALL[name]))
