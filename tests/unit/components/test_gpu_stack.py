"""What the components declare, without an engine: `pulumi` mocks take its place."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pulumi.runtime
import pydantic
import pytest

from components.gpu_cluster import GpuCluster, GpuClusterArgs
from components.gpu_stack import GpuStack
from components.node_args import SAME
from components.settings import read_stack
from dynamic_providers.host.sdk import SECRET_SIGNATURE, SIGNATURE_KEY
from dynamic_providers.inputs import NodeInputs
from stack_config import Cluster, load

KEY = "canary-upstream-888"
RTX = {"cloud": "runpod", "credentials": "main", "gpus": ["RTX4090"], "regions": ["EU-RO-1"]}


_loops: set[asyncio.AbstractEventLoop] = set()
"""The SDK's mocks make a loop in every thread that registers a resource, and close none."""


class Recorder(pulumi.runtime.Mocks):
    """Takes every resource and gives ready nodes back."""

    def __init__(self) -> None:
        self.made: dict[str, pulumi.runtime.MockResourceArgs] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.made[args.name] = args
        _loops.add(asyncio.get_event_loop())
        outs = {key: value for key, value in args.inputs.items() if key != "__provider"}
        if args.typ.endswith("GpuNode"):
            outs |= {
                "instanceId": f"id-{args.name}",
                "cloud": "runpod",
                "region": "EU-RO-1",
                "gpu": "RTX4090",
                "gpuCount": 1,
                "hourlyUsd": 0.25,
                "endpoints": [{"port": 8000, "protocol": "http", "url": f"https://{args.name}"}],
            }
        return ("teststck" if args.typ.endswith("LeakGuard") else args.name, outs)

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], None]:
        return {}, None


def values(**clusters: dict[str, Any]) -> dict[str, Any]:
    return {
        "stackId": "teststck",
        "credentials": {"main": {"cloud": "runpod", "apiKey": "canary-cloud-999"}},
        "clusters": clusters,
    }


@pytest.fixture(autouse=True)
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Mocks make their first resource at once, so a loop has to be there before them."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield made
    asyncio.set_event_loop(None)
    for each in {made, *_loops}:
        each.close()
    _loops.clear()


def build(**clusters: dict[str, Any]) -> tuple[Recorder, dict[str, Any], set[str]]:
    """Declares a stack; gives what was declared, the outputs, and names of the secret ones."""
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="gpuplane", stack="test", preview=False)
    found: dict[str, Any] = {}
    hidden: set[str] = set()

    @pulumi.runtime.test
    def declare() -> Any:
        outputs = GpuStack(load(values(**clusters), "test")).outputs()

        async def collect() -> None:
            for name, value in outputs.items():
                output = pulumi.Output.from_input(value)
                found[name] = await output.future()
                if await output.is_secret():
                    hidden.add(name)

        return pulumi.Output.from_input(collect())

    declare()
    return recorder, found, hidden


def is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.get(SIGNATURE_KEY) == SECRET_SIGNATURE


def plain(value: Any) -> Any:
    return value["value"] if is_secret(value) else value


def cluster(**more: Any) -> dict[str, Any]:
    return {"candidates": [RTX], "image": "vllm:1", "ports": ["8000/http"], **more}


def test_guard_first_then_nodes_that_hang_on_it():
    recorder, outputs, hidden = build(chat=cluster(nodes=2, apiKey=KEY), embed=cluster())
    guard = recorder.made["leak-guard"].inputs
    assert guard["stackId"] == "teststck" and guard["credentials"] == ["main"]
    assert guard["nodes"] == ["chat-0", "chat-1", "embed-0"]
    nodes = {name: made for name, made in recorder.made.items() if made.typ.endswith("GpuNode")}
    assert sorted(nodes) == ["chat-0", "chat-1", "embed-0"]
    assert all(made.inputs["guard"] == "teststck" for made in nodes.values())
    assert nodes["chat-0"].typ == "pulumi-python:dynamic/gpu:GpuNode"
    assert "canary-cloud" not in str([made.inputs for made in recorder.made.values()])
    assert outputs["hourlyUsd"] == 0.75
    assert outputs["nodes"]["chat"]["chat-1"] == {
        "id": "id-chat-1",
        "cloud": "runpod",
        "region": "EU-RO-1",
        "gpu": "RTX4090",
        "gpuCount": 1,
        "hourlyUsd": 0.25,
        "endpoints": ["https://chat-1"],
    }
    assert outputs["apiKeys"] == {"chat": KEY} and hidden == {"apiKeys"}


def test_a_command_and_its_key_are_secrets_and_a_deadline_goes_along():
    readiness = {"kind": "command", "command": KEY, "gpu": True, "tries": 4, "timeoutS": 9, "sshKey": "pem"}
    made = cluster(readiness=readiness, candidates=[{**RTX, "provisionDeadlineS": 90}])
    recorder, _, _ = build(chat=made)
    inputs = recorder.made["chat-0"].inputs
    assert is_secret(inputs["readiness"])
    asked = {name: plain(value) for name, value in plain(inputs["readiness"]).items()}
    assert asked == {**readiness, "port": 0}
    assert [each["provisionDeadlineS"] for each in inputs["candidates"]] == [90]


def test_the_gpu_check_alone_is_a_readiness():
    recorder, _, _ = build(chat=cluster(readiness={"gpu": True, "sshKeyFile": "~/.ssh/id_ed25519"}))
    asked = plain(recorder.made["chat-0"].inputs["readiness"])
    assert asked == {"kind": "none", "port": 0, "gpu": True, "sshKeyFile": "~/.ssh/id_ed25519"}


