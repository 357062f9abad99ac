from __future__ import annotations

import json
import threading

import httpx
import pytest

from gpu_clouds.errors import CapacityError, ValidationError
from gpu_clouds.metrics import METRICS, render
from gpu_clouds.skypilot.batch import LaunchItem, at_once
from gpu_clouds.skypilot.errors import ApiError, as_cloud_error
from tests.unit.skypilot.client.harness import Server, client, failed, record, succeeded, taken

TASK = "secrets: {T: canary-value}\nrun: echo hello\n"


def identity(name: str) -> str:
    return f"00000000-0000-4000-8000-{int(name.removeprefix('c')):012d}"


def test_a_batch_of_launches_and_its_results_in_order() -> None:
    running, most, lock, gate = 0, 0, threading.Lock(), threading.Barrier(4)

    def launch(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        name = json.loads(request.content)["cluster_name"]
        with lock:
            running += 1
            most = max(most, running)
        if int(name.removeprefix("c")) < 4:
            gate.wait(30)  # four are under way at once, or this fails
        with lock:
            running -= 1
        if name == "c5":
            return httpx.Response(422, json={"detail": "bad"})
        return taken(identity(name))

    def status(request: httpx.Request) -> httpx.Response:
        wanted = request.url.params["request_ids"]
        return httpx.Response(200, json=[record("SUCCEEDED", request_id=wanted)])

    def get(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params["request_id"][-12:])
        if number == 6:
            return failed("ResourcesUnavailableError", "no H100")
        return succeeded({"job_id": number})

    subject = client(Server({"/launch": launch, "/api/status": status, "/api/get": get}))
    items = [LaunchItem(f"c{number}", TASK) for number in range(8)]
    sent = subject.launch_many(items, threads=4)
    assert most == 4
    assert [outcome.ok for outcome in sent] == [True] * 5 + [False, True, True]
    assert isinstance(sent[5].error, ApiError)
    requests = [outcome.value for outcome in sent if outcome.value is not None]
    done = subject.wait_many(requests)
    assert [outcome.value.job_id for outcome in done if outcome.value] == [0, 1, 2, 3, 4, 7]
    error = done[5].error
    assert error is not None
    assert isinstance(as_cloud_error(error), CapacityError)
    assert "canary" not in repr(items) + repr(sent)


def test_one_name_is_one_launch() -> None:
    server = Server()
    with pytest.raises(ValidationError, match="'a' 2 times"):
        client(server).launch_many([LaunchItem("a", TASK), LaunchItem("b", TASK), LaunchItem("a", TASK)])
    assert server.requests == []


def test_an_empty_batch_is_empty() -> None:
    assert client(Server()).launch_many([]) == []
    assert client(Server()).wait_many([]) == []


def test_a_bug_is_no_outcome() -> None:
    def call(item: int) -> int:
        return 1 // item

    with pytest.raises(ZeroDivisionError):
        at_once(call, [1, 0, 2])


def test_calls_retries_and_errors_are_counted() -> None:
    before = METRICS.series()

    def more(series: str) -> float:
        return METRICS.series().get(series, 0.0) - before.get(series, 0.0)

    server = Server({"/stop": [httpx.Response(503), httpx.ConnectError("x"), taken()]})
    server.answers["/api/get"] = failed("NotSupportedError", "no")
    with pytest.raises(ApiError):
        client(server).stop("c").result()
    server.answers["/stop"] = httpx.Response(403)
    with pytest.raises(ApiError):
        client(server).stop("c")
    assert more('skypilot_api_requests_total{operation="stop",status="503"}') == 1
    assert more('skypilot_api_requests_total{operation="stop",status="no_answer"}') == 1
    assert more('skypilot_api_requests_total{operation="stop",status="200"}') == 1
    assert more('skypilot_api_requests_total{operation="stop.get",status="500"}') == 1
    assert more('skypilot_api_retries_total{operation="stop"}') == 2
    assert more('skypilot_api_errors_total{operation="stop",error_type="NotSupportedError"}') == 1
    assert more('skypilot_api_errors_total{operation="stop",error_type="http_403"}') == 1
    assert more('skypilot_api_request_duration_seconds_count{operation="stop"}') == 4
    text = render(METRICS.series())
    assert "# TYPE skypilot_api_request_duration_seconds histogram" in text
    assert "# TYPE skypilot_api_requests_total counter" in text
