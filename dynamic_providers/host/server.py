"""The gRPC server around the servicer, and the process's standard streams."""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent import futures

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


def serve(address: str, engine: int) -> None:
    """Serve one engine until it ends.

    Args:
        address: `host:port` of the engine's own services; empty: messages go to stderr.
        engine: Process id of the engine.
    """
    port_pipe = _keep_stdout_for_the_port()
    guard = fence.Fence(port_pipe, engine)
    fence.arm(guard)
    guard.watch()
    seen = Secrets()
    log = EngineLog(address, seen)
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
    # Only this thread runs signal handlers, but any thread may be the one that the signal wakes.
    while True:
        time.sleep(1.0)


def _keep_stdout_for_the_port() -> int:
    """Take stdout for ourselves; what else is written to it, by C code or a child process, goes to stderr."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept
