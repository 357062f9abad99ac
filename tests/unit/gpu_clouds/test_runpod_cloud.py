from __future__ import annotations

import copy
import json
import threading
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_clouds import errors
from gpu_clouds.models import (
    Availability,
    Candidate,
    CapacityType,
    Endpoint,
    InstanceSpec,
    InstanceState,
    InstanceTemplate,
)
from gpu_clouds.runpod.instances import PROXY, instance
from gpu_clouds.runpod.models import Pod
from tests.unit.gpu_clouds.harness import FakeClock, Net, answer, problem, runpod

POD: dict[str, Any] = {
    "id": "5xpma5eg46tqjq",
    "name": "gp-p-abcdefgh-web-0-1a2b3c4d",
    "status": "RUNNING",
    "actions": ["stop", "restart", "terminate"],
    "image": "vllm/vllm-openai:v0.11.0",
    "args": "--model meta-llama/Llama-3.1-8B-Instruct",
    "disk": 120,
    "mounts": {"persistent": {"size": 200, "path": "/workspace"}},
    "ports": ["22/tcp", "8000/http"],
    "env": {"MODEL": "meta-llama/Llama-3.1-8B-Instruct", "TOKEN": "a private value"},
    "registry": None,
    "gpu": {"id": "NVIDIA H100 80GB HBM3", "count": 2},
    "cloud": "SECURE",
    "dataCenterId": "US-GA-2",
    "cudaVersion": "12.8",
    "ssh": {
        "proxy": {
            "host": "ssh.runpod.io",
            "port": 22,
            "username": "5xpma5eg46tqjq-64411eb2",
            "command": "ssh …",
        },
        "direct": None,
    },
    "template": None,
    "cost": 7.98,
    "locked": False,
    "globalNetworking": {"enabled": False},
    "runtime": None,
    "createdAt": "2026-11-21T08:00:00Z",
    "startedAt": None,
}
READY: dict[str, Any] = POD | {
    "ssh": {
        "proxy": None,
        "direct": {"host": "213.173.104.74", "port": 35558, "username": "root", "command": "ssh …"},
    },
    "runtime": {
        "uptime": 41,
        "gpus": [{"util": 0, "memoryUtil": 0}],
        "ports": [
            {"private": 22, "public": 35558, "type": "tcp", "ip": "213.173.104.74"},
            {"private": 19123, "public": 60841, "type": "http", "ip": "100.65.14.155"},
        ],
    },
}
GPU: dict[str, Any] = {
    "id": "NVIDIA H100 80GB HBM3",
    "name": "H100 SXM",
    "pool": "ADA_80_PRO",
    "manufacturer": "NVIDIA",
    "memory": 80,
    "secure": True,
    "community": True,
    "price": {"secure": 3.99, "community": 2.69},
    "maxCount": {"secure": 8, "community": 8},
    "availability": "LOW",
    "dataCenters": [
        {"id": "US-GA-2", "name": "US-GA-2", "availability": "LOW"},
        {"id": "EU-NL-1", "name": "EU-NL-1", "availability": "NONE"},
        {"id": "EU-RO-1", "name": "EU-RO-1", "availability": "HIGH"},
    ],
}
H100 = Candidate("runpod", "main", "eu-central", "H100-SXM", 2)
TEMPLATE = InstanceTemplate(image="vllm/vllm-openai:v0.11.0", ports=("22/tcp", "8000/http"))
CAPACITY = (
    "There are no longer any instances available with the requested specifications. "
    "Please refresh and try again."
)


def body(request: httpx.Request) -> Any:
    return json.loads(request.content)


