"""Every request that the RunPod client sends, checked against RunPod's published OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # no stubs installed

from gpu_clouds import catalog
from gpu_clouds.models import Candidate, InstanceSpec, InstanceTemplate
from gpu_clouds.runpod.client import RunPodClient
from gpu_clouds.runpod.cloud import RunPodCloud
from tests.unit.gpu_clouds.harness import answer, connection

SPEC = Path(__file__).resolve().parents[3] / "shared" / "specs" / "runpod_v2.openapi.json"
if not SPEC.exists():
    pytest.skip("RunPod's OpenAPI document is not beside this checkout", allow_module_level=True)

DOCUMENT: dict[str, Any] = json.loads(SPEC.read_text())
# A regular expression for each path template, the longest first: `/catalog/gpus` before `/{x}/{y}`.
PATHS = sorted(
    ((re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), path) for path in DOCUMENT["paths"]),
    key=lambda pair: (pair[1].count("{"), -len(pair[1])),
)
POD = {"id": "p1", "name": "gp-x", "status": "RUNNING"}


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        found: Any = DOCUMENT
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value


def check_schema(schema: dict[str, Any], value: object, where: str) -> None:
    rooted = {"$ref": "#/schema", "schema": schema, "components": DOCUMENT["components"]}
    found = [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(rooted).iter_errors(value)
    ]
    assert not found, f"{where}: {found}"


def check(request: httpx.Request) -> str:
    """Fails where the document does not allow the request; its operationId."""
    path = next(template for pattern, template in PATHS if pattern.fullmatch(request.url.path))
    item = DOCUMENT["paths"][path]
    operation = item[request.method.lower()]
    name: str = operation["operationId"]
    known = {
        parameter["name"]: parameter
        for parameter in map(resolved, [*item.get("parameters", []), *operation.get("parameters", [])])
        if parameter["in"] == "query"
    }
    for key, text in request.url.params.multi_items():
        assert key in known, f"{name}: the document has no query parameter {key}"
        check_schema(known[key]["schema"], typed(text, resolved(known[key]["schema"])), f"{name} {key}")
    if "requestBody" in operation:
        assert request.headers["content-type"] == "application/json"
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        check_schema(schema, json.loads(request.content), name)
    else:
        assert request.content == b"", f"{name} has no body in the document"
    assert request.headers["authorization"].startswith("Bearer ")
    return name


def typed(text: str, schema: dict[str, Any]) -> object:
    """A query's text as the type that its schema asks for."""
    kind = schema.get("type")
    if kind == "array":
        return text.split(",")
    if kind == "integer":
        return int(text)
    if kind == "boolean":
        return {"true": True, "false": False}[text]
    return text


class Checked:
    """Checks each request and gives it a fitting answer."""

    def __init__(self) -> None:
        self.operations: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.operations.append(check(request))
        if request.url.path.endswith("/logs"):
            return httpx.Response(200, text="")
        if request.method == "DELETE":
            return answer(204)
        lists: dict[str, list[object]] = {
            "pods": [],
            "gpus": [],
            "dataCenters": [],
            "networkVolumes": [],
            "templates": [],
            "records": [],
            "keys": [],
        }
        return answer(200, POD | lists)


def client(net: Checked) -> RunPodClient:
    return RunPodClient(connection(), httpx.MockTransport(net))


CALLS: dict[str, Callable[[RunPodClient], object]] = {
    "listPods": lambda runpod: runpod.list_pods(include_cluster_pods=True),
    "getPod": lambda runpod: runpod.get_pod("p1"),
    "deletePod": lambda runpod: runpod.delete_pod("p1"),
    "podAction": lambda runpod: [
        runpod.act("p1", action) for action in ("start", "stop", "restart", "terminate")
    ],
    "getPodLogs": lambda runpod: [
        list(runpod.pod_events("p1", tail=5000, cursor=cursor)) for cursor in ("", "x/1")
    ],
    "listGpuTypes": lambda runpod: runpod.list_gpu_types(count=8),
    "listDataCenters": lambda runpod: runpod.list_data_centers(),
    "getSshKeys": lambda runpod: runpod.ssh_keys(),
    "updateSshKeys": lambda runpod: runpod.put_ssh_keys(["ssh-ed25519 AAAA me@here"]),
    "listNetworkVolumes": lambda runpod: runpod.list_network_volumes(),
    "createNetworkVolume": lambda runpod: runpod.create_network_volume("v", 10, "EU-RO-1"),
    "deleteNetworkVolume": lambda runpod: runpod.delete_network_volume("v1"),
    "listTemplates": lambda runpod: runpod.list_templates(),
    "getTemplate": lambda runpod: runpod.get_template("t1"),
    "listPodBilling": lambda runpod: runpod.pod_billing(
        start_time="2026-05-01T00:00:00Z", end_time="2026-06-01T00:00:00Z", pod_id="p1"
    ),
}


@pytest.mark.parametrize("operation", CALLS)
def test_a_call_is_what_the_document_says(operation: str) -> None:
    net = Checked()
    CALLS[operation](client(net))
    assert set(net.operations) == {operation}


specs = st.builds(
    InstanceSpec,
    name=st.text("abcdefgh0123456789-", min_size=1, max_size=60),
    candidate=st.builds(
        Candidate,
        cloud=st.just("runpod"),
        credentials=st.just("main"),
        region=st.sampled_from(["", "us-east", "eu-central", "EU-RO-1", "native:XX-NEW-1"]),
        gpu=st.sampled_from(catalog.native_gpus("runpod")),
        gpu_count=st.integers(1, 8),
    ),
    template=st.builds(
        InstanceTemplate,
        image=st.text(max_size=20),
        template_id=st.text(min_size=1, max_size=8),
        disk_gb=st.integers(1, 4000),
        volume_gb=st.just(0) | st.integers(10, 4000),
        ports=st.lists(st.sampled_from(["22/tcp", "8000/http"]), max_size=2).map(tuple),
        env=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
        args=st.text(max_size=20),
        ssh_public_keys=st.lists(st.just("ssh-ed25519 AAAA me"), max_size=2).map(tuple),
    ),
)


@settings(deadline=None, max_examples=50)
@given(specs)
def test_every_launch_and_update_is_what_the_document_says(spec: InstanceSpec) -> None:
    net = Checked()
    cloud = RunPodCloud(connection(), httpx.MockTransport(net))
    cloud.create(spec)
    cloud.update("p1", spec)
    assert net.operations == ["createPod", "updatePod"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gpu": {"id": "x", "count": 0}}, "less than the minimum"),
        ({"surplus": 1}, "Unevaluated properties"),
        ({"cloud": "PRIVATE"}, "not one of"),
        ({"image": None}, "not of type"),
    ],
)
def test_the_check_itself_sees_a_bad_launch(change: dict[str, Any], says: str) -> None:
    good = {"name": "x", "image": "i", "gpu": {"id": "x", "count": 1}, "cloud": "SECURE"}
    headers = {"Authorization": "Bearer x"}
    url = "https://api.runpod.io/v2/pods"
    check(httpx.Request("POST", url, json=good, headers=headers))
    with pytest.raises(AssertionError, match=says):
        check(httpx.Request("POST", url, json=good | change, headers=headers))
