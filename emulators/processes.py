"""Which process is meant by a pid: a pid is used again, a pid with its start time is not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def start_time(pid: int) -> str:
    """When the process started, in a form good for comparing only; empty if there is no such process."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            text = stat.read_text()
        except OSError:
            return ""
        after_name = text.rpartition(")")[2].split()
        # A process that has ended and was not yet waited for is no process any more.
        return "" if after_name[0] in ("Z", "X") else after_name[19]
    answer = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip()


def is_running(pid: int, started: str) -> bool:
    """Whether this very process still runs."""
    if not started or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return start_time(pid) == started
