from __future__ import annotations

import random
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_clouds import errors, transport
from gpu_clouds.answers import Answer, Kind, error_for
from gpu_clouds.clock import SystemClock, utc_now
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.metrics import METRICS
from gpu_clouds.pacing import header_pacer
from gpu_clouds.registry import connect
from gpu_clouds.retry import RetryRules
from gpu_clouds.transport import CloudHttp, Request, make_client
from tests.unit.gpu_clouds.harness import KEY, FakeClock, Net, answer, connection, problem

READ = Request(Kind.READ, "get_thing", "GET", "/thing")
CREATE = Request(Kind.CREATE, "create_thing", "POST", "/thing", json={"name": "x"})
CHANGE = Request(Kind.CHANGE, "change_thing", "PATCH", "/thing", json={"name": "x"})
DELETE = Request(Kind.DELETE, "delete_thing", "DELETE", "/thing")


def http(
    net: Callable[[httpx.Request], httpx.Response], clock: FakeClock | None = None, **options: Any
) -> CloudHttp:
    joined = connection(clock, **options)
    return make_client(
        joined,
        "RunPod",
        pacer=header_pacer(joined, "RunPod"),
        classify=lambda answer, kind, message: None,
        transport=httpx.MockTransport(net),
    )


def test_what_is_sent() -> None:
    net = Net(answer(200, {"ok": True}))
    http(net).call(CREATE)
    request = net.requests[0]
    assert str(request.url) == "https://api.runpod.io/v2/thing"
    assert request.headers["user-agent"].startswith("gpuplane/")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.content == b'{"name":"x"}'
    assert request.extensions["timeout"] == {"connect": 10.0, "read": 60.0, "write": 60.0, "pool": None}


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, Kind.CREATE, errors.ValidationError),
        (401, Kind.READ, errors.AuthError),
        (402, Kind.CREATE, errors.BillingError),
        (403, Kind.CREATE, errors.PermissionRefusedError),
        (404, Kind.READ, errors.NotFoundError),
        (405, Kind.READ, errors.UnknownCloudError),
        (409, Kind.DELETE, errors.ConflictError),
        (410, Kind.READ, errors.RetiredError),
        (418, Kind.READ, errors.UnknownCloudError),
        (422, Kind.CREATE, errors.ValidationError),
        (429, Kind.CREATE, errors.RateLimitedError),
        (302, Kind.CREATE, errors.UnknownCloudError),
        (500, Kind.READ, errors.TransientError),
        (503, Kind.READ, errors.TransientError),
        (500, Kind.CREATE, errors.AmbiguousError),
        (502, Kind.CHANGE, errors.AmbiguousError),
        (504, Kind.DELETE, errors.AmbiguousError),
    ],
)
def test_each_status_has_its_error(status: int, kind: Kind, error: type[errors.GpuCloudError]) -> None:
    made = error_for(Answer.of(status, {"X-Request-Id": "r-1"}, b'{"detail":"why"}'), kind, "runpod", "what")
    assert type(made) is error
    assert made.message.startswith(f"what: HTTP {status}: why")
    assert (made.cloud, made.status, made.request_id) == ("runpod", status, "r-1")


@settings(deadline=None)
@given(
    st.integers(100, 599),
    st.sampled_from(Kind),
    st.binary(max_size=200)
    | st.sampled_from([b"<html>Error 1010</html>", b"[" * 100_000, b"null", b'"x"', b"[{}]"]),
    st.dictionaries(st.sampled_from(["Retry-After", "RateLimit", "X-Request-Id"]), st.text(max_size=20)),
)
def test_no_answer_is_odd_enough_to_throw(
    status: int, kind: Kind, body: bytes, headers: dict[str, str]
) -> None:
    got = Answer.of(status, headers, body)
    assert isinstance(error_for(got, kind, "runpod", "what"), errors.GpuCloudError)
    wait = got.retry_after_s()
    assert wait is None or 0 <= wait < float("inf")


