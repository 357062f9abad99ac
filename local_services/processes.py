"""Processes of this machine: which one is meant, what belongs to it, and how all of it is ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

KILL_S = 5.0
"""So long after the first SIGKILL a process may take to vanish; one that hangs in the kernel takes longer."""
LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process: a pid is used again, a pid with its start time is not.

    Attributes:
        pid: Its number.
        started: When it started, good for comparing only.
    """

    pid: int
    started: str

    def lives(self) -> bool:
        """Whether this very process still runs; one that has ended and was not waited for does not."""
        return identify(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, unless the process has ended or is not ours."""
        if self.lives():
            try:
                os.kill(self.pid, number)
            except (ProcessLookupError, PermissionError):
                return


def identify(pid: int) -> ProcessId | None:
    """The process that has this pid now; None if none has, or only one that has ended."""
    if pid <= 0:
        return None
    try:
        # In Linux's own units: its time of day for the same process moves when the clock is set.
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None if _has_proc() else _identify_without_proc(pid)
    return None if after_name[0] in ("Z", "X") else ProcessId(pid, f"{_boot()}:{after_name[19]}")


def children_of(pid: int) -> list[ProcessId]:
    """Every living descendant of a process."""
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    return _living(child.pid for child in found)


def members_of(session: ProcessId) -> list[ProcessId]:
    """The living processes of the session that this process has opened, whether or not it lives itself."""
    now = identify(session.pid)
    if now is not None and now != session:
        return []  # The number belongs to somebody else by now.
    if _has_proc() and session.started.partition(":")[0] != _boot():
        return []
    found = []
    for pid in psutil.pids():
        try:
            if pid != session.pid and os.getsid(pid) == session.pid:
                found.append(pid)
        except (ProcessLookupError, PermissionError):
            continue
    return _living(found)


def marked(name: str, value: str) -> list[ProcessId]:
    """The living processes whose environment has this variable; those that have wiped it are not found."""
    return [process for process in _living(psutil.pids()) if is_marked(process, name, value)]


def is_marked(process: ProcessId, name: str, value: str) -> bool | None:
    """Whether the environment of a process has this variable; None where it can't be read or is wiped."""
    try:
        environment = psutil.Process(process.pid).environ()
    except (psutil.Error, OSError):
        return None
    return environment.get(name) == value if environment else None


def command_of(pid: int) -> str:
    """The command line of a process as one line; empty where it can't be read."""
    try:
        process = psutil.Process(pid)
        return " ".join(process.cmdline()) or str(process.name())
    except psutil.Error:
        return ""


def end_all(
    find: Callable[[], list[ProcessId]],
    grace_s: float,
    now: Callable[[], float],
    wait: Callable[[float], None],
) -> list[ProcessId]:
    """Ends processes: SIGTERM to all, time to end by themselves, then SIGKILL until none is left.

    Args:
        find: Lists them; asked again and again, because processes that are ending may start others.
        grace_s: Seconds between the two signals; 0: SIGKILL at once.
        now: Tells seconds.
        wait: Waits for so many seconds; what it raises is passed on.

    Returns:
        Those that live in spite of SIGKILL; empty as a rule.
    """
    told: set[ProcessId] = set()
    until = now() + grace_s
    while (left := find()) and now() < until:
        for process in left:
            if process not in told:
                told.add(process)
                process.send(signal.SIGTERM)
        wait(LOOK_EVERY_S)
    until = now() + KILL_S
    while (left := find()) and now() < until:
        for process in left:
            process.send(signal.SIGKILL)
        wait(LOOK_EVERY_S)
    return left


def _living(pids: Iterable[int]) -> list[ProcessId]:
    return [process for pid in pids if (process := identify(pid)) is not None]


def _has_proc() -> bool:
    return Path("/proc/self/stat").exists()


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return ""


def _identify_without_proc(pid: int) -> ProcessId | None:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return ProcessId(pid, f"{process.create_time():.6f}")
    except psutil.Error:
        return None
