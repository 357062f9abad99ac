"""The servers of a cluster as processes: each in a session of its own, found again, ended by their pid."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from emulators.processes import is_running, start_time

_LOOK_S = 0.05


@dataclass(frozen=True)
class Process:
    """A server that was started here. A pid is used again by the system, a pid with its start time is not."""

    name: str
    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return is_running(self.pid, self.started)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, unless the process has ended."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


# Children that live on when this process ends. Kept so that those which end meanwhile are collected.
_CHILDREN: list[subprocess.Popen[bytes]] = []


def start(name: str, command: Sequence[str], log: Path) -> Process:
    """Starts a server; it lives on when this process ends.

    Args:
        name: what it is called in messages.
        command: program and arguments.
        log: its output goes here.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    _CHILDREN.append(child)
    return Process(name, child.pid, start_time(child.pid))


def end(processes: Sequence[Process], seconds: float) -> list[str]:
    """Ends processes, all at the same time: SIGTERM, and SIGKILL for those that are slow.

    Args:
        processes: which.
        seconds: between the two.

    Returns:
        The names of those that had to be killed.
    """
    for process in processes:
        process.send(signal.SIGTERM)
    wait_until(lambda: not any(process.alive for process in processes), seconds)
    slow = [process for process in processes if process.alive]
    for process in slow:
        process.send(signal.SIGKILL)
    wait_until(lambda: not any(process.alive for process in slow), seconds)
    ended = {process.pid for process in processes}
    for child in _CHILDREN:
        if child.pid in ended:
            # A program's first thread is gone before the others are, and only then can it be collected.
            with suppress(subprocess.TimeoutExpired):
                child.wait(seconds)
    _CHILDREN[:] = [child for child in _CHILDREN if child.poll() is None]
    return [process.name for process in slow]


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    """Looks again and again until the answer is true.

    Args:
        true: what to wait for.
        seconds: how long at most.

    Returns:
        Whether it became true in time.
    """
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_S)
    return True


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def write_record(file: Path, port: int, processes: Sequence[Process]) -> None:
    """Writes down what was started, whole or not at all.

    Args:
        file: the record.
        port: of the API server.
        processes: started so far.
    """
    half = file.with_name(f".{file.name}-{os.getpid()}")
    half.write_text(json.dumps({"port": port, "processes": [asdict(each) for each in processes]}))
    half.rename(file)


def read_record(file: Path) -> tuple[int, list[Process]]:
    """The API server's port and the processes of a record; (0, []) without one."""
    try:
        record = json.loads(file.read_text())
        return int(record["port"]), [Process(**each) for each in record["processes"]]
    except (OSError, ValueError, TypeError, KeyError):
        return 0, []
