"""Every answer of the emulated RunPod fits RunPod's own description; both agree on valid bodies.

Where the emulator differs on purpose, EXCEPTIONS says so and why.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulators.runpod import bodies
from tests.contract.runpod_spec import (
    properties_of,
    response_complaints,
    schema_complaints,
    spec,
)
from tests.unit.emulators.driver import H100, L4, Driver, Reply, pod_body

EXCEPTIONS = {
    (
        "Pod",
        "status",
    ): "the fault unknown_state shows a state that the description does not know, to test clients",
    (
        "ListPodsResponse",
        "pagination",
    ): "reported by two clients after the description's date; a setting, off",
    ("CreatePodRequest", "entrypoint"): "added in autumn 2026, after the description's date",
    ("CreatePodRequest", "cmd"): "added in autumn 2026, after the description's date",
    ("CreateGpuConfig", "minRamPerGpu"): "added in autumn 2026, after the description's date",
    ("CreateGpuConfig", "minVcpuCountPerGpu"): "added in autumn 2026, after the description's date",
    (
        "DELETE /v2/registries/{id}",
        "400",
    ): "mode observed: seen where the description says 404; both are in it",
}
"""(where, what) -> why the emulator goes beyond the description."""

KEY = "ssh-ed25519 AAAA me"


@pytest.fixture(autouse=True)
def _needs_the_description() -> None:
    spec()


class Checked:
    """Calls the emulator and checks every answer against the description."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.seen: set[tuple[str, int]] = set()

    def __call__(self, method: str, path: str, body: Any = None, *, expect: int, **more: Any) -> Reply:
        reply = self.driver.call(method, path, body, **more)
        assert reply.status == expect, reply.body
        route = self.driver.control("GET", "requests?last=1")["requests"][0]["route"]
        # An unauthenticated request is answered before its path is looked at.
        route = _template(path) if expect == 401 else route
        found = response_complaints(
            route, method, reply.status, reply.headers.get("content-type", ""), reply.headers, reply.body
        )
        assert not found, f"{method} {path} -> {reply.status}: {found}"
        self.seen.add((f"{method} {route}", reply.status))
        return reply


def _template(path: str) -> str:
    parts = path.partition("?")[0].split("/")
    return "/".join("{id}" if part == "absent" else part for part in parts)


@pytest.mark.parametrize("mode", ["observed", "specified"])
def test_every_answer_fits_the_description(mode: str) -> None:
    roomy = {"minute": 10_000, "hour": 10_000, "day": 10_000}
    with Driver(mode=mode, rate_limit=roomy, ready_after_s=10) as driver:
        call = Checked(driver)
        _pods(call)
        _catalogue(call)
        _objects(call)
        _errors(call)
        operations = set(driver.runpod.operations)
        answered = {where for where, status in call.seen if status < 300}
        assert answered == operations, "an endpoint has no successful answer in this test"
        not_found = {where for where, status in call.seen if status == 404}
        assert {w for w in operations if "{id}" in w} <= not_found | {"DELETE /v2/registries/{id}"}


def _pods(call: Checked) -> None:
    gpu = {
        **pod_body(gpu=H100, count=2, dataCenterIds=["US-GA-2"], disk=120),
        "mounts": {"persistent": {"size": 200, "path": "/workspace"}},
        "env": {"MODEL": "m"},
        "args": "--model m",
        "startSsh": True,
    }
    pod = call("POST", "/v2/pods", gpu, expect=201).json()
    assert set(pod) <= properties_of("Pod")
    call("POST", "/v2/pods", {"name": "c", "image": "i", "cpu": {"id": "cpu5c", "vcpuCount": 4}}, expect=201)
    path = f"/v2/pods/{pod['id']}"
    for _ in range(3):
        call("GET", path, expect=200)
        call("GET", "/v2/pods", expect=200)
        call.driver.advance(6)
    ready = call("GET", path, expect=200).json()
    assert ready["runtime"] and ready["ssh"]["direct"]
    call("PATCH", path, {"name": "renamed", "locked": True}, expect=200)
    call("POST", f"{path}/action", {"action": "restart"}, expect=409)
    call("PATCH", path, {"locked": False, "globalNetworking": True}, expect=200)
    call("POST", f"{path}/action", {"action": "restart"}, expect=200)
    call("POST", f"{path}/action", {"action": "stop"}, expect=200)
    call("GET", "/v2/pods", expect=200)
    call("GET", f"{path}/logs?tail=5", expect=200)
    call("GET", "/v2/billing/pods?lastN=2&bucketSize=hour", expect=200)
    call.driver.advance(3600)
    stopped = call("GET", f"/v2/billing/pods?podId={pod['id']}&bucketSize=hour", expect=200).json()["records"]
    assert stopped[-1]["gpuAmount"] == 0 < stopped[-1]["diskAmount"]
    call("GET", "/v2/billing/pods?startTime=2026-11-01T00:00:00Z&endTime=2026-11-22T00:00:00Z", expect=200)
    call("GET", "/v2/billing/pods?bucketSize=minute", expect=422)
    call("GET", "/v2/billing/pods?startTime=yesterday", expect=422)
    call("POST", f"{path}/action", {"action": "start"}, expect=200)
    call("POST", f"{path}/action", {"action": "nap"}, expect=422)
    call("PATCH", path, {"mounts": {"network": [{"volumeId": "v", "path": "/p"}]}}, expect=400)
    call("PATCH", path, {"gpu": {"id": L4}}, expect=422)
    call("DELETE", path, expect=204)
    last = call("POST", "/v2/pods", pod_body(), expect=201).json()
    call("POST", f"/v2/pods/{last['id']}/action", {"action": "terminate"}, expect=204)