def test_a_launch() -> None:
    net = Net(answer(201, POD))
    template = InstanceTemplate(
        image="vllm/vllm-openai:v0.11.0",
        disk_gb=120,
        volume_gb=200,
        ports=("22/tcp", "8000/http"),
        env={"MODEL": "m"},
        args="--model m",
        ssh_public_keys=("ssh-ed25519 AAAA ops", "ssh-ed25519 BBBB dev"),
    )
    made = runpod(net).create(InstanceSpec("gp-x", H100, template))
    assert net.sent == ["POST /v2/pods"]
    assert net.requests[0].extensions["timeout"]["read"] == 120
    assert body(net.requests[0]) == {
        "name": "gp-x",
        "image": "vllm/vllm-openai:v0.11.0",
        "gpu": {"id": "NVIDIA H100 80GB HBM3", "count": 2},
        "cloud": "SECURE",
        "dataCenterIds": ["EU-CZ-1", "EU-NL-1", "EU-FR-1", "EU-RO-1"],
        "disk": 120,
        "mounts": {"persistent": {"size": 200, "path": "/workspace"}},
        "ports": ["22/tcp", "8000/http"],
        "env": {"MODEL": "m", "PUBLIC_KEY": "ssh-ed25519 AAAA ops\nssh-ed25519 BBBB dev"},
        "args": "--model m",
    }
    # Recorded: RUNNING at once, long before the image is there.
    assert (made.id, made.state, made.endpoints) == ("5xpma5eg46tqjq", InstanceState.RUNNING, ())
    assert made.ssh == "5xpma5eg46tqjq-64411eb2@ssh.runpod.io:22"


def test_the_smallest_launch_still_counts_its_gpu() -> None:
    net = Net(answer(201, POD))
    runpod(net).create(
        InstanceSpec("gp-x", Candidate("runpod", "main", "", "RTX4090"), InstanceTemplate(template_id="t1"))
    )
    assert body(net.requests[0]) == {
        "name": "gp-x",
        "templateId": "t1",
        "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 1},
        "cloud": "SECURE",
        "disk": 50,
    }


def test_a_ready_pod() -> None:
    found = runpod(Net(answer(200, READY))).get("5xpma5eg46tqjq")
    assert found.state is InstanceState.READY
    assert found.endpoints == (
        Endpoint(22, "tcp", "tcp://213.173.104.74:35558"),
        Endpoint(8000, "http", "https://5xpma5eg46tqjq-8000.proxy.runpod.net"),
    )
    assert found.ssh == "root@213.173.104.74:35558"
    assert (found.gpu, found.gpu_count, found.hourly_usd, found.region) == ("H100-SXM", 2, 7.98, "US-GA-2")
    assert found.created_at == datetime(2026, 11, 21, 8, tzinfo=UTC)
    assert "private value" not in repr(found)


def test_the_proxy_of_an_emulator() -> None:
    subject = runpod(Net(answer(200, READY)), proxy_template="http://127.0.0.1:9/proxy/{id}-{port}")
    assert subject.get("x").endpoints[1].url == "http://127.0.0.1:9/proxy/5xpma5eg46tqjq-8000"


@pytest.mark.parametrize(
    ("status", "state", "costs"),
    [
        ("PROVISIONING", InstanceState.PENDING, True),
        ("STARTING", InstanceState.PENDING, True),
        ("RUNNING", InstanceState.READY, True),
        ("EXITED", InstanceState.STOPPED, False),
        ("ERROR", InstanceState.FAILED, False),
        ("TERMINATED", InstanceState.GONE, False),
        ("HIBERNATING", InstanceState.UNKNOWN, False),
    ],
)
def test_every_status_has_its_state(status: str, state: InstanceState, costs: bool) -> None:
    found = instance(Pod.model_validate(READY | {"status": status}), PROXY)
    assert (found.state, found.native_state) == (state, status)
    # A stopped pod still shows a price (recorded: 0.72), which is not what it costs.
    assert found.hourly_usd == (7.98 if costs else None)


@pytest.mark.parametrize(
    ("change", "ready"),
    [
        ({"runtime": None, "ssh": {"proxy": None, "direct": None}}, False),
        ({"runtime": {}, "ssh": {"proxy": None, "direct": None}}, False),
        ({"runtime": {}, "ports": ["22/tcp"]}, True),
        ({"runtime": {"uptime": 0}, "ssh": None, "ports": ["8000/http"]}, True),
        ({"runtime": {"uptime": 3, "ports": []}, "ports": ["9000/tcp"]}, False),
        (
            {
                "runtime": {
                    "uptime": 3,
                    "ports": [{"private": 9000, "public": None, "type": "tcp", "ip": None}],
                },
                "ports": ["9000/tcp"],
            },
            False,
        ),
        ({"runtime": {"uptime": 3}, "ssh": None, "ports": []}, True),
    ],
)
def test_ready_means_running_and_reachable_on_every_asked_port(change: dict[str, Any], ready: bool) -> None:
    found = instance(Pod.model_validate(READY | change), PROXY)
    assert found.state is (InstanceState.READY if ready else InstanceState.RUNNING)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(set(READY) - {"id"})), json_values))
