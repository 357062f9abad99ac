"""The section `controlPlane` of a stack file: what is derived, and every rule as one clear line."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack_config import StackConfigError, load
from stack_config.clear_text import clear_text
from stack_config.control_plane import keys_of, served_names, tenant_of, tenants_of
from stack_config.stack_file import Opaque

VLLM = {"image": "vllm/vllm-openai:v0.11.0", "args": "--model org/tiny", "ports": ["8000/http"]}


def group(cloud: str, **more: Any) -> dict[str, Any]:
    return {"cloud": cloud, "credentials": cloud, "gpus": ["RTX4090"], **more}


def values(plane: dict[str, Any] | None = None, **clusters: Any) -> dict[str, Any]:
    return {
        "stackId": "teststck",
        "credentials": {
            cloud: {"cloud": cloud, "apiKeyEnv": "KEY"}
            for cloud in ("runpod", "lambda", "paperspace", "vast")
        },
        "clusters": clusters or {"chat": {**VLLM, "candidates": [group("runpod")]}},
        "controlPlane": {"target": "local", **(plane or {})},
    }


def problems(given: dict[str, Any]) -> list[str]:
    with pytest.raises(StackConfigError) as broken:
        load(given, "test")
    return [str(problem) for problem in broken.value.problems]


def test_without_a_section_there_is_no_control_plane() -> None:
    sections: tuple[dict[str, Any] | None, ...] = ({}, None)
    for section in sections:
        found = load({**values(), "controlPlane": section}, "test")
        assert found.control_plane is None
        assert found.served() == {}


def test_every_cluster_with_an_http_port_is_served_under_the_names_of_its_arguments() -> None:
    on = [group("runpod")]
    found = load(
        values(
            chat={**VLLM, "candidates": on},
            shell={"image": "ubuntu:24.04", "candidates": on, "ports": ["22/tcp"]},
            big={
                **VLLM,
                "args": "--model a --served-model-name b c",
                "ports": ["22/tcp", "9000/http"],
                "candidates": on,
            },
        ),
        "test",
    )
    assert {name: (each.models, each.port) for name, each in found.served().items()} == {
        "chat": (("org/tiny",), 8000),
        "big": (("b", "c"), 9000),
    }


def test_named_clusters_alone_are_served() -> None:
    on = [group("runpod")]
    clusters = {name: {**VLLM, "candidates": on} for name in ("chat", "other")}
    found = load(values({"clusters": {"chat": {"models": ["x"], "maxInFlight": 4}}}, **clusters), "test")
    assert list(found.served()) == ["chat"]
    assert found.served()["chat"].models == ("x",)


@pytest.mark.parametrize(
    ("args", "names"),
    [
        ("--model org/tiny", ("org/tiny",)),
        ("--model=org/tiny --port 8000", ("org/tiny",)),
        ("org/tiny --max-model-len 4096", ("org/tiny",)),
        ("serve org/tiny", ("org/tiny",)),
        ("--model a --served-model-name b", ("b",)),
        ("--served-model-name b c b --model a", ("b", "c")),
        ("--served_model_name=b --model a", ("b",)),
        ("--model 'with space'", ("with space",)),
        ("--model a --model b", ("b",)),
        ("--port 8000", ()),
        ("--model", ()),
        ("", ()),
        ("--model 'open", ()),
    ],
)
def test_served_names(args: str, names: tuple[str, ...]) -> None:
    assert served_names(args) == names


@given(st.text())
def test_no_arguments_make_it_fail(args: str) -> None:
    assert all(isinstance(name, str) for name in served_names(args))


def test_one_tenant_and_one_key_by_default() -> None:
    plane = load(values(), "test").control_plane
    assert plane is not None
    assert list(tenants_of(plane)) == list(keys_of(plane)) == ["default"]
    assert tenant_of(keys_of(plane)["default"], plane) == "default"


PLANE = "gpuplane:controlPlane"


@pytest.mark.parametrize(
    ("plane", "said"),
    [
        ({"target": "kubernetes"}, f"{PLANE}.target: is not a valid value; use one of local"),
        ({"prt": 1}, f'{PLANE}.prt: unknown key; did you mean "port"?'),
        ({"port": 80}, f"{PLANE}.port: must be at least 1024"),
        (
            {"clusters": {"chta": {}}},
            f'{PLANE}.clusters.chta: no cluster "chta"; did you mean "chat"? use one of chat',
        ),
        (
            {"clusters": {"chat": {"port": 8001}}},
            f'{PLANE}.clusters.chat.port: 8001 is not an http port of the cluster; did you mean "8000"? '
            "use one of 8000",
        ),
        (
            {"models": {"a": {"targets": [{"model": "org/tny"}]}}},
            f'{PLANE}.models.a.targets[0].model: no cluster serves "org/tny"; did you mean "org/tiny"? '
            "use one of org/tiny",
        ),
        (
            {"models": {"a": {"targets": [{"model": "org/tiny"}, {"model": "org/tiny"}]}}},
            f"{PLANE}.models.a.targets[1].model: org/tiny is listed twice",
        ),
        (
            {"models": {"org/tiny": {"targets": [{"model": "org/tiny"}]}}},
            f'{PLANE}.models.org/tiny.targets[0].model: "org/tiny" is an alias itself; '
            "name what it stands for",
        ),
        (
            {"models": {"a": {"targets": [{"model": "org/tiny", "weight": 0}]}}},
            f"{PLANE}.models.a.targets: every weight is 0; give one a weight",
        ),
        (
            {"models": {"zzz": {"promptUsdPerMillion": 1.0}}},
            f"{PLANE}.models.zzz: no cluster serves it; give targets, or use one of org/tiny",
        ),
        (
            {"models": {"a": {"promptUsdPerMillion": -1.0}}},
            f"{PLANE}.models.a.promptUsdPerMillion: must be at least 0",
        ),
        (
            {"keys": {"main": {"tenant": "acmee"}}, "tenants": {"acme": {}}},
            f'{PLANE}.keys.main.tenant: no tenant "acmee"; did you mean "acme"? use one of acme',
        ),
        (
            {"keys": {"main": {}}, "tenants": {"acme": {}, "other": {}}},
            f"{PLANE}.keys.main.tenant: is required where there are several tenants; use one of acme, other",
        ),
        (
            {"keys": {"main": {"models": ["org/tny"]}}},
            f'{PLANE}.keys.main.models[0]: no model "org/tny"; did you mean "org/tiny"? use one of org/tiny',
        ),
        (
            {"keys": {"Main": {}}},
            f"{PLANE}.keys.Main: a name has lower-case letters, digits and inner hyphens only; "
            'did you mean "main"?',
        ),
        ({"keys": {"main": {"scopes": []}}}, f"{PLANE}.keys.main.scopes: must have at least one entry"),
        ({"env": {"A B": "x"}}, f"{PLANE}.env.A B: is not the name of an environment variable"),
        (
            {"env": {"GATEWAY_PORT": "1"}},
            f"{PLANE}.env.GATEWAY_PORT: is what the stack sets itself; use controlPlane.port",
        ),
        (
            {"env": {"GATEWAY_ADMIN_TOKEN": "1"}},
            f"{PLANE}.env.GATEWAY_ADMIN_TOKEN: is what the stack sets itself; leave it out",
        ),
        (
            {"databaseUrl": "mysql://x"},
            f"{PLANE}.databaseUrl: must begin with postgresql+asyncpg:// or sqlite+aiosqlite://",
        ),
        ({"redisUrl": "x"}, f"{PLANE}.redisUrl: must begin with redis:// or rediss:// or unix://"),
    ],
)
def test_a_broken_rule_is_one_clear_line(plane: dict[str, Any], said: str) -> None:
    assert problems(values(plane)) == [said]


def test_the_target_is_required() -> None:
    given = {**values(), "controlPlane": {"port": 8080}}
    (problem,) = problems(given)
    assert problem.startswith(f"{PLANE}.target: is required; ")


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        (
            {"args": ""},
            f"{PLANE}.clusters.chat: nothing says which models its nodes serve; "
            "give models here, or --model in the cluster's args",
        ),
        (
            {"env": {"VLLM_API_KEY": "x"}},
            "gpuplane:clusters.chat.env.VLLM_API_KEY: is not known to the gateway; give it as apiKey instead",
        ),
        (
            {"args": "--model org/tiny --api-key x"},
            "gpuplane:clusters.chat.args: has --api-key, where anybody can read it; "
            "give it as apiKey instead",
        ),
    ],
)
def test_a_cluster_that_can_not_be_served(cluster: dict[str, Any], said: str) -> None:
    assert problems(values(chat={**VLLM, "candidates": [group("runpod")], **cluster})) == [said]


def test_a_cluster_may_not_have_the_name_of_the_gateway() -> None:
    assert problems(values(gateway={**VLLM, "candidates": [group("runpod")]})) == [
        "gpuplane:clusters.gateway: is what the control plane's own service is called; rename the cluster"
    ]


def test_a_named_cluster_needs_an_http_port() -> None:
    cluster = {**VLLM, "candidates": [group("runpod")], "ports": ["22/tcp"]}
    assert problems(values({"clusters": {"chat": {}}}, chat=cluster)) == [
        f"{PLANE}.clusters.chat: the cluster has no http port; add one to its ports: 8000/http"
    ]


# The way to a node is closed to others.


@pytest.mark.parametrize("cloud", ["paperspace", "vast"])
def test_nodes_at_public_addresses_speak_tls_themselves(cloud: str) -> None:
    given = values(chat={**VLLM, "candidates": [group(cloud)]})
    assert load(given, "test").own_tls("chat")
    given["controlPlane"]["allowPlainHttp"] = True
    assert not load(given, "test").own_tls("chat"), "what there is goes on as it is"
    given["controlPlane"]["clusters"] = {"chat": {"tls": True}}
    assert load(given, "test").own_tls("chat")
    del given["controlPlane"]["allowPlainHttp"]
    given["credentials"][cloud]["endpoint"] = "emulator"
    assert load(given, "test").own_tls("chat")
    del given["controlPlane"]["clusters"]
    assert not load(given, "test").own_tls("chat")
    del given["credentials"][cloud]["endpoint"]
    given["clusters"]["chat"]["candidates"] = [group(cloud, enabled=False), group("runpod")]
    assert not load(given, "test").own_tls("chat")
    del given["controlPlane"]
    assert not load(given, "test").own_tls("chat")


PLAIN = (
    "gpuplane:clusters.chat: its nodes on {} are reached over plain http at a public address, where keys and "
)


@pytest.mark.parametrize(
    ("cloud", "change", "step"),
    [
        ("vast", {"tls": False}, "leave out controlPlane.clusters.chat.tls"),
        ("paperspace", {"tls": False}, "leave out controlPlane.clusters.chat.tls"),
        ("paperspace", {"image": "", "template": "tkni3aa4"}, "give an image instead of a template"),
        ("vast", {"further": "runpod"}, "give those on runpod a cluster of their own"),
        ("paperspace", {"further": "lambda"}, "give those on lambda a cluster of their own"),
    ],
)
def test_plain_http_over_a_public_address_is_refused(cloud: str, change: dict[str, Any], step: str) -> None:
    chat: dict[str, Any] = {**VLLM, "candidates": [group(cloud)]}
    if further := change.get("further"):
        chat["candidates"].append(group(further))
    chat |= {key: value for key, value in change.items() if key in ("image", "template")}
    given = values(chat=chat)
    given["credentials"]["lambda"]["allowedSources"] = ["203.0.113.7/32"]
    if "tls" in change:
        given["controlPlane"]["clusters"] = {"chat": {"models": ["m"], "tls": change["tls"]}}
    (problem,) = problems(given)
    assert problem.startswith(PLAIN.format(cloud))
    assert step in problem and problem.endswith(", or set controlPlane.allowPlainHttp: true")
    allowed = deepcopy(given)
    allowed["controlPlane"]["allowPlainHttp"] = True
    assert not load(allowed, "test").own_tls("chat")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"candidates": [group("runpod")]}, "tls: runpod is behind TLS of its own; leave it out"),
        ({"candidates": [group("vast"), group("lambda")]}, "tls: lambda hands no certificate to a node"),
        ({"image": "", "template": "tkni3aa4"}, "tls: a template can't be handed a certificate"),
        ({"args": "--model m --ssl-keyfile=/k"}, "args: has --ssl-keyfile, which the stack sets itself"),
        ({"args": "--model m --ssl_certfile /k"}, "args: has --ssl_certfile, which the stack sets itself"),
    ],
)
def test_tls_that_can_not_be_is_refused(change: dict[str, Any], said: str) -> None:
    given = values(
        {"clusters": {"chat": {"tls": True}}}, chat={**VLLM, "candidates": [group("vast")], **change}
    )
    given["credentials"]["lambda"]["allowedSources"] = ["203.0.113.7/32"]
    (problem,) = problems(given)
    assert said in problem


def test_lambda_lets_in_the_gateway_alone() -> None:
    given = values(chat={**VLLM, "candidates": [group("lambda"), group("runpod"), group("lambda")]})
    step = "name the address of the gateway's machine, like 203.0.113.7/32"
    path = "gpuplane:credentials.lambda.allowedSources"
    assert problems(given) == [f"{path}: is empty, but the control plane serves cluster chat on it; {step}"]
    given["credentials"]["lambda"]["allowedSources"] = ["0.0.0.0/0"]
    assert problems(given) == [f"{path}[0]: lets everybody reach the nodes; {step}"]
    given["credentials"]["lambda"]["allowedSources"] = ["203.0.113.7/32"]
    assert load(given, "test").served()


def test_a_cluster_that_is_not_served_may_be_anywhere() -> None:
    chat = {**VLLM, "candidates": [group("runpod")]}
    given = values({"clusters": {"chat": {}}}, chat=chat, other={**VLLM, "candidates": [group("vast")]})
    assert list(load(given, "test").served()) == ["chat"]


def test_urls_of_databases_are_secure_values() -> None:
    section = {"target": "local", "databaseUrl": "postgresql+asyncpg://a:b@c/d", "redisUrl": "redis://x"}
    found = clear_text({"controlPlane": section}, None, [])
    assert [str(each).partition(":")[2].partition(":")[0] for each in found] == [
        "controlPlane.databaseUrl",
        "controlPlane.redisUrl",
    ]
    assert "gpuplane:controlPlane.databaseUrl" in found[0].next_step
    assert clear_text({"controlPlane": {**section, "databaseUrl": Opaque(), "redisUrl": ""}}, None, []) == []
    assert load(values({"databaseUrl": Opaque()}), "test").control_plane is not None