def test_a_page_of_cloudflare_is_not_a_word_about_the_key() -> None:
    page = Answer.of(403, {"Content-Type": "text/html"}, b"<html>Error 1010</html>")
    made = error_for(page, Kind.READ, "runpod", "what")
    assert isinstance(made, errors.TransientError)
    assert "html" not in made.message


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"title":"t","status":422,"detail":"bad","errors":["$: a","$: b"]}', "bad ($: a; $: b)"),
        (b'{"error":"pod not found","status":404}', "pod not found"),
        (b'[{"error":"first"},{"error":"second"}]', "first; second"),
        (b'{"error":{"code":"x","message":"told"}}', "told"),
        (b"", ""),
        (b"plain", ""),
    ],
)
def test_the_detail_of_the_shapes_in_use(body: bytes, detail: str) -> None:
    assert Answer.of(400, {}, body).detail == detail


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(utc_now() + timedelta(seconds=90), usegmt=True)
    wait = Answer.of(503, {"Retry-After": date}, b"").retry_after_s()
    assert wait is not None
    assert 85 < wait <= 90


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.floats(0, 80), st.none() | st.floats(0, 200))
def test_the_retry_schedule_keeps_its_bounds(
    seed: int, retry: int, waited: float, asked: float | None
) -> None:
    rules = RetryRules(randomness=random.Random(seed))
    wait = rules.wait_before(retry, waited, asked)
    if wait is None:
        assert retry > 3 or waited + (asked if asked is not None else 0.75 * 2 ** (retry - 1)) > 60 - 2.5
        return
    assert retry <= 3
    assert waited + wait <= 60
    if asked is not None:
        assert wait == asked
    else:
        assert 0.75 * 2 ** (retry - 1) <= wait <= 1.25 * 2 ** (retry - 1)


@pytest.mark.parametrize("request_", [READ, DELETE], ids=["read", "delete"])
def test_reads_and_deletes_are_sent_again(request_: Request) -> None:
    clock = FakeClock()
    net = Net(problem(500, "x"), httpx.ReadTimeout("slow"), httpx.ConnectError("down"), answer(200, {}))
    assert http(net, clock).call(request_).status == 200
    assert len(net.requests) == 4
    assert [round(wait / 2**n) for n, wait in enumerate(clock.waits)] == [1, 1, 1]


def test_after_three_retries_it_is_an_error() -> None:
    net = Net(then=lambda request: problem(500, "still broken"))
    with pytest.raises(errors.TransientError, match="still broken"):
        http(net).call(READ)
    assert len(net.requests) == 4


