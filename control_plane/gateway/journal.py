"""The journal on local disk: what a killed gateway leaves behind of its requests.

One folder for each process, `JOURNAL/<random>/`, with a file `lock` that its process holds locked for as
long as it lives, and segments `00000001.jsonl`, ... of one JSON line for each beginning and each end of a
request. A line is handed to the kernel by a single write before anything goes on, so whatever kills the
process (kill -9, a fault, no memory) loses nothing of what was written. Nothing waits for the disk itself
(no fsync): a loss of power, or a crash of the machine's kernel, may take the lines of the last seconds that
the kernel had not yet written out, about 30 s with Linux's defaults, less whatever was shipped to the store
meanwhile.

A segment stands by itself: a new one begins with the requests that are open just then, so that an old one
can go as soon as the store has its ended requests. The folder of a process that is gone is taken over by
whoever gets its lock.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SEGMENT_BYTES = 4_000_000
LIMIT_BYTES = 1_000_000_000
_LOCK = "lock"
_MAKING = ".making-"
_SUFFIX = ".jsonl"
_READ_BYTES = 1_000_000


class JournalError(Exception):
    """The journal's folder cannot be used; the message is for the user."""


@dataclass(slots=True)
class Segment:
    """A file of a journal.

    Attributes:
        path: Where it is.
        size: Its whole lines, bytes.
        read: How much of it was read and is in the store, bytes.
    """

    path: Path
    size: int
    read: int = 0

    def lines(self, most: int = _READ_BYTES) -> tuple[list[bytes], int]:
        """Its next whole lines, from `read` on.

        Args:
            most: About how many bytes at once.

        Returns:
            The lines, and where they end.
        """
        with self.path.open("rb") as file:
            file.seek(self.read)
            piece = file.read(most)
            if piece and b"\n" not in piece:
                piece += file.readline()
        whole = piece.rfind(b"\n") + 1
        return piece[:whole].splitlines(), self.read + whole


class Journal:
    """This process's own journal.

    Args:
        folder: Folder of all journals.
        segment_bytes: From which size on a segment is followed by another, bytes.
        limit_bytes: Most that all journals here may take of the disk, bytes.

    Attributes:
        segments: Oldest first; the last one is being written.
        path: Its own folder.

    Raises:
        JournalError: The folder cannot be written.
    """

    def __init__(
        self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._limit = limit_bytes
        self._number = 0
        self.segments: list[Segment] = []
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._used = sum(file.stat().st_size for file in folder.glob(f"*/*{_SUFFIX}"))
            name = secrets.token_hex(8)
            # Nobody may take it for a dead one's before it is locked.
            making = folder / f"{_MAKING}{name}"
            making.mkdir(mode=0o700)
            self._lock = os.open(making / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.path = folder / name
            making.rename(self.path)
            self._handle = self._opened()
        except OSError as error:
            raise JournalError(f"the journal's folder {folder} cannot be used: {error.strerror}") from None

    def append(self, line: bytes) -> bool:
        """Writes one line.

        Args:
            line: With its line end, and no other.

        Returns:
            Whether it is written. Not where the journal is as large as it may be, or the disk refuses.
        """
        size = len(line)
        if self._used + size > self._limit or not self._write(self._handle, self.segments[-1], line):
            return False
        self._used += size
        return True

    @property
    def full(self) -> bool:
        """Whether it is time for another segment."""
        return self.segments[-1].size >= self._segment_bytes

    def rotate(self, still_open: Iterable[bytes]) -> bool:
        """Begins another segment.

        Args:
            still_open: Lines of the requests that have begun and not ended: the new one begins with them.

        Returns:
            Whether there is a new one; else the old one goes on.
        """
        carried = b"".join(still_open)
        if self._used + len(carried) > self._limit:
            return False
        old = self._handle
        try:
            self._handle = self._opened()
        except OSError:
            return False
        new = self.segments[-1]
        if carried and not self._write(self._handle, new, carried):
            os.close(self._handle)
            self._handle = old
            self.segments.pop()
            new.path.unlink(missing_ok=True)
            return False
        self._used += len(carried)
        os.close(old)
        return True

    def drop_shipped(self) -> None:
        """Removes the segments that are wholly in the store, oldest first; never the one being written."""
        while len(self.segments) > 1 and self.segments[0].read >= self.segments[0].size:
            gone = self.segments.pop(0)
            gone.path.unlink(missing_ok=True)
            self._used -= gone.size

    def others(self) -> Iterator[DeadJournal]:
        """Takes over the journals of processes that are gone, one after the other."""
        for path in sorted(self._folder.iterdir()):
            if path == self.path or not path.is_dir():
                continue
            taken = _taken_over(path)
            if taken is not None:
                size = sum(segment.size for segment in taken.segments)
                yield taken
                if not path.exists():
                    self._used = max(0, self._used - size)

    def close(self) -> None:
        """Ends it. What stands in its folder is for the next one to start."""
        os.close(self._handle)
        os.close(self._lock)

    def remove(self) -> None:
        """Takes its folder away, of which everything is in the store. Before `close`."""
        _remove(self.path)

    def _opened(self) -> int:
        self._number += 1
        path = self.path / f"{self._number:08d}{_SUFFIX}"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self.segments.append(Segment(path, 0))
        return handle

    def _write(self, handle: int, segment: Segment, data: bytes) -> bool:
        try:
            written = os.write(handle, data)
            if written == len(data):
                segment.size += written
                return True
            # The disk is full: no half line may stand before the next one.
            os.ftruncate(handle, segment.size)
        except OSError:
            return False
        return False


class DeadJournal:
    """The journal of a process that is gone, taken over.

    Args:
        path: Its folder.
        lock: Its lock, held.

    Attributes:
        segments: Oldest first.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self.segments = [Segment(file, file.stat().st_size) for file in sorted(path.glob(f"*{_SUFFIX}"))]

    def remove(self) -> None:
        """Takes it away once all of it is in the store."""
        _remove(self.path)

    def release(self) -> None:
        """Lets go of its lock; what was not removed is for the next one."""
        os.close(self._lock)


def _remove(path: Path) -> None:
    """Oldest segment first, so no beginning outlives its end; the lock last, so that any rest is found."""
    for segment in sorted(path.glob(f"*{_SUFFIX}")):
        segment.unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def _taken_over(path: Path) -> DeadJournal | None:
    if path.name.startswith(_MAKING):
        return None
    try:
        lock = os.open(path / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        # Removed meanwhile, or half removed: then without anything that counts.
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if (path / _LOCK).stat().st_ino == os.fstat(lock).st_ino:
            return DeadJournal(path, lock)
    except (BlockingIOError, FileNotFoundError):
        # It is alive, or another one has just dealt with it.
        pass
    os.close(lock)
    return None
