"""Lines for the user: progress, prints of providers and log records.

They go to the engine over its own log service with the URN of the resource, so they appear at that resource's
row (under the SDK's host they all land at the stack's). One thread sends them in order; nothing that a
provider prints can block it, fail it or reach the pipe that the port was written to.
"""

from __future__ import annotations

import io
import os
import queue
import threading

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from dynamic_providers.host import sdk
from dynamic_providers.host.call import Call, current_call
from dynamic_providers.host.secrets import Secrets, concealed

MAX_WAITING = 10_000
FLUSH_S = 2.0
_SEND_S = 5.0


class EngineLog:
    """Sends messages to one engine.

    Args:
        address: `host:port` of the engine; empty: everything goes to stderr.
        secrets: Texts that are never sent, besides what `conceal` was told.
    """

    def __init__(self, address: str, secrets: Secrets) -> None:
        self._secrets = secrets
        self._queue: queue.Queue[engine_pb2.LogRequest | threading.Event] = queue.Queue(MAX_WAITING)
        self._pending: set[str] = set()
        self._stub: engine_pb2_grpc.EngineStub | None = None
        if address:
            self._stub = engine_pb2_grpc.EngineStub(
                grpc.insecure_channel(address, options=list(sdk.CHANNEL_OPTIONS))
            )
            threading.Thread(target=self._send_all, name="messages", daemon=True).start()

    def send(self, call: Call, message: str, keep: bool) -> None:
        """Queue one message; dropped when the engine is too slow to take thousands of them."""
        message = (self._secrets | concealed()).redact(message).strip()
        if not message:
            return
        if self._stub is None:
            write_stderr(message + "\n")
            return
        request = engine_pb2.LogRequest(
            severity=engine_pb2.INFO, message=message, urn=call.urn, ephemeral=not keep
        )
        try:
            self._queue.put_nowait(request)
            self._pending.add(call.urn)
        except queue.Full:
            return

    def flush(self, urn: str) -> None:
        """Wait a moment until what was said about this resource is with the engine."""
        if urn not in self._pending:
            return
        self._pending.discard(urn)
        done = threading.Event()
        try:
            self._queue.put_nowait(done)
        except queue.Full:
            return
        done.wait(FLUSH_S)

    def _send_all(self) -> None:
        while True:
            item = self._queue.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                assert self._stub is not None
                self._stub.Log(item, timeout=_SEND_S)
            except grpc.RpcError:
                write_stderr(item.message + "\n")


class PrintStream(io.TextIOBase):
    """`sys.stdout` and `sys.stderr` in the host: each line becomes a message of the current resource."""

    def __init__(self, log: EngineLog) -> None:
        self._log = log
        self._local = threading.local()

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Send the finished lines; keep the rest of this thread's text for later."""
        *lines, rest = (getattr(self._local, "rest", "") + text).split("\n")
        self._local.rest = rest
        for line in lines:
            self._log.send(current_call(), line, True)
        return len(text)


def write_stderr(text: str) -> None:
    """Write to the real stderr, which the engine reads; a dead engine is no error."""
    try:
        os.write(2, text.encode(errors="replace"))
    except OSError:
        return
