"""A small file that the processes of one machine change one after another."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Opens (and creates, readable by its owner alone) a file and holds its lock; yields the descriptor.

    Raises:
        OSError: The file can not be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)  # closing gives the lock back


def change_text(path: Path, change: Callable[[str], str]) -> str:
    """Replaces the file's text by what `change` makes of it, under the lock; returns the new text.

    Args:
        path: The file; made when missing.
        change: From the old text (empty for a new file) to the new one.
    """
    with locked(path) as descriptor:
        old = os.pread(descriptor, 1 << 20, 0).decode("utf-8", "replace")
        new = change(old)
        if new != old:
            data = new.encode()
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
        return new
