"""Numbers of the relaying; `control_plane.settings` gives those that users may set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """How long the nodes may take, and what they may send.

    Attributes:
        connect_s: How long connecting to a node may take, seconds.
        first_byte_s: How long a node may take to the first event of a stream, or to a whole answer, seconds.
        stall_s: How long a stream may be silent after its first event before its node counts as lost,
            seconds.
        continue_s: How long a broken stream may wait for a place at another node, seconds.
        max_event_bytes: Longest event of a stream, bytes; a node that sends a longer one counts as lost.
        max_answer_bytes: Longest answer that is no stream, bytes.
        retries: How often a request is tried again before the client has got anything, where there are other
            nodes.
        hops: How often a stream is continued.
        alone_s: Pauses before the same node is asked again where there is no other, seconds.
        watch_after_s: After this time a running request's client is watched for going away, seconds. Short
            requests are over before, which saves them the watch.
        idle_s: How long a connection without a request is kept, seconds: less than vLLM's five, so that none
            is used that the node is just closing.
        idle_per_node: Connections without a request that are kept for each node.
    """

    connect_s: float = 3.0
    first_byte_s: float = 300.0
    stall_s: float = 60.0
    continue_s: float = 30.0
    max_event_bytes: int = 4 * 1024 * 1024
    max_answer_bytes: int = 256 * 1024 * 1024
    retries: int = 2
    hops: int = 3
    alone_s: tuple[float, ...] = (1.0, 2.0, 4.0)
    watch_after_s: float = 0.05
    idle_s: float = 4.0
    idle_per_node: int = 10
