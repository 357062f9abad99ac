"""What the SkyPilot clusters of a saved plan would cost now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from cli.plan import PlannedNode, Today
from cli.spend_state import Server, servers_in
from cli.state import price

if TYPE_CHECKING:
    from cli.session import Session

_AT_ONCE = 16


def todays_clusters(planned: list[PlannedNode], session: Session) -> dict[str, Today]:
    """What each planned cluster would cost now, by the rule that the preview goes by.

    A plan has the token of a server of the stack as a secret that only the engine can read; the state has it
    in each cluster that is on that server already. A server that is made by the plan itself, or that asks for
    a token that the state does not have, tells no price.

    Args:
        planned: The plan's nodes and clusters.
        session: The stack.
    """
    clusters = [node for node in planned if node.cluster]
    if not clusters:
        return {}
    from dynamic_providers.sky_pilot_cluster import SkyPilotClusterProvider

    provider = SkyPilotClusterProvider.of(session.shared)
    known = _servers(session) if any("endpoint" in node.cluster for node in clusters) else {}

    def now(node: PlannedNode) -> float | None:
        props = {"node": node.name, **node.cluster, **_way_in(node, known)}
        if not props.get("credentials") and not props.get("endpoint"):
            return None
        return price(provider.create_preview(props).get("estimatedHourlyUsd"))

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        prices = list(pool.map(now, clusters))
    return {node.name: Today(node.candidate, usd) for node, usd in zip(clusters, prices, strict=True)}


def _servers(session: Session) -> dict[tuple[str, str], Server]:
    """Address and user -> a server that a cluster of the state is on."""
    state = json.loads(session.pulumi.capture("stack", "export", "--show-secrets"))
    return {(server.endpoint, server.user): server for server in servers_in(state).values()}


def _way_in(node: PlannedNode, known: Mapping[tuple[str, str], Server]) -> dict[str, Any]:
    """The token, where the state has it."""
    server = known.get((str(node.cluster.get("endpoint", "")), str(node.cluster.get("user", ""))))
    return {"token": server.token} if server is not None and server.token else {}
