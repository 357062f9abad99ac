"""Background processes of the peers: each in a session of its own, found again, ended by its id alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class PeerError(Exception):
    """A peer can't be had or did not do what it should. The message is one line, meant for a person."""


def start_time(pid: int) -> str:
    """When the process started, good for comparing only; empty when it has ended (a zombie has)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


@dataclass(frozen=True)
class Process:
    """A process that was started here. A pid is used again, a pid with its start time is not."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return bool(self.started) and start_time(self.pid) == self.started


def start(
    command: Sequence[str | Path],
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Process:
    """Starts a program in its own session; it lives on when this process ends.

    Args:
        command: the command line.
        log: its output is appended here.
        env: its whole environment; this process's when None.
        cwd: its folder; this process's when None.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    started = start_time(child.pid)
    _CHILDREN.append(child)
    return Process(child.pid, started)


# So that children which end are collected, and no destructor complains about those that live on.
_CHILDREN: list[subprocess.Popen[bytes]] = []


def collect() -> None:
    """Collects children that have ended."""
    _CHILDREN[:] = [child for child in _CHILDREN if child.poll() is None]


def let_go() -> None:
    """Forgets children that are meant to live on after this process."""
    for child in _CHILDREN:
        child.returncode = 0
    _CHILDREN.clear()


def stop(process: Process, wait_s: float = 10.0) -> None:
    """Asks a process to end, kills it after `wait_s` real seconds. Does nothing when it has ended."""
    if not process.alive:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
    if not until(lambda: not process.alive, wait_s):
        kill([process.pid])
        until(lambda: not process.alive, 5.0)


def group_members(group: int) -> list[int]:
    """The processes of a process group that have not ended."""
    members = []
    for pid in all_pids():
        with contextlib.suppress(OSError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] not in ("Z", "X"):
                members.append(pid)
    return members


def session_members(session: int) -> list[int]:
    """The processes of a session that have not ended; a child can leave its group, but hardly its session."""
    members = []
    for pid in all_pids():
        with contextlib.suppress(OSError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] not in ("Z", "X"):
                members.append(pid)
    return members


def all_pids() -> list[int]:
    """Every process of this machine."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def pids_of_user(uid: int) -> list[int]:
    """Every process of one user."""
    found = []
    for pid in all_pids():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}").stat().st_uid == uid and start_time(pid):
                found.append(pid)
    return found


def kill(pids: Iterable[int]) -> None:
    """Kill -9, each by its id; those that have ended are skipped."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def until(condition: Callable[[], object], wait_s: float, pause_s: float = 0.05) -> bool:
    """Waits real time until the condition holds; whether it did in time."""
    end = time.monotonic() + wait_s
    while not condition():
        collect()
        if time.monotonic() > end:
            return False
        time.sleep(pause_s)
    collect()
    return True


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def listens(port: int) -> bool:
    """Whether something accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1: no server has it, nor does a connection."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def last_words(log: Path, count: int = 3) -> str:
    """The last lines of a log, as one line."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "it wrote no log"
    return " | ".join(line.strip() for line in lines[-count:]) or "it said nothing"


class Record:
    """What was started, in a file, so that another process can adopt or stop it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Process]:
        """All recorded processes by name, those that have ended included."""
        try:
            content = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return {name: Process(int(pid), str(started)) for name, (pid, started) in content.items()}

    def add(self, name: str, process: Process) -> None:
        """Records a process; one of the same name is forgotten."""
        self._write({**self.read(), name: process})

    def remove(self, name: str) -> None:
        """Forgets a process."""
        self._write({key: value for key, value in self.read().items() if key != name})

    def _write(self, processes: Mapping[str, Process]) -> None:
        text = json.dumps({name: [item.pid, item.started] for name, item in processes.items()}, indent=1)
        temporary = self.path.with_suffix(".new")
        temporary.write_text(text)
        temporary.replace(self.path)
