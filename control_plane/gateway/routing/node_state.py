"""One node as the router knows it: its places, its breaker, what its probes said."""

from __future__ import annotations

import enum
from collections.abc import Callable

from control_plane.gateway.declared import Node
from control_plane.gateway.routing.breaker import Breaker, BreakerState
from control_plane.gateway.routing.settings import RoutingSettings


class NodeHealth(enum.Enum):
    """A node's state, as the admin endpoint names it."""

    HEALTHY = "healthy"
    PROBING = "probing"
    """Its breaker is half open: one request tries."""
    OPEN = "open"
    """Its breaker is open: it gets no requests."""
    DRAINING = "draining"
    """It was taken out; what it still answers goes on for a while."""
    UNKNOWN = "unknown"
    """It has never answered."""


class NodeState:
    """A node, its requests and its health.

    Args:
        node: As declared.
        settings: Of the routing.
    """

    __slots__ = (
        "answered",
        "breaker",
        "draining",
        "failures",
        "leases",
        "node",
        "places",
        "probe_completion_tokens",
        "probe_prompt_tokens",
        "probed",
        "quiet_since",
        "reason",
        "served",
        "settings",
        "when_empty",
    )

    def __init__(self, node: Node, settings: RoutingSettings) -> None:
        self.settings = settings
        self.breaker = Breaker(settings.breaker_failures, settings.breaker_open_s)
        self.leases: dict[object, None] = {}
        """Requests that it answers now, in the order in which they came."""
        self.answered = False
        """Whether it has ever answered as it should."""
        self.probed = False
        """Whether it is probed, so that it can be told whether one that has never answered works."""
        self.draining = False
        self.quiet_since = 0.0
        """When it last answered something, monotonic seconds; 0 for never."""
        self.reason = ""
        """Why it failed last; empty after it has answered."""
        self.served = 0
        self.failures = 0
        self.probe_prompt_tokens = 0
        self.probe_completion_tokens = 0
        self.when_empty: Callable[[], None] | None = None
        self.declare(node)

    def declare(self, node: Node) -> None:
        """Takes over what may change while it runs: models, places, cordon."""
        self.node = node
        self.places = node.max_in_flight or self.settings.places

    @property
    def in_flight(self) -> int:
        """Requests that it answers now."""
        return len(self.leases)

    def takes_new(self, now: float) -> bool:
        """Whether it may get a request, if it has a place."""
        return not self.draining and not self.node.cordoned and self.breaker.allows(now)

    def comes_back(self) -> float:
        """When it may get requests again, monotonic seconds; 0: it may now; inf: never."""
        return float("inf") if self.draining or self.node.cordoned else self.breaker.retry_at

    def health(self, now: float) -> NodeHealth:
        """Its state."""
        if self.draining:
            return NodeHealth.DRAINING
        breaker = self.breaker.state(now)
        if breaker is BreakerState.OPEN:
            return NodeHealth.OPEN
        if breaker is BreakerState.HALF_OPEN:
            return NodeHealth.PROBING
        return NodeHealth.HEALTHY if self.answered else NodeHealth.UNKNOWN

    def good(self, now: float) -> None:
        """It has answered as it should."""
        self.breaker.succeeded()
        self.answered = True
        self.quiet_since = now
        self.reason = ""

    def bad(self, now: float, why: str, *, tried: bool = False) -> bool:
        """It has failed; says whether its breaker has opened by that."""
        self.failures += 1
        self.reason = why
        return self.breaker.failed(now, tried=tried)
