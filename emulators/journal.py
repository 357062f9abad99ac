"""Which requests came: counters and the last few thousand in full (never a key, never a body)."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass

READS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One answered (or cut) request.

    Attributes:
        at: Emulated time, seconds since the epoch.
        cloud: Name of the emulated cloud.
        plane: `api` for calls to the cloud, `node` for traffic to a rented node.
        method: HTTP method.
        path: Path as sent, without the query.
        route: Path with its variable parts named.
        status: HTTP status; 0 where the connection was cut without an answer.
        account: Whose key it carried; empty if unknown.
    """

    at: float
    cloud: str
    plane: str
    method: str
    path: str
    route: str
    status: int
    account: str


class Journal:
    """Counts requests and remembers the youngest.

    Args:
        keep: How many requests to remember in full.
    """

    def __init__(self, keep: int = 5000) -> None:
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._counts: Counter[tuple[str, str, str, str, int]] = Counter()

    def add(self, entry: Entry) -> None:
        """Notes one request."""
        self._entries.append(entry)
        self._counts[(entry.cloud, entry.plane, entry.method, entry.route, entry.status)] += 1

    def counters(self) -> dict[str, object]:
        """The counts: reads and writes per cloud, traffic to nodes apart, and by method, route and status."""
        clouds: dict[str, dict[str, int]] = {}
        rows: list[dict[str, object]] = []
        for (cloud, plane, method, route, status), count in sorted(self._counts.items()):
            sums = clouds.setdefault(cloud, {"reads": 0, "writes": 0, "node_requests": 0})
            if plane == "node":
                sums["node_requests"] += count
            else:
                sums["reads" if method in READS else "writes"] += count
            rows.append(
                {
                    "cloud": cloud,
                    "plane": plane,
                    "method": method,
                    "route": route,
                    "status": status,
                    "count": count,
                }
            )
        return {"clouds": clouds, "routes": rows}

    def entries(self, last: int = 100) -> list[dict[str, object]]:
        """The youngest requests, oldest first."""
        return [asdict(entry) for entry in list(self._entries)[-last:]] if last > 0 else []

    def clear(self) -> None:
        """Sets everything to zero."""
        self._entries.clear()
        self._counts.clear()

    def dump(self) -> list[object]:
        """The counts as JSON, for the next start."""
        return [[*key, count] for key, count in self._counts.items()]

    def load(self, rows: object) -> None:
        """Takes back what `dump` gave."""
        if isinstance(rows, list):
            for cloud, plane, method, route, status, count in rows:
                self._counts[(cloud, plane, method, route, status)] += count
