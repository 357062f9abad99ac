"""What the control plane of a stack declares, without an engine, and what the gateway reads of it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pulumi
import pulumi.runtime
import pytest

from components import control_plane
from components.control_plane import service_inputs, way_in
from components.gateway_seed import KEY_PREFIX, seed
from components.gpu_stack import GpuStack
from components.node_args import rotation
from control_plane.gateway.checks import check
from control_plane.gateway.declared import Declared
from control_plane.settings import Settings
from dynamic_providers.gateway_node import GatewayNodeInputs
from dynamic_providers.gateway_node import broken_rules as broken_node_rules
from dynamic_providers.local_service_inputs import ServiceInputs
from dynamic_providers.local_service_inputs import broken_rules as broken_service_rules
from stack_config import ControlPlane, load
from stack_config.control_plane_rules import OWN_SETTINGS
from tests.unit.components.test_gpu_stack import Recorder as NodeRecorder
from tests.unit.components.test_gpu_stack import is_secret, plain

_loops: set[asyncio.AbstractEventLoop] = set()
MADE = "canary-generated-secret-text"
RTX = {"cloud": "runpod", "credentials": "main", "gpus": ["RTX4090"], "regions": ["EU-RO-1"]}
VLLM = {"image": "vllm:1", "args": "--model org/tiny", "ports": ["8000/http"], "candidates": [RTX]}


class Recorder(NodeRecorder):
    """Takes every resource; gives services, secrets and ready nodes back."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        id, outs = super().new_resource(args)
        _loops.add(asyncio.get_event_loop())
        if args.typ.endswith("LocalService"):
            outs["url"] = args.inputs["healthUrl"].removesuffix("/health")
        if args.typ.endswith("GeneratedSecret"):
            outs["value"] = MADE
        if args.typ.endswith("NodeCertificate"):
            outs |= {"pem": f"{MADE}-pem", "sha256": "5a" * 32}
        return id, outs


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


def values(plane: dict[str, Any], **clusters: Any) -> dict[str, Any]:
    return {
        "stackId": "teststck",
        "credentials": {"main": {"cloud": "runpod", "apiKey": "canary-cloud-999"}},
        "clusters": clusters or {"chat": VLLM},
        "controlPlane": plane,
    }


def section(**more: Any) -> ControlPlane:
    found = load(values({"target": "local", **more}), "test").control_plane
    assert found is not None
    return found


def build(plane: dict[str, Any], **clusters: Any) -> tuple[Recorder, dict[str, Any], set[str]]:
    """Declares a stack; gives what was declared, the outputs, and names of the secret ones."""
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="gpuplane", stack="test", preview=False)
    found: dict[str, Any] = {}
    hidden: set[str] = set()

    @pulumi.runtime.test
    def declare() -> Any:
        outputs = GpuStack(load(values(plane, **clusters), "test")).outputs()

        async def collect() -> None:
            for name, value in outputs.items():
                output = pulumi.Output.from_input(value)
                found[name] = await output.future()
                if await output.is_secret():
                    hidden.add(name)

        return pulumi.Output.from_input(collect())

    declare()
    return recorder, found, hidden


def of_kind(recorder: Recorder, kind: str) -> dict[str, dict[str, Any]]:
    """Name -> inputs of the resources of a kind, in the clear."""
    return {
        name: {key: plain(value) for key, value in made.inputs.items() if key != "__provider"}
        for name, made in recorder.made.items()
        if made.typ.rpartition(":")[2] == kind
    }


def test_nothing_of_it_is_declared_without_a_section() -> None:
    recorder, outputs, _ = build({})
    kinds = {made.typ.rpartition(":")[2] for made in recorder.made.values()}
    assert kinds == {"LeakGuard", "GpuCluster", "GpuNode"}
    assert "controlPlane" not in outputs
    assert "env" not in of_kind(recorder, "GpuNode")["chat-0"]


