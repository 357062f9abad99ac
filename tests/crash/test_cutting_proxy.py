"""The tool itself: what each cut lets through, and what it does not."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

import pytest

from tests.crash.cutting_proxy import Cut, CuttingProxy
from tests.crash.operations import operation_of


class _Cloud(BaseHTTPRequestHandler):
    seen: ClassVar[list[str]] = []
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.seen.append(f"{self.command} {self.path} {body.decode()}".strip())
        self.send_response(201)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def cloud() -> Iterator[tuple[str, list[str]]]:
    """A cloud that counts what reaches it."""
    seen: list[str] = []

    class Cloud(_Cloud):
        pass

    Cloud.seen = seen
    server = ThreadingHTTPServer(("127.0.0.1", 0), Cloud)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(cloud: tuple[str, list[str]]) -> Iterator[CuttingProxy]:
    """A proxy in front of it."""
    made = CuttingProxy(cloud[0], late_s=0.05)
    yield made
    made.close()


class _Client:
    """One connection, used again and again, in a thread of its own when a call hangs."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)

    def once(self, method: str, path: str) -> int | None:
        """One call, after which the connection is given back."""
        try:
            return self.call(method, path)
        finally:
            self.connection.close()

    def call(self, method: str, path: str, body: str = "") -> int | None:
        """The status, or None where the line was cut."""
        try:
            self.connection.request(method, path, body.encode() or None)
            response = self.connection.getresponse()
            response.read()
            return response.status
        except (http.client.HTTPException, OSError):
            self.connection.close()
            return None

    def hang(self, method: str, path: str) -> tuple[threading.Thread, list[int | None]]:
        """The same without waiting for it."""
        answers: list[int | None] = []
        thread = threading.Thread(target=lambda: answers.append(self.call(method, path)))
        thread.start()
        return thread, answers


@pytest.mark.parametrize(
    ("cut", "reaches", "reaches_later", "answer"),
    [
        (Cut.BEFORE, 0, 0, None),
        (Cut.LATE, 0, 1, None),
        (Cut.UNANSWERED, 1, 1, None),
        (Cut.ANSWERED, 1, 1, 201),
    ],
)
def test_a_cut_stops_at_exactly_its_call(
    proxy: CuttingProxy,
    cloud: tuple[str, list[str]],
    cut: Cut,
    reaches: int,
    reaches_later: int,
    answer: int | None,
) -> None:
    seen = cloud[1]
    client = _Client(proxy.url)
    assert client.call("GET", "/v2/pods") == 201
    proxy.arm("launch", 2, cut)
    assert client.call("POST", "/v2/pods", '{"n":1}') == 201
    assert not proxy.was_cut
    thread, answers = client.hang("POST", "/v2/pods")
    assert proxy.wait_cut(5)
    launches = [one for one in seen if one.startswith("POST")]
    assert launches[0] == 'POST /v2/pods {"n":1}'
    assert len(launches) == 1 + reaches
    if cut is Cut.ANSWERED:
        thread.join()
    other = _Client(proxy.url)
    held, nothing = other.hang("GET", "/v2/pods/x")
    held.join(0.2)
    assert held.is_alive(), "what comes while the line is cut gets no answer, not even a closed connection"
    proxy.thaw()
    thread.join()
    held.join()
    assert nothing == [None]
    proxy.settle()
    assert answers == [answer]
    assert client.call("GET", "/v2/pods") in (None, 201)
    assert len([one for one in seen if one.startswith("POST")]) == 1 + reaches_later
    assert _Client(proxy.url).once("GET", "/v2/pods") == 201, "new connections are served after the thaw"
    assert [str(call) for call in proxy.calls if call.after_cut][:1] == ["get#0 - (after the cut)"]
    client.connection.close()


@pytest.mark.parametrize("cut", list(Cut))
def test_a_pause_only_holds_the_call(proxy: CuttingProxy, cloud: tuple[str, list[str]], cut: Cut) -> None:
    proxy.arm("launch", 1, cut, kills=False)
    client = _Client(proxy.url)
    thread, answers = client.hang("POST", "/v2/pods")
    assert proxy.wait_cut(5)
    assert len(cloud[1]) == (0 if cut in (Cut.BEFORE, Cut.LATE) else 1)
    proxy.thaw()
    thread.join()
    assert answers == [201]
    assert len(cloud[1]) == 1
    client.connection.close()


def test_calls_have_names() -> None:
    assert operation_of("GET", "/v2/pods?x=1") == "list"
    assert operation_of("POST", "/v2/pods") == "launch"
    assert operation_of("DELETE", "/v2/pods/abc") == "delete"
    assert operation_of("POST", "/v2/pods/abc/action") == "action"
    assert operation_of("GET", "/proxy/abc-8000/health") == "probe"
    assert operation_of("GET", "/v2/account/ssh-keys") == "GET /v2/account/ssh-keys"
