"""Which of a model's nodes gets a request now."""

from __future__ import annotations

from collections.abc import Collection

from control_plane.gateway.routing.node_state import NodeState
from control_plane.gateway.routing.ring import bound
from control_plane.gateway.routing.table import Group


def choose(
    group: Group, prefix: int, exclude: Collection[str], now: float, load_factor: float
) -> NodeState | None:
    """The node whose prefix cache may know the prompt, unless it has too much to do; else the idlest.

    Nodes that have never answered are asked only where no other is there; so are those in `exclude`.

    Args:
        group: The model's nodes.
        prefix: Hash of the prompt's beginning; 0: any node is as good.
        exclude: Names of nodes that have failed the request already.
        now: Monotonic seconds.
        load_factor: Load above the average that is accepted for the sake of a prefix cache.

    Returns:
        None: None has a place.
    """
    if len(group.states) == 1:
        (only,) = group.states.values()
        return only if only.takes_new(now) and only.in_flight < only.places else None
    usable = [state for state in group.states.values() if state.takes_new(now)]
    if exclude:
        # Those not tried yet are waited for, if need be: a place at them comes.
        usable = [state for state in usable if state.node.name not in exclude] or usable
    usable = [state for state in usable if state.answered or not state.probed] or usable
    free = [state for state in usable if state.in_flight < state.places]
    if not free:
        return None
    if len(free) == 1:
        return free[0]
    if prefix:
        most = bound(sum(state.in_flight for state in usable), len(usable), load_factor)
        names = {state.node.name: state for state in free}
        for name in group.ring.order(prefix):
            state = names.get(name)
            if state is not None and state.in_flight < most:
                return state
    return min(free, key=lambda state: (state.in_flight, state.served))


def may_come(group: Group, now: float, deadline: float) -> bool:
    """Whether a place can come up before `deadline`: a node works, or its breaker lets one try by then."""
    return any(state.comes_back() <= max(now, deadline) for state in group.states.values())
