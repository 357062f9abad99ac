"""The process that holds a service: the parent of all its processes, also of those that have left their own.

It starts the service's command, writes its output into the log, takes in every orphan (Linux: it is their
"child subreaper"), and when it is told to stop, or the command ends, it ends whatever is left. It starts
nothing a second time: that the service is gone is seen by the next refresh.

    python supervisor.py FOLDER ALIVE_FD  <  {"command": …, "env": …}
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if (
    __name__ == "__main__"
):  # Run with -P: the folder of this file is not on the path, the one above has to be.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from local_services.log import RotatingLog
from local_services.processes import ProcessId, children_of, end_all, identify
from local_services.record import Folder, Phase, Record

STOP = signal.SIGTERM
"""What tells a supervisor to end its service."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_YOUNG_S, _LOOK_YOUNG_S = 10.0, 0.25
"""In its first seconds a service starts most of its processes: its tree is looked at more often."""
_LOOK_OLD_S = 5.0


class Supervisor:
    """Holds one service.

    Args:
        folder: The service's folder.
        request: `command`, `cwd`, `env`, `log`, `logMaxBytes` and `graceS`.
    """

    def __init__(self, folder: Folder, request: dict[str, Any]) -> None:
        self._folder = folder
        self._request = request
        record = folder.read()
        if record is None:
            raise SystemExit("there is no record of this start")
        self._record: Record = replace(record, supervisor=identify(os.getpid()))
        self._log = RotatingLog(Path(request["log"]), int(request["logMaxBytes"]))
        self._stopping = False
        self._main = 0
        self._exit_code: int | None = None
        self._wake, wake = os.pipe()
        self._output, self._service_end = os.pipe()
        for own_end in (self._wake, wake, self._output):
            os.set_blocking(own_end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def run(self) -> None:
        """Starts the service and returns when nothing of it is left."""
        self._folder.write(self._record)
        if not self._start():
            return
        born = looked = time.monotonic()
        while self._exit_code is None and not self._stopping:
            every_s = _LOOK_YOUNG_S if time.monotonic() - born < _YOUNG_S else _LOOK_OLD_S
            self._turn(every_s)
            if time.monotonic() - looked >= every_s:
                looked = time.monotonic()
                self._note_tree()
        self._end()

    def _start(self) -> bool:
        request = self._request
        try:
            child = subprocess.Popen(
                request["command"],
                cwd=request["cwd"],
                env=request["env"],
                stdin=subprocess.DEVNULL,
                stdout=self._service_end,
                stderr=self._service_end,
                process_group=0,
                # One thread runs here: nothing can hold a lock between fork and exec.
                preexec_fn=_die_with_parent,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            what = getattr(error, "filename", None) or request["command"][0]
            self._write(phase=Phase.ENDED, failure=f"{what}: {reason}")
            return False
        self._main = child.pid
        child.returncode = 0  # This class waits for every child itself.
        os.close(self._service_end)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._write(phase=Phase.RUNNING, main=identify(child.pid), started_at=now)
        return True

    def _end(self) -> None:
        grace_s = self._folder.asked_grace(float(self._request["graceS"]))
        self._write(phase=Phase.ENDING, exit_code=self._exit_code, tree=tuple(self._find()))
        left = end_all(self._find, grace_s, time.monotonic, self._turn)
        self._turn(0.0)
        self._write(phase=Phase.ENDED, exit_code=self._exit_code, tree=tuple(left))

    def _turn(self, wait_s: float) -> None:
        """Waits for output, a signal or the time to pass; takes in what there is."""
        sources = [self._wake] if self._output < 0 else [self._wake, self._output]
        ready, _, _ = select.select(sources, [], [], wait_s)
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)
        if self._output in ready:
            self._drain()
        self._reap()

    def _drain(self) -> None:
        try:
            while data := os.read(self._output, 65536):
                self._log.write(data)
                if len(data) < 65536:
                    return
        except BlockingIOError:
            return
        # No process of the service has its end of the pipe any more.
        os.close(self._output)
        self._output = -1

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._main:
                self._exit_code = os.waitstatus_to_exitcode(status)

    def _find(self) -> list[ProcessId]:
        return children_of(os.getpid())

    def _note_tree(self) -> None:
        tree = tuple(self._find())
        if tree != self._record.tree:
            self._write(sync=False, tree=tree)

    def _write(self, *, sync: bool = True, **changes: Any) -> None:
        self._record = replace(self._record, **changes)
        with contextlib.suppress(OSError):  # The locks say who lives; a full disk must not end a service.
            self._folder.write(self._record, sync=sync)

    def _stop(self, number: int, frame: object) -> None:
        self._stopping = True


def _prctl(option: int, value: int) -> None:
    """On Linux alone; elsewhere an orphan is found by its session and by the tree in the record."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _die_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Takes over the lock, reads the request, and holds the service until it has ended."""
    folder = Folder(Path(sys.argv[1]))
    os.set_inheritable(int(sys.argv[2]), False)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        request = json.loads(sys.stdin.buffer.read())
    except ValueError:
        return  # Whoever wanted the service was killed before it had said what it wants.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.chdir("/")
    Supervisor(folder, request).run()


if __name__ == "__main__":
    main()
