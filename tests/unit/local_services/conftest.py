"""Real processes, small ones; whatever a test leaves behind fails it and is ended."""

from __future__ import annotations

import os
import signal
import socket
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from local_services.processes import ProcessId, identify
from local_services.service import Service
from local_services.spec import ServiceSpec

PYTHON = sys.executable

SERVER = """
import http.server, os, pathlib, signal, subprocess, sys, time
port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
options = sys.argv[3:]
if "deaf" in options:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "workers" in options:
    # One worker in the group, one in a session of its own whose parent ends at once and that wipes its name.
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(folder)])
    subprocess.run([sys.executable, "-c",
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', "
        "'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)', sys.argv[1]], "
        "start_new_session=True, env={})", str(folder)])
(folder / f"pid-{os.getpid()}").write_text(os.environ.get("WORD", ""))
class Handler(http.server.BaseHTTPRequestHandler):
    status = 200
    def do_GET(self):
        if self.path == "/sick":
            Handler.status = 500
        self.send_response(Handler.status if self.path == "/health" else 200)
        self.end_headers()
        self.wfile.write(os.environ.get("WORD", "").encode())
    def log_message(self, *words):
        print("request", self.path, flush=True)
print("the server starts", flush=True)
if "slow" in options:
    time.sleep(1.5)
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


class Place:
    """A service's folder, a free port, and everything that was started here."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "services" / "stack" / "web"
        self.port = free_port()
        self.told: list[str] = []
        self.script = root / "server.py"
        self.script.write_text(SERVER)
        self.started = root / "started"
        self.started.mkdir()

    def service(self, **options: Any) -> Service:
        return Service("web", self.folder, tell=self.told.append, **options)

    def spec(self, *options: str, **more: Any) -> ServiceSpec:
        """A server with a health URL."""
        values: dict[str, Any] = {
            "command": (PYTHON, str(self.script), str(self.port), str(self.started), *options),
            "health_url": f"http://127.0.0.1:{self.port}/health",
            "health_timeout_s": 30.0,
            "stop_grace_s": 3.0,
        }
        return ServiceSpec(**{**values, **more})

    def program(self, text: str, **more: Any) -> ServiceSpec:
        """Any program in Python."""
        values: dict[str, Any] = {
            "command": (PYTHON, "-c", textwrap.dedent(text), str(self.root)),
            "stop_grace_s": 1.0,
        }
        return ServiceSpec(**{**values, **more})

    def servers(self) -> list[int]:
        """Pids of the servers that live, of all that were ever started here."""
        pids = (int(path.name.removeprefix("pid-")) for path in self.started.glob("pid-*"))
        return [pid for pid in pids if self._is_mine(pid)]

    def processes(self) -> list[ProcessId]:
        """Every living process that has to do with this place, whoever its parent is."""
        found = []
        for process in psutil.process_iter():
            try:
                words = " ".join(process.cmdline())
                if (
                    str(self.root) in words
                    and process.pid != os.getpid()
                    and (living := identify(process.pid))
                ):
                    found.append(living)
            except psutil.Error:
                continue
        return found

    def _is_mine(self, pid: int) -> bool:
        try:
            return str(self.script) in psutil.Process(pid).cmdline() and identify(pid) is not None
        except psutil.Error:
            return False


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


def wait_until(look: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    until = time.monotonic() + timeout_s
    while not look():
        assert time.monotonic() < until, what
        time.sleep(0.02)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.service().stop(ServiceSpec(command=("x",), stop_grace_s=0.0))
    left = place.processes()
    for process in left:
        process.send(signal.SIGKILL)
    assert not left
