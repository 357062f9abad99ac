from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pulumi import dynamic

from dynamic_providers.gpu_node import GpuNodeProvider
from dynamic_providers.leak_guard import LeakGuardProvider
from tests.unit.dynamic_providers.memory_cloud import STACK, MemoryCloud, shared_with

Inputs = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def intents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test writes into the user's folder."""
    monkeypatch.setenv("GPUPLANE_STATE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def cloud() -> MemoryCloud:
    return MemoryCloud()


@pytest.fixture
def provider(cloud: MemoryCloud) -> GpuNodeProvider:
    made = GpuNodeProvider()
    made._shared = shared_with(cloud)
    return made


@pytest.fixture
def guard(provider: GpuNodeProvider) -> LeakGuardProvider:
    made = LeakGuardProvider()
    made._shared = provider.shared
    return made


def node(**more: Any) -> dict[str, Any]:
    """Inputs of a node as a program sends them."""
    return {
        "guard": STACK,
        "node": "chat-0",
        "candidates": [candidate()],
        "image": "vllm:1",
        "ports": ["8000/http"],
        **more,
    }


def candidate(gpu: str = "RTX4090", region: str = "EU-RO-1", **more: Any) -> dict[str, Any]:
    return {"cloud": "runpod", "credentials": "main", "gpu": gpu, "region": region, **more}


def told(result: dynamic.CheckResult) -> list[tuple[str, str]]:
    """Place and text of every failure."""
    parts = [failure.reason.partition(": ") for failure in result.failures]
    assert all(failure.property == "" for failure in result.failures)
    return [(place, text) for place, _, text in parts]
