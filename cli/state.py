"""What a stack's state tells of its nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.errors import CliError

NODE_TYPE = "pulumi-python:dynamic/gpu:GpuNode"
CLUSTER_TYPE = "pulumi-python:dynamic/skypilot:SkyPilotCluster"
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
        cloud: Name of the cloud that it is rented from; empty where the state does not tell.
        credentials: Name of the credential set that it is rented with.
        ssh: `user@host:port`; empty where there is no way to log in.
        expires_at: When it is no longer wanted, as its inputs say; empty for never.
        cluster_name: Of a SkyPilot cluster: its name on the server, which no other has there.
        created: When the engine wrote it down, ISO 8601; empty where the state does not tell.
    """

    name: str
    id: str
    candidate: str
    hourly_usd: float | None
    note: str = ""
    endpoints: tuple[Mapping[str, Any], ...] = ()
    cloud: str = ""
    credentials: str = ""
    ssh: str = ""
    expires_at: str = ""
    cluster_name: str = ""
    created: str = ""

    @property
    def monthly_usd(self) -> float | None:
        """USD per month of 730 hours."""
        return None if self.hourly_usd is None else self.hourly_usd * HOURS_A_MONTH


def nodes_in(state: Mapping[str, Any]) -> list[Node]:
    """Every node and SkyPilot cluster of an exported state, by name.

    Args:
        state: What `pulumi stack export` prints.
    """
    resources = (state.get("deployment") or {}).get("resources") or []
    nodes = [_node(resource) for resource in resources if resource.get("type") == NODE_TYPE]
    nodes += [_cluster(resource) for resource in resources if resource.get("type") == CLUSTER_TYPE]
    return sorted(nodes, key=lambda node: (natural(node.name), node.note))


def find_node(state: Mapping[str, Any], name: str, stack: str) -> Node:
    """The node of this name; where an old one is still ending, the new one.

    Args:
        state: What `pulumi stack export` prints.
        name: Its slug, or its id in the cloud.
        stack: Name of the stack, for the message.

    Raises:
        CliError: There is none; the message has the nearest name.
    """
    from stack_config.errors import listing, nearest

    nodes = nodes_in(state)
    found = [node for node in nodes if name in (node.name, node.id)]
    if found:
        return min(found, key=lambda node: node.note == "ending")
    names = {node.name for node in nodes}
    guess = nearest(name, names)
    hint = f'did you mean "{guess}"?' if guess else f"use {listing(names)}" if names else "it has none at all"
    raise CliError(f'the state of stack {stack} has no node "{name}"; {hint}')


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
    candidate = outputs.get("candidate")
    candidate = candidate if isinstance(candidate, Mapping) else {}
    note = "ending" if resource.get("delete") else "not ready" if resource.get("initErrors") else ""
    return Node(
        name=str(outputs.get("node") or str(resource.get("urn", "")).rsplit("::", 1)[-1]),
        id=_text(outputs.get("instanceId")) or str(resource.get("id", "")),
        candidate=candidate_text(outputs.get("candidate")),
        hourly_usd=price(outputs.get("hourlyUsd")),
        note=note,
        endpoints=tuple(e for e in endpoints if isinstance(e, Mapping))
        if isinstance(endpoints, list)
        else (),
        cloud=_text(candidate.get("cloud")),
        credentials=_text(candidate.get("credentials")),
        ssh=_text(outputs.get("ssh")),
        expires_at=_text((resource.get("inputs") or outputs).get("expiresAt")),
        created=_text(resource.get("created")),
    )


def _cluster(resource: Mapping[str, Any]) -> Node:
    outputs = resource.get("outputs") or {}
    gpus = outputs.get("gpus")
    what = [f"{gpu} x{count:g}" for gpu, count in gpus.items()] if isinstance(gpus, Mapping) else []
    nodes = price(outputs.get("nodes")) or 1.0
    many = [f"on {nodes:g} nodes"] if nodes > 1 else []
    name = _text(outputs.get("clusterName")) or str(resource.get("id", ""))
    endpoints = outputs.get("endpoints")
    return Node(
        name=str(outputs.get("node") or str(resource.get("urn", "")).rsplit("::", 1)[-1]),
        id=name,
        candidate=" ".join(["skypilot", _text(outputs.get("place")), *what, *many]),
        hourly_usd=price(outputs.get("hourlyUsd")),
        note="ending" if resource.get("delete") else "not ready" if resource.get("initErrors") else "",
        endpoints=tuple({"port": port, "url": url} for port, url in endpoints.items())
        if isinstance(endpoints, Mapping)
        else (),
        cloud="skypilot",
        credentials=_text(outputs.get("credentials")),
        cluster_name=name,
        created=_text(resource.get("created")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Mapping[str, Any]) -> int:
    count = price(value.get("gpuCount", 1))
    return int(count) if count else 1


def natural(name: str) -> tuple[str, int]:
    """The order of names that a person expects: chat-2 before chat-10."""
    cluster, _, index = name.rpartition("-")
    return (cluster, int(index)) if index.isdigit() else (name, -1)
