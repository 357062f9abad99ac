from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from gpu_clouds.errors import CancelledError, NotFoundError
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.connection import BearerToken, SkyPilotConnection
from gpu_clouds.skypilot.errors import ApiError, RequestFailedError, RequestLostError, as_cloud_error
from tests.unit.gpu_clouds.harness import FakeClock
from tests.unit.skypilot.client.drops import DroppingServer, serving
from tests.unit.skypilot.client.harness import (
    ID,
    Server,
    client,
    failed,
    record,
    succeeded,
    taken,
)

LOG = "".join(f"line {number}\n" for number in range(200)).encode()
LINES = LOG.decode().splitlines()
HEARTBEAT = b'<sky-payload>"<heartbeat></heartbeat>"</sky-payload>\n'

Read = Callable[[SkyPilotClient, dict[str, Any]], list[str]]


def for_threads(name: str) -> Read:
    def read(subject: SkyPilotClient, options: dict[str, Any]) -> list[str]:
        lines: Iterator[str] = getattr(subject, name)(**options)
        return list(lines)

    return read


def for_asyncio(name: str) -> Read:
    def read(subject: SkyPilotClient, options: dict[str, Any]) -> list[str]:
        async def collect() -> list[str]:
            lines: AsyncIterator[str] = getattr(subject, name)(**options)
            return [line async for line in lines]

        return asyncio.run(collect())

    return read


JOB: dict[str, Any] = {"name": "c", "job_id": 1}
KINDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "job": ("job", JOB, "/logs"),
    "provision": ("provision", {"name": "c"}, "/provision_logs"),
    "request": ("request", {"request": ID}, "/api/stream"),
}
READERS = [
    pytest.param(reader(f"{prefix}{kind}_{suffix}"), options, path, id=f"{kind}-{word}")
    for kind, options, path in KINDS.values()
    for reader, prefix, suffix, word in (
        (for_threads, "", "log_lines", "threads"),
        (for_asyncio, "stream_", "logs", "asyncio"),
    )
]


@pytest.mark.parametrize(("read", "options", "path"), READERS)
@pytest.mark.parametrize("cuts", [[], [0], [1, 0, 700, 700, 701], [1500, 900, 100], [len(LOG) - 1]])
def test_a_stream_that_breaks_loses_no_line_and_doubles_none(
    read: Read, options: dict[str, Any], path: str, cuts: list[int]
) -> None:
    server, clock = DroppingServer(LOG, cuts), FakeClock()
    with serving(server) as address, SkyPilotClient(SkyPilotConnection(address, clock=clock)) as subject:
        assert read(subject, options) == LINES
    asked = [seen for seen, _ in server.seen if seen.startswith(path)]
    assert len(asked) == len(cuts) + 1
    assert len(clock.waits) == len(cuts)


def test_a_line_that_was_cut_in_the_middle_comes_whole() -> None:
    server = DroppingServer(b"one\ntwo\nthree\n", [5], [b"one\ntw", b"one\ntwo\nthree\n"])
    with (
        serving(server) as address,
        SkyPilotClient(SkyPilotConnection(address, clock=FakeClock())) as subject,
    ):
        assert list(subject.job_log_lines("c", 1)) == ["one", "two", "three"]


def test_notes_and_heartbeats_differ_between_connections_and_nothing_is_lost() -> None:
    waiting = b"INFO: Waiting 1s for the logs to be written...\n"
    first = waiting + waiting + b"one\ntw" + HEARTBEAT + b"o\n" + HEARTBEAT
    second = b"one\n" + HEARTBEAT + b"two\nthree\n"
    server = DroppingServer(second, [len(first)], [first, second])
    with (
        serving(server) as address,
        SkyPilotClient(SkyPilotConnection(address, clock=FakeClock())) as subject,
    ):
        got = list(subject.job_log_lines("c", 1))
    assert got == ["INFO: Waiting 1s for the logs to be written...", "one", "two", "three"]


