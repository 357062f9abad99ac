"""A clock that waits on nothing, and a RunPod connection whose network is a function."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from gpu_clouds.connection import Connection
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.errors import CancelledError
from gpu_clouds.runpod.cloud import RunPodCloud
from tests.unit.gpu_clouds.state_dirs import new_state_dir

KEY = "rpa_" + "K3y" * 9
Handler = Callable[[httpx.Request], httpx.Response]


class FakeClock:
    """Waiting moves the time on at once. `on_sleep` sees each wait first."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        self.now = start
        self.waits: list[float] = []
        self.on_sleep: Callable[[float], None] = lambda seconds: None
        self._lock = threading.Lock()

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, cancel: threading.Event | None = None) -> None:
        self.on_sleep(seconds)
        if cancel is not None and cancel.is_set():
            raise CancelledError("cancelled while waiting")
        with self._lock:
            self.waits.append(seconds)
            self.now += max(0.0, seconds)


class Net:
    """Answers requests from a list of scripted answers, then by `then`; remembers every request."""

    def __init__(self, *script: Any, then: Handler | None = None) -> None:
        self.script = list(script)
        self.then = then
        self.requests: list[httpx.Request] = []
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            self.requests.append(request)
            step = self.script.pop(0) if self.script else self.then
        assert step is not None, f"unexpected request {request.method} {request.url}"
        if callable(step):
            step = step(request)
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, httpx.Response)
        return step

    @property
    def sent(self) -> list[str]:
        return [f"{request.method} {request.url.path}" for request in self.requests]


def answer(status: int, json: Any = None, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return (
        httpx.Response(status, headers=named)
        if json is None
        else httpx.Response(status, json=json, headers=named)
    )


def problem(status: int, detail: str, **headers: str) -> httpx.Response:
    return answer(status, {"title": "Error", "status": status, "detail": detail}, **headers)


def connection(
    clock: FakeClock | None = None,
    *,
    key: str = KEY,
    endpoint: str = "https://api.runpod.io/v2",
    cancel: threading.Event | None = None,
    may_send: Callable[[], None] = lambda: None,
    state_dir: Path | None = None,
    proxy_template: str = "",
) -> Connection:
    return Connection(
        credentials=CredentialSet("main", "runpod", key, endpoint, proxy_template),
        endpoint=endpoint,
        clock=clock or FakeClock(),
        cancel=cancel or threading.Event(),
        may_send=may_send,
        state_dir=state_dir or new_state_dir(),
    )


def runpod(net: Handler, clock: FakeClock | None = None, **options: Any) -> RunPodCloud:
    return RunPodCloud(connection(clock, **options), httpx.MockTransport(net))
