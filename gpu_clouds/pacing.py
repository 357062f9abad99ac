"""Keeps within a cloud's request limits, for all threads of a process and all processes of a machine.

A pacer belongs to one cloud and key. While no limit is near it costs a few microseconds a call.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gpu_clouds.answers import Answer, Kind
from gpu_clouds.clock import Clock
from gpu_clouds.connection import Connection
from gpu_clouds.errors import RateLimitedError
from gpu_clouds.filelock import change_text

_log = logging.getLogger("gpuplane.clouds")

LONGEST_WAIT_S = 300.0
"""A wait above this is an error that says so, not a silence: an hourly or daily limit is used up."""


class Pacer(Protocol):
    """Decides when the next request may be sent."""

    def wait(self, kind: Kind, cancel: threading.Event | None) -> None:
        """Returns when the request may be sent.

        Raises:
            RateLimitedError: That would take longer than `LONGEST_WAIT_S`.
            CancelledError: Cancelled while waiting.
        """

    def observe(self, answer: Answer) -> None:
        """Learns from an answer."""


def pacing_file(state_dir: Path, cloud: str, api_key: str) -> Path:
    """Where the pacing of this cloud and key is shared; the key is there only as part of a hash."""
    digest = hashlib.sha256(f"gpuplane pacing\0{cloud}\0{api_key}".encode()).hexdigest()[:16]
    return state_dir / "pacing" / f"{cloud}-{digest}.json"


class SharedTimes:
    """A few named points in time, shared through a file.

    Where no file can be written they are kept within the process, with a warning.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._times: dict[str, float] = {}
        self._private = False

    def latest(self, name: str) -> float:
        """The time of this name, 0 if none; reads the file only when it has changed."""
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            if stamp != self._stamp:
                # Read without the lock: a half-written text gives nothing and is read again by the next call.
                times = _times_in(self._path.read_text("utf-8", "replace"))
                with self._lock:
                    self._times, self._stamp = {**self._times, **times}, stamp if times else None
        except OSError:
            pass  # nobody has written it yet
        return self._times.get(name, 0.0)

    def push(self, name: str, until: float) -> None:
        """Moves the time of this name to `until` where it is earlier."""
        self._change(name, lambda old: max(old, until))

    def reserve(self, name: str, now: float, interval_s: float) -> float:
        """Takes the next free slot of a fixed rate: when it is, in seconds since the epoch.

        A slot further off than `LONGEST_WAIT_S` is told and not taken: nobody would wait for it.
        """
        slot = 0.0

        def change(free_at: float) -> float:
            nonlocal slot
            slot = max(now, free_at)
            return free_at if slot - now > LONGEST_WAIT_S else slot + interval_s

        self._change(name, change)
        return slot

    def _change(self, name: str, change: Callable[[float], float]) -> None:
        def rewrite(text: str) -> str:
            times = _times_in(text)
            times[name] = self._times[name] = change(times.get(name, 0.0))
            return json.dumps(times)

        with self._lock:
            if not self._private:
                try:
                    change_text(self._path, rewrite)
                    return
                except OSError as error:
                    self._private = True
                    _log.warning("pacing is not shared with other processes: %s", error)
            self._times[name] = change(self._times.get(name, 0.0))


def _times_in(text: str) -> dict[str, float]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(name): float(at) for name, at in found.items() if isinstance(at, int | float)}


class FixedRatePacer:
    """One request for each interval, with a longer interval for launches (Lambda: 1 s and 12 s).

    Args:
        what: Whose limits these are, for messages.
        clock: Time.
        shared: Where the processes meet.
        interval_s: Seconds from one request to the next.
        create_interval_s: Seconds from one launch to the next.
    """

    def __init__(
        self, what: str, clock: Clock, shared: SharedTimes, *, interval_s: float, create_interval_s: float
    ) -> None:
        self._what = what
        self._clock = clock
        self._shared = shared
        self._interval_s = interval_s
        self._create_interval_s = create_interval_s
        self._taken = threading.local()

    def take_turn(self, cancel: threading.Event | None) -> None:
        """Waits for the turn of a launch that this thread is about to send, and keeps it until then.

        A turn that is not used before the next one comes is lost.
        """
        self.wait(Kind.CREATE, cancel)
        self._taken.until = self._clock.time() + self._create_interval_s

    def wait(self, kind: Kind, cancel: threading.Event | None) -> None:
        """As for `Pacer`."""
        if kind is Kind.CREATE:
            until, self._taken.until = getattr(self._taken, "until", 0.0), 0.0
            if self._clock.time() < until:
                return
        if kind is Kind.CREATE:
            self._until(self._shared.reserve("create", self._clock.time(), self._create_interval_s), cancel)
        while True:
            self._until(self._shared.reserve("any", self._clock.time(), self._interval_s), cancel)
            self._until(self._shared.latest("blocked"), cancel)
            if kind is not Kind.CREATE:
                return
            # A launch that had to wait for other requests was sent later than its slot: count from then.
            now, next_launch = self._clock.time(), self._shared.latest("launched")
            if next_launch <= now:
                self._shared.push("launched", now + self._create_interval_s)
                return
            self._until(next_launch, cancel)

    def observe(self, answer: Answer) -> None:
        """Learns the Retry-After of a 429."""
        _block_by_retry_after(answer, self._shared, self._clock)

    def _until(self, at: float, cancel: threading.Event | None) -> None:
        _sleep_until(self._what, self._clock, at, cancel)


