"""Emulated time: as fast as asked for, movable by hand, and going on over a restart."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from emulators.http import CutConnection

TIME_SCALE = "GPUPLANE_TIME_SCALE"
EMULATED = "GPUPLANE_EMULATED"


class SettingError(Exception):
    """A setting of the emulators is wrong; the message says which and how to put it right."""


def time_scale(environment: Mapping[str, str] | None = None) -> float:
    """Emulated seconds per real second, from the environment.

    Raises:
        SettingError: The value is no number above 0, or differs from 1 while `GPUPLANE_EMULATED` is not `1`:
        only
            tests and the dev stack may bend time, and they say so.
    """
    environment = os.environ if environment is None else environment
    text = environment.get(TIME_SCALE, "") or "1"
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale < 1e6:
        raise SettingError(f"{TIME_SCALE}={text}: give a number above 0, such as 20")
    if scale != 1.0 and environment.get(EMULATED) != "1":
        raise SettingError(
            f"{TIME_SCALE}={text} is for tests and the dev stack only; set {EMULATED}=1 to say so"
        )
    return scale


class EmulatedClock:
    """Emulated seconds since the epoch.

    Args:
        scale: Emulated seconds per real second; 0 stands still, for tests that move time by `advance` alone.
        start: Emulated time at `real_start`; None: the real time.
        real_start: Real time, seconds since the epoch, at which emulated time was `start`; None: now. Kept
            over a restart, so that the time during which the emulator was down counts.
        real_time: Where real time comes from.
    """

    def __init__(
        self,
        scale: float = 1.0,
        *,
        start: float | None = None,
        real_start: float | None = None,
        real_time: Callable[[], float] = time.time,
    ) -> None:
        self.scale = scale
        self._real_time = real_time
        self._real_start = real_time() if real_start is None else real_start
        self._start = self._real_start if start is None else start
        self._sleepers: set[asyncio.Future[None]] = set()
        self._stopped = False

    def now(self) -> float:
        """The emulated time, seconds since the epoch."""
        return self._start + (self._real_time() - self._real_start) * self.scale

    def advance(self, seconds: float) -> None:
        """Moves time forward and wakes whoever's time has come."""
        if seconds < 0:
            raise SettingError("time only moves forward")
        self._start += seconds
        self._wake()

    def stop(self) -> None:
        """Ends all waiting, now and later: the emulators stop."""
        self._stopped = True
        self._wake()

    def _wake(self) -> None:
        for sleeper in list(self._sleepers):
            if not sleeper.done():
                sleeper.set_result(None)

    def snapshot(self) -> dict[str, float]:
        """What a restart needs to go on from here."""
        real = self._real_time()
        now = self._start + (real - self._real_start) * self.scale
        return {"start": now, "real_start": real, "scale": self.scale}

    async def sleep(self, seconds: float) -> None:
        """Waits emulated seconds.

        Raises:
            CutConnection: The emulators stop: whoever waits for an answer gets none.
        """
        until = self.now() + seconds
        loop = asyncio.get_running_loop()
        while (left := until - self.now()) > 0:
            if self._stopped:
                raise CutConnection
            sleeper = loop.create_future()
            self._sleepers.add(sleeper)
            try:
                await asyncio.wait_for(sleeper, left / self.scale if self.scale else None)
            except TimeoutError:
                return
            finally:
                self._sleepers.discard(sleeper)


def rfc3339(seconds: float) -> str:
    """A time stamp as clouds write it: `2026-11-21T08:00:00Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_rfc3339(text: str) -> float:
    """Seconds since the epoch.

    Raises:
        ValueError: It is no RFC 3339 time stamp with a time zone.
    """
    stamp = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if stamp.tzinfo is None:
        raise ValueError("a time stamp needs a time zone")
    return stamp.timestamp()
