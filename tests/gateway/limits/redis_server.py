"""A Redis of its own for tests: the system's package, on loopback, ended by its process id."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from tests.peers.machine import allowed

START_S = 60.0
_APT = ("apt-get", "-qq", "--yes", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3")


def why_not() -> str | None:
    """Why there is no Redis here, as one line; None when there is one, installed now if that is allowed."""
    if shutil.which("redis-server") is None and allowed() and os.geteuid() == 0:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (("update",), ("install", "--no-install-recommends", "redis-server")):
            subprocess.run([*_APT, *command], env=environment, check=True, capture_output=True)
    if shutil.which("redis-server") is None:
        return "redis-server is not installed: apt-get install redis-server, or CI=true as root"
    return None


class RedisServer:
    """A server that keeps its data in memory alone, so that it has lost them when it was killed."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="gateway-redis-"))
        self._server: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    @property
    def url(self) -> str:
        """For the gateway."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Starts it on the same port and waits until it answers."""
        settings = ("--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no")
        self._server = subprocess.Popen(
            ["redis-server", *settings, "--dir", str(self._folder)], stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_S
        while self.command("PING") != b"+PONG":
            assert self._server.poll() is None and time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.05)

    def command(self, words: str) -> bytes:
        """Its answer to an inline command, the first line; empty where there is none."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as way:
            way.sendall(f"{words}\r\n".encode())
            return way.recv(4096).split(b"\r\n")[0]
        return b""

    def kill(self) -> None:
        """Kill -9."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def hold(self) -> None:
        """It hangs: connections stay, answers don't come."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It goes on."""
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)
