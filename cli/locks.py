"""Locks of a stack, those in a backend of files, and whether the engine that took one still runs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cli.project import PROJECT

START_SLACK_S = 5.0
"""A process that started this long after its lock was written is another one with the same number."""


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock.

    Attributes:
        file: Where it is; in a backend that is no folder, its key there.
        pid: Process that took it; 0 where the file does not tell.
        host: Machine of that process; empty where the file does not tell.
        user: Who ran it.
        since: When, as the engine wrote it.
    """

    file: Path
    pid: int
    host: str
    user: str = ""
    since: str = ""

    def __str__(self) -> str:
        who = f"{self.user}@{self.host}" if self.user else self.host
        return f"process {self.pid} of {who or 'an unknown machine'}, since {self.since or 'an unknown time'}"


def backend_folder(url: str) -> Path | None:
    """The folder of a backend of files; None for any other backend."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    text = unquote(parts.netloc + parts.path)
    return Path(text).expanduser() if text else Path.home()


def read_locks(backend: Path, stack: str) -> list[Lock]:
    """All locks of a stack, oldest first.

    Args:
        backend: Folder of the backend.
        stack: Name of the stack.
    """
    folder = backend / ".pulumi" / "locks" / "organization" / PROJECT / stack.rsplit("/", 1)[-1]
    locks = [parse_lock(file) for file in folder.glob("*.json")]
    return sorted(locks, key=lambda lock: lock.since)


def parse_lock(file: Path) -> Lock:
    """One lock file; what it does not tell stays empty, so that it counts as somebody's."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        pid = content.get("pid", 0)
        return Lock(
            file=file,
            pid=pid if isinstance(pid, int) and not isinstance(pid, bool) else 0,
            host=str(content.get("hostname", "")),
            user=str(content.get("username", "")),
            since=str(content.get("timestamp", "")),
        )
    except (OSError, ValueError, AttributeError):
        return Lock(file=file, pid=0, host="")


def is_dead(lock: Lock, this_host: str | None = None) -> bool:
    """Whether the engine that took this lock has surely ended: same machine, and no such process any more."""
    if lock.pid <= 0 or lock.host != (this_host or socket.gethostname()):
        return False
    started = process_started(lock.pid)
    if started is None:
        return True
    try:
        taken = datetime.fromisoformat(lock.since).timestamp()
    except ValueError:
        return False
    return started > taken + START_SLACK_S


def process_started(pid: int) -> float | None:
    """When a running process began, seconds since the epoch; None where there is none, or only a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        if fields[0] in ("Z", "X"):
            return None
        return _boot_time() + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    # No /proc (macOS): ask ps.
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    ).stdout.split(maxsplit=1)
    if len(shown) < 2 or shown[0].startswith("Z"):
        return None
    return datetime.strptime(shown[1].strip(), "%a %b %d %H:%M:%S %Y").timestamp()


def _boot_time() -> float:
    for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0