def _catalogue(call: Checked) -> None:
    for query in ("", "?include=AVAILABILITY&product=POD&count=2&countryCodes=US&minCudaVersion=12"):
        gpus = call("GET", f"/v2/catalog/gpus{query}", expect=200).json()["gpus"]
        assert all(set(gpu) <= properties_of("GpuType") for gpu in gpus)
        call("GET", f"/v2/catalog/gpus/{H100}{query}", expect=200)
    for query in ("", "?include=AVAILABILITY&product=POD"):
        call("GET", f"/v2/catalog/cpus{query}", expect=200)
        call("GET", f"/v2/catalog/cpus/cpu5c{query}", expect=200)
    for query in ("", "?include=GPU_AVAILABILITY,CPU_AVAILABILITY"):
        centers = call("GET", f"/v2/catalog/datacenters{query}", expect=200).json()["dataCenters"]
        assert all(set(center) <= properties_of("DataCenter") for center in centers)
        call("GET", f"/v2/catalog/datacenters/EU-RO-1{query}", expect=200)
    call("GET", "/v2/catalog/templates", expect=200)
    call("GET", "/v2/catalog/gpus?include=AVAILABILITY", expect=400)
    call("GET", "/v2/catalog/gpus?include=AVAILABILITY&product=POD&countryCodes=xx", expect=422)


def _objects(call: Checked) -> None:
    call("GET", "/v2/account/ssh-keys", expect=200)
    call("PUT", "/v2/account/ssh-keys", {"keys": [KEY]}, expect=200)
    call("PUT", "/v2/account/ssh-keys", {"keys": ["x"]}, expect=422)
    for family, body, change in (
        (
            "network-volumes",
            {"name": "v", "size": 10, "dataCenter": "EU-RO-1"},
            {"size": 20, "name": "w"},
        ),
        ("templates", {"name": "t", "image": "i", "env": {"A": "b"}}, {"image": "j", "disk": 30}),
        ("registries", {"name": "r", "username": "u", "password": "p"}, None),
    ):
        made = call("POST", f"/v2/{family}", body, expect=201).json()
        assert "p" not in made.values()
        call("GET", f"/v2/{family}", expect=200)
        call("GET", f"/v2/{family}/{made['id']}", expect=200)
        call("POST", f"/v2/{family}", {"name": 1}, expect=422)
        if change:
            assert call("PATCH", f"/v2/{family}/{made['id']}", change, expect=200).json() == {
                **made,
                **change,
            }
            call("PATCH", f"/v2/{family}/{made['id']}", {"nonsense": 1}, expect=422)
        call("DELETE", f"/v2/{family}/{made['id']}", expect=204)
    call("POST", "/v2/network-volumes", {"name": "v", "size": 10, "dataCenter": "MARS-1"}, expect=400)


def _errors(call: Checked) -> None:
    for where in call.driver.runpod.operations:
        method, path = where.split(" ")
        path = path.replace("{id}", "absent")
        call(method, path, {}, expect=401, key=None)
        if "{id}" in where:
            observed_registry = (
                where == "DELETE /v2/registries/{id}" and call.driver.runpod.settings()["mode"] == "observed"
            )
            call(method, path, {}, expect=400 if observed_registry else 404)
    call.driver.control("PATCH", "runpod/account", {"auth": "readonly"})
    call("POST", "/v2/pods", pod_body(), expect=403)
    call.driver.control("PATCH", "runpod/account", {"auth": "all", "balance": 0.0})
    call("POST", "/v2/pods", pod_body(), expect=402)
    call.driver.control("PATCH", "runpod/account", {"balance": None})
    call("POST", "/v2/pods", pod_body(gpu=H100, dataCenterIds=["EU-RO-1"], count=9), expect=400)
    call.driver.fault("delete_refused", count=1)
    pod = call("POST", "/v2/pods", pod_body(), expect=201).json()
    call("DELETE", f"/v2/pods/{pod['id']}", expect=409)
    call.driver.fault("error", count=1, args={"status": 500})
    call("GET", "/v2/pods", expect=500)
    call.driver.control("PATCH", "runpod/settings", {"rate_limit": {"minute": 1}})
    call("GET", "/v2/pods", expect=200)
    call("GET", "/v2/pods", expect=429)