@dataclass(slots=True)
class _Window:
    quota: int
    length_s: float
    left: int
    resets_at: float


class HeaderPacer:
    """Follows the `RateLimit` and `RateLimit-Policy` headers of the answers (RunPod).

    Each window's rest is counted down with every request sent, so that many threads do not spend the same
    token. The longest exhausted window decides how long to wait. Other processes with the same key hear of a
    wait through the file.

    Args:
        what: Whose limits these are, for messages.
        clock: Time.
        shared: Where the processes meet.
    """

    def __init__(self, what: str, clock: Clock, shared: SharedTimes) -> None:
        self._what = what
        self._clock = clock
        self._shared = shared
        self._lock = threading.Lock()
        self._windows: dict[str, _Window] = {}

    def wait(self, kind: Kind, cancel: threading.Event | None) -> None:
        """As for `Pacer`; all kinds count alike."""
        while True:
            now = self._clock.time()
            at = max(self._shared.latest("blocked"), self._take(now))
            if at <= now:
                return
            _sleep_until(self._what, self._clock, at, cancel)

    def observe(self, answer: Answer) -> None:
        """Learns how much is left in each window, and the Retry-After of a 429."""
        if text := answer.headers.get("ratelimit"):
            now = self._clock.time()
            policy = parse_limits(answer.headers.get("ratelimit-policy", ""))
            exhausted = 0.0
            with self._lock:
                for name, limit in parse_limits(text).items():
                    left, resets_at = limit.get("r", 1), now + limit.get("t", 0)
                    quota = policy.get(name, {}).get("q", max(left, 1))
                    length = float(policy.get(name, {}).get("w", max(limit.get("t", 0), 1)))
                    known = self._windows.get(name)
                    # Answers overtake one another: within one window the smaller rest is the true one.
                    if known and abs(known.resets_at - resets_at) <= 2.0 and known.resets_at > now:
                        left = min(left, known.left)
                    self._windows[name] = _Window(quota, length, left, resets_at)
                    if left <= 0:
                        exhausted = max(exhausted, resets_at)
            if exhausted > self._shared.latest("blocked"):
                self._shared.push("blocked", exhausted)
        _block_by_retry_after(answer, self._shared, self._clock)

    def _take(self, now: float) -> float:
        """Takes one token of each window: 0 when there was one, else when there will be."""
        if not self._windows:
            return 0.0
        with self._lock:
            for window in self._windows.values():
                if now >= window.resets_at:
                    window.left, window.resets_at = window.quota, now + window.length_s
            empty = [window.resets_at for window in self._windows.values() if window.left <= 0]
            if empty:
                return max(empty)
            for window in self._windows.values():
                window.left -= 1
            return 0.0


_LIMIT = re.compile(r'\s*"?([A-Za-z0-9_.-]+)"?\s*((?:;\s*[a-z]+\s*=\s*\d+\s*)+)')
_PARAMETER = re.compile(r"([a-z]+)\s*=\s*(\d+)")


def parse_limits(header: str) -> Mapping[str, Mapping[str, int]]:
    """Reads `"minute";r=0;t=12, "hour";r=2800;t=1812`; what can not be read is left out.

    Returns:
        Name of each window with its parameters: r left, t seconds to the reset, q quota, w length in seconds.
    """
    found: dict[str, dict[str, int]] = {}
    for part in header.split(","):
        if match := _LIMIT.fullmatch(part):
            found[match[1]] = {name: min(int(value), 10**9) for name, value in _PARAMETER.findall(match[2])}
    return found


def _block_by_retry_after(answer: Answer, shared: SharedTimes, clock: Clock) -> None:
    if answer.status == 429:
        shared.push("blocked", clock.time() + (answer.retry_after_s() or 0.0))


def _sleep_until(what: str, clock: Clock, at: float, cancel: threading.Event | None) -> None:
    wait = at - clock.time()
    if wait <= 0:
        return
    if wait > LONGEST_WAIT_S:
        raise RateLimitedError(
            f"{what}: the request limit of this account is used up; it frees in {wait / 60:.0f} min",
            retry_after_s=wait,
        )
    if wait >= 5:
        _log.info("%s: waiting %.0f s for the account's request limit", what, wait)
    clock.sleep(wait, cancel)


_header_pacers: weakref.WeakValueDictionary[tuple[Path, int], HeaderPacer] = weakref.WeakValueDictionary()
_header_pacers_lock = threading.Lock()


def header_pacer(connection: Connection, title: str) -> HeaderPacer:
    """The pacer of this cloud and key, shared by all connections: limits belong to the account."""
    credentials = connection.credentials
    path = pacing_file(connection.state_dir, credentials.cloud, credentials.api_key)
    # The pacer keeps its clock alive, so that no other clock can have this identity meanwhile.
    key = (path, id(connection.clock))
    with _header_pacers_lock:
        pacer = _header_pacers.get(key)
        if pacer is None:
            what = f"{title}, credential set {credentials.name!r}"
            pacer = HeaderPacer(what, connection.clock, SharedTimes(path))
            _header_pacers[key] = pacer
        return pacer
