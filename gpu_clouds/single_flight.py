"""One answer for many threads that ask the same thing at about the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gpu_clouds.clock import Clock

T = TypeVar("T")


@dataclass(slots=True)
class _Slot(Generic[T]):
    lock: threading.Lock = field(default_factory=threading.Lock)
    value: T | None = None
    until: float = float("-inf")


class SingleFlight(Generic[T]):
    """Keeps each value for a while, and fetches it by one thread while the others wait for it.

    A failed fetch is not kept: the next waiting thread tries for itself.

    Args:
        keep_s: How long a value is good for, seconds.
        clock: Time.
    """

    def __init__(self, keep_s: float, clock: Clock) -> None:
        self._keep_s = keep_s
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: dict[Hashable, _Slot[T]] = {}

    def get(self, key: Hashable, fetch: Callable[[], T]) -> T:
        """The value of this key, at most `keep_s` old."""
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
        with slot.lock:
            if slot.value is None or self._clock.monotonic() >= slot.until:
                slot.value = fetch()
                slot.until = self._clock.monotonic() + self._keep_s
            return slot.value
