"""Write-ahead intents: a launch is on disk before it is sent, so that a killed run is not forgotten.

One append-only file for each process below `<root>/<stackId>`. Lines `open` are synced before the launch
call, by group commit: a thousand launches at once share a few syncs. Lines `close` are written but not
synced; losing one only means a wait that was not needed. A process holds a lock on its file while it lives.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from gpu_clouds.clock import Clock
from gpu_clouds.errors import ValidationError

ANSWERED_FOR_S = 30.0
"""For so long after its launch a node may be missing in a listing; its id is remembered meanwhile."""
KEEP_CLOSED_S = 3600.0
KEEP_DAYS = 7
"""Files that nobody has written to for so long are removed, whatever is in them."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A launch that is about to be sent.

    Attributes:
        id: Unique on this machine.
        marker: The name that the node will carry.
        cloud: Name of the cloud.
        opened_at: `Clock.time()` of the opening.
    """

    id: str
    marker: str
    cloud: str
    opened_at: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A launch that was answered a moment ago.

    Attributes:
        marker: The node's name.
        cloud: Name of the cloud.
        instance_id: The node's id.
        at: `Clock.time()` of the answer.
    """

    marker: str
    cloud: str
    instance_id: str
    at: float


@dataclass(frozen=True, slots=True)
class _Contents:
    """What a file of intents says."""

    open: dict[str, Intent]
    answers: list[Answer]


def ending(marker: str) -> str:
    """Under which marker a delete is noted: whoever means to keep such a node has to wait for it."""
    return f"end:{marker}"


def ending_objects(prefix: str) -> str:
    """Under which marker the end of what a cloud keeps for a whole stack is noted.

    Args:
        prefix: `stack_prefix(owner, stack_id)`.
    """
    return ending(f"{prefix}objects-")


def state_root() -> Path:
    """`GPUPLANE_STATE_DIR`, else `gpuplane` in the user's folder for state."""
    named = os.environ.get("GPUPLANE_STATE_DIR", "")
    if named:
        return Path(named)
    xdg = os.environ.get("XDG_STATE_HOME", "")
    return (Path(xdg) if xdg else Path.home() / ".local" / "state") / "gpuplane"


