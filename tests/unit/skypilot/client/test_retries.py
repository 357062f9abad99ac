from __future__ import annotations

import threading

import httpx
import pytest

from gpu_clouds.errors import (
    AmbiguousError,
    CancelledError,
    RateLimitedError,
    TransientError,
    ValidationError,
)
from gpu_clouds.skypilot.errors import ApiError, ConnectionFailedError, as_cloud_error
from gpu_clouds.skypilot.http import SkyPilotHttp
from gpu_clouds.skypilot.settings import SkyPilotSettings
from tests.unit.gpu_clouds.harness import FakeClock
from tests.unit.skypilot.client.harness import Server, client, connection, succeeded, taken

TASK = "run: echo hello\n"
NOT_SENT = [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow")]
MAYBE_SENT = [
    httpx.ReadTimeout("silence"),
    httpx.WriteError("broken"),
    httpx.ReadError("reset"),
    httpx.RemoteProtocolError("gone"),
]


def launched(*answers: httpx.Response | Exception) -> Server:
    return Server({"/launch": list(answers), "/exec": list(answers), "/down": list(answers)})


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
@pytest.mark.parametrize("path", ["/launch", "/down"])
def test_a_busy_server_is_asked_again(status: int, path: str) -> None:
    server, clock = launched(httpx.Response(status), httpx.Response(status), taken()), FakeClock()
    subject = client(server, clock=clock)
    pending = subject.launch(TASK, "c") if path == "/launch" else subject.down("c")
    assert pending.request_id
    assert len(server.sent(path)) == 3
    assert clock.waits == [1.0, 2.0]


@pytest.mark.parametrize("error", NOT_SENT + MAYBE_SENT, ids=lambda each: type(each).__name__)
def test_a_launch_by_name_is_sent_again_after_every_network_error(error: httpx.RequestError) -> None:
    server = launched(error, taken())
    client(server).launch(TASK, "c")
    assert len(server.sent("/launch")) == 2


@pytest.mark.parametrize("status", [300, 302, 400, 401, 402, 403, 404, 405, 409, 410, 413, 422, 418])
def test_no_other_answer_is_asked_for_again(status: int) -> None:
    server, clock = launched(httpx.Response(status, json={"detail": "no"})), FakeClock()
    with pytest.raises(ApiError) as caught:
        client(server, clock=clock).launch(TASK, "c")
    assert caught.value.status_code == status
    assert len(server.requests) == 1
    assert clock.waits == []


@pytest.mark.parametrize("error", NOT_SENT, ids=lambda each: type(each).__name__)
def test_exec_is_sent_again_where_nothing_was_sent(error: httpx.RequestError) -> None:
    server = launched(error, error, taken())
    client(server).exec(TASK, "c")
    assert len(server.sent("/exec")) == 3


@pytest.mark.parametrize("error", MAYBE_SENT, ids=lambda each: type(each).__name__)
def test_exec_is_never_sent_again_once_it_may_have_arrived(error: httpx.RequestError) -> None:
    server = launched(error, taken())
    with pytest.raises(ConnectionFailedError) as caught:
        client(server).exec(TASK, "c")
    assert len(server.sent("/exec")) == 1
    assert isinstance(as_cloud_error(caught.value), AmbiguousError)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_exec_is_never_sent_again_after_an_answer(status: int) -> None:
    server = launched(httpx.Response(status), taken())
    with pytest.raises(ApiError):
        client(server).exec(TASK, "c")
    assert len(server.sent("/exec")) == 1


def test_retries_end_and_the_last_error_is_raised() -> None:
    clock = FakeClock()
    server = launched(httpx.Response(503, json={"detail": "The server is shutting down"}))
    with pytest.raises(ApiError, match=r"launch: HTTP 503: The server is shutting down") as caught:
        client(server, clock=clock).launch(TASK, "c")
    assert len(server.requests) == 4
    assert clock.waits == [1.0, 2.0, 4.0]
    assert isinstance(as_cloud_error(caught.value), AmbiguousError)


def test_the_defaults_are_three_retries_of_one_to_thirty_seconds_within_a_minute() -> None:
    rules = SkyPilotHttp(connection()).rules
    assert (rules.retries, rules.first_s, rules.longest_s, rules.jitter, rules.total_s) == (
        3,
        1.0,
        30.0,
        0.25,
        60.0,
    )
    chosen = SkyPilotHttp(connection(settings=SkyPilotSettings(max_retries=7, retry_backoff_s=2.0))).rules
    assert (chosen.retries, chosen.first_s) == (7, 2.0)


@pytest.mark.parametrize(("retry_after", "waits"), [("7", [7.0]), ("0", [0.0]), ("59", [59.0])])
def test_what_the_server_asks_to_wait_wins(retry_after: str, waits: list[float]) -> None:
    clock = FakeClock()
    server = launched(httpx.Response(429, headers={"Retry-After": retry_after}), taken())
    client(server, clock=clock).launch(TASK, "c")
    assert clock.waits == waits


def test_more_than_a_minute_is_not_waited() -> None:
    clock = FakeClock()
    server = launched(httpx.Response(429, headers={"Retry-After": "61"}), taken())
    with pytest.raises(ApiError) as caught:
        client(server, clock=clock).launch(TASK, "c")
    assert caught.value.is_rate_limited
    mapped = as_cloud_error(caught.value)
    assert isinstance(mapped, RateLimitedError)
    assert mapped.retry_after_s == 61.0
    assert clock.waits == []


def test_slow_answers_count_towards_the_minute() -> None:
    clock = FakeClock()

    def slow(request: httpx.Request) -> httpx.Response:
        clock.now += 40.0
        return httpx.Response(502)

    server = Server({"/launch": slow})
    with pytest.raises(ApiError):
        client(server, clock=clock).launch(TASK, "c")
    assert len(server.requests) == 3


def test_a_failed_request_is_not_asked_for_again() -> None:
    server = Server(
        {"/queue": taken(), "/api/get": httpx.Response(500, json={"detail": "database is locked"})}
    )
    with pytest.raises(ApiError) as caught:
        client(server).queue("c")
    assert caught.value.status_code == 500
    assert server.paths == ["/queue", "/api/get"]


def test_a_cancel_interrupts_the_wait_before_a_retry() -> None:
    cancel, clock = threading.Event(), FakeClock()
    clock.on_sleep = lambda seconds: cancel.set()
    server = launched(httpx.Response(503))
    with pytest.raises(CancelledError):
        client(server, clock=clock, cancel=cancel).launch(TASK, "c")
    assert len(server.requests) == 1


def test_after_a_cancel_nothing_is_made_but_clean_up_runs_and_is_repeated() -> None:
    cancel = threading.Event()
    cancel.set()
    server = Server(
        {
            "/down": [httpx.Response(503), taken()],
            "/status": taken(),
            "/api/get": [succeeded(None), succeeded([])],
        }
    )
    subject = client(server, cancel=cancel)
    for change in (
        lambda: subject.launch(TASK, "c"),
        lambda: subject.exec(TASK, "c"),
        lambda: subject.start("c"),
        lambda: subject.stop("c"),
        lambda: subject.autostop("c", 5),
        lambda: subject.create_workspace("w", {}),
    ):
        with pytest.raises(CancelledError):
            change()
    assert server.requests == []
    subject.down("c").result()
    assert subject.status(["c"]) == []
    assert server.paths == ["/down", "/down", "/api/get", "/status", "/api/get"]


def test_writes_ask_first_whether_they_may_be_sent() -> None:
    def refuse() -> None:
        raise TransientError("the engine is gone")

    server = Server({"/status": taken(), "/api/get": succeeded([])})
    subject = client(server, may_send=refuse)
    assert subject.status() == []
    for write in (lambda: subject.launch(TASK, "c"), lambda: subject.down("c"), lambda: subject.stop("c")):
        with pytest.raises(TransientError, match="engine is gone"):
            write()
    assert server.paths == ["/status", "/api/get"]


def test_an_answer_that_is_no_skypilot_is_said() -> None:
    server = Server({"/launch": httpx.Response(200, text="<html>Welcome</html>")})
    with pytest.raises(ApiError, match="is this a SkyPilot API server"):
        client(server).launch(TASK, "c")


def test_cluster_names_are_needed() -> None:
    subject = client(Server())
    for call in (
        lambda: subject.launch(TASK, ""),
        lambda: subject.exec(TASK, ""),
        lambda: subject.down(""),
        lambda: subject.stop(""),
        lambda: subject.start(""),
        lambda: subject.autostop("", 1),
        lambda: subject.cluster(""),
        lambda: subject.endpoints(""),
    ):
        with pytest.raises(ValidationError, match="name of a SkyPilot cluster is empty"):
            call()
