"""A project whose clouds are in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cli.state import NODE_TYPE
from dynamic_providers.clouds import Shared
from gpu_clouds.clock import Clock
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.models import LogLine
from stack_config import CredentialSource, Settings
from tests.unit.cli.conftest import Project
from tests.unit.dynamic_providers.memory_cloud import MemoryCloud, QuickClock

STACK_ID = "abcd1234"


@dataclass
class Cloud(MemoryCloud):
    """With a log."""

    lines: list[LogLine] = field(default_factory=list)

    def logs(self, instance_id: str, *, tail: int = 100, cursor: str = "") -> Iterator[LogLine]:
        self._call(f"logs {instance_id} {tail}")
        yield from self.lines


@dataclass
class Clouded:
    """A stack `prod`: its state, its configuration, its clouds."""

    project: Project
    clouds: dict[str, Cloud]
    config: dict[str, Any]

    def state(self, *resources: dict[str, Any], pending: int = 0) -> None:
        deployment: dict[str, Any] = {"resources": list(resources)}
        if pending:
            urn = "urn:pulumi:prod::gpuplane::t:m:GpuNode::chat-0"
            deployment["pending_operations"] = [{"type": "creating", "resource": {"urn": urn}}] * pending
        entries = {
            f"gpuplane:{key}": {"objectValue": value} if isinstance(value, dict) else {"value": value}
            for key, value in self.config.items()
        }
        exported = (0, json.dumps({"version": 3, "deployment": deployment}), "")
        self.project.answers(
            {
                "stack export": exported,
                "stack export --show-secrets": exported,
                "config": (0, json.dumps(entries), ""),
                "stack ls --json": (0, json.dumps([{"name": "prod", "updateInProgress": False}]), ""),
            }
        )


def resource(name: str, node_id: str, **more: Any) -> dict[str, Any]:
    """A node in the state."""
    candidate = {"cloud": "runpod", "credentials": "main", "region": "EU-RO-1", "gpu": "RTX4090"}
    outputs = {"node": name, "instanceId": node_id, "candidate": candidate, "hourlyUsd": 0.5}
    outputs |= {key: more.pop(key) for key in ("ssh", "expiresAt") if key in more}
    return {
        "urn": f"urn:pulumi:prod::gpuplane::{NODE_TYPE}::{name}",
        "type": NODE_TYPE,
        "id": node_id,
        "inputs": {key: value for key, value in outputs.items() if key in ("node", "expiresAt")},
        "outputs": outputs,
        **more,
    }


def clouded(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clouded:
    """Puts clouds in memory in the place of those that the stack file names."""
    made = Clouded(
        project,
        {"main": Cloud("main"), "other": Cloud("other")},
        {
            "stackId": STACK_ID,
            "credentials": {
                name: {"cloud": "runpod", "apiKey": "canary-key-of-" + name} for name in ("main", "other")
            },
            "clusters": {
                "chat": {
                    "nodes": 2,
                    "image": "vllm:1",
                    "candidates": [
                        {"cloud": "runpod", "credentials": "main", "gpus": ["H100"], "regions": ["US-CA-2"]},
                        {"cloud": "runpod", "credentials": "main", "gpus": ["RTX4090"], "gpuCount": 2},
                    ],
                }
            },
        },
    )
    monkeypatch.setenv("GPUPLANE_EMULATOR_DIR", str(tmp_path / "emulators"))
    monkeypatch.setenv("GPUPLANE_STATE_DIR", str(tmp_path / "intents"))

    def connect(name: str, _source: CredentialSource, _clock: Clock) -> GpuCloud:
        return made.clouds[name]

    class Quick(Shared):
        def __init__(
            self, sources: Mapping[str, CredentialSource], settings: Settings, stack_id: str = ""
        ) -> None:
            super().__init__(sources, settings, stack_id, QuickClock(), connect)

    monkeypatch.setattr("dynamic_providers.clouds.Shared", Quick)
    made.state()
    return made