def test_an_odd_pod_is_read_all_the_same(changes: dict[str, Any]) -> None:
    found = instance(Pod.model_validate(copy.deepcopy(READY) | changes), PROXY)
    assert found.id == "5xpma5eg46tqjq"
    assert found.state in InstanceState


@pytest.mark.parametrize("missing", sorted(set(READY) - {"id"}))
def test_a_missing_field_is_no_error(missing: str) -> None:
    instance(Pod.model_validate({name: value for name, value in READY.items() if name != missing}), PROXY)


@pytest.mark.parametrize(
    ("status", "detail", "error"),
    [
        (400, CAPACITY, errors.CapacityError),
        (400, "There are no instances currently available", errors.CapacityError),
        (400, "your account has reached its spend limit", errors.QuotaError),
        (402, "spending limit reached", errors.QuotaError),
        (402, "insufficient balance", errors.BillingError),
        (400, "Your account balance is too low", errors.BillingError),
        (400, "request could not be processed", errors.ValidationError),
        (400, "property objectMounts is unknown", errors.ValidationError),
        (401, "missing bearer token", errors.AuthError),
        (403, "access denied", errors.PermissionRefusedError),
        (404, "template not found", errors.NotFoundError),
        (409, "locked", errors.ConflictError),
        (410, "gone", errors.RetiredError),
        (422, "Request validation failed.", errors.ValidationError),
        (429, "rate limit exceeded for the minute window", errors.RateLimitedError),
        # After a 5xx nothing is known, whatever its text says.
        (500, CAPACITY, errors.AmbiguousError),
    ],
)
def test_a_refused_launch(status: int, detail: str, error: type[errors.GpuCloudError]) -> None:
    net = Net(problem(status, detail))
    with pytest.raises(errors.GpuCloudError, match="RunPod, credential set 'main': create_pod") as caught:
        runpod(net).create(InstanceSpec("gp-x", H100, TEMPLATE))
    assert type(caught.value) is error
    assert detail.split()[0] in str(caught.value)
    assert len(net.requests) == 1


@pytest.mark.parametrize("text", [b"<html>created</html>", b"", b"[]", b'{"name":"no id"}'])
def test_a_launch_that_was_accepted_but_not_understood_is_ambiguous(text: bytes) -> None:
    with pytest.raises(errors.AmbiguousError, match="HTTP 201, but"):
        runpod(Net(httpx.Response(201, content=text))).create(InstanceSpec("gp-x", H100, TEMPLATE))


@pytest.mark.parametrize(
    ("candidate", "template", "says"),
    [
        (Candidate("runpod", "main", "", "H100-SXM", 1, CapacityType.SPOT), TEMPLATE, "capacity spot"),
        (Candidate("runpod", "main", "", "GH200"), TEMPLATE, "no GPU GH200; it has: H100-SXM"),
        (Candidate("runpod", "main", "", "H100-SXM", 0), TEMPLATE, "gpuCount is at least 1"),
        (Candidate("runpod", "main", "moon", "H100-SXM"), TEMPLATE, "region 'moon' is unknown"),
        (H100, InstanceTemplate(), "needs an image"),
        (H100, InstanceTemplate(image="x", startup="#!/bin/sh"), "no startup script"),
        (H100, InstanceTemplate(image="x", volume_gb=5), "at least 10 GB"),
    ],
)
def test_what_runpod_can_not_do_is_refused_unsent(
    candidate: Candidate, template: InstanceTemplate, says: str
) -> None:
    net = Net()
    with pytest.raises(errors.ValidationError, match=says):
        runpod(net).create(InstanceSpec("gp-x", candidate, template))
    assert net.requests == []


