"""What the router shows of itself, to metrics and the admin endpoint."""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.gateway.declared import Node
from control_plane.gateway.routing.breaker import BreakerState
from control_plane.gateway.routing.node_state import NodeHealth, NodeState


@dataclass(slots=True)
class Counters:
    """Of all time since the start.

    Attributes:
        queued: Requests that had to wait for a place.
        queue_seconds: How long they waited, together.
        queue_full: Requests refused because too many waited.
        queue_timeouts: Requests refused because their deadline passed.
        no_node: Requests refused because no node of their model could answer.
        opened: How often a breaker opened.
        probes: Probes that came to an end.
        failed_probes: Those of them that failed.
    """

    queued: int = 0
    queue_seconds: float = 0.0
    queue_full: int = 0
    queue_timeouts: int = 0
    no_node: int = 0
    opened: int = 0
    probes: int = 0
    failed_probes: int = 0


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node at one moment.

    Attributes:
        node: As declared.
        health: Its state.
        breaker: Its breaker's.
        in_flight: Requests that it answers.
        places: Most of them at a time.
        served: Requests that it was given, of all time.
        failures: How often it failed, of all time.
        reason: Why it failed last; empty after it has answered.
        probe_prompt_tokens: Prompt tokens that it counted for probes, which are in no ledger.
        probe_completion_tokens: Tokens that it generated for probes.
    """

    node: Node
    health: NodeHealth
    breaker: BreakerState
    in_flight: int
    places: int
    served: int
    failures: int
    reason: str
    probe_prompt_tokens: int
    probe_completion_tokens: int


def view(state: NodeState, now: float) -> NodeView:
    """A node as it is at `now`, monotonic seconds."""
    return NodeView(
        state.node,
        state.health(now),
        state.breaker.state(now),
        state.in_flight,
        state.places,
        state.served,
        state.failures,
        state.reason,
        state.probe_prompt_tokens,
        state.probe_completion_tokens,
    )