@pytest.mark.parametrize("request_", [CREATE, CHANGE], ids=["create", "change"])
@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (problem(500, "x"), errors.AmbiguousError),
        (httpx.ReadTimeout("slow"), errors.AmbiguousError),
        (httpx.WriteError("cut"), errors.AmbiguousError),
        (httpx.RemoteProtocolError("closed"), errors.AmbiguousError),
        (httpx.ConnectError("refused"), errors.TransientError),
        (httpx.ConnectTimeout("slow"), errors.TransientError),
        (problem(429, "slow down", retry_after="7"), errors.RateLimitedError),
    ],
    ids=["500", "timeout", "write", "closed", "refused", "connect timeout", "429"],
)
def test_launches_and_changes_are_sent_once(
    request_: Request, failure: Any, error: type[errors.GpuCloudError]
) -> None:
    net = Net(failure)
    with pytest.raises(errors.GpuCloudError) as caught:
        http(net).call(request_)
    assert type(caught.value) is error
    assert len(net.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_wins(status: int) -> None:
    clock = FakeClock()
    net = Net(problem(status, "later", retry_after="17"), answer(200, {}))
    http(net, clock).call(READ)
    assert clock.waits == [17.0]


def test_a_retry_after_that_does_not_fit_is_an_error_with_the_time() -> None:
    with pytest.raises(errors.RateLimitedError) as caught:
        http(Net(problem(429, "later", retry_after="90"))).call(READ)
    assert caught.value.retry_after_s == 90


def test_the_breaker_opens_and_counts_no_refusals() -> None:
    net = Net(then=lambda request: problem(400, "bad"))
    subject = http(net)
    for _ in range(10):
        with pytest.raises(errors.ValidationError):
            subject.call(CREATE)
    net.then = lambda request: problem(500, "x")
    for _ in range(5):
        with pytest.raises(errors.AmbiguousError):
            subject.call(CREATE)
    with pytest.raises(errors.CircuitOpenError):
        subject.call(CREATE)
    assert len(net.requests) == 15


def test_an_open_breaker_delays_a_delete() -> None:
    clock = FakeClock()
    net = Net(*[problem(500, "x")] * 5, answer(204))
    subject = http(net, clock)
    for _ in range(5):
        with pytest.raises(errors.AmbiguousError):
            subject.call(CREATE)
    subject.call(DELETE)
    assert clock.waits == [30.0]


@pytest.mark.parametrize(("request_", "asked"), [(READ, 0), (CREATE, 1), (CHANGE, 1), (DELETE, 1)])
def test_every_writing_call_asks_whether_it_may(request_: Request, asked: int) -> None:
    calls: list[int] = []
    http(Net(answer(200, {})), may_send=lambda: calls.append(1)).call(request_)
    assert len(calls) == asked


def test_nothing_is_sent_when_the_engine_is_dead() -> None:
    def dead() -> None:
        raise errors.CancelledError("the engine is gone")

    net = Net()
    with pytest.raises(errors.CancelledError, match="engine is gone"):
        http(net, may_send=dead).call(DELETE)
    assert net.requests == []


def test_after_cancel_nothing_is_launched_but_clean_up_goes_on() -> None:
    cancel, clock = threading.Event(), FakeClock()
    cancel.set()
    net = Net(problem(500, "x"), answer(204), answer(200, {}))
    subject = http(net, clock, cancel=cancel)
    for request in (CREATE, CHANGE):
        with pytest.raises(errors.CancelledError):
            subject.call(request)
    assert net.requests == []
    subject.call(DELETE)
    subject.call(READ)
    assert len(net.requests) == 3
    assert len(clock.waits) == 1


def test_cancel_wakes_the_wait_before_a_retry() -> None:
    cancel, clock = threading.Event(), FakeClock()
    clock.on_sleep = lambda seconds: cancel.set()
    net = Net(problem(500, "x"))
    with pytest.raises(errors.CancelledError):
        http(net, clock, cancel=cancel).call(READ)
    assert len(net.requests) == 1


def test_no_error_carries_the_key_or_a_secret_of_the_call() -> None:
    value = "very" + "PrivateValue"
    request = Request(Kind.CREATE, "create_thing", "POST", "/thing", json={}, secrets=(value,))
    net = Net(problem(400, f"env A={value} is bad for key {KEY}"))
    with pytest.raises(errors.ValidationError) as caught:
        http(net).call(request)
    assert value not in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("http://api.runpod.io/v2", "plain http is for this machine only"),
        ("http://127.0.0.1.example.org/v2", "plain http is for this machine only"),
        ("ftp://api.runpod.io", "must be an https:// URL"),
        ("https://", "must be an https:// URL"),
        ("https://api.runpod.io/v2?api_key=abc", "no user name, query or fragment"),
        ("https://me:pass@api.runpod.io/v2", "no user name, query or fragment"),
        ("https://[bad", "not a URL"),
    ],
)
def test_an_endpoint_that_is_not_safe_is_refused(endpoint: str, says: str) -> None:
    with pytest.raises(errors.ValidationError, match=says):
        connect(CredentialSet("main", "runpod", KEY, endpoint), clock=FakeClock())


