"""What SkyPilotApiServer declares, without an engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pulumi
import pulumi.runtime
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.sky_pilot_api_server import SkyPilotApiServer, SkyPilotApiServerArgs, SkyPilotAuth
from components.sky_pilot_api_server_local import queue_port
from dynamic_providers.host.sdk import SECRET_SIGNATURE, SIGNATURE_KEY
from dynamic_providers.local_service_inputs import ServiceInputs, broken_rules

_loops: set[asyncio.AbstractEventLoop] = set()
"""The SDK's mocks make a loop in every thread that registers a resource, and close none."""


class Recorder(pulumi.runtime.Mocks):
    """Takes every resource."""

    def __init__(self) -> None:
        self.made: dict[str, pulumi.runtime.MockResourceArgs] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.made[args.name] = args
        _loops.add(asyncio.get_event_loop())
        outs = {key: value for key, value in args.inputs.items() if key != "__provider"}
        if args.typ.endswith("LocalService"):
            outs["url"] = args.inputs["healthUrl"].removesuffix("/api/health")
        if args.typ.endswith("GeneratedSecret"):
            outs["value"] = "canary-generated"
        return args.name, outs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], None]:
        return {}, None


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


def build(**args: Any) -> tuple[Recorder, dict[str, Any], set[str]]:
    """Declares a server; gives what was declared, the outputs, and names of the secret ones."""
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="gpuplane", stack="test", preview=False)
    found: dict[str, Any] = {}
    hidden: set[str] = set()

    @pulumi.runtime.test
    def declare() -> Any:
        server = SkyPilotApiServer("sky", SkyPilotApiServerArgs(**args))

        async def collect() -> None:
            for name in ("endpoint", "user", "password"):
                output = getattr(server, name)
                found[name] = await output.future()
                if await output.is_secret():
                    hidden.add(name)

        return pulumi.Output.from_input(collect())

    declare()
    return recorder, found, hidden


def inputs(recorder: Recorder) -> dict[str, Any]:
    """Inputs of the service, in the clear; they break no rule."""
    given = recorder.made["sky"].inputs
    for key in ("env", "files"):
        assert given[key][SIGNATURE_KEY] == SECRET_SIGNATURE
    plain = {
        key: value["value"] if isinstance(value, dict) and SIGNATURE_KEY in value else value
        for key, value in given.items()
        if key != "__provider" and value is not None
    }
    assert list(broken_rules(ServiceInputs.model_validate(plain), frozenset())) == []
    return plain


def test_without_auth():
    recorder, outputs, hidden = build(allowed_clouds=("slurm",), config={"jobs": {"a": 1}})
    assert outputs == {"endpoint": "http://127.0.0.1:46580", "user": "", "password": ""}
    assert "password" in hidden and "endpoint" not in hidden
    service = inputs(recorder)
    assert recorder.made["sky"].typ == "pulumi-python:dynamic/local:LocalService"
    assert service["portHolders"] == [46580, 50011]
    assert json.loads(service["files"][".sky/gpuplane.json"]) == {
        "allowed_clouds": ["slurm"],
        "jobs": {"a": 1},
    }
    assert service["env"]["IS_SKYPILOT_SERVER"] == "true"
    assert "ENABLE_BASIC_AUTH" not in service["env"]
    assert service["keepHome"] is True


def test_service_accounts_with_a_generated_password():
    recorder, outputs, hidden = build(
        port=47000,
        host="0.0.0.0",
        metrics_port=9091,
        auth=SkyPilotAuth(kind="service_accounts"),
        files={".lambda_cloud/lambda_keys": pulumi.Output.secret("api_key = canary")},
        env={"AWS_SECRET_ACCESS_KEY": pulumi.Output.secret("canary-aws")},
    )
    assert outputs == {
        "endpoint": "http://127.0.0.1:47000",
        "user": "admin",
        "password": "canary-generated",
    }
    assert "password" in hidden
    service = inputs(recorder)
    assert service["env"]["ENABLE_SERVICE_ACCOUNTS"] == service["env"]["ENABLE_BASIC_AUTH"] == "true"
    assert service["env"]["GPUPLANE_BASIC_PASSWORD"] == "canary-generated"
    assert service["env"]["AWS_SECRET_ACCESS_KEY"] == "canary-aws"
    assert service["files"][".lambda_cloud/lambda_keys"] == "api_key = canary"
    assert service["portHolders"] == [47000, queue_port(47000), 9091]
    assert service["command"][-3:] == ["--host=0.0.0.0", "--port=47000", "--metrics-port=9091"]
    assert "canary" not in json.dumps(service["command"])


def test_a_given_password_makes_no_other():
    recorder, outputs, _ = build(auth=SkyPilotAuth(kind="basic", password="given-password"))
    assert outputs["password"] == "given-password"
    assert "sky-password" not in recorder.made
    assert "ENABLE_SERVICE_ACCOUNTS" not in inputs(recorder)["env"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"target": "mars"}, "no target 'mars'; there are: kubernetes, local"),
        ({"host": "0.0.0.0"}, "a server without auth listens on this machine alone, not on '0.0.0.0'"),
        ({"auth": SkyPilotAuth(password="x")}, "a password needs auth of kind basic or service_accounts"),
        ({"metrics_port": 46580}, "port and metrics_port must differ"),
        ({"allowed_clouds": ("aws",), "config": {"allowed_clouds": []}}, "allowed_clouds is given twice"),
        ({"prot": 1}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_arguments(args, said):
    with pytest.raises(pydantic.ValidationError, match=said):
        SkyPilotApiServerArgs(**args)


def test_no_secret_in_a_representation():
    args = SkyPilotApiServerArgs(
        files={"a": "canary-1"},
        env={"b": "canary-2"},
        auth=SkyPilotAuth(kind="basic", password="canary-3"),
    )
    assert "canary" not in repr(args)


@given(st.integers(1024, 65535))
def test_the_port_of_the_queue(port: int):
    assert 50000 <= queue_port(port) < 60000
    assert queue_port(46580) == 50011
    assert queue_port(46581) == 50012
