"""An HTTP/1.1 proxy between a client and a cloud that can cut the line at one chosen call.

It stands in the test process, sees every call, names it (`list`, `launch`, `delete`, …) and counts it. Armed
with an operation, a number and a `Cut`, it stops the world at exactly that call: it tells the test,
answers nobody, and lets nothing pass until the test has killed what it wants to kill and calls `thaw`.
Connections from before the thaw are dead from then on; only what connects anew is served.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum, unique
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

from tests.crash.operations import READING, WRITING, operation_of


@unique
class Cut(StrEnum):
    """Where the line is cut, seen from the one call."""

    BEFORE = "before"  # not sent: the cloud never hears of it
    LATE = "late"  # sent, no effect yet: the cloud gets it a while after the kill
    UNANSWERED = "unanswered"  # it took effect, the client never learns
    ANSWERED = "answered"  # the client got its answer and dies before it can do anything more


@dataclass(slots=True)
class Call:
    """One call that reached the proxy.

    Attributes:
        operation: Its short name.
        nth: Its number among the calls of the same operation since the last `arm` or `forget`, from 1.
        method: HTTP method.
        path: Path with query.
        at: `time.monotonic()` of its arrival.
        after_cut: It came while the line was cut and was not let through.
        status: The cloud's answer; None as long as there is none.
        landed_at: `time.monotonic()` of that answer.
    """

    operation: str
    nth: int
    method: str
    path: str
    at: float
    after_cut: bool = False
    status: int | None = None
    landed_at: float | None = None

    @property
    def writes(self) -> bool:
        """Whether it changes something in the cloud."""
        if self.operation in READING:
            return False
        return self.operation in WRITING or self.method not in {"GET", "HEAD"}

    def __str__(self) -> str:
        answer = "-" if self.status is None else str(self.status)
        return f"{self.operation}#{self.nth} {answer}{' (after the cut)' if self.after_cut else ''}"


@dataclass(frozen=True, slots=True)
class _Armed:
    operation: str
    nth: int
    cut: Cut
    kills: bool


@dataclass(slots=True)
class _Request:
    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class CuttingProxy:
    """A proxy on a free port of 127.0.0.1.

    Args:
        upstream: `http://127.0.0.1:PORT` of the cloud; paths are passed on unchanged.
        late_s: How long after the thaw a call cut `LATE` still takes to reach the cloud, real seconds.
    """

    def __init__(self, upstream: str, late_s: float = 0.1) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname and parts.port
        self._upstream = (parts.hostname, parts.port)
        self._late_s = late_s
        self._lock = threading.Lock()
        self._armed: _Armed | None = None
        self._counts: dict[str, int] = {}
        self._cut = threading.Event()
        self._thawed = threading.Event()
        self._frozen = False
        self._generation = 0
        self._late: list[threading.Thread] = []
        self._connections: set[socket.socket] = set()
        self.calls: list[Call] = []
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def arm(self, operation: str, nth: int, cut: Cut, *, kills: bool = True) -> None:
        """Cuts at the `nth` call of `operation` from now on.

        Args:
            operation: Short name, as in `Call.operation`.
            nth: Number of the call, from 1.
            cut: Where.
            kills: False: the call is only held until `thaw` and goes on as if nothing had been (for ^C).
        """
        with self._lock:
            self._armed = _Armed(operation, nth, cut, kills)
            self._counts.clear()
            self._cut.clear()
            self._thawed.clear()

    def forget(self) -> None:
        """Starts a new recording; nothing is armed."""
        with self._lock:
            self._armed = None
            self._counts.clear()
            self.calls = []

    def wait_cut(self, timeout_s: float) -> bool:
        """Waits until the armed call is there; False when it has not come in time."""
        return self._cut.wait(timeout_s)

    @property
    def was_cut(self) -> bool:
        """Whether the armed call has come."""
        return self._cut.is_set()

    def thaw(self) -> None:
        """Ends the cut: old connections are dead, late calls set out, new connections are served."""
        with self._lock:
            if self._armed is None or self._armed.kills:
                self._generation += 1
            self._armed = None
            self._frozen = False
            self._thawed.set()

    def settle(self) -> None:
        """Waits until every late call has reached the cloud."""
        for thread in list(self._late):
            thread.join(10)

    def close(self) -> None:
        """Ends everything; open connections are cut."""
        self.thaw()
        self.settle()
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # already closed by its own thread

    # ------------------------------------------------------------------ what the handler threads call

    def _enter(self, connection: socket.socket) -> int:
        with self._lock:
            self._connections.add(connection)
            return self._generation

    def _leave(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.discard(connection)

    def _serve(self, request: _Request, generation: int) -> tuple[bytes, bool] | None:
        """The answer to deliver and whether to fire the cut after it; None: close without an answer."""
        call, cut, kills = self._arrive(request, generation)
        if call.after_cut:
            if self._frozen:
                self._thawed.wait(60)  # no answer, no closed connection: nothing to react to
            return None
        if cut is None:
            return self._forward(request, call), False
        if not kills:
            return self._pause(request, call, cut), False
        if cut is Cut.ANSWERED:
            return self._forward(request, call), True
        if cut is Cut.UNANSWERED:
            self._forward(request, call)
        if cut is Cut.LATE:
            thread = threading.Thread(target=self._send_late, args=(request, call), daemon=True)
            self._late.append(thread)
            thread.start()
        self._cut.set()
        self._thawed.wait(60)
        return None

    def _arrive(self, request: _Request, generation: int) -> tuple[Call, Cut | None, bool]:
        """Notes a call; gives what to do with it."""
        with self._lock:
            operation = operation_of(request.method, request.path)
            call = Call(operation, 0, request.method, request.path, time.monotonic())
            self.calls.append(call)
            if self._frozen or generation != self._generation:
                call.after_cut = True
                return call, None, False
            call.nth = self._counts[operation] = self._counts.get(operation, 0) + 1
            armed = self._armed
            if armed is None or (armed.operation, armed.nth) != (operation, call.nth):
                return call, None, False
            # From here on nothing else may pass: the client is as good as dead.
            self._frozen = armed.kills
            return call, armed.cut, armed.kills

    def _pause(self, request: _Request, call: Call, cut: Cut) -> bytes:
        if cut in (Cut.BEFORE, Cut.LATE):
            self._cut.set()
            self._thawed.wait(60)
            return self._forward(request, call)
        answer = self._forward(request, call)
        self._cut.set()
        if cut is Cut.UNANSWERED:
            self._thawed.wait(60)
        return answer

    def _send_late(self, request: _Request, call: Call) -> None:
        self._thawed.wait(60)
        time.sleep(self._late_s)
        self._forward(request, call)

    def _forward(self, request: _Request, call: Call) -> bytes:
        """Passes the call on and gives the whole answer as it goes over the wire."""
        upstream = http.client.HTTPConnection(*self._upstream, timeout=60)
        try:
            upstream.request(request.method, request.path, request.body or None, request.headers)
            response = upstream.getresponse()
            body = response.read()
            call.status, call.landed_at = response.status, time.monotonic()
            lines = [f"HTTP/1.1 {response.status} {response.reason}"]
            skipped = {"transfer-encoding", "content-length", "connection", "keep-alive"}
            lines += [
                f"{name}: {value}" for name, value in response.getheaders() if name.lower() not in skipped
            ]
        finally:
            upstream.close()
        if response.status != 204:
            lines.append(f"content-length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed in mid-sentence is the purpose here, not an error."""


class _Handler(BaseHTTPRequestHandler):
    owner: ClassVar[CuttingProxy]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self) -> None:
        self.generation = self.owner._enter(self.connection)
        try:
            super().handle()
        finally:
            self.owner._leave(self.connection)

    def _any(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length) if length else b""
        dropped = {
            "host",
            "connection",
            "keep-alive",
            "transfer-encoding",
            "content-length",
            "accept-encoding",
        }
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        request = _Request(self.command, self.path, headers, body)
        served = self.owner._serve(request, self.generation)
        if served is None:
            self.close_connection = True
            return
        answer, fire = served
        self.wfile.write(answer)
        if fire:
            self.owner._cut.set()

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _any

    def log_message(self, format: str, *args: object) -> None:
        """Calls are recorded, not printed."""
