"""Consistent hashing with bounded load: equal prefixes meet the same node's cache, and no node drowns.

After "Consistent Hashing with Bounded Loads" (Mirrokni, Thorup, Zadimoghaddam, 2016).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Iterator
from hashlib import blake2b

SPAN = 1 << 64


def point(text: str) -> int:
    """Where a text stands on the ring; the same in every process."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


class Ring:
    """Nodes at several points each on a circle; a key belongs to the next node clockwise.

    Args:
        names: The nodes.
        points: Points of each.
    """

    __slots__ = ("_names", "_orders", "_points", "names")

    def __init__(self, names: Collection[str], points: int) -> None:
        pairs = sorted((point(f"{name}#{number}"), name) for name in names for number in range(points))
        self._points = [at for at, _ in pairs]
        self._names = [name for _, name in pairs]
        self._orders: dict[int, tuple[str, ...]] = {}
        self.names = frozenset(names)

    def order(self, key: int) -> tuple[str, ...]:
        """All nodes in the order in which they are to be asked for a key (any integer)."""
        if not self._points:
            return ()
        # Keys may be small numbers or close together: they are spread first.
        start = bisect_left(self._points, key * 0x9E3779B97F4A7C15 % SPAN) % len(self._points)
        found = self._orders.get(start)
        if found is None:
            # Orders are few (one for each point) and asked for again and again.
            found = self._orders[start] = tuple(dict.fromkeys(self._from(start)))
        return found

    def _from(self, start: int) -> Iterator[str]:
        yield from self._names[start:]
        yield from self._names[:start]


def bound(in_flight: int, nodes: int, factor: float) -> int:
    """Most requests that a node may have for its prefixes' sake, one that is to come included.

    Args:
        in_flight: Requests at all nodes together, without the one that is to come.
        nodes: How many nodes there are, at least 1.
        factor: Load above the average that is accepted, such as 1.25.
    """
    return math.ceil(factor * (in_flight + 1) / nodes)
