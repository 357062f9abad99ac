"""Lines in the output of the engine."""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from pathlib import Path

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

_SECONDS = 5.0
_SLOTS = 64
# Open for as long as this process lives: the lock goes with it.
_held: list[int] = []


def is_first(address: str, package: str) -> bool:
    """Whether this is the first stand-in for a package in a run: each provider has a process of its own.

    Args:
        address: `host:port` of the engine, which is the run's own.
        package: the plugin's name.
    """
    folder = Path(os.environ.get("PULUMI_HOME") or tempfile.gettempdir())
    port = address.rpartition(":")[2]
    slot = int(port) % _SLOTS if port.isdigit() else 0
    try:
        descriptor = os.open(
            folder / f"stand-in-{package}-{slot}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
    except OSError:
        return True  # better twice than never
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    _held.append(descriptor)
    return True


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
