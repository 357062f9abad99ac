from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from gpu_clouds.errors import AmbiguousError, CancelledError, DeadlineError
from gpu_clouds.skypilot.errors import (
    ApiError,
    RequestCancelledError,
    RequestFailedError,
    RequestLostError,
    RequestTimeoutError,
    UnreadableAnswerError,
    as_cloud_error,
)
from gpu_clouds.skypilot.models import RequestRecord, RequestStatus
from tests.unit.gpu_clouds.harness import FakeClock
from tests.unit.skypilot.client.harness import (
    ID,
    Server,
    client,
    failed,
    finished,
    record,
    states,
    succeeded,
    taken,
)

TASK = "run: echo hello\n"


def launching(*polls: Any, get: Any = None) -> Server:
    return Server(
        {
            "/launch": taken(),
            "/api/status": list(polls),
            "/api/get": get or succeeded({"job_id": 3, "handle": "x"}),
        }
    )


def test_a_launch_is_polled_every_five_to_thirty_seconds() -> None:
    clock, seen = FakeClock(), list[RequestStatus]()
    server = launching(*states("PENDING", "WAITING", *["RUNNING"] * 10, "SUCCEEDED"))
    pending = client(server, clock=clock).launch(TASK, "c")
    assert pending.request_id == ID
    assert pending.result(on_poll=lambda found: seen.append(found.status)).job_id == 3
    assert clock.waits[0] == 5.0
    assert len(clock.waits) == len(server.sent("/api/status")) - 1
    assert clock.waits == sorted(clock.waits)
    assert clock.waits[-1] == 30.0
    assert seen[:3] == [RequestStatus.PENDING, RequestStatus.WAITING, RequestStatus.RUNNING]
    assert seen[-1] is RequestStatus.SUCCEEDED
    assert server.paths[-2:] == ["/api/status", "/api/get"]
    assert server.sent("/api/status")[0].url.params["request_ids"] == ID


def test_a_state_of_no_known_name_is_waited_for() -> None:
    server = launching(*states("THINKING", "SUCCEEDED"))
    assert client(server).launch(TASK, "c").result().job_id == 3
    assert len(server.sent("/api/status")) == 2


def test_a_short_request_is_held_by_the_server_and_not_polled() -> None:
    server, clock = Server({"/queue": taken(), "/api/get": succeeded([])}), FakeClock()
    assert client(server, clock=clock).queue("c") == []
    assert server.paths == ["/queue", "/api/get"]
    assert clock.waits == []


@pytest.mark.parametrize(
    "cut", [httpx.ReadTimeout("silence"), httpx.Response(504), httpx.RemoteProtocolError("proxy")]
)
def test_a_short_request_that_takes_long_is_polled(cut: Any) -> None:
    gets = (
        [cut, succeeded([])]
        if not isinstance(cut, httpx.RemoteProtocolError)
        else [cut] * 4 + [succeeded([])]
    )
    server = Server(
        {"/queue": taken(), "/api/get": gets, "/api/status": states("RUNNING", "RUNNING", "SUCCEEDED")}
    )
    assert client(server).queue("c") == []
    assert server.paths[-4:] == ["/api/status"] * 3 + ["/api/get"]


def test_the_held_call_is_not_repeated_after_its_time_out() -> None:
    server = Server(
        {"/queue": taken(), "/api/get": [httpx.ReadTimeout("x"), succeeded([])], "/api/status": finished()}
    )
    client(server).queue("c")
    assert len(server.sent("/api/get")) == 2


def test_a_deadline_is_an_error_that_says_that_the_request_goes_on() -> None:
    clock = FakeClock()
    server = launching(finished("RUNNING"))
    with pytest.raises(RequestTimeoutError, match=r"not ended within 60 s; it goes on") as caught:
        client(server, clock=clock).launch(TASK, "c").result(60.0)
    assert sum(clock.waits) == pytest.approx(60.0)
    assert caught.value.request_id == ID
    assert isinstance(as_cloud_error(caught.value), DeadlineError)


def test_the_default_deadline_of_a_launch_is_ten_minutes() -> None:
    clock = FakeClock()
    with pytest.raises(RequestTimeoutError):
        client(launching(finished("RUNNING")), clock=clock).launch(TASK, "c").result()
    assert sum(clock.waits) == pytest.approx(600.0)


def test_a_cancel_interrupts_the_wait() -> None:
    cancel, clock = threading.Event(), FakeClock()
    server = launching(finished("RUNNING"))
    pending = client(server, clock=clock, cancel=cancel).launch(TASK, "c")
    clock.on_sleep = lambda seconds: cancel.set() if len(clock.waits) == 3 else None
    with pytest.raises(CancelledError):
        pending.result()
    assert len(server.sent("/api/status")) == 4
    assert len(clock.waits) == 3


