"""Starts the emulators in the background, looks after them, stops them."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from emulators.clock import TIME_SCALE, SettingError, time_scale
from emulators.folder import Folder
from emulators.processes import is_running


def start(folder: Folder, arguments: list[str], wait_s: float = 20.0) -> dict[str, Any]:
    """Starts the emulators in their own session, unless they run, and waits until they answer.

    Args:
        folder: Their folder.
        arguments: For `python -m emulators serve`.
        wait_s: Real seconds to wait.

    Returns:
        What endpoints.json says.

    Raises:
        SettingError: They did not start; the message has the last line of their log.
    """
    scale = time_scale()
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder.path / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        running = folder.endpoints()
        if running is not None:
            if running.get("time_scale") != scale:
                raise SettingError(
                    f"the emulators run with {TIME_SCALE}={running.get('time_scale')}, not {scale:g};"
                    " stop them first"
                )
            return running
        with folder.log_file.open("ab") as log:
            begin = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", "emulators", "serve", "--folder", str(folder.path), *arguments],
                cwd=Path(__file__).parents[1],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            running = folder.endpoints()
            if running is not None and running["pid"] == process.pid:
                return running
            if process.poll() is not None:
                raise SettingError(f"the emulators did not start: {_last_line(folder, begin)}")
            time.sleep(0.02)
        process.kill()
        process.wait()
        raise SettingError(f"the emulators did not answer within {wait_s:g} s: {_last_line(folder, begin)}")


def stop(folder: Folder, wait_s: float = 10.0) -> bool:
    """Stops the emulators: asks first, kills then. Leaves no process, no port and no endpoints.json.

    Returns:
        Whether they ran.
    """
    running = folder.endpoints()
    if running is None:
        folder.endpoints_file.unlink(missing_ok=True)
        return False
    pid, started = int(running["pid"]), str(running["started"])
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + wait_s
    while is_running(pid, started):
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            until = float("inf")
        time.sleep(0.02)
    folder.remove_endpoints(pid)
    return True


def _last_line(folder: Folder, begin: int) -> str:
    with folder.log_file.open("rb") as log:
        log.seek(begin)
        lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"it said nothing; see {folder.log_file}"
