"""Processes of the gateway's tests and benchmarks: started in a session of their own, ended by their id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import psutil

_T = TypeVar("_T")
_CPU_CLOCK = 2
"""The kind of Linux's clock of a process that counts all its CPU time, to the nanosecond."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _cpu_s(pid: int) -> float:
    return time.clock_gettime(~pid << 3 | _CPU_CLOCK)


def until(look: Callable[[], _T | None], what: str, seconds: float = 60.0, pause_s: float = 0.05) -> _T:
    """What `look` gives as soon as that is true.

    Raises:
        AssertionError: It was not within the time.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(pause_s)


class Process:
    """One program that runs.

    Args:
        command: Its command line.
        log: Gets what it writes.
        env: Its environment; this one's where None.
        cores: The cores that it may use; all where None.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        env: Mapping[str, str] | None = None,
        cores: set[int] | None = None,
    ) -> None:
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if env is None else dict(env),
                start_new_session=True,
            )
        if cores:
            os.sched_setaffinity(self._child.pid, cores)
        self.log = log

    @property
    def pid(self) -> int:
        """Its id."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._child.poll() is None

    def kill(self) -> None:
        """Ends it at once, as `kill -9` does."""
        self._child.kill()
        self._child.wait()

    def terminate(self) -> None:
        """Asks it to end; returns at once."""
        self._child.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> int:
        """Its exit code, once it has ended."""
        return self._child.wait(seconds)

    def stop(self, seconds: float = 20.0) -> None:
        """Ends it, harshly where it does not end by itself."""
        if self.alive:
            self.terminate()
            try:
                self.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()

    def cpu_s(self) -> float:
        """CPU time, user and system, of the process, its threads and its children, seconds."""
        process = psutil.Process(self.pid)
        return sum(_cpu_s(each.pid) for each in (process, *process.children(recursive=True)))

    def pss_mb(self) -> float:
        """Its memory, shared pages by their share, MB."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no Pss")

    def output(self) -> str:
        """What it wrote so far."""
        return self.log.read_text(errors="replace")
