"""What the server does during a launch, as lines that a user reads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gpu_clouds.clock import Clock
from gpu_clouds.errors import CancelledError, GpuCloudError
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.errors import ApiError
from gpu_clouds.skypilot.models import ClusterEvent

EVERY_S = 10.0
_SHOWN = 120


class Events:
    """The events of one cluster, each told once.

    Args:
        client: The server.
        cluster: The cluster's name.
        say: Gets the lines.
    """

    def __init__(self, client: SkyPilotClient, cluster: str, say: Callable[[str], None]) -> None:
        self._client = client
        self._cluster = cluster
        self._say = say
        self._told: set[tuple[float, str]] = set()

    def look(self) -> None:
        """Tells what is new. A server that can't be asked, or has no such cluster yet, tells nothing."""
        try:
            found = self._client.cluster_events(self._cluster)
        except (ApiError, GpuCloudError):
            return
        for event in sorted(found, key=_when):
            key = (_when(event), event.reason)
            if event.reason and key not in self._told:
                self._told.add(key)
                self._say(" ".join(event.reason.split())[:_SHOWN])


@contextmanager
def told(events: Events, clock: Clock) -> Iterator[None]:
    """Tells events for as long as the block runs.

    Args:
        events: The events.
        clock: Time.
    """
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            try:
                clock.sleep(EVERY_S, over)
            except CancelledError:
                return
            events.look()

    thread = threading.Thread(target=look, name="events", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _when(event: ClusterEvent) -> float:
    return event.transitioned_at or 0.0
