"""What is on disk about a service: its record, and two locks that say who is at work.

    <state>/services/<stack>/<name>/
        operation     locked by the process that starts or stops the service, for as long as it does
        alive         locked by the supervisor for as long as it lives
        record.json   what was started last; holds no secret
        stop          how long the supervisor shall wait before it kills
        service.log   the service's output, unless it has a log file elsewhere
        home/         the service's HOME, where it has one of its own

A lock ends with the process that holds it, however that ends, so no pid has to be believed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from local_services.processes import ProcessId


class Phase(StrEnum):
    """How far a service is."""

    STARTING = "starting"
    RUNNING = "running"
    ENDING = "ending"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Record:
    """What was started last.

    Attributes:
        token: Random; in the environment of every process of the service.
        salt: Random; of the fingerprint.
        fingerprint: Of the spec that was started.
        phase: How far it is, as of the last writing.
        supervisor: The process that holds the others.
        main: The service's first process.
        tree: All processes of the service, as of the last look.
        started_at: When the service started, ISO 8601.
        exit_code: How the first process ended; negative: by that signal. None while it runs.
        failure: Why it could not be started.
        home: Its home, as its spec names it.
        keep_home: Its home stays when it is removed.
        files: The files that were written into its home.
    """

    token: str
    salt: str
    fingerprint: str = ""
    phase: Phase = Phase.STARTING
    supervisor: ProcessId | None = None
    main: ProcessId | None = None
    tree: tuple[ProcessId, ...] = ()
    started_at: str = ""
    exit_code: int | None = None
    failure: str = ""
    home: str = ""
    keep_home: bool = False
    files: tuple[str, ...] = ()


def new_record() -> Record:
    """A record of a start that is about to be made."""
    return Record(secrets.token_hex(16), secrets.token_hex(8))


class Folder:
    """The folder of one service.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._record = path / "record.json"
        self._stop = path / "stop"

    def make(self) -> None:
        """Makes it, for this user alone."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self) -> Record | None:
        """The record; None without one."""
        try:
            kept = json.loads(self._record.read_text(encoding="utf-8"))
            made = Record(**kept)
            return replace(
                made,
                phase=Phase(made.phase),
                supervisor=_process(kept["supervisor"]),
                main=_process(kept["main"]),
                tree=tuple(ProcessId(**each) for each in kept["tree"]),
                files=tuple(kept["files"]),
            )
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, record: Record, *, sync: bool = True) -> None:
        """Puts a record in the place of the last one, whole or not at all.

        Args:
            record: The record.
            sync: Return only when it is safe on disk.
        """
        write_private(self._record, json.dumps(asdict(record)), sync=sync)

    def ask_to_stop(self, grace_s: float) -> None:
        """Leaves word for the supervisor how long it shall wait, seconds."""
        self._stop.write_text(json.dumps(grace_s))

    def asked_grace(self, usual_s: float) -> float:
        """What `ask_to_stop` has left; `usual_s` without."""
        try:
            return float(json.loads(self._stop.read_text()))
        except (OSError, ValueError, TypeError):
            return usual_s

    def forget_stop(self) -> None:
        """Takes that word back."""
        self._stop.unlink(missing_ok=True)

    def supervised(self) -> bool:
        """Whether a supervisor lives, also one that has only just been started."""
        try:
            fd = os.open(self.path / "alive", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def claim(self) -> int:
        """The file descriptor of the supervisor's lock, locked. It goes to the supervisor, which keeps it.

        Raises:
            BlockingIOError: There is a supervisor.
        """
        fd = os.open(self.path / "alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + 1.0
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return fd
            except BlockingIOError:
                # Perhaps only somebody who is looking at this moment.
                if time.monotonic() > until:
                    os.close(fd)
                    raise
                time.sleep(0.01)

    def try_operation(self) -> int | None:
        """The file descriptor of the lock of an operation; None while another process has it."""
        self.make()
        place = self.path / "operation"
        fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it may have removed the folder, and a lock on a removed file locks nothing.
            if os.path.samestat(os.fstat(fd), place.stat()):
                return fd
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(fd)
        return None

    def remove(self, *, keep: Path | None = None) -> None:
        """Removes it, and the folders above that are empty then.

        Args:
            keep: One folder in it that stays.
        """
        for path in self.path.iterdir() if self.path.is_dir() else ():
            if path != keep and not (keep and path in keep.parents):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            for folder in (self.path, self.path.parent, self.path.parent.parent):
                folder.rmdir()


def write_private(place: Path, text: str, *, sync: bool = False) -> None:
    """Writes a file that only this user may read, whole or not at all.

    Args:
        place: The file; its folder must be there.
        text: All of it.
        sync: Return only when it is safe on disk.
    """
    hidden = place.with_name(f".{place.name}.new")
    hidden.touch(mode=0o600)
    with hidden.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    hidden.replace(place)


def services_of(root: Path, stack: str) -> dict[str, Path]:
    """Name -> folder of every service of a stack that was ever started here and not removed.

    Args:
        root: Where the folders of all stacks are: `services` in the folder for state.
        stack: The stackId.
    """
    folder = root / stack
    return {path.name: path for path in sorted(folder.iterdir())} if folder.is_dir() else {}


@contextlib.contextmanager
def closing(fd: int) -> Iterator[int]:
    """Closes a file descriptor at the end, and with it gives back its lock."""
    try:
        yield fd
    finally:
        os.close(fd)


def _process(kept: dict[str, str | int] | None) -> ProcessId | None:
    return None if kept is None else ProcessId(int(kept["pid"]), str(kept["started"]))
