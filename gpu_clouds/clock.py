"""Time as an argument, so that no test waits on real time and an emulated hour can pass in a second."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Protocol

from gpu_clouds.errors import CancelledError


class Clock(Protocol):
    """What the time is and how to wait."""

    def time(self) -> float:
        """Seconds since the epoch, comparable between processes."""

    def monotonic(self) -> float:
        """Seconds for measuring durations."""

    def sleep(self, seconds: float, cancel: threading.Event | None = None) -> None:
        """Waits.

        Raises:
            CancelledError: `cancel` was set before or while waiting.
        """


class SystemClock:
    """The machine's clock, optionally running faster.

    Args:
        scale: Emulated seconds for each real one. Only tests and the dev stack may use anything but 1
            (`GPUPLANE_TIME_SCALE`). All processes of a run use the same scale, so their `time()` agree.
    """

    def __init__(self, scale: float = 1.0) -> None:
        if scale <= 0:
            raise ValueError(f"time scale must be above 0, not {scale}")
        self.scale = scale
        self._real_start = time.monotonic()

    def time(self) -> float:
        """Seconds since the epoch, scaled: differences are in emulated seconds."""
        return time.time() * self.scale

    def monotonic(self) -> float:
        """Emulated seconds since this clock was made."""
        return (time.monotonic() - self._real_start) * self.scale

    def sleep(self, seconds: float, cancel: threading.Event | None = None) -> None:
        """Waits `seconds` emulated seconds, or until cancelled."""
        real = max(0.0, seconds) / self.scale
        if cancel is None:
            time.sleep(real)
        elif cancel.wait(real):
            raise CancelledError("cancelled while waiting")


def utc_now() -> datetime:
    """The machine's wall-clock time, for time stamps that people read."""
    return datetime.now(UTC)