class IntentLog:
    """The intents of one stack on this machine. Threads and processes may share it.

    Args:
        stack_id: The stack's 8 characters.
        root: Where the folders of all stacks are; None for `state_root()`.
        clock: Tells the time.
    """

    def __init__(self, stack_id: str, root: Path | None, clock: Clock) -> None:
        self.folder = (state_root() if root is None else root) / stack_id
        self.known_machine = self.folder.is_dir()
        """This stack has been seen on this machine before this run."""
        self._clock = clock
        self._cond = threading.Condition()
        self._own = _Contents({}, [])
        self._pending: list[str] = []
        self._asked = 0
        self._synced = 0
        self._syncing = False
        self._broken: OSError | None = None
        self._fd = -1
        self._path: Path | None = None
        self._others: dict[str, tuple[tuple[int, int], _Contents]] = {}

    def remember_machine(self) -> None:
        """Makes the folder, so that the next run knows this machine."""
        try:
            _make_folder(self.folder)
        except OSError as error:
            raise self._cannot_write(error) from error

    def open(self, marker: str, cloud: str) -> Intent:
        """Writes an intent and returns once it is safe on disk.

        Args:
            marker: The name that the node will carry.
            cloud: Name of the cloud.

        Raises:
            ValidationError: The folder can't be written; nothing may be launched then.
        """
        intent = Intent(uuid.uuid4().hex, marker, cloud, self._clock.time())
        line = json.dumps(
            {"op": "open", "id": intent.id, "marker": marker, "cloud": cloud, "at": intent.opened_at}
        )
        with self._cond:
            self._pending.append(line + "\n")
            self._asked += 1
            ticket = self._asked
            while self._synced < ticket and self._broken is None:
                if self._syncing:
                    self._cond.wait()
                else:
                    self._sync()
            if self._broken is not None:
                raise self._cannot_write(self._broken) from self._broken
            self._own.open[intent.id] = intent
        return intent

    def close(self, intent: Intent, instance_id: str = "") -> None:
        """Says that the launch was answered, or is known not to have happened.

        Args:
            intent: The intent.
            instance_id: The node that came of it, if one did.
        """
        with self._cond:
            if self._own.open.pop(intent.id, None) is None or self._fd < 0:
                return
            now = self._clock.time()
            if instance_id:
                self._own.answers.append(Answer(intent.marker, intent.cloud, instance_id, now))
            line = json.dumps({"op": "close", "id": intent.id, "node": instance_id, "at": now}) + "\n"
            try:
                os.write(self._fd, line.encode())
            except OSError as error:
                self._broken = error

    def youngest_open(self, marker_prefix: str) -> float | None:
        """Age of the youngest open intent of these markers, of any process; None if there is none.

        The age of another process's intent counts from the last sign of life in its file: a launch may have
        been queued behind others and sent later than its intent was written.

        Args:
            marker_prefix: Start of the markers that count.

        Returns:
            Seconds, never below 0.
        """
        with self._cond:
            found = [
                intent
                for contents in (self._own, *self._read_others())
                for intent in contents.open.values()
                if intent.marker.startswith(marker_prefix)
            ]
        if not found:
            return None
        return max(0.0, self._clock.time() - max(i.opened_at for i in found))

    def settle_left(self, marker_prefix: str, settle_s: float) -> float:
        """Seconds until no open intent of these markers is younger than `settle_s`; 0 if that is so now."""
        age = self.youngest_open(marker_prefix)
        return 0.0 if age is None else max(0.0, settle_s - age)

    def answered(self, marker_prefix: str) -> list[Answer]:
        """Nodes launched less than 30 s ago: a listing may not show them yet, a status call does.

        Args:
            marker_prefix: Start of the markers that count.
        """
        since = self._clock.time() - ANSWERED_FOR_S
        with self._cond:
            return [
                answer
                for contents in (self._own, *self._read_others())
                for answer in contents.answers
                if answer.at >= since and answer.marker.startswith(marker_prefix)
            ]

    def _sync(self) -> None:
        """Writes and syncs all that is pending, the lock given back meanwhile."""
        self._syncing = True
        batch, upto = self._pending, self._asked
        self._pending = []
        self._cond.release()
        failure: OSError | None = None
        safe = False
        try:
            if self._fd < 0:
                self._start_file()
            _write_all(self._fd, "".join(batch).encode())
            os.fsync(self._fd)
            safe = True
        except OSError as error:
            failure = error
        finally:
            self._cond.acquire()
            self._syncing = False
            # After a failed sync the kernel may have dropped the pages: no later sync can be believed.
            self._broken = self._broken or failure
            if safe:
                self._synced = upto
            self._cond.notify_all()

    def _start_file(self) -> None:
        _make_folder(self.folder)
        self._prune()
        name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        hidden, path = self.folder / f".{name}.new", self.folder / f"{name}.jsonl"
        fd = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        # Locked before it gets its name: whoever sees the file sees that its process lives.
        fcntl.flock(fd, fcntl.LOCK_EX)
        hidden.rename(path)
        _sync_folder(self.folder)
        self._path, self._fd = path, fd

    def _read_others(self) -> list[_Contents]:
        result: list[_Contents] = []
        for path in self.folder.glob("*.jsonl"):
            if path == self._path:
                continue
            try:
                stat = path.stat()
                version = (stat.st_size, stat.st_mtime_ns)
                cached = self._others.get(path.name)
                if cached is None or cached[0] != version:
                    cached = (version, _read(path))
                    self._others[path.name] = cached
            except FileNotFoundError:
                continue
            result.append(cached[1])
        return result

    def _prune(self) -> None:
        """Removes files of ended processes that hold no open intent, or only very old ones."""
        for path in [*self.folder.glob("*.jsonl"), *self.folder.glob(".*.new")]:
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The file's own time, not ours: a run with another time scale must not hide or age it.
                age = time.time() - os.fstat(fd).st_mtime
                closed = age > KEEP_CLOSED_S and not _read(path).open
                if closed or age > KEEP_DAYS * 86400:
                    path.unlink(missing_ok=True)
            except BlockingIOError:
                continue
            finally:
                os.close(fd)

    def _cannot_write(self, error: OSError) -> ValidationError:
        return ValidationError(
            f"cannot write launch intents in {self.folder} ({error.strerror}); nothing is launched "
            f"without them: "
            "make the folder writable or set GPUPLANE_STATE_DIR"
        )


def _read(path: Path) -> _Contents:
    """Reads a file; a torn last line was never synced, so its launch was never sent."""
    found: dict[str, Intent] = {}
    answers: list[Answer] = []
    alive_at = 0.0
    for line in path.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
            alive_at = max(alive_at, float(entry["at"]))
            if entry["op"] == "open":
                found[entry["id"]] = Intent(entry["id"], entry["marker"], entry["cloud"], alive_at)
            else:
                closed = found.pop(entry["id"])
                if entry["node"]:
                    answers.append(Answer(closed.marker, closed.cloud, entry["node"], float(entry["at"])))
        except (ValueError, KeyError, TypeError):
            continue
    alive = {key: Intent(i.id, i.marker, i.cloud, alive_at) for key, i in found.items()}
    return _Contents(alive, answers)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _make_folder(folder: Path) -> None:
    """Makes the folder and syncs every folder that got a new entry."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for made in missing:
        _sync_folder(made.parent)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
