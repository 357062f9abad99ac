"""The host ends with its engine.

An engine that is killed leaves its plugins running, and a running create goes on renting machines that no
state knows. Two things end that: a thread that watches the engine, and `check()`, which every writing cloud
call makes just before it sends.

What is watched: the pipe that the engine reads our stdout from (its reading end closes with the engine, which
`poll` reports at once) and the parent process (for systems whose `poll` does not report it).
The end is `os._exit`: an exception would run clean-up code that deletes what another run may have adopted
by now.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from typing import NoReturn

EXIT_CODE = 9
LOOK_EVERY_S = 0.25


def _end() -> NoReturn:
    os._exit(EXIT_CODE)


class Fence:
    """Watches one engine.

    Args:
        pipe: File descriptor whose other end the engine holds.
        parent: Process id of the engine.
        end: What to do when it is gone; must not return.
    """

    def __init__(self, pipe: int, parent: int, end: Callable[[], NoReturn] = _end) -> None:
        self._pipe = pipe
        self._parent = parent
        self._end = end

    def engine_lives(self, wait_s: float = 0.0) -> bool:
        """Look once; with `wait_s`, watch the pipe for that many seconds and then look."""
        poll = select.poll()
        poll.register(self._pipe, 0)  # no event asked for: errors and hang-ups are always reported
        return not poll.poll(wait_s * 1000) and os.getppid() == self._parent

    def check(self) -> None:
        """End this process if the engine is gone."""
        if not self.engine_lives():
            self._end()

    def watch(self) -> None:
        """Start the watching thread."""

        def loop() -> None:
            while self.engine_lives(LOOK_EVERY_S):
                pass
            self._end()

        threading.Thread(target=loop, name="fence", daemon=True).start()


_armed: Fence | None = None


def arm(fence: Fence | None) -> None:
    """Make `fence` the one of this process; the host does it at its start."""
    global _armed
    _armed = fence


def check() -> None:
    """Call it right before every write to a cloud: never returns once the engine is gone.

    Outside our host it does nothing.
    """
    if _armed is not None:
        _armed.check()
