"""Entry point of the plugin; `pulumi-resource-pulumi-python` starts it with the engine's address."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent import futures
from pathlib import Path
from types import FrameType

if (
    not __package__
):  # started as a script: this folder is not on the path (-P), the two that matter are put there
    sys.path[:0] = [str(Path.cwd()), str(Path(__file__).resolve().parents[2])]

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from dynamic_providers.host import call, fence, sdk
from dynamic_providers.host.messages import EngineLog, PrintStream
from dynamic_providers.host.providers import Providers
from dynamic_providers.host.secrets import Secrets
from dynamic_providers.host.servicer import Host

MAX_OPERATIONS = 8192
"""More than any engine asks for at once; threads are made when they are needed."""

STACK_BYTES = 1024 * 1024
"""Of each thread. The usual 8 MB are only reserved, but a thousand of them can break a limit of memory."""


def main() -> None:
    """Serve one engine until it ends."""
    port_pipe = _keep_stdout_for_the_port()
    fence.arm(guard := fence.Fence(port_pipe, os.getppid()))
    guard.watch()
    # The engine ends its plugins with SIGINT. Nobody waits for the threads: there are no operations left.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)

    seen = Secrets()
    log = EngineLog(sys.argv[1] if len(sys.argv) > 1 else "", seen)
    sys.stdout = sys.stderr = PrintStream(log)
    call.set_progress_sink(log.send)

    project = os.environ.get("PULUMI_PROJECT", "project")
    threading.stack_size(STACK_BYTES)
    server = grpc.server(
        futures.ThreadPoolExecutor(MAX_OPERATIONS, thread_name_prefix="operation"),
        options=list(sdk.CHANNEL_OPTIONS),
    )
    host = Host(Providers(project), project, log, threading.Event(), seen)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    os.write(port_pipe, f"{port}\n".encode())
    threading.Event().wait()


def _keep_stdout_for_the_port() -> int:
    """Take stdout for ourselves; what else is written to it, by C code or a child process, goes to stderr."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(0)


if __name__ == "__main__":
    main()