def test_the_exceptions_are_what_they_say() -> None:
    assert not {what for where, what in EXCEPTIONS if where == "CreatePodRequest"} & properties_of(
        "CreatePodRequest"
    )
    assert not {what for where, what in EXCEPTIONS if where == "CreateGpuConfig"} & properties_of(
        "CreateGpuConfig"
    )
    assert "pagination" not in properties_of("ListPodsResponse")
    with Driver(pagination=True) as driver:
        driver.fault("unknown_state", count=1)
        driver.create()
        page = driver.call("GET", "/v2/pods").json()
        wrong = schema_complaints("ListPodsResponse", page)
        assert len(wrong) == 1
        assert wrong[0].startswith("$.pods[0].status: 'MIGRATING' is not one of")


FULL: dict[str, tuple[Any, dict[str, Any]]] = {
    "CreatePodRequest": (
        bodies.create_pod,
        {
            **pod_body(gpu=H100, count=2, dataCenterIds=["US-GA-2"], disk=120),
            "mounts": {"persistent": {"size": 200, "path": "/workspace"}},
            "env": {"A": "b"},
            "args": "x",
            "registry": None,
            "cloud": "SECURE",
            "startSsh": True,
            "startJupyter": False,
            "globalNetworking": False,
            "templateId": "t",
        },
    ),
    "UpdatePodRequest": (
        bodies.UPDATE_POD,
        {
            "name": "n",
            "image": "i",
            "disk": 10,
            "env": {"A": "b"},
            "ports": ["80/http"],
            "locked": True,
            "mounts": {"network": [{"volumeId": "v", "path": "/p"}]},
        },
    ),
    "PodActionRequest": (bodies.POD_ACTION, {"action": "stop"}),
    "UpdateSshKeysRequest": (bodies.SSH_KEYS, {"keys": [KEY]}),
    "CreateNetworkVolumeRequest": (
        bodies.CREATE_VOLUME,
        {"name": "v", "size": 10, "dataCenter": "EU-RO-1", "type": "STANDARD"},
    ),
    "UpdateNetworkVolumeRequest": (bodies.UPDATE_VOLUME, {"name": "v", "size": 4096}),
    "CreateTemplateRequest": (
        bodies.CREATE_TEMPLATE,
        {
            "name": "t",
            "image": "i",
            "category": "AMD",
            "allowedCudaVersions": ["12.8"],
            "mounts": {"persistent": {"size": 10, "path": "/p"}},
            "public": False,
        },
    ),
    "UpdateTemplateRequest": (bodies.UPDATE_TEMPLATE, {"name": "t", "startSsh": False}),
    "CreateRegistryRequest": (bodies.CREATE_REGISTRY, {"name": "r", "username": "u", "password": "p"}),
}

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5000),
    st.sampled_from([1.5, 20.0]),
    st.sampled_from(["", "x", "SECURE", "STANDARD", "12.8", "start", "NVIDIA", KEY]),
    st.sampled_from([[], [1], ["x"], {}, {"A": "b"}, {"A": 1}, {"x": None}]),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything inside a value."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in [(*path, key), *_places(value[key], (*path, key))]]


@pytest.mark.parametrize("name", FULL)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_emulator_and_description_agree_on_which_bodies_are_valid(name: str, data: st.DataObject) -> None:
    check, whole = FULL[name]
    body = copy.deepcopy(whole)
    for _ in range(data.draw(st.integers(0, 2))):
        places = _places(body)
        if not places:
            break
        *path, last = data.draw(st.sampled_from(places))
        target = body
        for key in path:
            target = target[key]
        match data.draw(st.sampled_from(["set", "drop", "add"])):
            case "set":
                target[last] = copy.deepcopy(data.draw(VALUES))
            case "drop":
                del target[last]
            case _ if isinstance(target, dict):
                target["surplus"] = copy.deepcopy(data.draw(VALUES))
    assert bool(check(body)) == bool(schema_complaints(name, body)), (
        check(body),
        schema_complaints(name, body),
    )