@pytest.mark.parametrize("cuts", [[], [30], [0, 1000, 1000]])
@pytest.mark.parametrize("tail", [1, 3, 200, 500])
@pytest.mark.parametrize("reader", ["threads", "asyncio"])
def test_a_tail_begins_in_the_same_place_however_often_it_breaks(
    cuts: list[int], tail: int, reader: str
) -> None:
    read = for_threads("job_log_lines") if reader == "threads" else for_asyncio("stream_job_logs")
    server = DroppingServer(LOG + b"and more\n", cuts, [LOG] * (len(cuts) + 1))
    with (
        serving(server) as address,
        SkyPilotClient(SkyPilotConnection(address, clock=FakeClock())) as subject,
    ):
        assert read(subject, {**JOB, "tail": tail}) == [*LINES[-tail:], "and more"]
    assert [body["follow"] for path, body in server.seen if path == "/logs"][-1] is True


def test_what_is_asked() -> None:
    server = Server(
        {"/logs": taken(), "/provision_logs": taken(), "/api/stream": taken(), "/api/get": succeeded(0)}
    )
    subject = client(server)
    list(subject.job_log_lines("c", 4, follow=False))
    list(subject.provision_log_lines("c", worker=1))
    list(subject.request_log_lines(ID, follow=False))
    logs, provision, stream = (server.sent(path)[0] for path in ("/logs", "/provision_logs", "/api/stream"))
    assert json.loads(logs.content)["env_vars"]["SKYPILOT_USER_ID"] == "abcd1234"
    fields = ("cluster_name", "job_id", "follow", "tail")
    assert [json.loads(logs.content)[name] for name in fields] == ["c", 4, False, 0]
    assert json.loads(provision.content)["worker"] == 1
    assert dict(provision.url.params) == {"follow": "true", "tail": "0"}
    assert dict(stream.url.params) == {"request_id": ID, "format": "plain", "follow": "false"}


def test_without_a_number_the_log_is_of_the_last_job_that_there_is() -> None:
    server = Server(
        {
            "/queue": taken(),
            "/api/get": [succeeded([{"job_id": 2}, {"job_id": 7}, {"job_id": None}]), succeeded(0)],
            "/logs": httpx.Response(200, text="hello\n"),
        }
    )
    assert list(client(server).job_log_lines("c")) == ["hello"]
    assert server.bodies("/logs")[0]["job_id"] == 7
    assert list(client(Server({"/queue": taken(), "/api/get": succeeded([])})).job_log_lines("c")) == []


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (failed("ClusterDoesNotExist", "Cluster 'c' does not exist."), "ClusterDoesNotExist"),
        (succeeded(102), "JobNotFound"),
    ],
)
@pytest.mark.parametrize("reader", ["threads", "asyncio"])
def test_a_log_that_there_is_not_answers_200_and_is_an_error_all_the_same(
    result: httpx.Response, code: str, reader: str
) -> None:
    server = Server({"/logs": taken(), "/api/get": result})
    read = for_threads("job_log_lines") if reader == "threads" else for_asyncio("stream_job_logs")
    with pytest.raises(RequestFailedError) as caught:
        read(client(server), JOB)
    assert caught.value.error_code == code
    assert caught.value.is_not_found
    assert isinstance(as_cloud_error(caught.value), NotFoundError)


@pytest.mark.parametrize(
    "result",
    [
        succeeded(0),
        succeeded(100),
        httpx.Response(200, json=record("CANCELLED")),
        httpx.Response(404, json={"detail": "not found"}),
        httpx.ReadTimeout("slow"),
        httpx.Response(503),
    ],
)
def test_a_log_that_has_come_to_its_end_is_no_error(result: Any) -> None:
    server = Server({"/logs": taken(), "/api/get": result})
    assert list(client(server).job_log_lines("c", 1)) == []


@pytest.mark.parametrize("status", [400, 403, 404, 422])
@pytest.mark.parametrize(("read", "options", "path"), READERS)
def test_a_refused_stream_is_an_error_at_once(
    read: Read, options: dict[str, Any], path: str, status: int
) -> None:
    server, clock = Server({path: httpx.Response(status, json={"detail": "no such log"})}), FakeClock()
    with pytest.raises(ApiError, match=r"no such log|does not know request") as caught:
        read(client(server, clock=clock), options)
    assert caught.value.status_code == status
    assert len(server.requests) == 1
    assert clock.waits == []


