"""The log file of a service: written by its supervisor, never larger than asked, read for an error."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

SHOWN_LINES = 12
_READ_BYTES = 32 * 1024
_LINE = 300


class RotatingLog:
    """A log file that is moved to `<name>.1` when it gets too large. Trouble with the disk stops no service.

    Args:
        path: The file.
        max_bytes: Its size.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max = max_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = self._open()

    def write(self, data: bytes) -> None:
        """Appends; a full disk loses what does not fit."""
        with contextlib.suppress(OSError):
            if os.fstat(self._fd).st_size + len(data) > self._max:
                self._path.replace(self._path.with_name(self._path.name + ".1"))
                os.close(self._fd)
                self._fd = self._open()
            while data:
                data = data[os.write(self._fd, data) :]

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def size(path: Path) -> int:
    """Size of a log file, bytes; 0 without one."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def last_lines(path: Path, begin: int = 0) -> list[str]:
    """The last lines of a log file.

    Args:
        path: The file.
        begin: Lines before this place are of an earlier run; ignored when the file was begun anew since.
    """
    try:
        with path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(begin if begin <= end else 0, end - _READ_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line.rstrip()[:_LINE] for line in lines if line.strip()][-SHOWN_LINES:]
