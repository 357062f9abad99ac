"""A note of each engine that this checkout starts on a backend that others use too.

A lock in such a backend names a machine and a process. Machines of CI and containers often have the same
name, and the same numbers for their processes, so those two alone do not say that an engine has ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from cli.locks import START_SLACK_S, Lock, process_started

_LOCKS_WITHIN_S = 900.0
"""An engine takes its lock within this time of its start, however slow the machine is."""


def note(root: Path, stack: str, pid: int) -> None:
    """Notes an engine that has been started; without the note its lock is not removed by itself.

    Args:
        root: The project's folder.
        stack: Name of the stack.
        pid: Process of the engine.
    """
    here, started = _machine(), process_started(pid)
    if not all(here.values()) or started is None:
        return
    with contextlib.suppress(OSError):
        file = _folder(root) / f"{_short(stack)}-{pid}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**here, "started": started}), encoding="utf-8")


def ended_here(root: Path, stack: str, lock: Lock) -> bool:
    """Whether a lock is that of an engine which this checkout has started, on this machine, and which ended.

    Args:
        root: The project's folder.
        stack: Name of the stack.
        lock: One of its locks.
    """
    try:
        noted = json.loads((_folder(root) / f"{_short(stack)}-{lock.pid}.json").read_text(encoding="utf-8"))
        started, taken = float(noted.pop("started")), datetime.fromisoformat(lock.since).timestamp()
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False
    here = _machine()
    if noted != here or lock.host != here["host"]:
        return False
    if not started - START_SLACK_S <= taken <= started + _LOCKS_WITHIN_S:
        return False
    running = process_started(lock.pid)
    return running is None or running > started + START_SLACK_S


def forget(root: Path, stack: str) -> None:
    """Drops the notes of a stack's engines that have ended; only once their locks are gone."""
    for file in _folder(root).glob(f"{_short(stack)}-*.json"):
        pid = file.stem.rpartition("-")[2]
        if pid.isdigit() and process_started(int(pid)) is None:
            file.unlink(missing_ok=True)


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """While one recovery of this checkout works, another waits.

    Else the second could take the lock of an engine, started just after the first one, for the dead engine's
    that it has seen.
    """
    folder = _folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "recovery.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _folder(root: Path) -> Path:
    return root / ".gpuplane" / "engines"


def _short(stack: str) -> str:
    return stack.rsplit("/", 1)[-1]


def _machine() -> dict[str, str]:
    """This machine since its last start, and the space that its process numbers belong to."""
    here = {"host": socket.gethostname(), "boot": "", "processes": "all"}
    with contextlib.suppress(OSError):
        here["boot"] = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        here["processes"] = str(Path("/proc/self/ns/pid").readlink())
        return here
    # No /proc (macOS).
    with contextlib.suppress(OSError):
        command = ["sysctl", "-n", "kern.bootsessionuuid"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        here["boot"] = done.stdout.strip()
    return here
