"""A request's place at a node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from control_plane.gateway.declared import Node
from control_plane.gateway.routing.node_state import NodeState


class Places(Protocol):
    """What a lease tells its router."""

    def now(self) -> float:
        """Monotonic seconds."""

    def freed(self, state: NodeState) -> None:
        """A place at the node is free again."""

    def opened(self, state: NodeState) -> None:
        """The node's breaker has opened."""


class NodeLease:
    """A place at a node for one try of one request.

    Args:
        state: The node.
        places: The router.
    """

    __slots__ = ("_places", "_state", "_tries", "on_move")

    def __init__(self, state: NodeState, places: Places) -> None:
        self._state = state
        self._places = places
        self._tries = state.breaker.take()
        self.on_move: Callable[[], None] | None = None
        """Called when the node is taken out and its time is up: the request is to go on elsewhere."""
        state.leases[self] = None
        state.served += 1

    @property
    def node(self) -> Node:
        """The node."""
        return self._state.node

    def answered(self) -> None:
        """The node has begun to answer as it should: closes its breaker. The place stays taken."""
        if self in self._state.leases:
            self._state.good(self._places.now())
            self._tries = False

    def succeeded(self) -> None:
        """The node has answered as it should, a 4xx included: closes its breaker. Frees the place."""
        self.answered()
        self._free()

    def failed(self, why: str) -> None:
        """The node has failed: refused the connection, cut it, stalled or answered 5xx. Frees the place."""
        if self in self._state.leases:
            tried, self._tries = self._tries, False
            if self._state.bad(self._places.now(), why, tried=tried):
                self._places.opened(self._state)
            self._free()

    def released(self) -> None:
        """Neither: the client went away. Frees the place. Harmless after one of the others."""
        self._free()

    def move(self) -> None:
        """Asks whoever holds it to go on elsewhere."""
        if self.on_move is not None:
            self.on_move()

    def _free(self) -> None:
        if self not in self._state.leases:
            return
        del self._state.leases[self]
        if self._tries:
            self._tries = False
            self._state.breaker.give_back()
        self._places.freed(self._state)
