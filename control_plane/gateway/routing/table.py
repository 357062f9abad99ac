"""The nodes that there are, and which of them serve a model: replaced as a whole by a new declaration."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from control_plane.gateway.declared import Node
from control_plane.gateway.routing.node_state import NodeState
from control_plane.gateway.routing.ring import Ring
from control_plane.gateway.routing.settings import RoutingSettings


@dataclass(frozen=True, slots=True)
class Group:
    """The nodes of one model.

    Attributes:
        states: By name.
        ring: Of their names.
    """

    states: dict[str, NodeState]
    ring: Ring


@dataclass(frozen=True, slots=True)
class Change:
    """What a new declaration means for the nodes.

    Attributes:
        added: New ones, and those whose address or key has changed.
        left: Those that are to drain.
    """

    added: Sequence[NodeState]
    left: Sequence[NodeState]


class NodeTable:
    """All nodes.

    Args:
        settings: Of the routing.
    """

    def __init__(self, settings: RoutingSettings) -> None:
        self._settings = settings
        self.states: dict[str, NodeState] = {}
        self.groups: dict[str, Group] = {}

    def update(self, nodes: Sequence[Node]) -> Change:
        """Puts other nodes in place of those there are; one that stays keeps its requests and its health."""
        states: dict[str, NodeState] = {}
        added: list[NodeState] = []
        for node in nodes:
            state = self.states.get(node.name)
            if state is None or _way_to(state.node) != _way_to(node):
                state = NodeState(node, self._settings)
                added.append(state)
            else:
                state.declare(node)
            states[node.name] = state
        left = [state for name, state in self.states.items() if states.get(name) is not state]
        for state in left:
            state.draining = True
        self.states = states
        self.groups = self._grouped(states.values())
        return Change(added, left)

    def _grouped(self, states: Collection[NodeState]) -> dict[str, Group]:
        by_model: dict[str, dict[str, NodeState]] = {}
        for state in states:
            for model in state.node.models:
                by_model.setdefault(model, {})[state.node.name] = state
        groups = {}
        for model, members in by_model.items():
            before = self.groups.get(model)
            same = before is not None and before.ring.names == members.keys()
            ring = before.ring if same and before is not None else Ring(members, self._settings.points)
            groups[model] = Group(members, ring)
        return groups


def _way_to(node: Node) -> tuple[str, str, str]:
    return node.url, node.api_key, node.tls_sha256
