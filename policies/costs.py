"""What resources cost: the actual price of what lives, the estimate for what is to come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policies.reading import Seen, inside, items, number, text

HOURS_A_MONTH = 730
"""As everywhere in this project."""

NODE = "pulumi-python:dynamic/gpu:GpuNode"
CLUSTER = "pulumi-python:dynamic/skypilot:SkyPilotCluster"
POOLED = {
    "gpuplane:kubernetes:EksGpuCluster": "aws",
    "gpuplane:kubernetes:GkeGpuCluster": "gcp",
    "gpuplane:kubernetes:AksGpuCluster": "azure",
}
"""Components with GPU pools -> the cloud that they are in."""


@dataclass(frozen=True, slots=True)
class Priced:
    """What something costs.

    Attributes:
        resource: What.
        hourly_usd: USD per hour; None where nobody knows.
    """

    resource: Seen
    hourly_usd: float | None


@dataclass(frozen=True, slots=True)
class Gpus:
    """GPUs of one kind in a resource.

    Attributes:
        count: How many.
        on_demand: Rented at the full price, not as spot.
        hourly_usd: Price of all of them, USD per hour; None where nobody knows.
    """

    count: float
    on_demand: bool
    hourly_usd: float | None


def priced(resource: Seen) -> Priced | None:
    """What a resource costs; None for one that is no node and tells no price.

    Components tell `estimatedHourly`, of which the larger figure counts: all pools at their largest.
    """
    if resource.type in (NODE, CLUSTER):
        return Priced(resource, node_price(resource))
    told = resource.props.get("estimatedHourly")
    return Priced(resource, number(told.get("max"))) if isinstance(told, Mapping) else None


def node_price(resource: Seen) -> float | None:
    """The actual price of a node, else its estimate, USD per hour."""
    actual = number(resource.props.get("hourlyUsd"))
    return number(resource.props.get("estimatedHourlyUsd")) if actual is None else actual


def gpus_of(resource: Seen) -> list[Gpus]:
    """The GPUs of a node, a SkyPilot cluster, or of the pools of a Kubernetes cluster at their largest."""
    props = resource.props
    if resource.type == NODE:
        chosen = props.get("candidate")
        first = items(props.get("candidates"))[:1]
        candidate = chosen if isinstance(chosen, Mapping) else first[0] if first else {}
        return [Gpus(_count(candidate), _on_demand(candidate), node_price(resource))]
    if resource.type == CLUSTER:
        each = [_of_accelerator(text(one)) for one in items(props.get("accelerators"))]
        # Any of them will do: the one with the most GPUs counts.
        count = max(each, default=0.0) * (number(props.get("nodes")) or 1.0)
        return [Gpus(count, props.get("spot") is not True, node_price(resource))] if count else []
    if resource.type in POOLED:
        return [_pool(resource, name, pool) for name, pool in pools_of(resource).items()]
    return []


def pools_of(resource: Seen) -> dict[str, Mapping[str, Any]]:
    """The pools that a Kubernetes cluster tells of, by name."""
    told = resource.props.get("pools")
    found = told if isinstance(told, Mapping) else {}
    return {name: pool for name, pool in found.items() if isinstance(pool, Mapping)}


def _pool(resource: Seen, name: str, pool: Mapping[str, Any]) -> Gpus:
    count = (number(pool.get("gpusPerNode")) or 0.0) * (number(pool.get("max")) or 0.0)
    price = number(inside(resource.props, "estimatedHourly", "pools", name, "max"))
    return Gpus(count, pool.get("capacity") != "spot", price)


def _count(candidate: Mapping[str, Any]) -> float:
    return number(candidate.get("gpuCount")) or 1.0


def _on_demand(candidate: Mapping[str, Any]) -> bool:
    return text(candidate.get("capacity")) in ("", "on_demand")


def _of_accelerator(word: str) -> float:
    """GPUs in `A100:8`."""
    name, _, count = word.partition(":")
    try:
        return float(count) if count else float(bool(name))
    except ValueError:
        return 0.0