def test_absent_is_gone_and_its_delete_a_success() -> None:
    net = Net(then=lambda request: problem(404, "pod not found"))
    subject = runpod(net)
    assert subject.get("nope").state is InstanceState.GONE
    subject.delete("nope")
    assert net.sent == ["GET /v2/pods/nope", "DELETE /v2/pods/nope"]


def test_a_delete_that_answered_500_but_worked() -> None:
    runpod(Net(problem(500, "x"), problem(404, "pod not found"))).delete("p1")


def test_an_id_can_not_leave_its_place_in_the_path() -> None:
    net = Net(answer(200, POD))
    runpod(net).get("../account?x=1#y")
    assert net.requests[0].url.raw_path == b"/v2/pods/..%2Faccount%3Fx%3D1%23y"


def test_the_list_follows_pages_and_keeps_what_starts_with_the_prefix() -> None:
    def page(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("cursor", "0"))
        pods = [POD | {"id": f"p{number}a"}, POD | {"id": f"p{number}b", "name": "somebody else's"}]
        more = number < 2
        return answer(200, {"pods": pods, "pagination": {"nextCursor": str(number + 1), "hasNextPage": more}})

    assert [found.id for found in runpod(Net(then=page)).list("gp-p-")] == ["p0a", "p1a", "p2a"]


def test_pages_that_go_in_circles_are_an_error() -> None:
    again = {"pods": [], "pagination": {"nextCursor": "same", "hasNextPage": True}}
    with pytest.raises(errors.UnknownCloudError, match="pages of the list do not end"):
        runpod(Net(then=lambda request: answer(200, again))).list("gp-")


@pytest.mark.parametrize("text", [b"<html>", b"{}", b'{"pods":null}', b'{"pods":[{"name":"no id"}]}'])
def test_a_list_that_can_not_be_read_is_an_error_not_an_empty_list(text: bytes) -> None:
    with pytest.raises(errors.UnknownCloudError):
        runpod(Net(httpx.Response(200, content=text))).list("gp-")


def test_an_update_sends_what_changes_in_place() -> None:
    net = Net(answer(200, POD))
    template = InstanceTemplate(
        image="new", env={"A": "1"}, ports=("9/http",), args="-x", disk_gb=70, volume_gb=20
    )
    runpod(net).update("p1", InstanceSpec("gp-x", H100, template))
    assert net.sent == ["PATCH /v2/pods/p1"]
    assert body(net.requests[0]) == {
        "image": "new",
        "env": {"A": "1"},
        "ports": ["9/http"],
        "args": "-x",
        "disk": 70,
    }


def test_start_and_stop() -> None:
    net = Net(answer(200, POD | {"status": "EXITED"}), answer(200, POD))
    subject = runpod(net)
    subject.stop("p1")
    subject.start("p1")
    assert [body(request) for request in net.requests] == [{"action": "stop"}, {"action": "start"}]
    assert net.sent == ["POST /v2/pods/p1/action"] * 2


@pytest.mark.parametrize(
    "step",
    [
        problem(400, "There are not enough free GPUs on the host machine to start this pod."),
        answer(200, POD | {"gpu": {"id": "NVIDIA H100 80GB HBM3", "count": 0}}),
    ],
)
def test_a_start_without_gpus_is_a_lack_of_capacity(step: httpx.Response) -> None:
    with pytest.raises(errors.CapacityError):
        runpod(Net(step)).start("p1")


def test_offers_are_for_the_whole_node_with_the_best_of_the_region() -> None:
    net = Net(then=lambda request: answer(200, {"gpus": [GPU]}))
    candidates = [
        H100,
        Candidate("runpod", "main", "", "H100-SXM", 2),
        Candidate("runpod", "main", "ca", "H100-SXM", 2),
        Candidate("runpod", "main", "US-GA-2", "H100-SXM", 8),
        Candidate("runpod", "main", "", "H100-SXM", 16),
        Candidate("runpod", "main", "", "L4", 2),
        Candidate("lambda", "main", "", "H100-SXM", 2),
        Candidate("runpod", "main", "", "H100-SXM", 2, CapacityType.SPOT),
    ]
    offers = runpod(net).offers(candidates)
    assert [(offer.candidate, offer.hourly_usd, offer.availability) for offer in offers] == [
        (candidates[0], 7.98, Availability.HIGH),
        (candidates[1], 7.98, Availability.LOW),
        (candidates[2], 7.98, Availability.NONE),
        (candidates[3], 31.92, Availability.LOW),
    ]
    assert {offer.source for offer in offers} == {"runpod catalogue"}
    # One call for each GPU count, with what the specification asks for.
    assert [dict(request.url.params) for request in net.requests] == [
        {"include": "AVAILABILITY", "product": "POD", "count": count, "cloud": "SECURE"}
        for count in ("2", "8", "16")
    ]


