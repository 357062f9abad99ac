"""What all operations of one engine run share in one process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from gpu_clouds.clock import Clock
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.errors import ValidationError
from gpu_clouds.inventory import Feed
from gpu_clouds.models import Candidate, Offer
from gpu_clouds.weights_cache import CacheBook

_OFFERS_KEPT_S = 60.0
"""A fleet of equal nodes that is launched together asks for its prices once."""


class Run:
    """Shared listings and prices, and the ids that creates returned. Make one for each engine run.

    Args:
        clock: Tells the time.
        condition: Makes condition variables; tests put in one that their clock can see.

    Attributes:
        caches: Weights caches that the run has found or made.
    """

    def __init__(
        self, clock: Clock, condition: Callable[[], threading.Condition] = threading.Condition
    ) -> None:
        self._clock = clock
        self._condition = condition
        self._lock = threading.Lock()
        self._feeds: dict[tuple[str, str, str], Feed] = {}
        self._first_listed: dict[tuple[str, str, str], float] = {}
        self._returned: set[tuple[str, str]] = set()
        self._claimed: set[str] = set()
        self._ever_claimed: set[str] = set()
        self._new_since: dict[str, float] = {}
        self._avoided: dict[tuple[str, str], str] = {}
        self.caches = CacheBook()
        self._offers: dict[tuple[str, str, tuple[Candidate, ...]], tuple[float, list[Offer]]] = {}
        self._offers_locks: dict[tuple[str, str, tuple[Candidate, ...]], threading.Lock] = {}

    def feed(self, cloud: GpuCloud, prefix: str) -> Feed:
        """The shared listings of a stack with one credential set.

        Args:
            cloud: Where.
            prefix: `stack_prefix(owner, stack_id)`.
        """
        key = (cloud.name, cloud.credentials, prefix)
        with self._lock:
            if key not in self._feeds:
                self._feeds[key] = Feed(cloud, prefix, self._clock, self._condition)
            return self._feeds[key]

    def mark_new(self, prefix: str) -> None:
        """Remembers that this run has made the stack's LeakGuard, now.

        Args:
            prefix: `stack_prefix(owner, stack_id)`.
        """
        with self._lock:
            self._new_since[prefix] = self._clock.monotonic()

    def new_since(self, prefix: str) -> float | None:
        """`Clock.monotonic()` at which this run made the stack's LeakGuard; None if it did not."""
        with self._lock:
            return self._new_since.get(prefix)

    def first_listed_at(self, cloud: GpuCloud, prefix: str, cancel: threading.Event | None) -> float:
        """When this run listed the stack with this credential set for the first time; lists if it never did.

        Returns:
            `Clock.monotonic()` of the end of that listing.
        """
        key = (cloud.name, cloud.credentials, prefix)
        with self._lock:
            known = self._first_listed.get(key)
        if known is not None:
            return known
        self.feed(cloud, prefix).fresh(cancel)
        with self._lock:
            return self._first_listed.setdefault(key, self._clock.monotonic())

    def offers(self, cloud: GpuCloud, candidates: Sequence[Candidate]) -> list[Offer]:
        """`cloud.offers`, asked once a minute by all together."""
        key = (cloud.name, cloud.credentials, tuple(candidates))
        with self._lock:
            one_asks = self._offers_locks.setdefault(key, threading.Lock())
        with one_asks:
            kept = self._offers.get(key)
            if kept is None or self._clock.monotonic() - kept[0] > _OFFERS_KEPT_S:
                kept = (self._clock.monotonic(), cloud.offers(candidates))
                self._offers[key] = kept
            return kept[1]

    def avoid(self, cloud_name: str, region: str, why: str) -> None:
        """Remembers a place where a node turned out to be unusable.

        Args:
            cloud_name: Name of the cloud: another account gets the same machines.
            region: The cloud's own id.
            why: For the user.
        """
        with self._lock:
            self._avoided.setdefault((cloud_name, region), why)

    def avoided(self, cloud_name: str) -> dict[str, str]:
        """The cloud's own ids of places to avoid in this run, and why."""
        with self._lock:
            return {region: why for (cloud, region), why in self._avoided.items() if cloud == cloud_name}

    @contextmanager
    def claim(self, node_prefix: str) -> Iterator[bool]:
        """Holds a node's name; for good when the block ends well. Gives whether it is for the first time.

        Args:
            node_prefix: `Marker.node_prefix`.

        Raises:
            ValidationError: Another resource of this run has the same name: both would adopt one node.
        """
        with self._lock:
            if node_prefix in self._claimed:
                raise ValidationError(
                    f"two nodes of this program are both called {node_prefix[14:-1]!r}; give each its "
                    f"own name"
                )
            first = node_prefix not in self._ever_claimed
            self._claimed.add(node_prefix)
            self._ever_claimed.add(node_prefix)
        well = False
        try:
            yield first
            well = True
        finally:
            if not well:
                with self._lock:
                    self._claimed.discard(node_prefix)

    def hand_out(self, cloud: GpuCloud, instance_id: str) -> None:
        """Remembers that a create of this run returned this id."""
        with self._lock:
            self._returned.add((cloud.name, instance_id))

    def handed_out(self, cloud: GpuCloud, instance_id: str) -> bool:
        """Whether a create of this run returned this id: no delete of this run may end it."""
        with self._lock:
            return (cloud.name, instance_id) in self._returned
