"""A weights cache: a disk in one place that outlives the nodes that mount it.

There is one for each node class and place, named by a marker: `gp-<owner>-<stackId>-cache-<class>-<hash>`.
It is made before the first node that needs it, and ends with the stack. `caching.py` does both.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol, runtime_checkable

from gpu_clouds.cloud import GpuCloud
from gpu_clouds.marker import Marker, spec_hash, stack_prefix
from gpu_clouds.models import CacheVolume

SLUG_PREFIX = "cache-"
"""Starts the part of the marker that names the class."""


@dataclass(frozen=True, slots=True)
class CacheRequest:
    """The cache that a node mounts.

    Attributes:
        name: `cache-<class>`, at most 24 characters.
        size_gb: Size that a new one gets, GB, where the cloud asks for one.
        path: Where the node mounts it.
    """

    name: str
    size_gb: int
    path: str


@runtime_checkable
class KeepsCaches(Protocol):
    """A cloud that has such disks; `capabilities.weights_cache` says so before anything is connected."""

    def list_caches(self, name_prefix: str) -> Sequence[CacheVolume]:
        """Every disk whose name starts with the prefix."""

    def create_cache(self, name: str, region: str, size_gb: int) -> CacheVolume:
        """Makes one; sent once.

        Args:
            name: Its name.
            region: The cloud's own id of the place.
            size_gb: Its size, GB; without a meaning on clouds whose disks grow by themselves.

        Raises:
            AmbiguousError: It may have been made all the same: list by name first.
        """

    def delete_cache(self, cache_id: str) -> None:
        """Ends one and what is on it. Absent is success.

        Raises:
            ConflictError: A node still mounts it, or did a moment ago.
        """


@dataclass(frozen=True, slots=True)
class CachePrice:
    """What such a disk costs.

    Attributes:
        tiers: (up to how many GB, USD per GB and month), the last without an end (None).
        as_of: When it was written down.
        source: Where it is from.
        by_use: What is on it counts, not its size: then the size asked for is only an estimate.
    """

    tiers: tuple[tuple[int | None, float], ...]
    as_of: date
    source: str
    by_use: bool = False

    def monthly_usd(self, size_gb: int) -> float:
        """USD per month; each tier's price counts for the part of the disk that is in it."""
        total, begin = 0.0, 0
        for end, price in self.tiers:
            upto = size_gb if end is None else min(end, size_gb)
            total += max(0, upto - begin) * price
            begin = upto
        return round(total, 2)


@dataclass(slots=True)
class CacheSlot:
    """One cache of this run.

    Attributes:
        lock: Held while it is looked for, made or ended.
        volume: The disk; None while there is none.
        new: This run has made it, and no launch with it has been accepted.
        users: Launches that are on their way with it.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    volume: CacheVolume | None = None
    new: bool = False
    users: int = 0


class CacheBook:
    """The caches that this run has found or made; shared by all operations of the run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: dict[tuple[str, str, str], CacheSlot] = {}

    def slot(self, cloud: GpuCloud, name: str) -> CacheSlot:
        """Where the cache of this name and account is kept."""
        with self._lock:
            return self._slots.setdefault((cloud.name, cloud.credentials, name), CacheSlot())


def slug(node_class: str) -> str:
    """The part of the marker that names the class."""
    return f"{SLUG_PREFIX}{node_class}"


def cache_name(owner: str, stack_id: str, name: str, cloud: str, region: str) -> str:
    """Name of the disk in one place; the same for every run, so that it is found again.

    Args:
        owner: `p` or `o`.
        stack_id: The stack.
        name: `cache-<class>`.
        cloud: Name of the cloud.
        region: The cloud's own id of the place.
    """
    return str(Marker(owner, stack_id, name, spec_hash({"cloud": cloud, "region": region})))


def cache_prefix(owner: str, stack_id: str) -> str:
    """What the names of all caches of a stack start with."""
    return f"{stack_prefix(owner, stack_id)}{SLUG_PREFIX}"


@dataclass(frozen=True, slots=True)
class CacheOrphan:
    """A cache of this stack that nobody declares, or that exists twice in one place.

    Attributes:
        volume: The disk.
        credentials: Name of the credential set that shows it.
        reason: `not declared` or `exists twice`.
    """

    volume: CacheVolume
    credentials: str
    reason: str


def orphans(found: Iterable[tuple[str, CacheVolume]], declared: Iterable[str]) -> list[CacheOrphan]:
    """Which of the caches found should not be there.

    Args:
        found: Credential set and cache, for all caches of one stack.
        declared: Names (`cache-<class>`) that the program declares.
    """
    wanted = set(declared)
    first: dict[tuple[str, str], str] = {}
    result: dict[tuple[str, str], CacheOrphan] = {}
    for credentials, volume in sorted(found, key=lambda pair: (pair[1].cloud, pair[1].name, pair[1].id)):
        marker = Marker.parse(volume.name)
        if marker is None:
            continue
        kept = first.setdefault((volume.cloud, volume.name), volume.id)
        reason = "not declared" if marker.node not in wanted else "" if kept == volume.id else "exists twice"
        if reason:
            result.setdefault((volume.cloud, volume.id), CacheOrphan(volume, credentials, reason))
    return list(result.values())
