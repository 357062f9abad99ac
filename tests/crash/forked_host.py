"""Starts provider hosts by forking a process that has imported everything they need.

What a host costs is its imports, and the matrix starts one for every cut. A fork has them already; from there
on it is the real entry point that runs, in a process of its own that can be killed.

Run as a program, this file is the process that forks: `python -P tests/crash/forked_host.py SOCKET_FD`.
It stays a process of one thread that has opened no gRPC channel: only such a one may be forked.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "dynamic_providers" / "host" / "main.py"
IMPORTED = (
    "dynamic_providers.host.main",
    "dynamic_providers.host.server",
    "dynamic_providers.gpu_node",
    "dynamic_providers.leak_guard",
    "gpu_clouds.lambda_cloud.cloud",
    "gpu_clouds.paperspace.cloud",
    "gpu_clouds.runpod.cloud",
    # What these import at their first use.
    "encodings.idna",
    "grpc._channel",
    "grpc._server",
    "grpc.experimental",
    "httpcore",
)
_MESSAGE_BYTES = 1 << 20


class Forked:
    """A process that somebody else has forked for us.

    Args:
        pid: Its process id.
        stdout: Reading end of its stdout; closed here.
    """

    def __init__(self, pid: int, stdout: int) -> None:
        self.pid = pid
        self.stdout = stdout
        try:
            # Its number may be given to another process as soon as it has ended; this handle never is.
            self._handle = os.pidfd_open(pid)
        except ProcessLookupError:
            self._handle = -1

    def kill(self) -> None:
        """Kill -9, and waits until it is dead."""
        if self._handle >= 0:
            try:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            except ProcessLookupError:
                return
            assert self.wait(10), f"process {self.pid} lives on after kill -9"

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended within this time."""
        return self._handle < 0 or bool(select.select([self._handle], [], [], timeout_s)[0])

    def close_stdout(self) -> None:
        """Closes the pipe that the engine holds."""
        if self.stdout >= 0:
            os.close(self.stdout)
            self.stdout = -1

    def close(self) -> None:
        """Kills it if need be and gives everything back."""
        self.kill()
        self.close_stdout()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class Forker:
    """The process that forks hosts; any thread may ask it.

    Args:
        environment: Environment of its imports.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-u", __file__, str(theirs.fileno())],
                env=dict(environment),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def start(self, address: str, environment: Mapping[str, str], folder: Path, stderr: int) -> Forked:
        """Starts a host as the engine would.

        Args:
            address: Of the engine's own services.
            environment: Of the host.
            folder: Its working directory.
            stderr: File descriptor for its stderr.
        """
        request = json.dumps({"address": address, "env": dict(environment), "cwd": str(folder)}).encode()
        reading, writing = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._socket, [request], [writing, stderr])
                answer = self._socket.recv(64)
        finally:
            os.close(writing)
        assert answer, "the process that forks hosts has ended; its stderr tells why"
        return Forked(int(answer), reading)

    def close(self) -> None:
        """Ends it; its hosts end as well."""
        self._socket.close()
        self._process.wait(10)


def _serve(channel: socket.socket) -> None:
    while True:
        request, fds, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, 2)
        _bury()
        if not request:
            return
        if sum(1 for _ in Path("/proc/self/task").iterdir()) != 1:
            raise AssertionError("an import has started a thread: this process can't be forked any more")
        pid = os.fork()
        if pid == 0:
            channel.close()
            _become_host(json.loads(request), *fds)
        for fd in fds:
            os.close(fd)
        channel.send(str(pid).encode())


def _bury() -> None:
    """Takes notice of hosts that have ended; their CPU time counts as this process's children's then."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return


def _become_host(request: Mapping[str, Any], stdout: int, stderr: int) -> NoReturn:
    for given, usual in ((stdout, 1), (stderr, 2)):
        os.dup2(given, usual)
        os.close(given)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = [str(MAIN), request["address"]]
    importlib.import_module("dynamic_providers.host.main").main()
    os._exit(0)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    gc.disable()
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))