@pytest.mark.parametrize("host", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"])
def test_plain_http_is_fine_on_this_machine(host: str) -> None:
    connect(CredentialSet("main", "runpod", KEY, f"http://{host}/v2"), clock=FakeClock()).close()


@pytest.mark.parametrize(
    ("key", "says"), [("", "is empty"), ("  ", "is empty"), ("a b", "character"), ("schlüssel", "character")]
)
def test_a_key_that_can_be_none_is_refused(key: str, says: str) -> None:
    with pytest.raises(errors.ValidationError, match=says):
        connect(CredentialSet("main", "runpod", key), clock=FakeClock())


def test_scaled_time_is_refused_for_a_real_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUPLANE_TIME_SCALE", "20")
    with pytest.raises(errors.ValidationError, match="GPUPLANE_TIME_SCALE"):
        connect(CredentialSet("main", "runpod", KEY))
    connect(CredentialSet("main", "runpod", KEY, "http://127.0.0.1:1/v2")).close()
    monkeypatch.setenv("GPUPLANE_TIME_SCALE", "fast")
    with pytest.raises(errors.ValidationError, match="not a number"):
        connect(CredentialSet("main", "runpod", KEY))


def test_an_unknown_cloud_names_the_nearest() -> None:
    with pytest.raises(errors.ValidationError, match="nearest: runpod"):
        connect(CredentialSet("main", "runpodd", KEY))


def test_tls_verifies_and_is_1_2_or_newer() -> None:
    context = transport._tls(encrypted=True)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_time_outs_are_scaled_but_never_below_real_seconds() -> None:
    fast = connection()
    fast = type(fast)(
        fast.credentials, "http://127.0.0.1:1", SystemClock(100), fast.cancel, fast.may_send, fast.state_dir
    )
    subject = make_client(fast, "RunPod", pacer=header_pacer(fast, "RunPod"), classify=lambda *_: None)
    assert [subject._real(seconds) for seconds in (3.0, 30.0, 120.0, 1000.0)] == [3.0, 5.0, 5.0, 10.0]


class Loopback:
    """A server that answers each connection's requests with a fixed text, or not at all."""

    def __init__(self, reply: bytes | None) -> None:
        self.reply = reply
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port = self.listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            while peer.recv(65536):
                if self.reply is None:
                    peer.close()
                    return
                peer.sendall(self.reply)
        except OSError:
            return

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread; closing alone does not
        self.listener.close()
        for peer in self._open:
            peer.close()


@pytest.fixture
def loopback(request: pytest.FixtureRequest) -> Any:
    server = Loopback(request.param)
    yield server
    server.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"


def real(port: int, tmp_path: Path) -> CloudHttp:
    joined = connection(endpoint=f"http://127.0.0.1:{port}/v2", state_dir=tmp_path)
    return make_client(joined, "RunPod", pacer=header_pacer(joined, "RunPod"), classify=lambda *_: None)


@pytest.mark.parametrize("loopback", [OK], indirect=True)
def test_connections_are_kept(loopback: Loopback, tmp_path: Path) -> None:
    subject = real(loopback.port, tmp_path)
    for _ in range(20):
        subject.call(READ)
    subject.close()
    assert loopback.connections == 1


@pytest.mark.parametrize("loopback", [OK], indirect=True)
def test_many_threads_at_once_never_run_out_of_connections(loopback: Loopback, tmp_path: Path) -> None:
    subject = real(loopback.port, tmp_path)
    done: list[int] = []
    threads = [threading.Thread(target=lambda: done.append(subject.call(CREATE).status)) for _ in range(400)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    subject.close()
    assert done == [200] * 400
    assert loopback.connections <= 256


@pytest.mark.parametrize("loopback", [None], indirect=True)
def test_a_launch_whose_connection_is_cut_is_ambiguous(loopback: Loopback, tmp_path: Path) -> None:
    subject = real(loopback.port, tmp_path)
    with pytest.raises(errors.AmbiguousError, match="connection lost"):
        subject.call(CREATE)
    subject.close()


def test_a_launch_that_finds_no_server_was_not_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    subject = real(port, tmp_path)
    with pytest.raises(errors.TransientError, match="no connection"):
        subject.call(CREATE)
    subject.close()


def test_calls_are_counted() -> None:
    name = 'gpuplane_cloud_requests_total{cloud="runpod",operation="counted",status="500"}'
    retries = 'gpuplane_cloud_retries_total{cloud="runpod",operation="counted"}'
    before = METRICS.series()
    net = Net(problem(500, "x"), answer(200, {}))
    http(net).call(Request(Kind.READ, "counted", "GET", "/thing"))
    after = METRICS.series()
    assert after[name] - before.get(name, 0) == 1
    assert after[retries] - before.get(retries, 0) == 1


@pytest.mark.parametrize("status", [404, 422])
def test_a_launch_that_is_refused_for_its_inputs_says_so(status: int) -> None:
    error = error_for(
        Answer.of(status, {}, b'{"detail":"no such template"}'), Kind.CREATE, "runpod", "create"
    )
    assert str(error).endswith("no such template; check the inputs that it is about")
    assert "check" not in str(error_for(Answer.of(status, {}, b"{}"), Kind.READ, "runpod", "get"))