def test_an_end_that_begins_after_a_cancel_is_waited_for() -> None:
    cancel, clock = threading.Event(), FakeClock()
    cancel.set()
    gets = [httpx.ReadTimeout("slow"), succeeded(None)]
    server = Server({"/down": taken(), "/api/get": gets, "/api/status": states("RUNNING", "SUCCEEDED")})
    client(server, clock=clock, cancel=cancel).down("c").result()
    assert len(clock.waits) == 1


def test_a_failed_request_has_the_name_of_its_error() -> None:
    server = launching(
        finished("FAILED"),
        get=failed("ResourcesUnavailableError", "\x1b[33mno H100\x1b[0m\n  in any region", cluster_name="c"),
    )
    with pytest.raises(RequestFailedError) as caught:
        client(server).launch(TASK, "c").result()
    error = caught.value
    assert (error.error_code, error.status_code, error.request_id) == ("ResourcesUnavailableError", 500, ID)
    assert error.message.endswith("launch: ResourcesUnavailableError: no H100 in any region")
    assert error.details["cluster_name"] == "c"


def test_a_cancelled_request_is_an_error_though_its_status_is_200() -> None:
    server = launching(finished("CANCELLED"), get=httpx.Response(200, json=record("CANCELLED")))
    with pytest.raises(RequestCancelledError, match="may still be there") as caught:
        client(server).launch(TASK, "c").result()
    assert isinstance(as_cloud_error(caught.value), AmbiguousError)


@pytest.mark.parametrize(
    "get",
    [
        failed("RequestInterruptedError", "interrupted by an API server restart"),
        failed("", "", should_retry=True),
        httpx.Response(404, json={"detail": "Request not found"}),
    ],
)
def test_a_request_that_a_restart_took_is_lost(get: httpx.Response) -> None:
    with pytest.raises(RequestLostError) as caught:
        client(launching(finished("FAILED"), get=get)).launch(TASK, "c").result()
    assert isinstance(as_cloud_error(caught.value), AmbiguousError)


def test_a_request_that_is_not_listed_any_more_is_lost() -> None:
    with pytest.raises(RequestLostError, match="look at what it was about by its name"):
        client(launching(finished("RUNNING"), httpx.Response(200, json=[]))).launch(TASK, "c").result()


def test_a_server_that_is_away_for_a_while_is_waited_for() -> None:
    clock = FakeClock()
    away = [httpx.ConnectError("refused")] * 8 + [httpx.Response(503)] * 4
    server = launching(finished("RUNNING"), *away, finished("SUCCEEDED"))
    assert client(server, clock=clock).launch(TASK, "c").result().job_id == 3


def test_a_server_that_stays_away_is_given_up_before_the_deadline() -> None:
    clock = FakeClock()
    with pytest.raises(ApiError, match="no connection"):
        client(launching(httpx.ConnectError("refused")), clock=clock).launch(TASK, "c").result()
    assert 120.0 < sum(clock.waits) < 180.0


def test_a_token_that_is_refused_while_waiting_is_no_reason_to_go_on() -> None:
    clock = FakeClock()
    with pytest.raises(ApiError) as caught:
        client(launching(httpx.Response(401, json="Invalid credentials")), clock=clock).launch(
            TASK, "c"
        ).result()
    assert caught.value.is_unauthorized
    assert clock.waits == []


@pytest.mark.parametrize(
    "get",
    [
        httpx.Response(200, json=record("SUCCEEDED", return_value="{not json")),
        httpx.Response(200, json={"status": "SUCCEEDED"}),
        httpx.Response(200, text="<html>"),
        succeeded([1, 2]),
        succeeded("text"),
    ],
)
def test_a_result_that_can_not_be_read_is_said(get: httpx.Response) -> None:
    with pytest.raises(UnreadableAnswerError) as caught:
        client(launching(finished(), get=get)).launch(TASK, "c").result()
    assert isinstance(as_cloud_error(caught.value), AmbiguousError)


def test_a_request_that_has_ended_is_not_waited_for() -> None:
    clock = FakeClock()
    assert client(launching(finished()), clock=clock).launch(TASK, "c").result().job_id == 3
    assert clock.waits == []


def test_state_and_cancel_of_a_request() -> None:
    server = launching(finished("RUNNING"))
    server.answers["/api/cancel"] = taken()
    server.answers["/api/get"] = succeeded([ID])
    pending = client(server).launch(TASK, "c")
    state = pending.state()
    assert isinstance(state, RequestRecord)
    assert state.status is RequestStatus.RUNNING
    pending.cancel()
    assert [body["request_ids"] for body in server.bodies("/api/cancel")] == [[ID]]
    server.answers["/api/status"] = httpx.Response(200, json=[])
    assert pending.state() is None
