"""Lines in the output of the engine."""

from __future__ import annotations

import sys

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

_SECONDS = 5.0


def warn(address: str, message: str) -> None:
    """Prints a warning in the run's output, or on stderr when the engine can't be reached.

    Args:
        address: `host:port` of the engine's own services; empty: there is none.
        message: one line.
    """
    if address:
        try:
            with grpc.insecure_channel(address) as channel:
                request = engine_pb2.LogRequest(severity=engine_pb2.WARNING, message=message)
                engine_pb2_grpc.EngineStub(channel).Log(request, timeout=_SECONDS)
                return
        except grpc.RpcError:
            pass
    print(f"warning: {message}", file=sys.stderr, flush=True)
