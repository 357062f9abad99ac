"""Says in the output of a run that a stand-in works in it: once, however many providers the run has."""

import fcntl
import os
import tempfile
from pathlib import Path

MESSAGE = (
    "gpuplane's STAND-IN for the Kubernetes plugin is at work, not the official plugin: its previews and "
    "results are no proof of what that one does (docs/stand-ins.md)"
)
_SLOTS = 64

# Open for as long as this process lives: the lock goes with it.
_held: list[int] = []


def is_first(engine: str) -> bool:
    """Whether this is the first stand-in of a run. The engine starts a plugin for each provider of a program.

    Args:
        engine: the engine's address, which is the run's own.
    """
    folder = Path(os.environ.get("PULUMI_HOME") or tempfile.gettempdir())
    port = engine.rpartition(":")[2]
    slot = int(port) % _SLOTS if port.isdigit() else 0
    try:
        descriptor = os.open(
            folder / f"stand-in-kubernetes-{slot}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
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