@pytest.mark.parametrize(
    "change", [{"secure": False}, {"price": None}, {"price": {"secure": None, "community": 2.0}}]
)
def test_what_has_no_secure_price_is_not_offered(change: dict[str, Any]) -> None:
    assert runpod(Net(answer(200, {"gpus": [GPU | change]}))).offers([H100]) == []


def test_the_catalogue_is_read_once_for_many_threads_and_again_after_30_seconds() -> None:
    clock = FakeClock()
    net = Net(then=lambda request: answer(200, {"gpus": [GPU]}))
    subject = runpod(net, clock)
    threads = [threading.Thread(target=subject.offers, args=([H100],)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(net.requests) == 1
    clock.now += 29
    subject.offers([H100])
    assert len(net.requests) == 1
    clock.now += 2
    subject.offers([H100])
    assert len(net.requests) == 2


def test_a_launch_sends_the_id_as_the_catalogue_spells_it() -> None:
    net = Net(answer(200, {"gpus": [GPU | {"id": "NVIDIA  A30"}]}), answer(201, POD))
    subject = runpod(net)
    a30 = Candidate("runpod", "main", "", "A30")
    assert len(subject.offers([a30])) == 1
    subject.create(InstanceSpec("gp-x", a30, TEMPLATE))
    assert body(net.requests[1])["gpu"]["id"] == "NVIDIA  A30"


def test_the_account_is_one_authenticated_read() -> None:
    net = Net(answer(200, {"pods": [POD, READY]}))
    assert runpod(net).account().machines_in_use == 2
    with pytest.raises(errors.AuthError, match="check the key"):
        runpod(Net(problem(401, "missing bearer token"))).account()


def event(number: int, text: str) -> str:
    data = json.dumps({"ts": "2026-06-01T12:02:03Z", "source": "container", "line": text})
    return f"id: 2026-06-01T12:02:03Z/{number:012d}\ndata: {data}\n\n"


class Broken(httpx.SyncByteStream):
    def __init__(self, text: str) -> None:
        self.text = text

    def __iter__(self) -> Any:
        yield self.text.encode()
        raise httpx.RemoteProtocolError("peer closed the connection")


def test_a_log_goes_on_where_it_broke() -> None:
    net = Net(
        httpx.Response(200, stream=Broken(event(1, "one") + event(2, "two") + "id: 3\ndata: {cut")),
        httpx.Response(200, text=": ping\n\n" + event(3, "three") + "data: not json\n\n"),
    )
    clock = FakeClock()
    lines = list(runpod(net, clock).logs("p1", tail=9000))
    assert [line.text for line in lines] == ["one", "two", "three", "not json"]
    assert (lines[0].source, lines[0].at) == ("container", "2026-06-01T12:02:03Z")
    first, second = net.requests
    assert dict(first.url.params) == {"tail": "5000"}
    assert "last-event-id" not in first.headers
    # Exactly as received, suffix and all.
    assert second.headers["last-event-id"] == lines[1].cursor == "2026-06-01T12:02:03Z/000000000002"
    assert not second.url.params


def test_a_log_that_keeps_breaking_is_an_error() -> None:
    net = Net(then=lambda request: httpx.Response(200, stream=Broken("")))
    with pytest.raises(errors.TransientError):
        list(runpod(net).logs("p1"))
    assert len(net.requests) == 4


def test_the_log_of_a_pod_that_is_gone_is_an_error() -> None:
    with pytest.raises(errors.NotFoundError, match="pod not found"):
        list(runpod(Net(problem(404, "pod not found"))).logs("p1"))