def test_every_node_is_registered_with_a_key_of_its_cluster() -> None:
    given = {**VLLM, "nodes": 2, "apiKey": "canary-upstream"}
    recorder, outputs, hidden = build({"target": "local"}, chat=given, embed=VLLM)
    nodes = of_kind(recorder, "GatewayNode")
    assert sorted(nodes) == ["gateway-chat-0", "gateway-chat-1", "gateway-embed-0"]
    for name, inputs in nodes.items():
        read = GatewayNodeInputs.model_validate({k: v for k, v in inputs.items() if v is not None})
        assert list(broken_node_rules(read, frozenset())) == [], name
        assert is_secret(recorder.made[name].inputs["adminToken"])
        assert is_secret(recorder.made[name].inputs["apiKey"])
    assert nodes["gateway-chat-1"] | {"state": None} == {
        "gateway": "http://127.0.0.1:8080",
        "adminToken": MADE,
        "node": "chat-1",
        "nodeId": "id-chat-1",
        "url": "https://chat-1",
        "models": ["org/tiny"],
        "apiKey": "canary-upstream",
        "drainS": 30,
        "state": None,
    }
    # What the gateway sends is what the node asks for.
    machines = of_kind(recorder, "GpuNode")
    assert plain(machines["chat-0"]["env"])["VLLM_API_KEY"] == "canary-upstream"
    assert plain(machines["embed-0"]["env"])["VLLM_API_KEY"] == MADE == nodes["gateway-embed-0"]["apiKey"]
    assert sorted(of_kind(recorder, "GeneratedSecret")) == [
        "gateway-admin-token",
        "gateway-key-default",
        "gateway-upstream-embed",
    ]
    assert outputs["apiKeys"] == {"chat": "canary-upstream", "embed": MADE}
    assert outputs["controlPlane"]["apiKeys"] == {"default": KEY_PREFIX + MADE}
    assert outputs["controlPlane"]["openaiBaseUrl"] == "http://127.0.0.1:8080/v1"
    assert outputs["controlPlane"]["models"] == ["org/tiny"]
    assert {"apiKeys", "controlPlane"} <= hidden


def test_the_service_gets_settings_that_the_gateway_knows_and_no_key() -> None:
    recorder, _, _ = build(
        {
            "target": "local",
            "port": 8099,
            "queueS": 2.5,
            "queueLength": 7,
            "stallS": 9.0,
            "firstByteS": 8.0,
            "drainS": 4,
            "env": {"GATEWAY_PROBE_S": "5"},
            "databaseUrl": "postgresql+asyncpg://a:canary@b/c",
            "redisUrl": "redis://:canary@b",
            "keepData": True,
        }
    )
    (service,) = of_kind(recorder, "LocalService").values()
    given = {k: v for k, v in service.items() if v is not None}
    assert list(broken_service_rules(ServiceInputs.model_validate(given), frozenset())) == []
    assert is_secret(recorder.made["gateway"].inputs["env"])
    assert is_secret(recorder.made["gateway"].inputs["files"])
    assert service["keepHome"] is True and service["portHolders"] == [8099]
    assert service["stopGraceS"] > 4
    written = service["files"]["seed.json"]
    assert KEY_PREFIX + MADE not in written
    assert hashlib.sha256((KEY_PREFIX + MADE).encode()).hexdigest() in written
    env = service["env"]
    settings = Settings(**{name: env[name] for name in env if name in aliases()})
    assert settings.host == control_plane.HOST
    assert not [value for value in env.values() if control_plane.HOST in value]
    assert (settings.port, settings.queue_s, settings.queue_length) == (8099, 2.5, 7)
    assert (settings.stall_s, settings.first_byte_s, settings.drain_s) == (9, 8, 4)
    assert settings.probe_s == 5
    assert set(env) - aliases() == {"PYTHONPATH", "GPUPLANE_GATEWAY_CODE"}


