"""What counts as usable, asked of real sockets on this machine."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gpu_clouds.errors import ValidationError
from gpu_clouds.models import Endpoint, Instance, InstanceState
from gpu_clouds.readiness import Readiness, probe

KEY = "canary-key-5f1c"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        paths = {"/ok": 200, "/none": 204, "/moved": 302, "/busy": 503}
        status = paths.get(self.path, 404)
        if self.path == "/closed":
            status = 200 if self.headers["authorization"] == KEY else 401
        self.send_response(status)
        self.send_header("location", "/ok")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number: int = taken.getsockname()[1]
        return number


def node(protocol: str, port: int) -> Instance:
    scheme = "http" if protocol == "http" else "tcp"
    way_in = Endpoint(8000, protocol, f"{scheme}://127.0.0.1:{port}")
    return Instance("i1", "n", "runpod", InstanceState.READY, "RUNNING", endpoints=(way_in,))


@pytest.mark.parametrize(
    ("path", "ok", "why"),
    [
        ("/ok", True, ""),
        ("/none", True, ""),
        ("/moved", False, "answers HTTP 302"),
        ("/busy", False, "port 8000 /busy answers HTTP 503"),
        ("/closed", False, "HTTP 401: the readiness headers are not accepted"),
    ],
)
def test_http(path: str, ok: bool, why: str, port: int) -> None:
    answer = probe(node("http", port), Readiness("http", 8000, path))
    assert bool(answer) is ok
    assert why in answer.detail


def test_headers_are_sent_and_in_no_text(port: int, free_port: int) -> None:
    readiness = Readiness("http", 8000, "/closed", {"Authorization": KEY})
    assert probe(node("http", port), readiness)
    assert KEY not in repr(readiness)
    bad = Readiness("http", 8000, "/closed", {"Authorization": KEY + "\n"})
    for answer in (probe(node("http", free_port), readiness), probe(node("http", port), bad)):
        assert not answer
        assert "does not answer" in answer.detail
        assert KEY not in answer.detail


def test_tcp(port: int, free_port: int) -> None:
    assert probe(node("tcp", port), Readiness("tcp", 8000))
    answer = probe(node("tcp", free_port), Readiness("tcp", 8000))
    assert not answer
    assert "port 8000 does not accept a connection" in answer.detail


def test_a_port_without_a_way_in_is_not_ready_yet(port: int) -> None:
    assert probe(node("http", port), Readiness("http", 9000)).detail == "no http address for port 9000 yet"
    assert probe(node("http", port), Readiness("tcp", 8000)).detail == "no tcp address for port 8000 yet"
    assert probe(node("http", port), Readiness())


@pytest.mark.parametrize("url", ["http://", "http://[", "nonsense", "tcp://127.0.0.1:99999"])
def test_an_odd_address_is_no_exception(url: str) -> None:
    for kind in ("http", "tcp"):
        odd = Instance("i", "n", "c", InstanceState.READY, "", endpoints=(Endpoint(1, kind, url),))
        assert not probe(odd, Readiness(kind, 1))


@pytest.mark.parametrize(
    "bad", [("http", 0, "/"), ("tcp", 65536, "/"), ("http", 80, "health"), ("ping", 80, "/")]
)
def test_a_probe_that_can_not_be_is_refused(bad) -> None:
    with pytest.raises(ValidationError, match="readiness"):
        Readiness(*bad)
