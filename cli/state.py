"""What a stack's state tells of its nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NODE_TYPE = "pulumi-python:dynamic/gpu:GpuNode"
HOURS_A_MONTH = 730


@dataclass(frozen=True, slots=True)
class Node:
    """One node in the state.

    Attributes:
        name: Its slug.
        id: The cloud's id.
        candidate: What was rented, in words.
        hourly_usd: What it costs, USD per hour; None where the cloud did not tell.
        note: `ending` for a node that is to be deleted, `not ready` for one that failed on its way.
        endpoints: Ways in: port, protocol, url.
    """

    name: str
    id: str
    candidate: str
    hourly_usd: float | None
    note: str = ""
    endpoints: tuple[Mapping[str, Any], ...] = ()

    @property
    def monthly_usd(self) -> float | None:
        """USD per month of 730 hours."""
        return None if self.hourly_usd is None else self.hourly_usd * HOURS_A_MONTH


def nodes_in(state: Mapping[str, Any]) -> list[Node]:
    """Every node of an exported state, by name.

    Args:
        state: What `pulumi stack export` prints.
    """
    resources = (state.get("deployment") or {}).get("resources") or []
    nodes = [_node(resource) for resource in resources if resource.get("type") == NODE_TYPE]
    return sorted(nodes, key=lambda node: (_natural(node.name), node.note))


def candidate_text(value: object) -> str:
    """A candidate in words: `runpod EU-RO-1 RTX4090 x1`.

    Args:
        value: The output `candidate`: text, or an object with cloud, region, gpu, gpuCount and capacity.
    """
    if isinstance(value, Mapping):
        capacity = value.get("capacity", "on_demand")
        words = [value.get("cloud"), value.get("region"), value.get("gpu"), f"x{_count(value)}"]
        shown = " ".join(str(word) for word in words if word)
        return shown if capacity == "on_demand" else f"{shown} {capacity}"
    return value if isinstance(value, str) else "unknown"


def price(value: object) -> float | None:
    """A price as the engine stores it; None for anything else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _node(resource: Mapping[str, Any]) -> Node:
    outputs = resource.get("outputs") or {}
    endpoints = outputs.get("endpoints")
    note = "ending" if resource.get("delete") else "not ready" if resource.get("initErrors") else ""
    return Node(
        name=str(outputs.get("node") or str(resource.get("urn", "")).rsplit("::", 1)[-1]),
        id=str(resource.get("id", "")),
        candidate=candidate_text(outputs.get("candidate")),
        hourly_usd=price(outputs.get("hourlyUsd")),
        note=note,
        endpoints=tuple(e for e in endpoints if isinstance(e, Mapping))
        if isinstance(endpoints, list)
        else (),
    )


def _count(value: Mapping[str, Any]) -> int:
    count = price(value.get("gpuCount", 1))
    return int(count) if count else 1


def _natural(name: str) -> tuple[str, int]:
    cluster, _, index = name.rpartition("-")
    return (cluster, int(index)) if index.isdigit() else (name, -1)