@pytest.mark.parametrize(("read", "options", "path"), READERS)
def test_a_busy_server_is_asked_again_for_two_minutes(read: Read, options: dict[str, Any], path: str) -> None:
    server, clock = Server({path: httpx.Response(503)}), FakeClock()
    with pytest.raises(ApiError, match="HTTP 503"):
        read(client(server, clock=clock), options)
    assert 60.0 < sum(clock.waits) <= 130.0
    assert max(clock.waits) <= 15.0


def test_the_log_of_a_request_that_a_restart_took() -> None:
    server = Server({"/api/stream": httpx.Response(404, json={"detail": "Request not found"})})
    with pytest.raises(RequestLostError):
        list(client(server).request_log_lines(ID))


def test_a_stream_that_gets_on_may_break_for_ever() -> None:
    log = b"".join(b"%d\n" % number for number in range(60))
    server = DroppingServer(log, [len(b"".join(b"%d\n" % n for n in range(k + 1))) for k in range(60)])
    clock = FakeClock()
    with serving(server) as address, SkyPilotClient(SkyPilotConnection(address, clock=clock)) as subject:
        assert list(subject.request_log_lines(ID)) == [str(number) for number in range(60)]
    assert len(clock.waits) == 60
    assert max(clock.waits) < 2.0


@pytest.mark.parametrize(("read", "options", "path"), READERS)
def test_a_rotated_token_is_read_once_more(read: Read, options: dict[str, Any], path: str) -> None:
    tokens = ["sky_old-token-value", "sky_new-token-value"]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["Authorization"] == "Bearer sky_new-token-value":
            return httpx.Response(200, text="hello\n")
        return httpx.Response(401, json="revoked")

    server = Server({path: answer})
    auth = BearerToken(lambda: tokens.pop(0) if len(tokens) > 1 else tokens[0])
    assert read(client(server, auth=auth), options) == ["hello"]
    assert len(server.sent(path)) == 2


@pytest.mark.parametrize(("read", "options", "path"), READERS)
def test_a_refused_token_is_no_storm(read: Read, options: dict[str, Any], path: str) -> None:
    server, clock = Server({path: httpx.Response(401, json="revoked")}), FakeClock()
    with pytest.raises(ApiError) as caught:
        read(client(server, auth=BearerToken.fixed("sky_old-token-value"), clock=clock), options)
    assert caught.value.is_unauthorized
    assert len(server.requests) == 1


@pytest.mark.parametrize("reader", ["threads", "asyncio"])
def test_a_cancel_ends_a_stream(reader: str) -> None:
    cancel = threading.Event()
    subject = client(Server({"/api/stream": httpx.Response(200, text="one\ntwo\nthree\n")}), cancel=cancel)
    got: list[str] = []
    if reader == "threads":
        with pytest.raises(CancelledError):
            for line in subject.request_log_lines(ID):
                got.append(line)
                cancel.set()
    else:

        async def read() -> None:
            async for line in subject.stream_request_logs(ID):
                got.append(line)
                cancel.set()

        with pytest.raises(CancelledError):
            asyncio.run(read())
    assert got == ["one"]


def test_a_stream_may_be_left_early() -> None:
    subject = client(Server({"/api/stream": httpx.Response(200, content=LOG)}))
    lines = subject.request_log_lines(ID)
    assert next(lines) == "line 0"

    async def first() -> str:
        stream = subject.stream_request_logs(ID)
        try:
            async for line in stream:
                return line
        finally:
            await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
        return ""

    assert asyncio.run(first()) == "line 0"


def test_the_secrets_of_a_launch_are_not_in_its_log() -> None:
    task = "secrets: {HF_TOKEN: canary-value-1}\nenvs: {PASSPHRASE: canary-value-2}\nrun: echo $HF_TOKEN\n"
    server = Server(
        {
            "/launch": taken(),
            "/api/stream": httpx.Response(200, text="got canary-value-1 and canary-value-2\n"),
        }
    )
    subject = client(server)
    assert list(subject.request_log_lines(subject.launch(task, "c"))) == ["got [removed] and [removed]"]