def test_nothing_declared_is_no_error():
    assert build(chat=cluster(nodes=0))[1] == {"nodes": {"chat": {}}, "hourlyUsd": 0.0, "apiKeys": {}}
    recorder, outputs, _ = build()
    assert outputs["nodes"] == {} and "leak-guard" in recorder.made


def test_only_what_is_set_is_an_input():
    recorder, _, _ = build(chat=cluster())
    inputs = {key for key in recorder.made["chat-0"].inputs if key != "__provider"}
    given = {key for key in inputs if recorder.made["chat-0"].inputs[key] is not None}
    assert given == {"guard", "node", "candidates", "image", "ports"}


@pytest.mark.parametrize("name", SAME)
def test_what_is_left_out_means_the_same_on_both_sides(name: str):
    assert Cluster.model_fields[name].default == NodeInputs.model_fields[name].default


def test_everything_reaches_the_node():
    recorder, _, _ = build(
        chat=cluster(
            nodes=2,
            gpuCount=2,
            env={"A": "b"},
            apiKey=KEY,
            args="--x",
            startup="#!/bin/sh",
            diskGb=80,
            volumeGb=20,
            volumePath="/data",
            sshPublicKeys=["ssh-ed25519 A"],
            readiness={"kind": "http", "path": "/health", "headers": {"authorization": "Bearer x"}},
            keepOnFailure=True,
            maxHourlyUsd=3,
            budgetHourlyUsd=4,
            waitForCapacityMin=5,
            provisionDeadlineS=60,
            expiresAt="2031-01-01T00:00:00Z",
            replaceTrigger="a",
            order="price",
            adoptIds={"chat-1": "pod7"},
        )
    )
    inputs = dict(recorder.made["chat-1"].inputs)
    inputs = {key: value for key, value in inputs.items() if value is not None and key != "__provider"}
    assert {key for key, value in inputs.items() if is_secret(value)} == {"env", "startup", "readiness"}
    assert {key: plain(value) for key, value in inputs.items()} == {
        "guard": "teststck",
        "node": "chat-1",
        "candidates": [
            {"cloud": "runpod", "credentials": "main", "gpu": "RTX4090", "region": "EU-RO-1", "gpuCount": 2}
        ],
        "order": "price",
        "image": "vllm:1",
        "args": "--x",
        "startup": "#!/bin/sh",
        "env": {"A": "b", "VLLM_API_KEY": KEY},
        "ports": ["8000/http"],
        "diskGb": 80,
        "volumeGb": 20,
        "volumePath": "/data",
        "sshPublicKeys": ["ssh-ed25519 A"],
        "readiness": {
            "kind": "http",
            "port": 8000,
            "path": "/health",
            "headers": {"authorization": "Bearer x"},
        },
        "keepOnFailure": True,
        "maxHourlyUsd": 3,
        "budgetHourlyUsd": 4,
        "clusterNodes": 2,
        "waitForCapacityMin": 5,
        "provisionDeadlineS": 60,
        "expiresAt": "2031-01-01T00:00:00+00:00",
        "adoptId": "pod7",
        "replaceTrigger": "a",
    }
    assert "adoptId" not in recorder.made["chat-0"].inputs


def test_arguments_are_strict():
    config = load(values(chat=cluster()), "test")
    good = {"guard": "teststck", "cluster": config.clusters["chat"], "candidates": config.candidates("chat")}
    with pytest.raises(pydantic.ValidationError, match="nodez"):
        GpuClusterArgs.model_validate({**good, "nodez": 3})
    with pytest.raises(pydantic.ValidationError, match="at least 1 item"):
        GpuClusterArgs.model_validate({**good, "candidates": ()})
    args = GpuClusterArgs.model_validate({**good, "api_key": KEY})
    assert KEY not in repr(args)
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        GpuClusterArgs.__setattr__(args, "order", "price")
    assert GpuCluster.__doc__ and "gpuplane:gpu:GpuCluster" in GpuCluster.__doc__


def test_a_mistake_in_the_stack_file_is_one_message(monkeypatch: pytest.MonkeyPatch):
    pulumi.runtime.set_mocks(Recorder(), project="gpuplane", stack="test", preview=False)
    pulumi.runtime.set_all_config(
        {"gpuplane:stackId": "teststck", "gpuplane:clusters": '{"chat": {"nodez": 2}}'}
    )
    with pytest.raises(pulumi.RunError, match=r"Pulumi\.test\.yaml: .*gpuplane:clusters\.chat\.nodez"):
        read_stack()
    pulumi.runtime.set_all_config({"gpuplane:stackId": "teststck"})
    assert read_stack().stack_id == "teststck"


def test_a_section_that_is_spelled_wrong_is_seen_though_nobody_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(pulumi, "get_root_directory", lambda: str(tmp_path))
    (tmp_path / "Pulumi.test.yaml").write_text("config:\n  aws:region: x\n  gpuplane:clsters: {}\n")
    monkeypatch.setattr(pulumi, "get_stack", lambda: "test")
    pulumi.runtime.set_all_config({"gpuplane:stackId": "teststck", "gpuplane:clsters": "{}"})
    with pytest.raises(pulumi.RunError) as refused:
        read_stack()
    assert 'gpuplane:clsters: unknown key; did you mean "clusters"?' in str(refused.value)
