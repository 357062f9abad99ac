"""Every request that the Lambda client sends, checked against Lambda's published OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_clouds import catalog
from gpu_clouds.lambda_cloud.client import LambdaClient
from gpu_clouds.lambda_cloud.cloud import LambdaCloud
from gpu_clouds.lambda_cloud.stack_objects import rules_for
from gpu_clouds.lambda_cloud.types import type_names
from gpu_clouds.models import Candidate, InstanceSpec, InstanceTemplate
from tests.contract.lambda_spec import body_schema, complaints, path_of, spec
from tests.unit.gpu_clouds.harness import answer
from tests.unit.gpu_clouds.lambda_harness import MACHINE, NAME, TYPE, data, lambda_connection

BASE = "https://cloud.lambda.ai"
NEVER = {
    ("put", "/api/v1/firewall-rules"): "replaces the customer's rules",
    ("get", "/api/v1/firewall-rules"): "account-wide rules are no business of a stack",
    ("patch", "/api/v1/firewall-rulesets/global"): "replaces the customer's rules",
    ("get", "/api/v1/firewall-rulesets/global"): "account-wide rules are no business of a stack",
    ("get", "/api/v1/firewall-rulesets/{id}"): "the list has everything",
}
"""Described calls that the client does not have -> why."""
ELSEWHERE = ("/api/v1/tickets", "/api/v1/fabric", "/api/v1/audit-events")


@pytest.fixture(autouse=True)
def _needs_the_description() -> None:
    spec()


def check(request: httpx.Request) -> tuple[str, str]:
    """Asserts that a request is one that the document describes; returns which."""
    path = path_of(request.url.raw_path.decode().partition("?")[0])
    assert str(request.url).startswith(BASE)
    assert path, f"{request.url.path} is not described"
    method = request.method.lower()
    operation = spec()["paths"][path].get(method)
    assert operation, f"{method} {path} is not described"
    assert request.headers["Authorization"].startswith("Bearer ")
    allowed = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
    assert set(request.url.params) <= allowed
    if "requestBody" in operation:
        schema = body_schema(method, path)
        body = json.loads(request.content)
        found = complaints(schema, body)
        assert not found, f"{method} {path}: {found}"
        # The document forbids no further fields; that every field sent is a known one is our own rule.
        assert set(body) <= set(schema["properties"]), sorted(body)
    else:
        assert request.content == b""
    return method, path


class Checked:
    """Answers well, and checks what was asked."""

    def __init__(self) -> None:
        self.operations: list[tuple[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        method, path = check(request)
        self.operations.append((method, path))
        last = path.rpartition("/")[2]
        if last == "instance-types":
            kinds = {
                name: {
                    "instance_type": TYPE | {"name": name},
                    "regions_with_capacity_available": [{"name": "us-east-1", "description": ""}],
                }
                for gpu in catalog.native_gpus("lambda")
                for count in (1, 2, 4, 8)
                for name in type_names(gpu, count)
            }
            return data(kinds)
        if last == "launch":
            return data({"instance_ids": [MACHINE["id"]]})
        if last in ("instances", "images", "regions", "file-systems") and method == "get":
            return data([])
        if last in ("ssh-keys", "firewall-rulesets"):
            return (
                data([]) if method == "get" else data({"id": "x1", "name": "n", "public_key": "ssh-rsa A b"})
            )
        if path.endswith("/instances/{id}"):
            return data(MACHINE)
        return answer(200, {"data": {"id": "x1", "name": "n"}})


CALLS: list[Callable[[LambdaClient], object]] = [
    lambda client: client.list_instances(),
    lambda client: client.get_instance("a/b c"),
    lambda client: client.launch({"region_name": "r", "instance_type_name": "t", "ssh_key_names": ["k"]}),
    lambda client: client.terminate("x"),
    lambda client: client.restart("x"),
    lambda client: client.rename("x", "n" * 64),
    lambda client: client.instance_types(),
    lambda client: client.images(),
    lambda client: client.regions(),
    lambda client: client.ssh_keys(),
    lambda client: client.add_ssh_key("n", "ssh-ed25519 AAAA x"),
    lambda client: client.delete_ssh_key("x"),
    lambda client: client.firewall_rulesets(),
    lambda client: client.create_firewall_ruleset(
        "n", "us-east-1", rules_for(["203.0.113.0/24"], [1, 65535])
    ),
    lambda client: client.change_firewall_ruleset("x", rules_for(["203.0.113.7"], [22])),
    lambda client: client.delete_firewall_ruleset("x"),
    lambda client: client.file_systems(),
    lambda client: client.create_file_system("disk-1", "us-east-1"),
    lambda client: client.delete_file_system("x"),
]


def test_every_call_is_described_and_every_described_call_is_there() -> None:
    net = Checked()
    client = LambdaClient(lambda_connection(), httpx.MockTransport(net))
    for one in CALLS:
        one(client)
    described = {
        (method, path)
        for path, methods in spec()["paths"].items()
        for method in methods
        if method != "parameters" and not path.startswith(ELSEWHERE)
    }
    assert set(net.operations) == described - set(NEVER)


specs = st.builds(
    InstanceSpec,
    name=st.just(NAME) | st.just("gp-o-zzzz9999-" + "n" * 24 + "-0a1b2c3d"),
    candidate=st.builds(
        Candidate,
        cloud=st.just("lambda"),
        credentials=st.just("main"),
        region=st.sampled_from(["", "us-east", "us-east-1"]),
        gpu=st.sampled_from([gpu for gpu in catalog.native_gpus("lambda") if type_names(gpu, 1)]),
        gpu_count=st.sampled_from([1, 2, 4]),
    ),
    template=st.builds(
        InstanceTemplate,
        image=st.text("abc/:.", max_size=20),
        template_id=st.sampled_from(["", "lambda-stack-24-04", MACHINE["id"]]),
        volume_gb=st.just(0) | st.integers(10, 4000),
        ports=st.lists(st.integers(1, 65535).map(lambda port: f"{port}/http"), max_size=25).map(tuple),
        env=st.dictionaries(
            st.text("ABC_", min_size=1, max_size=8).map(lambda name: f"X{name}"), st.text(max_size=8)
        ),
        args=st.text("abc --", max_size=20),
        startup=st.text(max_size=20),
        ssh_public_keys=st.lists(st.just("ssh-ed25519 AAAA me"), min_size=1, max_size=3).map(tuple),
    ),
)


@settings(deadline=None, max_examples=50)
@given(specs)
def test_every_launch_is_what_the_document_says(one: InstanceSpec) -> None:
    if any("\0" in value for value in one.template.env.values()):
        return
    net = Checked()
    cloud = LambdaCloud(lambda_connection(allowed_sources=("203.0.113.0/24",)), httpx.MockTransport(net))
    made = cloud.create(one)
    assert made.name == one.name
    cloud.update(made.id, one)
    cloud.delete(made.id)
    cloud.delete_stack_objects("p", "abcdefgh")
    assert ("post", "/api/v1/instance-operations/launch") in net.operations
    assert not set(net.operations) & set(NEVER)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hostname": "Upper"}, "does not match"),
        ({"name": "x" * 65}, "too long"),
        ({"tags": [{"key": "A", "value": ""}]}, "does not match"),
        ({"ssh_key_names": "k"}, "not of type"),
        ({"quantity": 1}, "quantity"),
    ],
)
def test_the_check_itself_sees_a_bad_launch(change: dict[str, Any], says: str) -> None:
    good = {"region_name": "r", "instance_type_name": "t", "ssh_key_names": ["k"]}
    headers = {"Authorization": "Bearer x"}
    url = f"{BASE}/api/v1/instance-operations/launch"
    check(httpx.Request("POST", url, json=good, headers=headers))
    with pytest.raises(AssertionError, match=says):
        check(httpx.Request("POST", url, json=good | change, headers=headers))
