"""A SkyPilot server that is a function, and a clock that waits on nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpx

from gpu_clouds.retry import RetryRules
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.connection import Auth, SkyPilotConnection
from gpu_clouds.skypilot.settings import SkyPilotSettings
from tests.unit.gpu_clouds.harness import FakeClock

ENDPOINT = "http://127.0.0.1:46580"
ID = "0b5f0e1c-6f6a-4f0e-9a53-0d7a6d1f2b3c"
OTHER_ID = "1b5f0e1c-6f6a-4f0e-9a53-0d7a6d1f2b3c"
Handler = Callable[[httpx.Request], httpx.Response | Exception]


def taken(request_id: str = ID) -> httpx.Response:
    """The server has taken a call as a request."""
    return httpx.Response(200, json=None, headers={"x-skypilot-request-id": request_id})


def record(status: str, *, request_id: str = ID, **more: Any) -> dict[str, Any]:
    """A request as the server lists it."""
    return {
        "request_id": request_id,
        "name": "sky.launch",
        "entrypoint": "gASV…",
        "request_body": "gASV…",
        "status": status,
        "created_at": 1.0,
        "user_id": "abcd1234",
        "return_value": "null",
        "error": "null",
        "pid": None,
        "schedule_type": "long",
        "should_retry": False,
        **more,
    }


def succeeded(value: Any = None) -> httpx.Response:
    """`/api/get` of a request that succeeded."""
    return httpx.Response(200, json=record("SUCCEEDED", return_value=json.dumps(value)))


def failed(kind: str, message: str, *, status: str = "FAILED", **more: Any) -> httpx.Response:
    """`/api/get` of a request that failed."""
    error = json.dumps({"object": "gASVpickle", "type": kind, "message": message})
    return httpx.Response(500, json={"detail": record(status, error=error, **more)})


class Server:
    """Answers by path: a list is a script, of which the last answer stays; a function is asked each time."""

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self.answers: dict[str, Any] = dict(answers or {})
        self.requests: list[httpx.Request] = []
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        with self._lock:
            self.requests.append(request)
            assert path in self.answers, f"unexpected {request.method} {path}"
            answer = self.answers[path]
            if isinstance(answer, list):
                answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, httpx.Response)
        # An answer that is given again must not be one whose stream has been closed.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def sent(self, path: str = "") -> list[httpx.Request]:
        return [request for request in self.requests if path in ("", request.url.path)]

    def bodies(self, path: str) -> list[Any]:
        return [json.loads(request.content) for request in self.sent(path)]

    @property
    def paths(self) -> list[str]:
        return [request.url.path for request in self.requests]


def connection(
    *,
    auth: Auth = None,
    clock: FakeClock | None = None,
    cancel: threading.Event | None = None,
    settings: SkyPilotSettings | None = None,
    may_send: Callable[[], None] = lambda: None,
    workspace: str = "",
    user_id: str = "abcd1234",
) -> SkyPilotConnection:
    return SkyPilotConnection(
        ENDPOINT,
        auth=auth,
        clock=clock or FakeClock(),
        cancel=cancel or threading.Event(),
        settings=settings or SkyPilotSettings(),
        may_send=may_send,
        workspace=workspace,
        user_id=user_id,
    )


def client(server: Callable[[httpx.Request], httpx.Response], **options: Any) -> SkyPilotClient:
    rules = options.pop("rules", None) or RetryRules(jitter=0.0)
    transport = httpx.MockTransport(server)
    return SkyPilotClient(connection(**options), transport=transport, async_transport=transport, rules=rules)


def answering(value: Any = None, path: str = "/launch") -> Server:
    """A server that takes one kind of call and succeeds with a value."""
    return Server({path: taken(), "/api/get": succeeded(value), "/api/status": finished()})


def finished(status: str = "SUCCEEDED") -> httpx.Response:
    """`/api/status` of the one request."""
    return httpx.Response(200, json=[record(status)])


def states(*names: str) -> list[httpx.Response]:
    return [finished(name) for name in names]


def texts(error: BaseException) -> Iterable[str]:
    """Everything of an error that may be printed."""
    yield str(error)
    yield repr(error)
    yield repr(vars(error))
