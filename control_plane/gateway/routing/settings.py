"""Numbers of the routing; `control_plane.settings` gives those that users may set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """How requests find their nodes.

    Attributes:
        queue_length: Requests that may wait at the same time; further ones are refused.
        queue_s: How long a request may wait at most, seconds; its own deadline may be nearer.
        places: Requests at the same time at a node that declares no limit of its own.
        drain_s: How long the requests of a node that was taken out may go on before they are moved, seconds.
        probe_s: Time between the probes of an idle node, seconds; each differs by up to a fifth.
        probe_limit_s: How long a probe may take, seconds.
        breaker_failures: Failures in a row that open a node's breaker.
        breaker_open_s: How long it stays open before one request may try again, seconds.
        load_factor: How much above the average a node's load may be for the sake of its prefix cache.
        points: Points of each node on the hash ring.
        retry_share: Retries allowed as a share of the requests of the last ten seconds.
        retry_floor: Retries allowed in ten seconds, however few requests there were.
    """

    queue_length: int = 1000
    queue_s: float = 30.0
    places: int = 100
    drain_s: float = 30.0
    probe_s: float = 10.0
    probe_limit_s: float = 10.0
    breaker_failures: int = 5
    breaker_open_s: float = 30.0
    load_factor: float = 1.25
    points: int = 64
    retry_share: float = 0.1
    retry_floor: int = 20