def aliases() -> set[str]:
    """Environment names of the gateway's settings."""
    return {str(info.alias) for info in Settings.model_fields.values()}


def test_the_names_of_settings_are_the_gateways_own() -> None:
    assert set(OWN_SETTINGS) <= aliases()
    fields = {str(info.alias) for info in ControlPlane.model_fields.values()}
    assert {key for key in OWN_SETTINGS.values() if key} <= fields


def test_defaults_are_told_as_the_gateway_has_them() -> None:
    """Where the reference says `30 if left out`, it is 30."""
    defaults = {"queue_s": 30, "queue_length": 1000, "first_byte_s": 300, "stall_s": 60}
    assert {name: Settings.model_fields[name].default for name in defaults} == defaults
    for name, value in defaults.items():
        assert f"{value} if left out" in str(ControlPlane.model_fields[name].description)


def test_the_seed_is_what_the_gateway_reads() -> None:
    plane = section(
        tenants={"acme": {"limits": {"requestsPerMinute": 60, "budgetUsd": 5.0}, "weight": 3}},
        keys={
            "main": {"scopes": ["inference"], "models": ["best"], "expiresAt": "2027-01-31T18:00:00Z"},
            "more": {"tenant": "acme", "limits": {"inFlight": 2}},
        },
        models={
            "best": {
                "targets": [{"model": "org/tiny", "weight": 9}],
                "promptUsdPerMillion": 0.5,
                "completionUsdPerMillion": 1.5,
                "limits": {"tokensPerMinute": 100},
            }
        },
        limits={"inFlight": 99},
    )
    text = seed(plane, {"main": "sk-gp-abcdefgh", "more": "sk-gp-ijklmnop"})
    assert "abcdefgh" not in text and "ijklmnop" not in text
    declared = msgspec.json.decode(text, type=Declared)
    check(declared)
    (tenant,) = declared.tenants
    assert (tenant.name, tenant.weight, tenant.limits.budget_usd) == ("acme", 3, 5.0)
    main, more = declared.keys
    assert (main.id, main.tenant, main.prefix) == ("main", "acme", "sk-gp-abcd")
    assert main.sha256 == hashlib.sha256(b"sk-gp-abcdefgh").hexdigest()
    assert (main.scopes, main.models, main.expires_at) == (("inference",), ("best",), 1801418400.0)
    assert more.limits.in_flight == 2
    (model,) = declared.models
    assert (model.name, model.targets[0].weight, model.limits.tokens_per_minute) == ("best", 9, 100)
    assert (model.prompt_usd_per_million, model.completion_usd_per_million) == (0.5, 1.5)
    assert declared.limits.in_flight == 99
    assert declared.nodes == ()


def test_nodes_of_a_rolling_cluster_wait_for_the_entry_of_the_one_before() -> None:
    order: list[str] = []

    class InOrder(Recorder):
        def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
            order.append(args.name)
            return super().new_resource(args)

    recorder = InOrder()
    pulumi.runtime.set_mocks(recorder, project="gpuplane", stack="test", preview=False)

    @pulumi.runtime.test
    def declare() -> Any:
        rolling = {**VLLM, "nodes": 2, "rolling": True}
        outputs = GpuStack(load(values({"target": "local"}, chat=rolling), "test")).outputs()
        return pulumi.Output.from_input(outputs)

    declare()
    assert order.index("chat-0") < order.index("gateway-chat-0") < order.index("chat-1")


