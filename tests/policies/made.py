"""Resources as a policy sees them, for the unit tests beside the policies."""

from __future__ import annotations

from typing import Any

from policies.costs import CLUSTER, NODE
from policies.reading import Seen


def made(
    type_: str, name: str = "x", hidden: frozenset[tuple[str | int, ...]] = frozenset(), **props: Any
) -> Seen:
    """A resource of a type, with its properties."""
    return Seen(type_, name, f"urn:{name}", props, hidden=hidden)


def node(name: str = "chat-0", usd: float | None = None, **props: Any) -> Seen:
    """A GpuNode that does not exist yet, with its estimate."""
    return made(NODE, name, estimatedHourlyUsd=usd, **props)


def sky(name: str = "train", usd: float | None = None, **props: Any) -> Seen:
    """A SkyPilotCluster."""
    return made(CLUSTER, name, estimatedHourlyUsd=usd, **props)


def eks(name: str = "pools", hourly: object = "unknown", **pools: Any) -> Seen:
    """An EksGpuCluster with pools of which each costs one USD an hour for each GPU."""
    each = {key: {"max": pool.get("gpusPerNode", 1) * pool.get("max", 0)} for key, pool in pools.items()}
    return made(
        "gpuplane:kubernetes:EksGpuCluster", name, pools=pools, estimatedHourly={"max": hourly, "pools": each}
    )


def deployment(*containers: dict[str, Any], **more: Any) -> Seen:
    """A Deployment of these containers."""
    spec = {"containers": list(containers), **more}
    return made("kubernetes:apps/v1:Deployment", "web", spec={"template": {"spec": spec}})
