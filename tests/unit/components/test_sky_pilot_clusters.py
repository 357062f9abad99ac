"""What the SkyPilot sections declare, without an engine: `pulumi` mocks take its place."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pulumi.runtime
import pytest

from components.gpu_stack import GpuStack
from components.sky_pilot_clusters import _cost
from dynamic_providers.host.sdk import SECRET_SIGNATURE, SIGNATURE_KEY
from dynamic_providers.sky_pilot_inputs import SkyPilotClusterInputs
from stack_config import load

CANARY = "canary-61f0aa"
SERVER = {"lab": {"cloud": "skypilot", "endpoint": "http://127.0.0.1:46580", "caFile": "/etc/ca.pem"}}

_loops: set[asyncio.AbstractEventLoop] = set()
"""The SDK's mocks make a loop in every thread that registers a resource, and close none."""


class Recorder(pulumi.runtime.Mocks):
    """Takes every resource."""

    def __init__(self) -> None:
        self.made: dict[str, pulumi.runtime.MockResourceArgs] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        kind = args.typ.rpartition(":")[2]
        self.made[f"{kind} {args.name}"] = args
        _loops.add(asyncio.get_event_loop())
        outs = {key: value for key, value in args.inputs.items() if key != "__provider"}
        known: dict[str, dict[str, Any]] = {
            "LocalService": {"url": "http://127.0.0.1:46580"},
            "GeneratedSecret": {"value": f"{CANARY}-password"},
            "SkyPilotServiceAccount": {"accountToken": f"{CANARY}-token", "accountId": "sa-1"},
            "SkyPilotWorkspace": {"workspaceName": "gp-p-teststck-acme"},
            "SkyPilotCluster": {"clusterName": args.name, "hourlyUsd": 2.5},
        }
        outs |= known.get(kind, {})
        return ("teststck" if "Guard" in kind else args.name, outs)

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], None]:
        return {}, None


@pytest.fixture(autouse=True)
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield made
    asyncio.set_event_loop(None)
    for each in {made, *_loops}:
        each.close()
    _loops.clear()


def build(**config: Any) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Declares a stack; inputs of each resource, without the markers of secrets, and the stack's outputs."""
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="gpuplane", stack="test", preview=False)
    found: dict[str, Any] = {}

    @pulumi.runtime.test
    def declare() -> pulumi.Output[None]:
        stack = GpuStack(load({"stackId": "teststck", "credentials": SERVER, **config}, "test"))
        return pulumi.Output.all(**stack.outputs()).apply(found.update)

    declare()
    return {name: plain(args.inputs) for name, args in recorder.made.items()}, found


def plain(value: Any) -> Any:
    """A value without the markers of secrets."""
    if isinstance(value, dict):
        if value.get(SIGNATURE_KEY) == SECRET_SIGNATURE:
            return plain(value["value"])
        return {key: plain(item) for key, item in value.items() if key != "__provider" and item is not None}
    return [plain(item) for item in value] if isinstance(value, list) else value


def test_a_cluster_on_a_server_that_exists():
    made, outputs = build(
        skypilotClusters={
            "train": {
                "server": "lab",
                "accelerators": ["H100:2"],
                "nodes": 2,
                "secrets": {"HF_TOKEN": CANARY},
                "autostopMin": 0,
                "maxHourlyUsd": 20,
            }
        }
    )
    assert made["SkyPilotCluster train"] == {
        "node": "train",
        "guard": "teststck",
        "credentials": "lab",
        "accelerators": ["H100:2"],
        "nodes": 2,
        "secrets": {"HF_TOKEN": CANARY},
        "autostopMin": 0,
        "maxHourlyUsd": 20,
    }
    assert SkyPilotClusterInputs.model_validate(made["SkyPilotCluster train"]).nodes == 2
    assert made["LeakGuard leak-guard"]["nodes"] == ["train"]
    assert outputs["skypilotClusters"]["train"]["clusterName"] == "train" and outputs["hourlyUsd"] == 2.5


def test_a_stack_without_skypilot_exports_nothing_of_it():
    made, outputs = build()
    assert set(made) == {"LeakGuard leak-guard", "Stack gpuplane-test"} - {"Stack gpuplane-test"} | (
        set(made) & {"Stack gpuplane-test"}
    )
    assert not [name for name in outputs if name.startswith("skypilot")]


