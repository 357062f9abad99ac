"""Starts supervisors, and takes leave of those that have ended: they are children of the process that did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from local_services import supervisor

_children: list[subprocess.Popen[bytes]] = []


def spawn(folder: Path, alive: int, request: Mapping[str, object]) -> None:
    """Starts a supervisor in a session of its own.

    Args:
        folder: The service's folder.
        alive: File descriptor of the supervisor's lock, locked.
        request: What it is to start; goes through a pipe, since it may hold secrets.
    """
    reap()
    with (folder / "supervisor.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-P", str(Path(supervisor.__file__)), str(folder), str(alive)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
            pass_fds=[alive],
            env={"PATH": os.environ.get("PATH", os.defpath)},
        )
    _children.append(child)
    assert child.stdin is not None
    with suppress(BrokenPipeError), child.stdin:
        # Not there in whole means not wanted: the supervisor starts nothing when we are killed meanwhile.
        child.stdin.write(json.dumps(request).encode())


def reap() -> None:
    """Takes leave of the supervisors that have ended."""
    for child in tuple(_children):
        if child.poll() is not None:
            with suppress(ValueError):  # another thread was faster
                _children.remove(child)