def test_lambda_may_have_plain_http_and_runpod_may_not() -> None:
    given = values({"target": "local"}, chat={**VLLM, "candidates": [{**RTX, "cloud": "lambda"}]}, other=VLLM)
    given["credentials"]["main"] = {
        "cloud": "lambda",
        "apiKey": "canary",
        "allowedSources": ["203.0.113.7/32"],
    }
    given["credentials"]["pod"] = {"cloud": "runpod", "apiKey": "canary"}
    given["clusters"]["other"] = {**VLLM, "candidates": [{**RTX, "credentials": "pod"}]}
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="gpuplane", stack="test", preview=False)

    @pulumi.runtime.test
    def declare() -> Any:
        return pulumi.Output.from_input(GpuStack(load(given, "test")).outputs())

    declare()
    nodes = of_kind(recorder, "GatewayNode")
    assert nodes["gateway-chat-0"]["allowPlainHttp"] is True
    assert "allowPlainHttp" not in nodes["gateway-other-0"]


def test_a_node_at_a_public_address_gets_a_certificate_that_the_gateway_pins() -> None:
    vast = {"cloud": "vast", "credentials": "open", "gpus": ["RTX4090"]}
    given = values({"target": "local"}, chat={**VLLM, "candidates": [vast], "nodes": 2}, other=VLLM)
    given["credentials"]["open"] = {"cloud": "vast", "apiKey": "canary"}
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="gpuplane", stack="test", preview=False)

    @pulumi.runtime.test
    def declare() -> Any:
        return pulumi.Output.from_input(GpuStack(load(given, "test")).outputs())

    declare()
    certificates = of_kind(recorder, "NodeCertificate")
    assert sorted(certificates) == ["gateway-tls-chat-0", "gateway-tls-chat-1"]
    assert {each["node"] for each in certificates.values()} == {"chat-0", "chat-1"}
    (text,) = {each["rotation"] for each in certificates.values()}
    nodes, entries = of_kind(recorder, "GpuNode"), of_kind(recorder, "GatewayNode")
    for name in ("chat-0", "chat-1"):
        assert nodes[name]["tls"] == {"port": 8000, "pem": f"{MADE}-pem"}
        assert is_secret(recorder.made[name].inputs["tls"])
        assert entries[f"gateway-{name}"]["tlsSha256"] == "5a" * 32
        assert "allowPlainHttp" not in entries[f"gateway-{name}"]
    assert "tls" not in nodes["other-0"] and "tlsSha256" not in entries["gateway-other-0"]
    # What replaces the nodes makes other certificates, and what does not, does not.
    chat = load(given, "test").clusters["chat"]
    assert rotation(chat) == text
    for same in ({"nodes": 3}, {"max_hourly_usd": 2.0}, {"keep_on_failure": True}):
        assert rotation(chat.model_copy(update=same)) == text
    for other in (
        {"image": "vllm:2"},
        {"args": "--model b"},
        {"replace_trigger": "2"},
        {"ports": ("1/http",)},
    ):
        assert rotation(chat.model_copy(update=other)) != text


@pytest.mark.parametrize(
    ("endpoints", "url"),
    [
        (None, ""),
        ([], ""),
        ([{"port": 22.0, "protocol": "tcp", "url": "tcp://h:1"}], ""),
        ([{"port": 8000.0, "protocol": "http", "url": "https://h/"}], "https://h"),
        (
            [
                {"port": 9000.0, "protocol": "http", "url": "https://g"},
                {"port": 8000.0, "protocol": "http", "url": "https://h"},
            ],
            "https://h",
        ),
    ],
)
def test_way_in(endpoints: list[dict[str, Any]] | None, url: str) -> None:
    assert way_in(8000, endpoints) == url


def test_other_code_is_another_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    assert service_inputs(section(), "t", "{}") == service_inputs(section(), "t", "{}")
    (tmp_path / "x.py").write_text("a")
    monkeypatch.setattr(control_plane, "_CODE", tmp_path)
    control_plane.code_version.cache_clear()
    one = control_plane.code_version()
    (tmp_path / "x.py").write_text("b")
    control_plane.code_version.cache_clear()
    assert control_plane.code_version() != one
    monkeypatch.undo()
    control_plane.code_version.cache_clear()
    assert json.loads(seed(section(), {"default": "k"}))["keys"][0]["id"] == "default"