def test_a_server_of_the_stack_has_a_guard_of_its_own(tmp_path: Path):
    config = tmp_path / "config"
    config.write_text(f"Host {CANARY}")
    made, _ = build(
        skypilotServers={"own": {"auth": "basic", "homeFiles": {".slurm/config": str(config)}}},
        skypilotClusters={"train": {"server": "own"}, "other": {"server": "lab"}},
    )
    way = {"endpoint": "http://127.0.0.1:46580", "user": "admin", "token": f"{CANARY}-password"}
    assert made["SkyPilotGuard own-guard"] == {**way, "stackId": "teststck", "clusters": ["train"]}
    assert made["SkyPilotCluster train"] == {"node": "train", "guard": "teststck", **way}
    assert made["LocalService own"]["files"][".slurm/config"] == f"Host {CANARY}"


def test_a_file_that_a_server_should_get_is_not_there(tmp_path: Path):
    with pytest.raises(pulumi.RunError, match=r"skypilotServers.own.homeFiles: .*/nowhere: No such file"):
        build(skypilotServers={"own": {"homeFiles": {".slurm/config": str(tmp_path / "nowhere")}}})


def test_a_tenant_in_a_workspace():
    made, outputs = build(
        skypilotTenants={
            "acme": {"server": "lab", "role": "admin", "rotation": "2", "clouds": {"aws": False}}
        },
        skypilotClusters={"train": {"tenant": "acme", "accelerators": ["H100"]}},
    )
    common = {"stackId": "teststck", "credentials": "lab"}
    assert made["SkyPilotServiceAccount acme-account"] == {
        **common,
        "account": "acme",
        "role": "admin",
        "rotation": "2",
    }
    assert made["SkyPilotWorkspace acme-workspace"] == {
        **common,
        "workspace": "acme",
        "private": True,
        "allowedUsers": ["sa-1"],
        "clouds": {"aws": {"disabled": True}},
    }
    assert made["SkyPilotCluster train"] == {
        "node": "train",
        "guard": "teststck",
        "endpoint": SERVER["lab"]["endpoint"],
        "token": f"{CANARY}-token",
        "caFile": "/etc/ca.pem",
        "workspace": "gp-p-teststck-acme",
        "accelerators": ["H100"],
    }
    assert outputs["skypilotTenants"]["acme"] == {
        "workspace": "gp-p-teststck-acme",
        "token": f"{CANARY}-token",
    }


def test_a_tenant_without_a_token_shares_the_administrators_way_in():
    made, _ = build(
        skypilotTenants={"acme": {"server": "lab", "token": False}},
        skypilotClusters={"train": {"tenant": "acme"}},
    )
    assert "private" not in made["SkyPilotWorkspace acme-workspace"]
    assert made["SkyPilotCluster train"] == {
        "node": "train",
        "guard": "teststck",
        "credentials": "lab",
        "workspace": "gp-p-teststck-acme",
    }


def test_a_tenant_with_a_server_of_its_own():
    made, _ = build(
        skypilotServers={"acme-sky": {"auth": "service_accounts"}},
        skypilotTenants={"acme": {"server": "acme-sky", "isolation": "server"}},
        skypilotClusters={"train": {"tenant": "acme"}},
    )
    assert not [name for name in made if name.startswith("SkyPilotWorkspace")]
    assert made["SkyPilotCluster train"] == {
        "node": "train",
        "guard": "teststck",
        "endpoint": "http://127.0.0.1:46580",
        "token": f"{CANARY}-token",
    }


@pytest.mark.parametrize(
    ("outputs", "words", "usd", "is_new"),
    [
        (
            {"candidateInfra": ["H100:1 on slurm at 2.50 USD/h"], "estimatedHourlyUsd": 2.5},
            "H100:1 on slurm",
            2.5,
            True,
        ),
        ({"candidateInfra": ["H100:1 on a at 1.00 USD/h", "x", "y"]}, "H100:1 on a or 2 more", None, True),
        ({"place": "slurm/fake", "hourlyUsd": 2.0, "estimatedHourlyUsd": 3.0}, "slurm/fake", 2.0, False),
        ({"place": object(), "hourlyUsd": object()}, "not known yet", None, True),
    ],
)
def test_a_line_of_the_table_of_costs(outputs: dict[str, Any], words: str, usd: float | None, is_new: bool):
    cost = _cost("train", outputs)
    assert (cost.candidate.removeprefix("skypilot "), cost.hourly_usd, cost.is_new) == (words, usd, is_new)
